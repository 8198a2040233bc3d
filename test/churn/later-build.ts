/** A second build of Skein that speaks one revision more of every protocol, and says in it what no revision of today has. */
import { cp, mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const repository = fileURLToPath(new URL('../..', import.meta.url))

/** The revision that only that build speaks. */
export const laterRevision = '99.0.0'
/** What such a peer prints when a channel in that revision is open: this, and the protocol's name. */
export const laterWord = 'speaks the later revision of'
/** Where the class of channels over streams begins in the bundle. */
const streamChannel = 'var StreamChannel = class extends BaseChannel {'

/**
 * Copies the build into a folder and changes the copy as a later version might: the list of revisions is one longer, each
 * frame in the new one has a field that is not known today, and a frame of an unknown kind goes before it.
 *
 * @returns the path of its `bin/skein.js`
 * @throws {Error} when the build does not have the lines that are changed.
 */
export async function laterBuild(folder: string): Promise<string> {
  await mkdir(folder, { recursive: true })
  for (const part of ['bin', 'dist', 'package.json']) {
    await cp(join(repository, part), join(folder, part), { recursive: true })
  }
  for (const part of ['node_modules', 'models']) await symlink(join(repository, part), join(folder, part))
  await change(join(folder, 'dist', 'bundle', 'src.js'), [
    ['return revisions.map(', `return ['${laterRevision}', ...revisions].map(`],
    ['return revisions.find(', `return ['${laterRevision}', ...revisions].find(`],
    ['return ours.revisions.find(', `return ['${laterRevision}', ...ours.revisions].find(`],
    [
      'super(init);',
      `super(init); this.isLater = init.revision === '${laterRevision}'; if (this.isLater) console.error('${laterWord} ' + stream.protocol);`,
      streamChannel
    ],
    [
      'send(frame) {',
      'send(frame) { if (this.isLater) { this.sendOne(laterField); frame = Uint8Array.from([...frame, ...laterField]) } return this.sendOne(frame) }\n    sendOne(frame) {',
      streamChannel
    ],
    // Field 99 of a protobuf message, 4 bytes long: a field, or a kind of frame, that no revision of today has.
    [streamChannel, `const laterField = Uint8Array.of(0x9a, 0x06, 4, 1, 2, 3, 4);\n${streamChannel}`]
  ])
  return join(folder, 'bin', 'skein.js')
}

/** A change of the bundle that a peer runs: the first `from`, of those after `after` where that is given, becomes `to`. */
type Change = readonly [from: string, to: string, after?: string]

async function change(path: string, changes: readonly Change[]): Promise<void> {
  let text = await readFile(path, 'utf8')
  for (const [from, to, after] of changes) {
    const start = after === undefined ? 0 : text.indexOf(after)
    const at = start < 0 ? -1 : text.indexOf(from, start)
    if (at < 0) throw new Error(`${path} has no \`${from}\` any more: say here what a later build changes`)
    text = text.slice(0, at) + to + text.slice(at + from.length)
  }
  await writeFile(path, text)
}

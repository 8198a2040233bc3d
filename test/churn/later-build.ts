/** A second build of Skein that speaks one revision more of every protocol, and says in it what no revision of today has. */
import { cp, mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const repository = fileURLToPath(new URL('../..', import.meta.url))

/** The revision that only that build speaks. */
export const laterRevision = '99.0.0'
/** What such a peer prints when a channel in that revision is open: this, and the protocol's name. */
export const laterWord = 'speaks the later revision of'

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
  const source = join(folder, 'dist', 'src')
  await change(join(source, 'base', 'protocol.js'), [
    ['return revisions.map(', `return ['${laterRevision}', ...revisions].map(`],
    ['return revisions.find(', `return ['${laterRevision}', ...revisions].find(`],
    ['return ours.revisions.find(', `return ['${laterRevision}', ...ours.revisions].find(`]
  ])
  await change(join(source, 'swarm', 'channel.js'), [
    [
      'send(frame) {',
      'send(frame) { if (this.isLater) { this.sendOne(unknown); frame = Uint8Array.from([...frame, ...unknown]) } return this.sendOne(frame) }\n    sendOne(frame) {'
    ],
    [
      'super(init);',
      `super(init); this.isLater = init.revision === '${laterRevision}'; if (this.isLater) console.error('${laterWord} ' + stream.protocol);`
    ]
  ])
  const channel = join(source, 'swarm', 'channel.js')
  // Field 99 of a protobuf message, 4 bytes long: a field, or a kind of frame, that no revision of today has.
  await writeFile(
    channel,
    `const unknown = Uint8Array.of(0x9a, 0x06, 4, 1, 2, 3, 4)\n${await readFile(channel, 'utf8')}`
  )
  return join(folder, 'bin', 'skein.js')
}

async function change(path: string, changes: readonly (readonly [from: string, to: string])[]): Promise<void> {
  let text = await readFile(path, 'utf8')
  for (const [from, to] of changes) {
    if (!text.includes(from))
      throw new Error(`${path} has no \`${from}\` any more: say here what a later build changes`)
    text = text.replace(from, () => to)
  }
  await writeFile(path, text)
}

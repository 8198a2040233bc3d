/**
 * What npm would publish, unpacked beside what it says it depends on and nothing else: it starts, computes, declares its types and is
 * small. The registry is not asked for anything.
 */
import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { writeTiny } from './model/hugging-face.ts'
import { needs, whyNotBuilt } from './needs.ts'

const run = promisify(execFile)
const root = fileURLToPath(new URL('..', import.meta.url))
const modules = path.join(root, 'node_modules')
/** What an installed package may take, whose greater part is the model that ships. */
const installedBytesMax = 60e6

let folder: string
let installed: string

/** A package's dependencies, those of its dependencies, and so on; npm has put each of these where the first one finds it. */
async function dependencies(folder: string, found = new Set<string>()): Promise<Set<string>> {
  const { dependencies: direct = {} } = JSON.parse(await readFile(path.join(folder, 'package.json'), 'utf8')) as {
    dependencies?: Record<string, string>
  }
  for (const name of Object.keys(direct)) {
    if (found.has(name)) continue
    found.add(name)
    await dependencies(path.join(modules, name), found)
  }
  return found
}

async function bytesIn(folder: string): Promise<number> {
  let bytes = 0
  for (const entry of await readdir(folder, { withFileTypes: true, recursive: true })) {
    if (entry.isFile()) bytes += (await stat(path.join(entry.parentPath, entry.name))).size
  }
  return bytes
}

describe('the package', needs(whyNotBuilt(path.join(root, 'dist/src/index.js'))), () => {
  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'skein-package-'))
    installed = path.join(folder, 'node_modules', 'skein')
    await mkdir(installed, { recursive: true })
    const pack = ['pack', '--ignore-scripts', '--json', '--pack-destination', folder]
    const { stdout } = await run('npm', pack, { cwd: root, maxBuffer: 16e6 })
    const [{ filename }] = JSON.parse(stdout) as [{ filename: string }]
    await run('tar', ['xzf', path.join(folder, filename), '--strip-components=1', '-C', installed])
    await rm(path.join(folder, filename))
    for (const name of await dependencies(installed)) {
      await cp(path.join(modules, name), path.join(folder, 'node_modules', name), { recursive: true })
    }
    await writeFile(path.join(folder, 'package.json'), '{ "type": "module" }')
  }, 120_000)

  afterAll(() => rm(folder, { recursive: true, force: true }))

  it('takes little of a disk', async () => {
    expect(await bytesIn(path.join(folder, 'node_modules'))).toBeLessThan(installedBytesMax)
  })

  it('passes on the licence of each package that is in it', async () => {
    const text = await readFile(path.join(installed, 'dist', 'vendor', 'LICENSES.txt'), 'utf8')
    for (const name of ['libp2p', '@chainsafe/libp2p-noise', '@noble/hashes', 'zod', 'commander']) {
      expect(text).toMatch(new RegExp(`^${name} \\d+\\.\\d+\\.\\d+: \\S`, 'm'))
    }
  })

  it('starts a thread from one file, and a process from few', async () => {
    const files = await readdir(path.join(installed, 'dist', 'src'), { recursive: true })
    const threads = files.filter(file => file.endsWith('worker.js'))
    expect(threads).toContain(path.join('engine', 'wasm', 'worker.js'))
    for (const file of threads) {
      const code = await readFile(path.join(installed, 'dist', 'src', file), 'utf8')
      expect(code, file).not.toMatch(/^import .*["']\.|\bimport\(["']\./m)
    }
    const scripts = await readdir(path.join(installed, 'dist'), { recursive: true })
    // Each command has its own, and what several share is one: a start reads a few of them.
    expect(scripts.filter(file => file.endsWith('.js')).length).toBeLessThan(60)
  })

  it('answers, from an ES module', { timeout: 120_000 }, async () => {
    const program = `
      import { createPeer, initSwarm } from 'skein'
      import { serveApi } from 'skein/api'
      await initSwarm('swarm.json')
      const peer = await createPeer({ dataDir: 'data', swarm: 'swarm.json', mdns: false, listen: ['/ip4/127.0.0.1/tcp/0'] })
      const { text } = await peer.generate('Once upon a time', { maxTokens: 4 }).answer
      console.log(text)
      const door = await serveApi(peer, { port: 0 })
      console.log((await fetch(door.url)).status)
      await door.close()
      await peer.stop()
    `
    await writeFile(path.join(folder, 'program.js'), program)
    const { stdout } = await run(process.execPath, ['program.js'], { cwd: folder })
    const lines = stdout.trim().split('\n')
    expect(lines.pop()).toBe('200')
    expect(lines.join('\n').length).toBeGreaterThan(4)
    const cli = await run(process.execPath, [path.join(installed, 'bin', 'skein.js'), '--version'], { cwd: folder })
    expect(cli.stdout.trim()).toBe('0.1.0')
  })

  it('imports a model, in a thread', { timeout: 120_000 }, async () => {
    await writeTiny(path.join(folder, 'tiny'))
    const skein = path.join(installed, 'bin', 'skein.js')
    const args = ['model', 'import', 'tiny', '--name', 'tiny', '--data', 'imported', '--dtype', 'q8,attention=f32']
    const { stdout } = await run(process.execPath, [skein, ...args], { cwd: folder })
    expect(stdout).toMatch(/^imported tiny: 2 layers, mixed \(f32, q8-f16\) with f16 edges/)
  })

  it('declares its types, to a program that checks all of them', { timeout: 120_000 }, async () => {
    const program = `
      import { createPeer, type Peer } from 'skein'
      import { type ApiServer, serveApi } from 'skein/api'
      const peer: Peer = await createPeer({ dataDir: 'data', swarm: 'swarm.json', memoryBytes: 512e6 })
      const { ids, text } = await peer.generate('x', { maxTokens: 4 }).answer
      export const told: [readonly number[], string] = [ids, text]
      export const door: ApiServer = await serveApi(peer, { port: 8420, apiKeyFile: 'keys' })
      // @ts-expect-error it is a number
      peer.generate('x', { maxTokens: 'four' })
    `
    await writeFile(path.join(folder, 'typed.ts'), program)
    await mkdir(path.join(folder, 'node_modules', '@types'), { recursive: true })
    for (const name of ['@types/node', 'undici-types']) {
      await symlink(path.join(modules, name), path.join(folder, 'node_modules', name))
    }
    const options = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2023', '--types', 'node']
    const tsc = path.join(modules, 'typescript', 'bin', 'tsc')
    const { stdout } = await run(process.execPath, [tsc, ...options, 'typed.ts'], { cwd: folder }).catch(
      (error: { stdout: string }) => error
    )
    expect(stdout).toBe('')
  })
})

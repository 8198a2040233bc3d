/** `--seal` at the command line: what opens, what does not, and in which words. */
import { randomBytes } from 'node:crypto'
import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeEach, expect, it } from 'vitest'
import { scratchFolders } from '../scratch.ts'
import { expectFailure, Skein } from './skein.ts'

const folder = scratchFolders()
let data: string
let key: string
let swarm: string
beforeEach(async () => {
  const dir = await folder()
  ;[data, key, swarm] = [join(dir, 'data'), join(dir, 'seal.key'), join(dir, 'swarm.json')]
  await new Skein(['init', swarm]).ended
})

const run = (...args: string[]): Skein => new Skein(args)
const up = (...args: string[]): Skein =>
  run('up', '--data', data, '--swarm', swarm, '--json', '--no-mdns', '--memory', '64MB', ...args)

it('seals a directory with the key of skein key, and opens it with nothing else', { timeout: 90_000 }, async () => {
  const made = await run('key', key, '--seal').ended
  expect(made).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^made a new key in .*: it opens what is sealed with it/)
  })
  expect((await stat(key)).mode & 0o777).toBe(0o600)
  // A directory that is not there is not made by who only looks.
  expect(await run('model', 'ls', '--data', data, '--seal', key).ended).toMatchObject({ code: 0 })
  await expect(stat(data)).rejects.toMatchObject({ code: 'ENOENT' })

  // Not by --data: then `Skein` puts what was measured of this machine there, and the directory has to be empty.
  const peer = new Skein(['up', '--swarm', swarm, '--json', '--no-mdns', '--memory', '64MB', '--seal', key], {
    env: { SKEIN_DATA: data }
  })
  const { peer: id } = await peer.event('up')
  expect(await peer.end()).toMatchObject({ code: 0 })
  expect((await readdir(data)).filter(name => !/^[\w-]{22,}$/.test(name)).sort()).toEqual(['lock', 'skein.json'])

  await expectFailure(run('model', 'ls', '--data', data), 3, /is sealed by a key: give --seal FILE, or --seal keyring/)
  await expectFailure(run('members', '--data', data), 3, /is sealed by a key/)
  await expectFailure(run('audit', 'verify', data), 3, /is sealed by a key/)
  const other = join(await folder(), 'other.key')
  await writeFile(other, randomBytes(32))
  await expectFailure(run('model', 'ls', '--data', data, '--seal', other), 3, /sealed with another key than/)
  await expectFailure(run('model', 'ls', '--data', data, '--seal', join(data, 'x')), 3, /lies in .* which it seals/)
  await expectFailure(run('model', 'ls', '--data', data, '--seal', 'tpm2'), 3, /which --seal tpm2 does not open/)

  const ls = new Skein(['model', 'ls'], { env: { SKEIN_DATA: data, SKEIN_SEAL: key } })
  expect(await ls.ended).toMatchObject({ code: 0, stdout: expect.stringContaining('stories15m') })
  const doctor = await run('doctor', '--data', data, '--seal', key, '--json').ended
  expect(doctor.stdout).toContain(`The identity is readable: ${id}`)
  const blind = await run('doctor', '--data', data, '--json').ended
  expect(blind).toMatchObject({ code: 1, stdout: expect.stringContaining('is sealed by a key: give --seal') })
})

it('seals what lies in a directory already, once no peer runs on it', { timeout: 90_000 }, async () => {
  await run('key', key, '--seal').ended
  await expectFailure(run('seal', data), 2, /skein seal takes --seal FILE, keyring or tpm2/)
  await expectFailure(run('seal', data, '--seal', key), 3, /there is no directory .* to seal/)
  const peer = up()
  const { peer: id } = await peer.event('up')
  await expectFailure(run('seal', data, '--seal', key), 3, /is in use by process/)
  await peer.end()
  await expectFailure(up('--seal', key), 3, /is not sealed and holds files already: skein seal .* --seal .* seals them/)
  const sealed = await run('seal', data, '--seal', key, '--json').ended
  expect(sealed.code).toBe(0)
  const told = JSON.parse(sealed.stdout) as { files: number; left: string[] }
  expect(told).toMatchObject({ event: 'sealed', dataDir: data, left: [] })
  expect(told.files).toBeGreaterThan(1)
  // A swarm file in there is read as it lies: sealed.
  const own = join(data, 'swarm.json')
  await writeFile(own, await readFile(swarm))
  await expectFailure(run('up', '--data', data, '--swarm', own, '--seal', key), 3, /not sealed, .*: skein seal/)
  expect(await run('seal', data, '--seal', key).ended).toMatchObject({ code: 0 })
  await expect(stat(own)).rejects.toMatchObject({ code: 'ENOENT' })
  swarm = own
  const again = up('--seal', key)
  expect(await again.event('up')).toMatchObject({ peer: id })
  await again.end()
  expect(await readFile(join(data, 'skein.json'), 'utf8')).toMatch(/^{"format":2,/)
})

it('changes the key, and takes the seal off', { timeout: 90_000 }, async () => {
  await run('key', key, '--seal').ended
  const other = `${key}.new`
  await run('key', other, '--seal').ended
  await expectFailure(run('unseal', data), 2, /skein unseal takes --seal/)
  await expectFailure(run('unseal', data, '--seal', key), 3, /there is no directory/)
  const peer = new Skein(['up', '--swarm', swarm, '--json', '--no-mdns', '--memory', '64MB', '--seal', key], {
    env: { SKEIN_DATA: data }
  })
  const { peer: id } = await peer.event('up')
  await expectFailure(run('seal', data, '--from', key, '--seal', other), 3, /is in use by process/)
  await peer.end()
  await expectFailure(run('seal', data, '--from', other, '--seal', key), 3, /sealed with another key than/)
  expect(await run('seal', data, '--from', key, '--seal', other).ended).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^sealed .*: \d+ files/)
  })
  await expectFailure(run('model', 'ls', '--data', data, '--seal', key), 3, /sealed with another key than/)
  const doctor = await run('doctor', '--data', data, '--seal', other, '--json').ended
  expect(doctor.stdout).toContain(`The identity is readable: ${id}`)
  expect(await run('unseal', data, '--seal', other).ended).toMatchObject({ code: 0 })
  const plain = await run('doctor', '--data', data, '--json').ended
  expect(plain.stdout).toContain(`The identity is readable: ${id}`)
})

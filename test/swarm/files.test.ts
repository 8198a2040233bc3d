import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Keeping } from '../../src/disk/keeping.ts'
import { openDataDir } from '../../src/swarm/data-dir.ts'
import { readBattery, readHardware } from '../../src/swarm/hardware.ts'
import { loadIdentity, verifySignature } from '../../src/swarm/identity.ts'
import { SeqFile } from '../../src/swarm/seq-file.ts'
import { initSwarm, parseSwarm, readSwarmFile, swarmSecret, swarmTag } from '../../src/swarm/swarm-file.ts'
import { needs, whyNoLinux, whyNoPermissions } from '../needs.ts'

let dir: string
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'skein-test-'))
})
afterEach(async () => {
  await rm(dir, { recursive: true, force: true })
})

describe('the identity', () => {
  it('is made once, readable by its owner only, and kept', async () => {
    const first = await loadIdentity(dir)
    expect((await stat(join(dir, 'identity.key'))).mode & 0o777).toBe(0o600)
    expect((await loadIdentity(dir)).id).toBe(first.id)
    expect(first.id).toMatch(/^12D3KooW/)
  })

  it('signs what its id alone can verify', async () => {
    const { id, sign } = await loadIdentity(dir)
    const data = new TextEncoder().encode('hello')
    expect(verifySignature(id, data, sign(data))).toBe(true)
    expect(verifySignature(id, Uint8Array.of(1), sign(data))).toBe(false)
    expect(verifySignature(id, data, new Uint8Array(64))).toBe(false)
    expect(verifySignature(id, data, new Uint8Array(3))).toBe(false)
    expect(verifySignature('nobody' as typeof id, data, sign(data))).toBe(false)
    // The signature is libp2p's own, so peers in other languages can check it.
    const { privateKey } = await loadIdentity(dir)
    expect(await privateKey.publicKey.verify(data, sign(data))).toBe(true)
  })

  it.each([
    ['of one byte', Buffer.alloc(1)],
    ['garbage', Buffer.from('not a key at all')]
  ])('that is %s is a DataDirectoryError, and the file is left alone', async (_name, bytes) => {
    await writeFile(join(dir, 'identity.key'), bytes)
    await expect(loadIdentity(dir)).rejects.toMatchObject({ name: 'DataDirectoryError' })
    expect(Buffer.compare(await readFile(join(dir, 'identity.key')), bytes)).toBe(0)
  })
})

describe('the data directory', () => {
  it('is made with a format, and opens again after it was closed', async () => {
    const path = join(dir, 'new', 'deep')
    const first = await openDataDir(path)
    await first.close()
    await first.close()
    expect(JSON.parse(await readFile(join(path, 'skein.json'), 'utf8'))).toEqual({ format: 1 })
    await (await openDataDir(path)).close()
  })

  it('in use is refused with the pid of the one that uses it', async () => {
    const open = await openDataDir(dir)
    await expect(openDataDir(dir)).rejects.toMatchObject({
      name: 'DataDirectoryError',
      message: expect.stringContaining(`in use by process ${process.pid}`)
    })
    await open.close()
  })

  it('is free again however its process ended', async () => {
    // A process that takes the lock and dies without a word, as a drone that loses power.
    const script = fileURLToPath(new URL('../../src/swarm/data-dir.ts', import.meta.url))
    const code = `const { openDataDir } = await import(${JSON.stringify(script)}); await openDataDir(${JSON.stringify(dir)}); console.log('held'); setInterval(() => {}, 1000)`
    const child = spawn(process.execPath, ['--experimental-strip-types', '--input-type=module', '-e', code], {
      stdio: ['ignore', 'pipe', 'inherit']
    })
    await once(child.stdout, 'data')
    await expect(openDataDir(dir)).rejects.toThrow(`in use by process ${child.pid}`)
    child.kill('SIGKILL')
    await once(child, 'exit')
    await (await openDataDir(dir)).close()
  })

  it('of a newer Skein is refused as such', async () => {
    await writeFile(join(dir, 'skein.json'), '{"format":3}')
    await expect(openDataDir(dir)).rejects.toMatchObject({
      name: 'DataDirectoryError',
      message: expect.stringContaining('newer Skein')
    })
  })

  it.each([' ', '{}', '[', '{"format":"1"}', '{"format":0}'])('that says %j of its format is refused', async text => {
    await writeFile(join(dir, 'skein.json'), text)
    await expect(openDataDir(dir)).rejects.toMatchObject({ name: 'DataDirectoryError' })
  })

  it('where none can be made is refused, not tried for ever', needs(whyNoLinux), async () => {
    // What is there and says that it is not: /proc, as an automounter without its disk.
    for (const path of ['/proc/skein', '/proc/skein/deep']) {
      await expect(openDataDir(path)).rejects.toThrow(`${path} cannot be made: ENOENT`)
    }
  })

  it('that cannot be written is refused as such', needs(whyNoPermissions), async () => {
    await chmod(dir, 0o500)
    await expect(openDataDir(dir)).rejects.toThrow(`${dir} cannot be written: EACCES`)
    await chmod(dir, 0o700)
  })

  it('that is a file is refused', async () => {
    await writeFile(join(dir, 'file'), '')
    await expect(openDataDir(join(dir, 'file'))).rejects.toMatchObject({ name: 'DataDirectoryError' })
  })
})

describe('a file of the data directory that is a FIFO', () => {
  it.each([
    ['skein.json', () => openDataDir(dir)],
    ['identity.key', () => loadIdentity(dir)]
  ])('%s is refused at once', async (name, open) => {
    execFileSync('mkfifo', [join(dir, name)])
    await expect(open()).rejects.toMatchObject({
      name: 'DataDirectoryError',
      message: `${join(dir, name)} cannot be read: it is a FIFO, not a regular file`
    })
  })
})

describe('a swarm file', () => {
  it('is made with a random secret for its owner only, and read back', async () => {
    const path = join(dir, 'swarm.json')
    const config = await initSwarm(path, 'my flock')
    expect((await stat(path)).mode & 0o777).toBe(0o600)
    expect(await readSwarmFile(path)).toEqual(config)
    expect(swarmSecret(config).byteLength).toBe(32)
    expect((await initSwarm(join(dir, 'other.json'), 'my flock')).secret).not.toBe(config.secret)
  })

  it('is never overwritten', async () => {
    const path = join(dir, 'swarm.json')
    const config = await initSwarm(path, 'one')
    await expect(initSwarm(path, 'two')).rejects.toMatchObject({ name: 'InvalidSwarmError' })
    expect(await readSwarmFile(path)).toEqual(config)
  })

  const secret = Buffer.alloc(32, 3).toString('base64url')
  it.each([
    ['no object', null, 'it'],
    ['another format', { format: 0, name: 'a', secret }, 'format must be 1'],
    ['a newer format', { format: 3 }, 'newer Skein'],
    [
      'members and a key of 3 bytes',
      { format: 2, name: 'a', authority: 'abcd', recovery: 'abcd' },
      'authority must be 32 bytes'
    ],
    ['no name', { format: 1, secret }, 'name'],
    ['a name with control characters', { format: 1, name: 'a\u001b', secret }, 'name must be'],
    ['a short secret', { format: 1, name: 'a', secret: secret.slice(1) }, 'secret must be 32 bytes'],
    ['a password', { format: 1, name: 'a', secret: 'correct horse' }, 'secret must be 32 bytes'],
    ['another field', { format: 1, name: 'a', secret, extra: 1 }, 'unknown field extra']
  ])('with %s is refused by name, without the secret', (_name, json, message) => {
    expect(() => parseSwarm(json, 'swarm.json')).toThrow(
      expect.objectContaining({ name: 'InvalidSwarmError', message: expect.stringContaining(message) })
    )
    try {
      parseSwarm(json, 'swarm.json')
    } catch (error) {
      const given = (json as { secret?: string } | null)?.secret
      if (given !== undefined) expect((error as Error).message).not.toContain(given)
    }
  })

  it('that is missing, too large or no JSON is refused', async () => {
    await expect(readSwarmFile(join(dir, 'none'))).rejects.toThrow('skein init')
    await writeFile(join(dir, 'large'), ' '.repeat(5000))
    await expect(readSwarmFile(join(dir, 'large'))).rejects.toThrow('it has 5000 bytes, and at most 4096 are taken')
    await writeFile(join(dir, 'text'), 'secret')
    await expect(readSwarmFile(join(dir, 'text'))).rejects.toThrow('not JSON')
    await expect(readSwarmFile(join(dir, 'text'))).rejects.not.toThrow('secret')
    await expect(readSwarmFile(dir)).rejects.toMatchObject({ name: 'InvalidSwarmError' })
  })

  it('that is a FIFO or a device is refused at once', async () => {
    const path = join(dir, 'fifo')
    execFileSync('mkfifo', [path])
    await expect(readSwarmFile(path)).rejects.toMatchObject({
      name: 'InvalidSwarmError',
      message: `${path} cannot be read: it is a FIFO, not a regular file`
    })
    await expect(readSwarmFile('/dev/zero')).rejects.toThrow('it is a device')
  })

  it('has a tag that depends on the secret alone', () => {
    const a = new Uint8Array(32).fill(1)
    expect(swarmTag(a)).toBe(swarmTag(a.slice()))
    expect(swarmTag(a)).toMatch(/^[0-9a-f]{16}$/)
    expect(swarmTag(a)).not.toBe(swarmTag(new Uint8Array(32).fill(2)))
  })
})

describe('the seq', () => {
  const keeping = new Keeping(message => expect.unreachable(message))

  it('of many saves in a row the last survives', async () => {
    const file = new SeqFile(join(dir, 'seq'), keeping)
    expect(await file.read()).toBe(0)
    for (let seq = 1; seq <= 200; seq++) file.save(seq)
    await file.settled()
    expect(await new SeqFile(join(dir, 'seq'), keeping).read()).toBe(200)
  })

  it.each(['', 'abc', '-5', '1.5', '1e400'])('that is %j counts as none', async text => {
    await writeFile(join(dir, 'seq'), text)
    expect(await new SeqFile(join(dir, 'seq'), keeping).read()).toBe(0)
  })
})

describe('the hardware', () => {
  it('is that of this machine', () => {
    const hardware = readHardware()
    expect(hardware.cores).toBeGreaterThan(0)
    expect(hardware.memoryBytes).toBeGreaterThan(1 << 20)
    expect(hardware.architecture).toBe(process.arch)
    expect(Number.isSafeInteger(hardware.memoryBytes)).toBe(true)
  })

  /** A power supply as sysfs shows it. */
  async function supply(name: string, files: Record<string, string>): Promise<void> {
    await mkdir(join(dir, name))
    for (const [file, text] of Object.entries(files)) await writeFile(join(dir, name, file), `${text}\n`)
  }

  it('has the battery that sysfs shows, not the mains and not a mouse', async () => {
    await supply('AC', { type: 'Mains', online: '1' })
    await supply('hidpp_battery_0', { type: 'Battery', scope: 'Device', capacity: '5' })
    await supply('BAT0', { type: 'Battery', capacity: '83', status: 'Discharging' })
    expect(await readBattery(dir)).toEqual({ level: 0.83, charging: false })
  })

  it('has no battery where there is none, or none that says how full it is', async () => {
    expect(await readBattery(join(dir, 'none'))).toBeNull()
    await supply('AC', { type: 'Mains' })
    await supply('BAT0', { type: 'Battery', capacity: 'unknown' })
    await mkdir(join(dir, 'BAT1'))
    expect(await readBattery(dir)).toBeNull()
  })

  it('takes a full battery for charging', async () => {
    await supply('BAT0', { type: 'Battery', capacity: '100', status: 'Full' })
    await symlink(join(dir, 'nowhere'), join(dir, 'AAA'))
    await chmod(join(dir, 'BAT0', 'status'), 0o444)
    expect(await readBattery(dir)).toEqual({ level: 1, charging: true })
  })
})

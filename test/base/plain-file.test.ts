import { execFileSync } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { readPlainFile, readPlainText } from '../../src/base/plain-file.ts'
import { readKeyFile } from '../../src/keep/key-file.ts'
import { needs, whyNoLinux } from '../needs.ts'

let dir = ''
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'skein-test-'))
})
afterEach(() => rm(dir, { recursive: true, force: true }))

test.each([0, 1, 4095, 4096, 4097, 100_000])(
  'a file of %i bytes comes whole, and none longer than allowed',
  async n => {
    const file = join(dir, 'file')
    const bytes = Uint8Array.from({ length: n }, (_, i) => i % 251)
    await writeFile(file, bytes)
    expect(await readPlainFile(file, n)).toEqual(bytes)
    expect(await readPlainFile(file, n + 1)).toEqual(bytes)
    if (n > 0)
      await expect(readPlainFile(file, n - 1)).rejects.toThrow(`it has ${n} bytes, and at most ${n - 1} are taken`)
  }
)

test('a file that claims to be empty is read, and bounded, all the same', needs(whyNoLinux), async () => {
  const file = '/proc/self/limits'
  const text = await readFile(file, 'utf8')
  expect(await readPlainText(file, 100_000)).toBe(text)
  await expect(readPlainFile(file, 100)).rejects.toThrow('it has more than the 100 bytes that are taken')
})

test('what is no regular file is refused at once, without waiting for anybody', async () => {
  const fifo = join(dir, 'fifo')
  execFileSync('mkfifo', [fifo])
  await expect(readPlainFile(fifo, 10)).rejects.toThrow('it is a FIFO, not a regular file')
  await expect(readPlainFile('/dev/zero', 10)).rejects.toThrow('it is a device, not a regular file')
  await expect(readPlainFile(dir, 10)).rejects.toThrow('it is a directory, not a regular file')
  await expect(readPlainFile(join(dir, 'none'), 10)).rejects.toMatchObject({ code: 'ENOENT' })
})

test('a session key that is a FIFO or a device is refused at once', async () => {
  const fifo = join(dir, 'key')
  execFileSync('mkfifo', [fifo])
  await expect(readKeyFile(fifo)).rejects.toMatchObject({
    name: 'InvalidKeyError',
    message: `${fifo} cannot be read: it is a FIFO, not a regular file`
  })
  await expect(readKeyFile('/dev/urandom')).rejects.toThrow('it is a device')
})

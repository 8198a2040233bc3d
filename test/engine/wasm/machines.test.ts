/** Other machines compute the same bits: an ARM64 processor, emulated, with and without its instructions for dot products. */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { classesOfRevision } from './classes.ts'
import { needs } from '../../needs.ts'

const root = fileURLToPath(new URL('../../..', import.meta.url))
/** Where `.ci/run` puts Node for ARM64, and where Debian has the libraries that it needs. */
const node = join(root, 'tmp', 'arm64', 'package', 'bin', 'node')
const libraries = '/usr/aarch64-linux-gnu'
const emulator = (process.env.PATH ?? '')
  .split(delimiter)
  .map(folder => join(folder, 'qemu-aarch64'))
  .find(existsSync)

const whyNot =
  emulator === undefined || !existsSync(libraries) || !existsSync(node)
    ? 'there is no emulated ARM64 machine with Node: see .ci/run'
    : undefined

describe('an emulated ARM64 machine', needs(whyNot), () => {
  it.each(['max', 'cortex-a72'])(
    '%s computes the classes of the revision',
    async processor => {
      const script = fileURLToPath(new URL('class-process.ts', import.meta.url))
      const args = ['-cpu', processor, '-L', libraries, node, '--no-warnings', script]
      const { stdout } = await promisify(execFile)(emulator!, args, { timeout: 280_000 })
      expect(JSON.parse(stdout)).toEqual({ arch: 'arm64', classes: classesOfRevision })
    },
    300_000
  )
})

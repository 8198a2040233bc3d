import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'
import { ownAddresses } from '../../src/swarm/interfaces.ts'

it('this machine has its loopback address', () => {
  expect(ownAddresses()).toContainEqual(expect.objectContaining({ address: '127.0.0.1', family: 4, internal: true }))
})

it('where no descriptor is left to list interfaces, the last list counts', { timeout: 30_000 }, async () => {
  const script = fileURLToPath(new URL('interfaces-peer.ts', import.meta.url))
  const node = `"${process.execPath}" --experimental-transform-types --no-warnings "${script}"`
  const { stdout } = await promisify(execFile)('sh', ['-c', `ulimit -n 64 && exec ${node}`])
  expect(JSON.parse(stdout)).toEqual({ same: true, problem: 'EMFILE' })
})

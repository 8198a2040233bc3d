/** Two machines made from one image, as processes: the exit code and the words that a person sees. */
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { twinTieMs } from '../../src/swarm/limits.ts'
import { Skein, skein } from './skein.ts'

const folder = mkdtempSync(join(tmpdir(), 'skein-twins-'))
const at = (name: string): string => join(folder, name)
const peers: Skein[] = []

afterAll(async () => {
  await Promise.all(peers.map(peer => peer.end()))
  rmSync(folder, { recursive: true, force: true })
})

function up(name: string): Skein {
  const loopback = ['--listen', '/ip4/127.0.0.1/tcp/0', '--no-mdns', '--json', '--stop-with-stdin']
  const args = ['up', '--data', at(name), '--swarm', at('swarm.json'), '--memory', '64MB', ...loopback]
  const peer = new Skein(args, { env: { TMPDIR: folder } })
  peers.push(peer)
  return peer
}

it('R17: of two peers with one identity the one that started later ends with 3, and the other one says why', async () => {
  expect((await skein(['init', at('swarm.json')])).code).toBe(0)
  const other = up('other')
  const elder = up('elder')
  await Promise.all([other.event('up'), elder.event('up')])
  mkdirSync(at('copy'))
  copyFileSync(join(at('elder'), 'identity.key'), join(at('copy'), 'identity.key'))
  // Longer than a record takes, so that it is clear which of them is the younger.
  await new Promise(resolve => setTimeout(resolve, twinTieMs + 1_000))
  const ended = await up('copy').ended
  expect(ended.stderr).toMatch(/^skein: another machine has this peer's identity, at .*, and has run for longer/)
  expect(ended.code).toBe(3)
  const { stdout } = await skein(['status', '--data', at('elder')])
  expect(stdout).toContain("another machine has this peer's identity")
  expect(elder.child.exitCode).toBeNull()
}, 120_000)

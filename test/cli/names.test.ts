/** One name for two models, on two real peers: everything that takes a name says so, and ids choose. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { writeTiny } from '../model/hugging-face.ts'
import { expectFailure, Skein, skein } from './skein.ts'

let folder = ''
const peers: Skein[] = []
const ids: string[] = []
const at = (name: string): string => join(folder, name)

function up(name: string, more: string[] = []): Skein {
  const loopback = ['--listen', '/ip4/127.0.0.1/tcp/0', '--no-mdns', '--json', '--stop-with-stdin']
  const peer = new Skein(['up', '--data', at(name), '--swarm', at('swarm.json'), ...loopback, ...more])
  peers.push(peer)
  return peer
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'skein-names-'))
  expect((await skein(['init', at('swarm.json')])).code).toBe(0)
  for (const [i, name] of ['a', 'b'].entries()) {
    await writeTiny(at(`source-${name}`), { seed: i + 1 })
    const { code, stdout } = await skein(['model', 'import', at(`source-${name}`), '--data', at(name), '--name', 'fox'])
    expect(code).toBe(0)
    ids.push(/id ([0-9a-f]{64})/.exec(stdout)![1]!)
  }
  await Promise.all(['a', 'b'].map(name => up(name).event('serving')))
}, 120_000)

afterAll(async () => {
  await Promise.all(peers.map(peer => peer.end('SIGKILL')))
  rmSync(folder, { recursive: true, force: true })
})

it('is said by who serves one of them, by status, by ask and by up', async () => {
  const [a, b] = ids.map(id => id.slice(0, 12))
  for (const [i, [own, other]] of [
    [a, b],
    [b, a]
  ].entries()) {
    const { message } = await peers[i]!.event('warning')
    expect(message).toMatch(
      new RegExp(
        `^the name fox is not clear: this peer serves fox \\(${own}\\), another model is fox \\(${other}\\) of …`
      )
    )
  }
  const { stdout } = await skein(['status', '--data', at('a')])
  for (const id of [a, b]) expect(stdout).toContain(`fox (${id})  11  every layer is covered`)
  expect(stdout).toMatch(/^the name fox is not clear, it is that of /m)

  const ask = (model: string) => skein(['ask', 'x', '--data', at('a'), '--model', model, '--max-tokens', '2'])
  await expectFailure(ask('fox'), 2, `'fox' is more than one model: fox (${a}) here, fox (${b}) of …`)
  for (const id of ids) expect((await ask(id.slice(0, 8))).code).toBe(0)

  const third = up('c', ['--model', 'fox'])
  const { code, stderr } = await third.ended
  expect(stderr).toMatch(
    /^skein: 'fox' is more than one model: fox \([0-9a-f]{12}\) of …\w{8}, fox .*; give the beginning of an id\n$/
  )
  expect(code).toBe(2)
  await up('d', ['--model', b!]).event('serving')
}, 120_000)

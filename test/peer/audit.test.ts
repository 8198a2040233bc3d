/** What real peers write down of what they are asked: everything but what was said. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { answerDigest } from '../../src/peer/audited-request.ts'
import { initSwarm, type Peer, verifyAudit } from '../../src/index.ts'
import { livePeers } from './live-peers.ts'

const { folder, start } = livePeers('audit')
const within = (): AbortSignal => AbortSignal.timeout(30_000)

async function covered(peer: Peer): Promise<void> {
  const deadline = within()
  while (peer.status().models[0]?.coverage.every(times => times > 0) !== true) {
    deadline.throwIfAborted()
    await new Promise(resolve => setTimeout(resolve, 20))
  }
}

it('who asked, which model, over whom, how it ended and a digest of the answer; never a prompt, an answer or a key', async () => {
  const swarm = await initSwarm(join(await folder(), 'swarm.json'))
  const head = await start({ swarm, layers: { start: 0, end: 3 }, memoryBytes: 512e6 })
  const dataDir = await folder()
  const driver = await start({ swarm, dataDir, audit: true, layers: { start: 3, end: 6 }, memoryBytes: 512e6 })
  await covered(driver)
  const answer = await driver.generate('Once upon a zebra', { maxTokens: 12, request: 'r1', client: 'alice' }).answer
  // Who hangs up has had an answer, too.
  for await (const _ of driver.generate('The secret is rhubarb', { maxTokens: 50, signal: within() })) break
  await expect(driver.generate('x', { maxTokens: 1e6, client: 'bob' }).answer).rejects.toThrow()
  // Others' requests are theirs to tell of.
  await head.generate('Once upon a zebra', { maxTokens: 3, signal: within() }).answer
  await driver.stop()

  const text = await readFile(join(dataDir, 'audit', '000001.jsonl'), 'utf8')
  const lines = text.split('\n').slice(0, -1)
  const requests = lines.map(line => JSON.parse(line)).filter(({ msg }) => msg === 'request')
  const model = driver.status().models[0]!
  const numericClass = requests[0].route[0].class
  expect(numericClass).toMatch(/^[0-9a-f]{16}$/)
  const route = [
    { peer: head.id, start: 0, end: 3, class: numericClass },
    { peer: driver.id, start: 3, end: 6, class: numericClass }
  ]
  expect(requests).toEqual([
    expect.objectContaining({
      ...{ request: 'r1', client: 'alice', operation: 'text_completion', member: driver.id, level: 'info' },
      ...{ model: model.id, modelName: model.name, precision: 'q8', route, changes: [], outcome: 'length' },
      ...{ promptTokens: answer.promptIds.length, tokens: 12, answer: answerDigest(answer.ids) }
    }),
    expect.objectContaining({ client: 'local', outcome: 'cancelled', level: 'info', route }),
    expect.objectContaining({ client: 'bob', outcome: 'PromptTooLongError', level: 'warn', tokens: 0, answer: null })
  ])
  expect(text).not.toMatch(/zebra|rhubarb/)
  expect(text).not.toContain(answer.text.trim().split(' ')[1])
  expect(await verifyAudit(dataDir)).toMatchObject({ problem: null, requests: 3, peer: driver.id, end: 'stopped' })
})

it('nothing where nobody has asked for it', async () => {
  const swarm = await initSwarm(join(await folder(), 'swarm.json'))
  const dataDir = await folder()
  const peer = await start({ swarm, dataDir, memoryBytes: 0 })
  await peer.stop()
  await expect(verifyAudit(dataDir)).rejects.toMatchObject({ name: 'AuditError', exitCode: 3 })
})

/** Peers that leave, as a program that embeds them sees it: the model that ships, real links on loopback. */
import { expect, it } from 'vitest'
import { type Peer, type PeerInit, SessionFailedError, type SwarmConfig } from '../../src/index.ts'
import { Departure } from '../../src/peer/departure.ts'
import { batteryLeaveReadings } from '../../src/swarm/limits.ts'
import { createStageService } from '../../src/stage/service.ts'
import { verifySignature } from '../../src/swarm/identity.ts'
import { createSwarm } from '../../src/swarm/service.ts'
import { newSwarm } from '../../src/swarm/swarm-file.ts'
import { livePeers } from './live-peers.ts'

const { peers, folder, start: startPeer } = livePeers('departure')

async function start(swarm: SwarmConfig, init: Partial<PeerInit> = {}): Promise<Peer> {
  const dataDir = await folder()
  return startPeer({
    dataDir,
    swarm,
    memoryBytes: 256e6,
    ...init
  })
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise(resolve => setTimeout(resolve, 20))
}

const serves = (peer: Peer): boolean =>
  peer.status().peers.some(({ self, stages }) => self && stages[0]?.serving === true)
const prompt = 'Once upon a time'

it('is known to itself in full as soon as it is there', async () => {
  const peer = await start(newSwarm('departure'), { memoryBytes: 123e6 })
  expect(peer.status().peers).toMatchObject([{ self: true, budgetBytes: 123e6, leaving: false }])
  expect(peer.status().models).toHaveLength(1)
})

it('completes its own answer, begins no new one, and says that nobody took its layers', async () => {
  const peer = await start(newSwarm('departure'))
  await until(() => serves(peer))
  const leaving: boolean[] = []
  peer.addEventListener('peer:leaving', ({ detail }) => leaving.push(detail.peer === peer.id && detail.leaving))
  const ids: number[] = []
  let drained: ReturnType<Peer['drain']> | undefined
  for await (const token of peer.generate(prompt, { maxTokens: 60 })) {
    ids.push(token.id)
    if (ids.length !== 5) continue
    drained = peer.drain()
    await expect(peer.generate(prompt)[Symbol.asyncIterator]().next()).rejects.toMatchObject({
      name: 'PeerLeavingError',
      exitCode: 4
    })
  }
  expect(ids).toHaveLength(60)
  expect(await drained).toMatchObject({
    handedOver: [],
    notTaken: [{ start: 0, end: 6 }],
    sessions: 1,
    sessionsLeft: 0,
    answersLeft: 0
  })
  expect(leaving).toEqual([true])
  expect(peer.status().peers[0]!.leaving).toBe(true)
})

it('at the deadline its answer fails with the text so far', async () => {
  const peer = await start(newSwarm('departure'))
  await until(() => serves(peer))
  let text = ''
  const generation = peer.generate(prompt, { maxTokens: 200 })
  const reading = (async () => {
    for await (const token of generation) {
      text += token.text
      if (token.position !== 10) continue
      const report = await peer.drain({ deadlineMs: 1 })
      expect(report.answersLeft).toBe(1)
      await peer.stop()
    }
  })()
  const error = await reading.catch((e: unknown) => e)
  expect(error).toBeInstanceOf(SessionFailedError)
  expect((error as SessionFailedError).message).toBe('the peer is stopping')
  expect(text.length).toBeGreaterThan(0)
  expect((error as SessionFailedError).text.startsWith(text)).toBe(true)
})

it('the signal ends the wait, and the announcement stands', async () => {
  const swarm = newSwarm('departure')
  const peer = await start(swarm, { layers: { start: 0, end: 3 } })
  await start(swarm, { layers: { start: 3, end: 6 } })
  await until(() => peers.every(each => serves(each) && each.status().peers.length === 2))
  const signal = AbortSignal.abort(new Error('enough'))
  await expect(peer.drain({ signal })).rejects.toThrow('enough')
  await until(() => peers[1]!.status().peers.some(({ self, leaving }) => !self && leaving))
})

it('a low battery is announced like a departure, and taken back when it has recovered', async () => {
  const dataDir = await folder()
  const swarm = await createSwarm({
    dataDir,
    config: newSwarm('departure'),
    mdns: false,
    neighbours: false,
    listen: ['/ip4/127.0.0.1/tcp/0']
  })
  try {
    const stages = await createStageService({ links: swarm.links, retainBytesMax: 0, verify: verifySignature })
    const warnings: string[] = []
    const departure = new Departure({
      swarm,
      stages,
      placementOf: () => undefined,
      replan: () => {},
      loaded: () => [],
      answering: () => 0,
      onWarning: message => warnings.push(message)
    })
    const leaving = (): boolean => swarm.records()[0]!.record.leaving
    for (let reading = 0; reading < batteryLeaveReadings; reading++) {
      expect(leaving()).toBe(false)
      departure.onBattery({ level: 0.03, charging: false })
    }
    expect(leaving()).toBe(true)
    expect(stages.leaving).toBe(true)
    expect(departure.isDraining).toBe(false)
    for (let reading = 0; reading < batteryLeaveReadings; reading++) departure.onBattery(null)
    expect(leaving()).toBe(false)
    expect(warnings).toEqual([
      'the battery is low (3 %): others take over what this peer serves',
      'the battery has recovered: this peer serves again'
    ])
    await stages.stop()
  } finally {
    await swarm.stop()
  }
})

/** Peers that compute something else than they should, found out by others: the stages, sessions and checks are the real ones. */
import { afterEach, describe, expect, it } from 'vitest'
import type { PeerId } from '../../src/base/ids.ts'
import { seeded } from '../../src/base/rng.ts'
import type { Sampling } from '../../src/engine/engine.ts'
import { EngineError } from '../../src/errors.ts'
import { commitEveryTokens } from '../../src/session/limits.ts'
import { askCase, askRows } from '../../src/check/ask-service.ts'
import type { WorkCase } from '../../src/check/case.ts'
import { casesPerMinuteMax, checkFrameBytesMax, doubtChecks } from '../../src/check/limits.ts'
import { encodeFrame } from '../../src/check/codec.ts'
import { checkProtocol } from '../../src/check/frame.ts'
import { systemClock } from '../../src/base/clock.ts'
import type { Without } from '../../src/route/view.ts'
import type { GenerationEvent } from '../../src/session/generation.ts'
import type { Committed } from '../../src/session/committed.ts'
import { signerOf } from '../../sim/cast.ts'
import { signCommitment } from '../../src/stage/commitment.ts'
import { type CheckedPeer, checking, lie } from './kit.ts'
import { peerId, prompt, type TestPeer, TestWorld } from '../session/world.ts'

const [first, second, third] = [
  { start: 0, end: 2 },
  { start: 2, end: 4 },
  { start: 4, end: 6 }
]
const text = prompt(150)
const penalties = { presencePenalty: 0.5, frequencyPenalty: -0.25, repetitionPenalty: 1.2 }
const signal = AbortSignal.timeout(20_000)

/** Draws in which all but the n-th one come to nothing. */
function drawsOnly(n: number, value: number): () => number {
  let at = 0
  return () => (++at === n ? value : 0.99)
}

const worlds: TestWorld[] = []
afterEach(async () => {
  for (const world of worlds.splice(0)) await world.stop()
})

function world(): TestWorld {
  const made = new TestWorld({ commits: true })
  worlds.push(made)
  return made
}

interface Told {
  readonly ids: readonly number[]
  readonly events: readonly GenerationEvent[]
  readonly committed: Committed | undefined
}

/** One answer of a driver that checks. */
async function ask(
  w: TestWorld,
  driver: TestPeer,
  checked: CheckedPeer,
  maxTokens = 12,
  sampling: Partial<Sampling> = {}
): Promise<Told> {
  let committed: Committed | undefined
  const generation = w.generate(driver, text, {
    maxTokens,
    ...sampling,
    routeOf: excluded => w.route(excluded.union(checked.checks.refuted)),
    parts: {
      ...checked.parts,
      check: (found, ms, options) => {
        committed = found
        return checked.parts.check!(found, ms, options)
      }
    }
  })
  const events: GenerationEvent[] = []
  for await (const event of generation.events()) events.push(event)
  return { ids: (await generation.answer).ids, events, committed }
}

describe('a hop that computes something else', () => {
  it.each([
    ['in the middle', second, 1],
    ['at the head', first, 0],
    ['at the tail', third, 2]
  ])('%s is found out by a driver that holds its layers, and the answer is right in the end', async (_, range, hop) => {
    const w = world()
    const liar = await w.add('Liar', [range])
    for (const [i, each] of [first, second, third].entries()) await checking(w, await w.add(`Q${i}`, [each]))
    const driver = await w.add('D', [range])
    lie(liar.probes[0]!.engine)
    // The liar alone is drawn.
    const draws = [...Array(hop).fill(0.99), 0]
    let at = 0
    const checked = await checking(w, driver, { rng: () => draws[at++] ?? 0.99 })
    const { ids, events } = await ask(w, driver, checked)
    expect(ids).toEqual(w.expected(text, 12))
    const kinds = events.flatMap(({ event }) => (['stopped', 'refuted', 'done'].includes(event) ? [event] : []))
    expect(kinds).toEqual(['stopped', 'refuted', 'stopped', 'done'])
    expect(events.find(({ event }) => event === 'refuted')).toMatchObject({ peer: liar.id, tokens: 12 })
    expect(checked.refuted).toMatchObject([{ peer: liar.id, range }])
    expect(checked.checks.status(liar.id)).toMatchObject({ state: 'refuted' })
    // Later answers do without it from the start.
    expect((await ask(w, driver, checked)).events.map(({ event }) => event)).not.toContain('refuted')
  })

  it.each([
    ['in the middle', second, 1],
    ['at the head', first, 0],
    ['at the tail', third, 2]
  ])('%s is found out where the tail draws by the text so far, too', async (_, range, hop) => {
    const w = world()
    const liar = await w.add('Liar', [range])
    for (const [i, each] of [first, second, third].entries()) await checking(w, await w.add(`Q${i}`, [each]))
    const driver = await w.add('D', [range])
    lie(liar.probes[0]!.engine)
    const checked = await checking(w, driver, { rng: drawsOnly(1 + hop, 0) })
    const { ids } = await ask(w, driver, checked, 12, penalties)
    expect(checked.refuted).toMatchObject([{ peer: liar.id, range }])
    expect(ids).toEqual(w.expected(text, 12, { ...penalties, promptTokens: text.length }))
    expect(ids).not.toEqual(w.expected(text, 12))
  })

  it('is found out where the driver holds no layers, by two others of its class', async () => {
    const w = world()
    const liar = await w.add('Liar', [second])
    await w.add('Q1', [first])
    const replicas = [await w.add('R1', [second]), await w.add('R2', [second])]
    await w.add('Q3', [third])
    const driver = await w.add('D', [])
    lie(liar.probes[0]!.engine)
    const others = []
    for (const replica of replicas) others.push(await checking(w, replica))
    await checking(w, w.peers.get(peerId('Q1'))!)
    const draws = [0.99, 0, 0.99, 0]
    let at = 0
    const checked = await checking(w, driver, { rng: () => draws[at++] ?? 0.99 })
    const { ids } = await ask(w, driver, checked)
    expect(ids).toEqual(w.expected(text, 12))
    expect(checked.checks.refuted).toEqual(new Set([liar.id]))
    // Each of them has seen it for itself.
    for (const each of others) expect(each.checks.refuted).toEqual(new Set([liar.id]))
  })

  it('has what is kept of the answer kept anew, without it', async () => {
    const w = world()
    const liar = await w.add('Liar', [second])
    for (const [i, each] of [first, second, third].entries()) await checking(w, await w.add(`Q${i}`, [each]))
    const driver = await w.add('D', [second])
    lie(liar.probes[0]!.engine)
    const checked = await checking(w, driver, { rng: drawsOnly(2, 0) })
    const kept: { peers: PeerId[]; ids: number[]; ends: unknown[] }[] = []
    const keep = () => {
      const one = { peers: [] as PeerId[], ids: [] as number[], ends: [] as unknown[] }
      kept.push(one)
      return {
        routed: (peers: readonly PeerId[]) => void one.peers.push(...peers),
        token: (id: number) => void one.ids.push(id),
        inexact: () => {},
        end: (stop: unknown) => void one.ends.push(stop),
        leave: () => void one.ends.push('left')
      }
    }
    const routeOf = (excluded: Without) => w.route(excluded.union(checked.checks.refuted))
    const { answer } = w.generate(driver, text, { maxTokens: 6, routeOf, parts: { ...checked.parts, keep } })
    const { ids } = await answer
    expect(ids).toEqual(w.expected(text, 6))
    expect(kept).toHaveLength(2)
    expect(kept[0]).toMatchObject({ ends: ['left'], peers: expect.arrayContaining([liar.id]) })
    expect(kept[1]!.ids).toEqual(ids)
    expect(kept[1]!.peers).not.toContain(liar.id)
    expect(kept[1]!.ends[0]).toBe('length')
  })

  it('is found out though it goes away before the answer ends, by what it has signed until then', async () => {
    const w = world()
    const liar = await w.add('Liar', [second])
    for (const [i, each] of [first, second, third].entries()) await checking(w, await w.add(`Q${i}`, [each]))
    const driver = await w.add('D', [second])
    lie(liar.probes[0]!.engine)
    // Of those who are there at the end nobody is drawn.
    const checked = await checking(w, driver, { rng: drawsOnly(3, 0) })
    liar.probes[0]!.beforeRun = ({ position }) => {
      if (position >= text.length + commitEveryTokens + 5) throw new EngineError('it has gone away')
    }
    const { ids, events } = await ask(w, driver, checked, commitEveryTokens + 12)
    expect(events.flatMap(({ event }) => (['lost', 'refuted'].includes(event) ? [event] : []))).toEqual([
      'lost',
      'refuted'
    ])
    expect(checked.refuted).toMatchObject([{ peer: liar.id, range: second }])
    expect(ids).toEqual(w.expected(text, commitEveryTokens + 12))
  })

  it('is doubted with who came in its place and who was next to both, where none of them is drawn', async () => {
    const w = world()
    const liar = await w.add('Liar', [second])
    for (const [i, each] of [first, second, third].entries()) await checking(w, await w.add(`Q${i}`, [each]))
    const driver = await w.add('D', [])
    lie(liar.probes[0]!.engine)
    liar.probes[0]!.beforeRun = ({ position }) => {
      if (position >= text.length + commitEveryTokens + 5) throw new EngineError('it has gone away')
    }
    const checked = await checking(w, driver, { rng: () => 0.99 })
    await ask(w, driver, checked, commitEveryTokens + 12)
    const states = ['Liar', 'Q0', 'Q1', 'Q2'].map(name => checked.checks.status(peerId(name)).state)
    expect(states).toEqual(['doubted', 'unchecked', 'doubted', 'doubted'])
    expect(checked.refuted).toEqual([])
  })

  it('is doubted, and not refuted, where only one other could look', async () => {
    const w = world()
    const liar = await w.add('Liar', [second])
    await w.add('Q1', [first])
    const replica = await w.add('R1', [second])
    await w.add('Q3', [third])
    const driver = await w.add('D', [])
    lie(liar.probes[0]!.engine)
    await checking(w, replica)
    await checking(w, w.peers.get(peerId('Q1'))!)
    const draws = [0.99, 0, 0.99, 0]
    let at = 0
    const checked = await checking(w, driver, { rng: () => draws[at++] ?? 0.99 })
    await ask(w, driver, checked)
    expect(checked.refuted).toEqual([])
    expect(checked.checks.status(liar.id)).toMatchObject({
      state: 'doubted',
      reason: expect.stringContaining('one peer says')
    })
  })
})

describe('an honest hop', () => {
  it.each([
    ['', {}],
    [', with penalties', penalties]
  ])('passes, whoever looks%s', async (_, sampling) => {
    const w = world()
    for (const [i, each] of [first, second, third].entries()) await checking(w, await w.add(`Q${i}`, [each]))
    const driver = await w.add('D', [first, second, third])
    const checked = await checking(w, driver, { rng: seeded(7) })
    for (let i = 0; i < 40; i++) await ask(w, driver, checked, 3, sampling)
    expect(checked.refuted).toEqual([])
    expect(checked.violations).toEqual([])
    const states = [0, 1, 2].map(i => checked.checks.status(peerId(`Q${i}`)))
    expect(states.every(({ sessions, checkable }) => sessions === 40 && checkable === 40)).toBe(true)
    expect(states.reduce((sum, { passed }) => sum + passed, 0)).toBeGreaterThan(0)
  })

  it('that is alone with its layers is unchecked, and why is said', async () => {
    const w = world()
    for (const [i, each] of [first, second, third].entries()) await w.add(`Q${i}`, [each])
    const driver = await w.add('D', [])
    const checked = await checking(w, driver)
    await ask(w, driver, checked)
    expect(checked.checks.status(peerId('Q0'))).toEqual({
      state: 'unchecked',
      sessions: 1,
      checkable: 1,
      passed: 0,
      reason: 'nobody else has its layers in its class'
    })
  })

  it('of a class that it has not announced is not checked', async () => {
    const w = world()
    for (const [i, each] of [first, second, third].entries()) await w.add(`Q${i}`, [each])
    const driver = await w.add('D', [first, second, third])
    const checked = await checking(w, driver, { classOf: () => 'another' })
    await ask(w, driver, checked)
    expect(checked.checks.status(peerId('Q1'))).toMatchObject({ state: 'unchecked', passed: 0 })
    expect(checked.checks.status(peerId('Q1')).reason).toContain('another class')
  })

  it('whose rows were withheld is not charged', async () => {
    const w = world()
    for (const [i, each] of [first, second, third].entries()) await w.add(`Q${i}`, [each])
    const driver = await w.add('D', [first, second, third])
    const draws = [0.99, 0, 0.99, 0]
    let at = 0
    // The head answers no question about work.
    const checked = await checking(w, driver, { rng: () => draws[at++] ?? 0.99 })
    await ask(w, driver, checked)
    expect(checked.checks.status(peerId('Q1'))).toMatchObject({ state: 'unchecked', passed: 0 })
    expect(checked.refuted).toEqual([])
  })
})

describe('an accuser without evidence', () => {
  /** An answer over three honest peers, and the case about its middle one. */
  async function honestCase(
    w: TestWorld
  ): Promise<{ about: WorkCase; judge: CheckedPeer; judgeId: PeerId; accuser: TestPeer }> {
    const peers = []
    for (const [i, each] of [first, second, third].entries()) peers.push(await w.add(`Q${i}`, [each]))
    const judgePeer = await w.add('J', [second])
    const accuser = await w.add('D', [])
    const judge = await checking(w, judgePeer)
    const sender = await checking(w, peers[0]!)
    expect(sender.refuted).toEqual([])
    const checked = await checking(w, accuser, { rng: () => 0.99 })
    const { committed } = await ask(w, accuser, checked)
    const { terms, commitments } = committed!
    const init = { links: accuser.links, clock: systemClock, signal }
    const tokens = committed!.ids.length - 1
    const rows = await askRows(init, peers[0]!.id, { session: terms.session, range: first, tokens, rowBytes: 24 })
    return {
      about: { terms, commitment: commitments[1]!, rows, drawn: undefined },
      judge,
      judgeId: judgePeer.id,
      accuser
    }
  }

  it('charges nobody: J4', async () => {
    const w = world()
    const { about, judge, judgeId, accuser } = await honestCase(w)
    const init = { links: accuser.links, clock: systemClock, signal }
    expect(await askCase(init, judgeId, about)).toMatchObject({ finding: 'same' })
    const { terms, commitment, rows } = about
    const changed = rows.slice()
    changed[7]! ^= 1
    expect(await askCase(init, judgeId, { ...about, rows: changed })).toMatchObject({ finding: 'cannot' })
    const output = commitment.output.slice()
    output[0]! ^= 1
    const forged = signCommitment({ ...commitment, output }, signerOf(accuser.id))
    expect(await askCase(init, judgeId, { terms, commitment: forged, rows, drawn: undefined })).toMatchObject({
      finding: 'cannot'
    })
    expect(judge.refuted).toEqual([])
    expect(judge.violations).toHaveLength(2)
    expect(judge.violations.every(sentence => sentence.startsWith(accuser.id))).toBe(true)
  })

  it('is looked at so often, and not more', async () => {
    const { about, judgeId, accuser } = await honestCase(world())
    const init = { links: accuser.links, clock: systemClock, signal }
    let looked = 0
    let refusal: string | undefined
    while (refusal === undefined && looked < 2 * casesPerMinuteMax) {
      const { finding, message } = await askCase(init, judgeId, about)
      if (finding === 'same') looked++
      else refusal = message
    }
    expect(looked).toBeGreaterThanOrEqual(casesPerMinuteMax)
    expect(refusal).toBe('more than 30 cases of yours a minute came')
  })

  it('is not believed by who holds no layers, be it twice', async () => {
    const w = world()
    const { about, accuser } = await honestCase(w)
    const phone = await w.add('Phone', [])
    // It says of everything that it differs.
    const slanderer = await w.add('Slander', [second])
    await slanderer.links.handle(checkProtocol, { inboundMax: 9, frameBytesMax: checkFrameBytesMax }, channel =>
      channel.receive({
        onFrame: () => {
          channel.send(encodeFrame({ kind: 'verdict', finding: 'differs', message: 'it lies' }))
          void channel.close()
        },
        onClose: () => {}
      })
    )
    const listening = await checking(w, phone, { holdersOf: () => [slanderer.id, slanderer.id].slice(0, 1) })
    const init = { links: accuser.links, clock: systemClock, signal }
    for (let i = 0; i < 2; i++) expect(await askCase(init, phone.id, about)).toMatchObject({ finding: 'cannot' })
    const both = await checking(w, await w.add('Phone2', []), { holdersOf: () => [slanderer.id, peerId('J')] })
    expect(await askCase(init, peerId('Phone2'), about)).toMatchObject({ finding: 'cannot' })
    expect([...listening.refuted, ...both.refuted]).toEqual([])
  })

  it('gets no rows of others: J2', async () => {
    const w = world()
    const { about, judgeId } = await honestCase(w)
    const stranger = await w.add('X', [])
    const { session } = about.terms
    const asked = askRows({ links: stranger.links, clock: systemClock, signal }, peerId('Q0'), {
      ...{ session, range: first, tokens: 10, rowBytes: 24 }
    })
    await expect(asked).rejects.toThrow('has no rows')
    expect(judgeId).not.toBe(stranger.id)
  })
})

describe('a hop that signs other rows than it was given', () => {
  it('is doubted with its neighbour, and nobody is charged: J8', async () => {
    const w = world()
    for (const [i, each] of [first, second, third].entries()) await w.add(`Q${i}`, [each])
    const driver = await w.add('D', [first, second, third])
    const checked = await checking(w, driver, { rng: () => 0.99 })
    const { committed } = await ask(w, driver, checked)
    const { commitments } = committed!
    const input = commitments[1]!.input.slice()
    input[0]! ^= 1
    const forged = signCommitment({ ...commitments[1]!, input }, signerOf(peerId('Q1')))
    const told = { ...committed!, commitments: [commitments[0]!, forged, commitments[2]!], rowBytes: 24 }
    await checked.checks.ended(told, 0, { signal })
    expect([0, 1, 2].map(i => checked.checks.status(peerId(`Q${i}`)).state)).toEqual([
      'doubted',
      'doubted',
      'unchecked'
    ])
    expect(checked.refuted).toEqual([])
    expect(doubtChecks).toBeGreaterThan(1)
  })
})

/** The session decider by table. Rule numbers are those of `protocols/stage.md`. */
import { describe, expect, test } from 'vitest'
import type { ModelId, PeerId, SessionId } from '../../src/base/ids.ts'
import { NotCoveredError } from '../../src/errors.ts'
import { excludedGraceMs } from '../../src/route/limits.ts'
import {
  cutSettleMs,
  cutTurnsMax,
  excludeMs,
  lineHoldMs,
  recoveriesAtOnce,
  recoveriesMax,
  roomRetryMaxMs,
  roomRetryMs,
  roomWaitMaxMs,
  roomWaitMs,
  routeRetryMs,
  routeWaitMs,
  standstillGraceMs,
  standstillMs
} from '../../src/session/limits.ts'
import { stageCloseMs } from '../../src/stage/limits.ts'
import type { Hop } from '../../src/route/view.ts'
import type { SessionEffect, SessionEvent, SessionOutput } from '../../src/session/event.ts'
import type { SessionInit } from '../../src/session/init.ts'
import { Session } from '../../src/session/session.ts'
import { stopAt } from '../../src/session/stop.ts'
import type { Frame, RefuseReason } from '../../src/stage/frame.ts'
import { signerOf } from '../../sim/cast.ts'
import { prompt } from './world.ts'

const peer = (name: string): PeerId => `12D3KooW${name}` as PeerId
const route = (...names: string[]): Hop[] => names.map((name, i) => ({ peer: peer(name), start: i, end: i + 1 }))

/** Of a peer, or of one stage of it. */
const peerOf = (id: string): string => id.slice(8).split('/')[0]!

class Kit {
  readonly session: Session
  nowMs = 0
  /** Tokens of the prompt and, where a test counts them, of the answer. */
  length: number
  effects: SessionEffect[] = []

  constructor(
    promptIds: readonly number[],
    {
      maxTokens = 10,
      eosIds = [],
      waitMs,
      hears,
      keepsWaiting,
      stoodStillMs,
      session = '0f'.repeat(16) as SessionId
    }: Partial<Pick<SessionInit, 'waitMs' | 'hears' | 'keepsWaiting' | 'stoodStillMs' | 'session'>> & {
      maxTokens?: number
      eosIds?: number[]
    } = {}
  ) {
    this.length = promptIds.length
    this.session = new Session({
      self: peer('D'),
      sign: signerOf(peer('D')),
      session,
      model: 'cd'.repeat(32) as ModelId,
      vocab: 300,
      promptIds,
      tokensMax: promptIds.length + maxTokens,
      sampling: { temperature: 0, topP: 1, topK: 0, seed: 1 },
      waitMs,
      hears,
      keepsWaiting,
      stoodStillMs,
      stop: stopAt({ eosIds, maxTokens })
    })
  }

  do(...events: SessionEvent[]): this {
    this.effects = events.flatMap(event => this.session.handle(event, this.nowMs))
    return this
  }

  /** Starts and opens an epoch on a route. */
  on(epoch: number, names: string[]): this {
    if (epoch === 0) this.do({ kind: 'start' })
    return this.do({ kind: 'routed', route: route(...names) }, { kind: 'connected', epoch })
  }

  frame(epoch: number, frame: Frame): this {
    return this.do({ kind: 'frame', epoch, frame })
  }

  refuse(epoch: number, hop: number, reason: RefuseReason): this {
    return this.frame(epoch, { kind: 'refuse', epoch, hop, reason, length: 0, message: 'because' })
  }

  token(epoch: number, position: number, id: number): this {
    return this.do({ kind: 'tokens', epoch, position, ids: [id] })
  }

  wait(ms: number): this {
    this.nowMs += ms
    return this.do({ kind: 'tick' })
  }

  /** Lets time pass with a look now and then, as a driver that runs takes them. */
  run(ms: number): this {
    const untilMs = this.nowMs + ms
    const effects: SessionEffect[] = []
    while (this.nowMs < untilMs) effects.push(...this.wait(Math.min(routeRetryMs, untilMs - this.nowMs)).effects)
    this.effects = effects
    return this
  }

  get sent(): Frame[] {
    return this.effects.flatMap(effect => (effect.kind === 'send' ? [effect.frame] : []))
  }

  /** `[position, end, sample]` of the steps that were just sent. */
  get steps(): [number, number, boolean][] {
    return this.sent.flatMap(f =>
      f.kind === 'step' ? [[f.position, f.position + f.tokens, f.sample] as [number, number, boolean]] : []
    )
  }

  get outputs(): SessionOutput[] {
    return this.effects.flatMap(effect => (effect.kind === 'output' ? [effect.output] : []))
  }

  /** Those of them that it asks all the same where there is no way around them. */
  get doubtful(): string[] | undefined {
    const ask = this.effects.find(effect => effect.kind === 'route')
    return ask && [...ask.doubtful].map(peerOf)
  }

  /** Whom the session asks to be left out of the route, if it asks for one. */
  get excluded(): string[] | undefined {
    const ask = this.effects.find(effect => effect.kind === 'route')
    return ask && [...ask.excluded].map(peerOf)
  }

  /** The same, where a single stage of a peer is left out with its layers. */
  get places(): string[] | undefined {
    const ask = this.effects.find(effect => effect.kind === 'route')
    return ask && [...ask.excluded].map(id => id.slice(8))
  }
}

describe('an undisturbed session', () => {
  test.each<[number, [number, number, boolean][]]>([
    [1, [[0, 1, true]]],
    [128, [[0, 128, true]]],
    [
      129,
      [
        [0, 128, false],
        [128, 129, true]
      ]
    ],
    [
      300,
      [
        [0, 128, false],
        [128, 256, false],
        [256, 300, true]
      ]
    ]
  ])(
    'S8, S9: a prompt of %i tokens goes out in steps that end at multiples of 128; the last one samples',
    (length, steps) => {
      const kit = new Kit(prompt(length)).on(0, ['A', 'B'])
      expect(kit.sent[0]).toMatchObject({ kind: 'open', hop: 0, terms: { epoch: 0, keep: 0, tokensMax: length + 10 } })
      expect(kit.steps).toEqual(steps)
    }
  )

  test('S5: a long prompt waits for credit', () => {
    const kit = new Kit(prompt(1000)).on(0, ['A'])
    expect(kit.steps.at(-1)).toEqual([384, 512, false])
    kit.frame(0, { kind: 'ack', epoch: 0, length: 256, steps: 2, tokens: 256 })
    expect(kit.steps).toEqual([
      [512, 640, false],
      [640, 768, false]
    ])
  })

  test('each token is the next step, until the last one: then Close', () => {
    const kit = new Kit([1, 2], { maxTokens: 2 }).on(0, ['A'])
    kit.token(0, 2, 50)
    expect(kit.steps).toEqual([[2, 3, true]])
    expect(kit.outputs).toEqual([{ kind: 'token', id: 50, position: 2, stop: undefined }])
    kit.token(0, 3, 51)
    expect(kit.outputs).toEqual([{ kind: 'token', id: 51, position: 3, stop: 'length' }])
    expect(kit.sent).toEqual([{ kind: 'close', epoch: 0 }])
    kit.frame(0, { kind: 'closed', hops: [] })
    expect(kit.outputs).toMatchObject([{ kind: 'end', outcome: { kind: 'stopped', stop: 'length' } }])
  })

  test('an end-of-sequence token ends it', () => {
    const kit = new Kit([1, 2], { eosIds: [7] }).on(0, ['A']).token(0, 2, 7)
    expect(kit.outputs).toEqual([{ kind: 'token', id: 7, position: 2, stop: 'eos' }])
    expect(kit.sent).toEqual([{ kind: 'close', epoch: 0 }])
  })

  test('S16: Closed that never comes is waited for no longer than its deadline', () => {
    const kit = new Kit([1, 2], { maxTokens: 1 }).on(0, ['A']).token(0, 2, 50)
    expect(kit.wait(stageCloseMs - 1).outputs).toEqual([])
    expect(kit.wait(1).outputs).toMatchObject([{ kind: 'end', outcome: { kind: 'stopped' } }])
  })
})

describe('S17: who is charged', () => {
  const cases: [RefuseReason, number, string[]][] = [
    ['not-serving', 1, ['B']],
    ['engine', 0, ['A']],
    ['leaving', 1, ['B']],
    ['next-lost', 0, ['B']],
    ['next-silent', 0, ['B']],
    ['next-lost', 1, ['C']],
    // The tail's next one is the driver itself: the two cannot reach each other.
    ['next-lost', 2, ['C']],
    ['invalid', 2, ['B']],
    ['gap', 1, []]
  ]
  test.each(cases)('%s by hop %i: %j', (reason, hop, names) => {
    const kit = new Kit([1, 2]).on(0, ['A', 'B', 'C']).refuse(0, hop, reason)
    expect(kit.excluded).toEqual(names)
    expect(kit.outputs.map(o => (o.kind === 'lost' ? o.peer.slice(8) : ''))).toEqual(names)
    expect(kit.effects).toContainEqual({ kind: 'hang-up', epoch: 0 })
    // Once: what else is heard of that epoch says nothing new.
    expect(kit.do({ kind: 'tail-lost', epoch: 0 }, { kind: 'head-lost', epoch: 0, message: '' }).effects).toEqual([])
    expect(kit.refuse(0, 1, 'engine').effects).toEqual([])
  })

  test('a tail that does not hear this driver, which hears it, is not charged', () => {
    const heard = new Kit([1, 2], { hears: () => true }).on(0, ['A', 'B']).refuse(0, 1, 'next-silent')
    expect([heard.excluded, heard.outputs]).toEqual([[], []])
    const gone = new Kit([1, 2], { hears: () => false }).on(0, ['A', 'B']).refuse(0, 1, 'next-silent')
    expect(gone.excluded).toEqual(['B'])
  })

  test.each<[RefuseReason, string[]]>([
    ['engine', ['B/1-2']],
    ['leaving', ['B/1-2']],
    ['not-serving', ['B/1-2']],
    ['no-room', ['B/1-2']],
    ['unsupported', ['B/1-2']],
    ['stale-epoch', ['B/1-2']],
    ['next-lost', ['C']]
  ])('%s: a peer is left out, or only that stage of it', (reason, places) => {
    const kit = new Kit([1, 2]).on(0, ['A', 'B', 'C'])
    expect(kit.refuse(0, 1, reason).places).toEqual(places)
  })

  test('unsupported: nobody is charged, nor asked again where there is no other, and the answer ends with what was lacking', () => {
    const kit = new Kit([1, 2]).on(0, ['A', 'B']).refuse(0, 1, 'unsupported')
    expect(kit.outputs).toEqual([{ kind: 'lost', peer: peer('B'), hop: 1, reason: 'unsupported', charged: false }])
    expect([kit.places, kit.doubtful]).toEqual([['B/1-2'], []])
    const error = new NotCoveredError('layers 1-2 are served by nobody')
    while (kit.nowMs < routeWaitMs - routeRetryMs) {
      expect(kit.do({ kind: 'unroutable', error }).wait(routeRetryMs).doubtful).toEqual([])
    }
    kit.nowMs = routeWaitMs
    const message = expect.stringMatching(/the loss of hop 1 .*: because; layers 1-2 are served by nobody/)
    expect(kit.do({ kind: 'unroutable', error }).outputs).toMatchObject([
      { kind: 'end', outcome: { kind: 'failed', message } }
    ])
  })

  test('stale-epoch charges nobody, and is gone around where that is possible', () => {
    const kit = new Kit([1, 2]).on(0, ['A', 'B', 'C']).refuse(0, 1, 'stale-epoch')
    expect([kit.excluded, kit.doubtful, kit.outputs]).toEqual([['B'], ['B'], []])
  })

  describe('a link between two hops that breaks while this driver hears both', () => {
    const names = ['A', 'B', 'C']
    const cut = (): [Kit, Set<PeerId>] => {
      const heard = new Set(names.map(peer))
      return [new Kit([1, 2], { hears: each => heard.has(each) }).on(0, names), heard]
    }

    test('charges nobody, and goes around the one or the other', () => {
      const [kit] = cut()
      kit.refuse(0, 0, 'next-silent')
      expect(kit.outputs).toEqual([])
      expect([kit.excluded, kit.doubtful]).toEqual([['B'], ['B']])
      // There was no way around B: perhaps there is one around A.
      kit.do({ kind: 'routed', route: route(...names) })
      expect([kit.excluded, kit.doubtful]).toEqual([['A'], ['A']])
      expect(kit.effects.filter(effect => effect.kind === 'connect')).toEqual([])
      kit.do({ kind: 'routed', route: route('X', 'B', 'C') })
      expect(kit.effects).toContainEqual({ kind: 'connect', epoch: 1, peer: peer('X') })
      expect(kit.run(cutSettleMs).outputs).toEqual([{ kind: 'cut', peer: peer('A'), next: peer('B') }])
      kit.do({ kind: 'connected', epoch: 1 }, { kind: 'tail-lost', epoch: 1 })
      expect([kit.excluded, kit.doubtful]).toEqual([['C', 'A'], ['A']])
      kit.nowMs += excludeMs
      expect(kit.do({ kind: 'unroutable', error: new Error('none') }).wait(routeRetryMs).excluded).toEqual([])
    })

    test('and takes the same way again where there is no other', () => {
      const [kit] = cut()
      kit.refuse(0, 0, 'next-lost')
      for (let i = 0; i < cutTurnsMax; i++) kit.do({ kind: 'routed', route: route(...names) })
      expect(kit.effects.filter(effect => effect.kind === 'connect')).toEqual([])
      kit.do({ kind: 'routed', route: route(...names) })
      expect(kit.effects).toContainEqual({ kind: 'connect', epoch: 1, peer: peer('A') })
    })

    test('is no such thing when the hop turns out to be lost: then it is charged, before the answer goes on', () => {
      const [kit, heard] = cut()
      kit
        .token(0, 2, 50)
        .refuse(0, 0, 'next-lost')
        .do({ kind: 'routed', route: route('A', 'X', 'C') })
      heard.delete(peer('B'))
      kit.do({ kind: 'connected', epoch: 1 }).frame(1, { kind: 'ack', epoch: 1, length: 2, steps: 0, tokens: 0 })
      kit.token(1, 3, 51)
      expect(kit.outputs.slice(0, 2)).toMatchObject([
        { kind: 'lost', peer: peer('B'), hop: 1, reason: 'closed' },
        { kind: 'recovered' }
      ])
      expect(kit.refuse(1, 2, 'engine').excluded).toEqual(['B', 'C'])
    })
  })

  describe('S29: no room anywhere, where hops can keep a session waiting', () => {
    const standing = {
      epoch: 1,
      arrived: 2,
      length: 0,
      busyMs: 0,
      steps: 0,
      computeMs: 0,
      queueMs: 0,
      rows: 0,
      gatherMs: 0
    }
    /** In line at hop 1 of its second epoch. */
    const inLine = (init: ConstructorParameters<typeof Kit>[1] = {}): Kit => {
      const kit = new Kit([1, 2], { keepsWaiting: () => true, ...init }).on(0, ['A', 'B'])
      kit.refuse(0, 1, 'no-room').do({ kind: 'routed', route: route('A', 'B') })
      return kit.do({ kind: 'connected', epoch: 1 })
    }
    /** Time passes, in which it asks and is told its place. */
    const told = (kit: Kit, ms: number, place: number): SessionOutput[] => {
      const outputs: SessionOutput[] = []
      for (const untilMs = kit.nowMs + ms; kit.nowMs < untilMs; ) {
        outputs.push(...kit.wait(Math.min(routeRetryMs, untilMs - kit.nowMs)).outputs)
        const ask = kit.sent.find(frame => frame.kind === 'ask')
        if (ask?.kind !== 'ask') continue
        for (const [hop, at] of [0, place].entries()) {
          kit.frame(1, { kind: 'standing', ...standing, round: ask.round, hop, place: at, placeMs: 5000 * at })
          outputs.push(...kit.outputs)
        }
      }
      return outputs
    }
    const ends = (outputs: SessionOutput[]) => outputs.filter(({ kind }) => kind === 'end' || kind === 'lost')

    test('it asks elsewhere first, then goes there and says that it waits', () => {
      const kit = new Kit([1, 2], { keepsWaiting: () => true }).on(0, ['A', 'B'])
      expect(kit.sent).toMatchObject([{ kind: 'open', terms: { room: 'refuse' } }, { kind: 'step' }])
      kit.refuse(0, 1, 'no-room')
      kit.do({ kind: 'routed', route: route('A', 'B') })
      expect(kit.effects.map(({ kind }) => kind)).toEqual(['hang-up', 'admit', 'connect', 'output'])
      expect(kit.outputs).toMatchObject([{ kind: 'waiting', message: expect.stringContaining('no room yet') }])
      expect(kit.do({ kind: 'connected', epoch: 1 }).sent).toMatchObject([{ kind: 'open', terms: { room: 'wait' } }])
    })

    test('but not where a hop can not: it pauses, and says that it will come again', () => {
      const kit = new Kit([1, 2], { keepsWaiting: name => name !== peer('B') }).on(0, ['A', 'B'])
      kit.refuse(0, 1, 'no-room').do({ kind: 'routed', route: route('A', 'B') })
      expect(kit.effects.map(({ kind }) => kind)).toEqual(['send', 'hang-up', 'output'])
      while (kit.excluded === undefined) kit.wait(1)
      kit.do({ kind: 'routed', route: route('A', 'B') }, { kind: 'connected', epoch: 1 })
      expect((kit.sent[0] as { terms: { room?: string } }).terms.room).toBeUndefined()
    })

    test('it tells its place whenever that changes, and takes nobody for stuck or mute', () => {
      const kit = inLine()
      const outputs = [...told(kit, 15_000, 3), ...told(kit, 15_000, 2)]
      expect(outputs).toMatchObject([
        {
          kind: 'waiting',
          message: `hop 1 (${peer('B')}) has no room yet: 2 come first, its turn may come in some 15 s`
        },
        {
          kind: 'waiting',
          message: `hop 1 (${peer('B')}) has no room yet: 1 come first, its turn may come in some 10 s`
        }
      ])
      expect(ends(told(kit, 2_000, 0))).toEqual([])
    })

    test('its place gets on: it waits for longer than a minute, but not for ever', () => {
      const kit = inLine()
      let place = 1000
      const startMs = kit.nowMs
      while (kit.nowMs - startMs < roomWaitMaxMs - 20_000) expect(ends(told(kit, 15_000, place--))).toEqual([])
      const outputs = told(kit, 30_000, place)
      expect(ends(outputs)).toMatchObject([{ kind: 'end', outcome: { kind: 'failed' } }])
      expect(kit.sent.at(-1)?.kind ?? 'close').toBe('close')
    })

    test.each([
      [undefined, roomWaitMs],
      [5_000, 5_000]
    ])('it does not: it fails after what it may wait (%s)', (waitMs, ms) => {
      // At the head, where it holds nothing.
      const kit = new Kit([1, 2], { keepsWaiting: () => true, waitMs }).on(0, ['A', 'B'])
      kit.refuse(0, 0, 'no-room').do({ kind: 'routed', route: route('A', 'B') })
      kit.do({ kind: 'connected', epoch: 1 })
      let sinceMs: number | undefined
      for (let outputs: SessionOutput[] = []; ends(outputs).length === 0; ) {
        outputs = kit.wait(routeRetryMs).outputs
        const ask = kit.sent.find(frame => frame.kind === 'ask')
        if (ask?.kind !== 'ask') continue
        sinceMs ??= kit.nowMs
        kit.frame(1, { kind: 'standing', ...standing, round: ask.round, hop: 0, place: 2, placeMs: 1 })
      }
      // Nobody says that its caches are free.
      const waitedMs = kit.nowMs - stageCloseMs - (waitMs === undefined ? sinceMs! : 0)
      expect(waitedMs).toBeGreaterThanOrEqual(ms)
      expect(waitedMs).toBeLessThan(ms + 2 * routeRetryMs)
    })

    test('it does not, and hops before hold room for it: it lets go, and comes again at another time', () => {
      const kit = inLine()
      expect(ends(told(kit, lineHoldMs, 2))).toEqual([])
      while (kit.excluded === undefined) told(kit, routeRetryMs, 2)
      expect(kit.nowMs).toBeLessThan(2 * lineHoldMs + 3000)
      kit.do({ kind: 'routed', route: route('A', 'B') })
      expect(kit.sent).toEqual([{ kind: 'close', epoch: 1 }])
      expect(kit.outputs).toEqual([])
      // Where it finds none it waits in line again: it asks nobody to keep a place for it.
      while (kit.excluded === undefined) kit.wait(1)
      kit.do({ kind: 'routed', route: route('A', 'B') }, { kind: 'connected', epoch: 2 })
      expect(kit.sent[0]).toMatchObject({ kind: 'open', terms: { room: 'refuse' } })
    })

    test('there is another way by now: it is taken', () => {
      const kit = inLine()
      const asked: unknown[] = []
      while (asked.length === 0) {
        told(kit, routeRetryMs, 2)
        kit.wait(1)
        asked.push(...kit.effects.filter(({ kind }) => kind === 'detour'))
        if (kit.nowMs > 20_000) throw new Error('nobody looked for one')
      }
      expect(asked).toMatchObject([{ stuck: 1, needsRoom: true }])
      kit.do({ kind: 'detoured', route: route('A', 'X'), exact: true, stuck: 1 })
      expect([kit.excluded, kit.doubtful]).toEqual([['B'], ['B']])
    })
  })

  describe('S24: no room at a hop', () => {
    test('is no fault: others are asked at once, and what the route holds is left to the next one', () => {
      const kit = new Kit([1, 2]).on(0, ['A', 'B']).refuse(0, 1, 'no-room')
      expect(kit.outputs).toEqual([{ kind: 'lost', peer: peer('B'), hop: 1, reason: 'no-room', charged: false }])
      expect([kit.excluded, kit.doubtful]).toEqual([['B'], ['B']])
      kit.do({ kind: 'routed', route: route('A', 'X') })
      expect(kit.sent).toEqual([])
      expect(kit.effects).toMatchObject([
        { kind: 'hang-up', epoch: 0 },
        { kind: 'admit', epoch: 1, tail: peer('X') },
        { kind: 'connect', epoch: 1 }
      ])
    })

    test('anywhere: a session that has nothing to lose frees what it holds, and each tries again at another time', () => {
      const times = ['0f', '17', '99'].map(byte => {
        const kit = new Kit([1, 2], { session: byte.repeat(16) as SessionId }).on(0, ['A', 'B'])
        kit.refuse(0, 1, 'no-room').do({ kind: 'routed', route: route('A', 'B') })
        expect(kit.sent).toEqual([{ kind: 'close', epoch: 0 }])
        expect(kit.effects.map(({ kind }) => kind)).toEqual(['send', 'hang-up', 'output'])
        expect(kit.outputs).toMatchObject([{ kind: 'waiting' }])
        while (kit.excluded === undefined) kit.wait(1)
        expect([kit.excluded, kit.doubtful]).toEqual([[], []])
        return kit.nowMs
      })
      expect(new Set(times).size).toBe(3)
      expect(Math.min(...times)).toBeGreaterThanOrEqual(roomRetryMs / 2)
      expect(Math.max(...times)).toBeLessThanOrEqual(roomRetryMs + 1)
    })

    test('in mid-answer: what hops hold is left to them, to be used again or given away', () => {
      const kit = new Kit([1, 2]).on(0, ['A', 'B']).token(0, 2, 50)
      kit.refuse(0, 1, 'engine').do({ kind: 'routed', route: route('A', 'X') }, { kind: 'connected', epoch: 1 })
      kit.refuse(1, 1, 'no-room').do({ kind: 'routed', route: route('A', 'X') })
      expect(kit.sent).toEqual([])
      expect(kit.effects[0]).toEqual({ kind: 'hang-up', epoch: 1 })
    })

    test('is waited for, less and less often, and not for ever', () => {
      const kit = new Kit([1, 2]).on(0, ['A'])
      let rounds = 0
      let told = 0
      for (let epoch = 0; !kit.outputs.some(({ kind }) => kind === 'end'); epoch++) {
        rounds++
        kit.refuse(epoch, 0, 'no-room')
        told += kit.outputs.length
        kit.do({ kind: 'routed', route: route('A') })
        if (kit.outputs.some(({ kind }) => kind === 'end')) break
        while (kit.excluded === undefined) kit.wait(routeRetryMs)
        kit.do({ kind: 'routed', route: route('A') }, { kind: 'connected', epoch: epoch + 1 })
      }
      expect(kit.outputs.at(-1)).toMatchObject({ outcome: { kind: 'failed', message: /no room/ } })
      expect(kit.nowMs).toBeGreaterThanOrEqual(roomWaitMs)
      expect(kit.nowMs).toBeLessThan(roomWaitMs + 2 * roomRetryMaxMs)
      expect(rounds).toBeLessThan((2 * roomWaitMs) / roomRetryMaxMs + 6)
      // It is told once, however often it is found.
      expect(told).toBe(1)
    })

    test('where nobody has an answer at once, nothing is held meanwhile', () => {
      const kit = new Kit([1, 2]).on(0, ['A', 'B']).refuse(0, 1, 'no-room').wait(routeRetryMs)
      expect(kit.sent).toEqual([{ kind: 'close', epoch: 0 }])
      expect(kit.effects).toContainEqual({ kind: 'hang-up', epoch: 0 })
    })

    test('cancelled meanwhile, it frees what it holds', () => {
      const kit = new Kit([1, 2]).on(0, ['A', 'B']).refuse(0, 1, 'no-room').do({ kind: 'cancel' })
      expect(kit.sent).toEqual([{ kind: 'close', epoch: 0 }])
      expect(kit.outputs.at(-1)).toMatchObject({ kind: 'end', outcome: { kind: 'cancelled' } })
    })
  })

  test('a broken stream to the head or from the tail charges that one', () => {
    const head = new Kit([1, 2]).on(0, ['A', 'B']).do({ kind: 'head-lost', epoch: 0, message: 'reset' })
    expect(head.excluded).toEqual(['A'])
    const tail = new Kit([1, 2]).on(0, ['A', 'B']).do({ kind: 'tail-lost', epoch: 0 })
    expect(tail.excluded).toEqual(['B'])
  })

  test.each([
    ['closed', ['A'], ['B'], 'closed'],
    ['silent', ['A'], ['B'], 'silent'],
    // This driver hears nobody: it is not known that anybody but itself is cut off.
    ['alone', [], [], undefined],
    // One of the two hears the other: the link is at fault.
    ['unheard', [], [], undefined]
  ] as const)('a connection of its own that is %s', (reason, head, tail, said) => {
    const first = new Kit([1, 2]).on(0, ['A', 'B']).do({ kind: 'head-lost', epoch: 0, message: '', reason })
    expect(first.excluded).toEqual(head)
    const last = new Kit([1, 2]).on(0, ['A', 'B']).do({ kind: 'tail-lost', epoch: 0, reason })
    expect(last.excluded).toEqual(tail)
    for (const { outputs } of [first, last]) {
      expect(outputs.map(output => output.kind === 'lost' && output.reason)).toEqual(said === undefined ? [] : [said])
    }
  })

  test('S14: a tail may refuse for itself only', () => {
    const own = { kind: 'refuse', epoch: 0, hop: 1, reason: 'leaving', length: 0, message: '' } as const
    expect(new Kit([1, 2]).on(0, ['A', 'B']).do({ kind: 'tail-refused', refuse: own }).excluded).toEqual(['B'])
    const other = new Kit([1, 2]).on(0, ['A', 'B']).do({ kind: 'tail-refused', refuse: { ...own, hop: 0 } })
    expect(other.excluded).toEqual(['B'])
    expect(other.effects).toContainEqual(expect.objectContaining({ kind: 'violation', remote: peer('B') }))
  })

  test('what the head cannot compute came from here: no route will help', () => {
    const kit = new Kit([1, 2]).on(0, ['A', 'B']).refuse(0, 0, 'invalid')
    expect(kit.excluded).toBeUndefined()
    kit.frame(0, { kind: 'closed', hops: [] })
    expect(kit.outputs).toMatchObject([{ kind: 'end', outcome: { kind: 'failed' } }])
  })

  test('S18: nonsense from the head or the tail is a violation, and that peer is left out', () => {
    const garbage = new Kit([1, 2]).on(0, ['A', 'B']).do({ kind: 'malformed', epoch: 0, message: 'no frame' })
    expect(garbage.effects).toContainEqual(
      expect.objectContaining({ kind: 'violation', remote: peer('A'), violation: 'malformed' })
    )
    expect(garbage.excluded).toEqual(['A'])
    const ack = new Kit([1, 2]).on(0, ['A', 'B']).frame(0, { kind: 'ack', epoch: 0, length: 2, steps: 2, tokens: 2 })
    expect(ack.excluded).toEqual(['A'])
    for (const [position, id] of [
      [3, 5],
      [1, 5],
      [2, 300]
    ] as const) {
      const kit = new Kit([1, 2]).on(0, ['A', 'B']).token(0, position, id)
      expect(kit.excluded).toEqual(['B'])
    }
  })

  test('nobody is left out for ever', () => {
    const kit = new Kit([1, 2]).on(0, ['A', 'B']).refuse(0, 1, 'engine')
    kit.on(1, ['A', 'C'])
    kit.nowMs += excludeMs
    expect(kit.refuse(1, 1, 'engine').excluded).toEqual(['C'])
  })
})

describe('a new epoch', () => {
  /** Two prompt tokens and three generated ones; then hop 1 is lost. */
  function lost(): Kit {
    const kit = new Kit([1, 2]).on(0, ['A', 'B'])
    for (const [i, id] of [50, 51, 52].entries()) kit.token(0, 2 + i, id)
    return kit.refuse(0, 0, 'next-lost')
  }

  test("S11: keeps all but the last token, and waits for the head's length before it steps", () => {
    const kit = lost().on(1, ['A', 'C'])
    expect(kit.sent).toMatchObject([{ kind: 'open', terms: { epoch: 1, keep: 4 } }])
    expect(kit.outputs).toEqual([])
    kit.frame(1, { kind: 'ack', epoch: 1, length: 4, steps: 0, tokens: 0 })
    expect(kit.steps).toEqual([[4, 5, true]])
  })

  test("the driver's tokens are the last resort: a cold head gets them all", () => {
    const kit = lost().on(1, ['X', 'C']).frame(1, { kind: 'ack', epoch: 1, length: 0, steps: 0, tokens: 0 })
    expect(kit.steps).toEqual([[0, 5, true]])
    const [step] = kit.sent
    expect(step?.kind === 'step' && step.input.kind === 'ids' && [...step.input.ids]).toEqual([1, 2, 50, 51, 52])
    kit.nowMs += 70
    kit.token(1, 5, 53)
    expect(kit.outputs).toEqual([
      { kind: 'recovered', ms: 70, replayedTokens: 4, route: route('X', 'C'), exact: true },
      { kind: 'token', id: 53, position: 5, stop: undefined }
    ])
  })

  test('who failed a while ago is asked again where there is no way around it, who failed just now is not', () => {
    const kit = lost()
    const asked = () => kit.effects.flatMap(e => (e.kind === 'route' ? [[...e.excluded], [...e.doubtful]] : []))
    expect(asked()).toEqual([[peer('B')], []])
    kit.on(1, ['A', 'C']).frame(1, { kind: 'ack', epoch: 1, length: 4, steps: 0, tokens: 0 }).token(1, 5, 53)
    kit.run(excludedGraceMs).refuse(1, 0, 'next-lost')
    expect(asked()).toEqual([[peer('B'), peer('C')], [peer('B')]])
  })

  test('tokens are replayed to whoever was on no route before', () => {
    const kit = lost()
    const recovers = (epoch: number, names: string[], length: number) => {
      kit
        .on(epoch, names)
        .frame(epoch, { kind: 'ack', epoch, length, steps: 0, tokens: 0 })
        .token(epoch, 4 + epoch, 53)
      return kit.outputs.flatMap(o => (o.kind === 'recovered' ? [o.replayedTokens] : []))
    }
    expect(recovers(1, ['A', 'C'], 4)).toEqual([4])
    // Nobody knows who it was: both may still have their caches.
    kit.refuse(1, 0, 'gap')
    expect(recovers(2, ['A', 'C'], 5)).toEqual([0])
    // What C had is gone with it.
    kit.refuse(2, 0, 'next-lost')
    expect(recovers(3, ['A', 'C'], 6)).toEqual([6])
  })

  test('P3: a route of another numeric class is said, and stays said when the old class is back', () => {
    const kit = lost()
    kit.do({ kind: 'routed', route: route('A', 'C'), exact: false }, { kind: 'connected', epoch: 1 })
    kit.frame(1, { kind: 'ack', epoch: 1, length: 4, steps: 0, tokens: 0 }).token(1, 5, 53)
    expect(kit.outputs[0]).toMatchObject({ kind: 'recovered', exact: false })
    kit.refuse(1, 0, 'next-lost')
    kit.do({ kind: 'routed', route: route('A', 'B'), exact: true }, { kind: 'connected', epoch: 2 })
    kit.frame(2, { kind: 'ack', epoch: 2, length: 5, steps: 0, tokens: 0 }).token(2, 6, 54)
    expect(kit.outputs[0]).toMatchObject({ kind: 'recovered', exact: false })
    kit.do({ kind: 'cancel' }, { kind: 'head-lost', epoch: 2, message: 'gone' })
    expect(kit.outputs).toMatchObject([{ kind: 'end', exact: false }])
  })

  test('what the older epoch still says is not heard', () => {
    const kit = lost().on(1, ['A', 'C'])
    expect(kit.token(0, 5, 99).effects).toEqual([])
    expect(kit.do({ kind: 'tail-lost', epoch: 0 }).effects).toEqual([])
    expect(kit.frame(0, { kind: 'ack', epoch: 0, length: 9, steps: 9, tokens: 9 }).effects).toEqual([])
  })

  test('S11: a head that claims more than is valid is not believed', () => {
    const kit = lost().on(1, ['A', 'C']).frame(1, { kind: 'ack', epoch: 1, length: 5, steps: 0, tokens: 0 })
    expect(kit.excluded).toEqual(['B', 'A'])
  })

  test('a route that never gives a token is not tried for ever', () => {
    const kit = new Kit([1, 2]).on(0, ['A'])
    for (let epoch = 0; epoch < recoveriesMax; epoch++) {
      kit.refuse(epoch, 0, 'gap')
      // At once at first, after a pause later.
      expect(kit.excluded).toEqual(epoch < recoveriesAtOnce ? [] : undefined)
      if (epoch >= recoveriesAtOnce) expect(kit.wait(routeRetryMs).excluded).toEqual([])
      kit.on(epoch + 1, ['A'])
    }
    kit.refuse(recoveriesMax, 0, 'gap')
    expect(kit.outputs).toMatchObject([{ kind: 'end', outcome: { kind: 'failed' } }])
  })

  test('losses that cost no more than a pause may come as often as they like', () => {
    const kit = new Kit([1, 2], { maxTokens: 100 }).on(0, ['A'])
    for (let epoch = 0; epoch < 2 * recoveriesMax; epoch++) {
      kit.refuse(epoch, 0, 'gap').on(epoch + 1, ['A'])
      const length = 1 + epoch
      kit.frame(epoch + 1, { kind: 'ack', epoch: epoch + 1, length, steps: 0, tokens: 0 })
      kit.token(epoch + 1, 2 + epoch, 50)
      expect(kit.outputs.map(o => o.kind)).toEqual(['recovered', 'token'])
    }
  })

  test('no route after a loss: asks again and again, then fails', () => {
    const error = new NotCoveredError('layers 1-2 are missing')
    const kit = lost().do({ kind: 'unroutable', error })
    expect(kit.wait(routeRetryMs).excluded).toEqual(['B'])
    kit.nowMs += routeWaitMs
    kit.do({ kind: 'unroutable', error })
    expect(kit.outputs).toMatchObject([
      { kind: 'end', outcome: { kind: 'failed', message: expect.stringContaining('layers 1-2 are missing') } }
    ])
  })

  test('no route at the start: fails at once with the reason', () => {
    const error = new NotCoveredError('layers 1-2 are missing')
    const kit = new Kit([1, 2]).do({ kind: 'start' }, { kind: 'unroutable', error })
    expect(kit.outputs.at(-1)).toMatchObject({ kind: 'end', outcome: { kind: 'failed', error } })
  })

  test('told how long to wait, it asks for so long, from the start as after a loss', () => {
    const error = new NotCoveredError('layers 1-2 are missing')
    const kit = new Kit([1, 2], { waitMs: 2 * routeWaitMs }).do({ kind: 'start' }, { kind: 'unroutable', error })
    for (const begin of [() => kit, () => kit.on(0, ['A', 'B']).refuse(0, 1, 'not-serving')]) {
      const fromMs = begin().nowMs
      kit.nowMs = fromMs + 2 * routeWaitMs - 2 * routeRetryMs
      expect(kit.do({ kind: 'unroutable', error }).outputs).toEqual([])
      expect(kit.wait(routeRetryMs).effects).toMatchObject([{ kind: 'route' }])
    }
    kit.nowMs += 2 * routeRetryMs
    expect(kit.do({ kind: 'unroutable', error }).outputs).toMatchObject([
      { kind: 'end', outcome: { kind: 'failed', message: expect.stringContaining('within 60000 ms of the loss') } }
    ])
  })
})

describe('S17: a driver that did not run for a while', () => {
  const standing = (): Kit => {
    const kit = new Kit([1, 2], { maxTokens: 100 }).on(0, ['A', 'B', 'C'])
    for (let i = 0; i < 5; i++) goOn(kit)
    return kit
  }
  /** One more token, and time for the next look. */
  const goOn = (kit: Kit): void => {
    const { length } = kit
    kit.frame(0, { kind: 'ack', epoch: 0, length, steps: length - 1, tokens: length })
    kit.token(0, kit.length++, 50).wait(routeRetryMs)
  }
  const lost = (kit: Kit): unknown =>
    kit.outputs.map(output => (output.kind === 'lost' ? [output.peer.slice(8), output.reason, output.charged] : output))

  test('charges nobody with what others have closed meanwhile, whether it looks at the time first or at its streams', () => {
    for (const looksFirst of [false, true]) {
      const kit = standing()
      kit.nowMs += 5_000
      if (looksFirst) kit.do({ kind: 'tick' })
      kit.do({ kind: 'tail-lost', epoch: 0 })
      expect(lost(kit)).toEqual([['C', 'closed', false]])
      // It is gone around, and asked at once where that is not possible.
      expect([kit.excluded, kit.doubtful]).toEqual([['C'], ['C']])
    }
  })

  test('nor when it stood still before it first looked at the time', () => {
    const kit = new Kit([1, 2]).on(0, ['A', 'B', 'C']).token(0, 2, 50)
    kit.nowMs += 5_000
    expect(lost(kit.do({ kind: 'tail-lost', epoch: 0 }))).toEqual([['C', 'closed', false]])
  })

  test.each([
    [standstillGraceMs - 1, false],
    [standstillGraceMs, true]
  ])('nor in an answer that it begins %s ms after it has come to itself (charged: %s)', (ms, charged) => {
    const kit = new Kit([1, 2], { stoodStillMs: 0 })
    kit.nowMs = ms
    expect(lost(kit.on(0, ['A', 'B', 'C']).do({ kind: 'tail-lost', epoch: 0 }))).toEqual([['C', 'closed', charged]])
  })

  test('nor with what they have come to serve meanwhile, of which it hears a moment later', () => {
    const kit = standing()
    kit.nowMs += 5_000
    kit.do({ kind: 'head-lost', epoch: 0, message: 'it closed the stream' })
    expect(lost(kit)).toEqual([['A', 'closed', false]])
    kit.on(1, ['A', 'X', 'C']).wait(routeRetryMs).refuse(1, 1, 'not-serving')
    expect(lost(kit)).toEqual([['X', 'not-serving', false]])
    // A mistake of a peer's own is one all the same.
    expect(lost(kit.on(2, ['A', 'B', 'C']).refuse(2, 1, 'engine'))).toEqual([['B', 'engine', true]])
  })

  test('does not run out of tries for what is over in a moment, nor asks in a tight circle', () => {
    const kit = standing()
    kit.nowMs += 5_000
    kit.do({ kind: 'head-lost', epoch: 0, message: 'it closed the stream' })
    let asked = 0
    for (let epoch = 1; kit.nowMs < 1_000 + 5_000 + standstillGraceMs - routeRetryMs; epoch++) {
      kit
        .do({ kind: 'routed', route: route('A', 'B', 'C') }, { kind: 'connected', epoch })
        .refuse(epoch, 1, 'not-serving')
      if (kit.excluded === undefined) kit.wait(routeRetryMs)
      expect(kit.excluded).toContain('B')
      asked++
    }
    expect(asked).toBeLessThan(recoveriesAtOnce + standstillGraceMs / routeRetryMs + 2)
  })

  test.each([
    ['for less time than others take to give it up', standstillMs - 100, 0],
    ['long ago', 5_000, standstillGraceMs]
  ])('but does where that was %s', (_, pauseMs, sinceMs) => {
    const kit = standing()
    kit.nowMs += pauseMs
    kit.do({ kind: 'tick' })
    for (let ms = 0; ms < sinceMs; ms += routeRetryMs) goOn(kit)
    expect(lost(kit.do({ kind: 'tail-lost', epoch: 0 }))).toEqual([['C', 'closed', true]])
  })

  test('takes none of that time for a delay of its route', () => {
    const kit = standing()
    // What is left of each is two looks.
    for (let i = 0; i < 4; i++) {
      kit.nowMs += 60_000
      expect(kit.do({ kind: 'tick' }).outputs).toEqual([])
    }
  })
})

describe('cancelling', () => {
  test.each<[string, (kit: Kit) => Kit]>([
    ['before there is a route', kit => kit.do({ kind: 'start' })],
    ['before the head is there', kit => kit.do({ kind: 'start' }, { kind: 'routed', route: route('A') })]
  ])('%s: ends at once', (_, begin) => {
    const kit = begin(new Kit([1, 2])).do({ kind: 'cancel' })
    expect(kit.outputs).toMatchObject([{ kind: 'end', outcome: { kind: 'cancelled' } }])
    expect(kit.do({ kind: 'routed', route: route('A') }, { kind: 'connected', epoch: 0 }).effects).toEqual([])
  })

  test('on a route: Close, then the end with Closed', () => {
    const kit = new Kit([1, 2]).on(0, ['A']).do({ kind: 'cancel' })
    expect(kit.sent).toEqual([{ kind: 'close', epoch: 0 }])
    expect(kit.do({ kind: 'cancel' }).effects).toEqual([])
    expect(kit.token(0, 2, 50).effects).toEqual([])
    kit.frame(0, { kind: 'closed', hops: [] })
    expect(kit.outputs).toMatchObject([{ kind: 'end', outcome: { kind: 'cancelled' } }])
  })
})

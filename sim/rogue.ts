/**
 * What a member does that means harm to sessions. A thief attracts them, is gone around, and comes back for them with
 * epochs of its choice. A hoarder opens sessions wherever there is room, and uses none. One that floods has as many step without end. None can sign as
 * anybody else.
 */
import type { ModelId, PeerId, SessionId } from '../src/base/ids.ts'
import type { Protocol } from '../src/base/protocol.ts'
import type { Sign } from '../src/base/signature.ts'
import type { Channel } from '../src/swarm/links.ts'
import { decodeFrame, encodeFrame } from '../src/stage/codec.ts'
import { SendCredit } from '../src/stage/credit.ts'
import { type Frame, type OpenFrame, stageProtocol } from '../src/stage/frame.ts'
import type { StageService } from '../src/stage/service-init.ts'
import { type RouteHop, type SignedTerms, signTerms, type Terms } from '../src/stage/terms.ts'
import type { ChannelHandlers, WireChannel } from './wire-channel.ts'

const rogueries = ['steal', 'hoard', 'flood'] as const
export type Roguery = (typeof rogueries)[number]

/** A lie, where it is one of these. */
export function rogueryOf(lie: string | undefined): Roguery | undefined {
  return rogueries.find(each => each === lie)
}

/** A stage that serves. */
export interface Target extends RouteHop {
  readonly layers: number
}

export interface RogueHost {
  readonly self: PeerId
  readonly sign: Sign
  readonly model: ModelId
  readonly tokensMax: number
  readonly after: (delayMs: number, task: () => void) => void
  readonly openChannel: (peer: PeerId, protocol: Protocol, done: (channel: WireChannel | undefined) => void) => unknown
  readonly nextSession: () => SessionId
  /** Its own, which takes what tails of its sessions say. */
  readonly stages: () => StageService | undefined
  readonly targets: () => readonly Target[]
  readonly roguery: () => Roguery | undefined
}

const highest = 2 ** 32 - 1
/** Between two rounds of what it does. */
const roundMs = 250
/** Sessions that a thief knows at once, and streams that a hoarder keeps to one stage. */
const lootMax = 4
const hoardMax = 6

export class Rogue {
  readonly #host: RogueHost
  readonly #loot = new Map<SessionId, SignedTerms>()
  /** Streams of a hoarder that are open, by stage. */
  readonly #hoard = new Map<string, number>()
  #isAtIt = false

  constructor(host: RogueHost) {
    this.#host = host
  }

  /** Looks whether there is something to do, and does it until there is not. */
  wake(): void {
    if (this.#isAtIt || this.#host.roguery() === undefined) return
    this.#isAtIt = true
    const round = (): void => {
      const roguery = this.#host.roguery()
      if (roguery === undefined) {
        this.#isAtIt = false
        this.#loot.clear()
        return
      }
      if (roguery === 'steal') for (const terms of this.#loot.values()) this.#steal(terms)
      else if (roguery === 'hoard') for (const target of this.#host.targets()) this.#grab(target)
      else for (const target of this.#host.targets()) this.#flood(target)
      this.#host.after(roundMs, round)
    }
    this.#host.after(roundMs, round)
  }

  /** A thief takes an Open as a lure does: it keeps what it says and has no room. Whether it has taken it. */
  lures(channel: Channel, bytes: Uint8Array): boolean {
    if (this.#host.roguery() !== 'steal') return false
    const open = openOf(bytes)
    if (open === undefined || open.hop === open.terms.route.length) return false
    const { hop, terms } = open
    this.#loot.delete(terms.session)
    this.#loot.set(terms.session, terms)
    for (const session of this.#loot.keys()) if (this.#loot.size > lootMax) this.#loot.delete(session)
    const { epoch } = terms
    channel.send(encodeFrame({ kind: 'refuse', epoch, hop, reason: 'no-room', length: 0, message: 'full' }))
    void channel.close()
    this.wake()
    return true
  }

  /** Opens the driver's end as its tail, and every seat that the session may have as the hop before it. */
  #steal(terms: SignedTerms): void {
    const { self } = this.#host
    const { route, driver } = terms
    const tail = route.length - 1
    if (driver !== self) {
      const token = { kind: 'token', epoch: highest, position: terms.keep + 1, ids: [1] } as const
      const last = { ...route[tail]!, peer: self }
      this.#say(driver, [this.#forge(terms, route.length, [...route.slice(0, tail), last]), token])
    }
    for (const target of this.#host.targets()) {
      if (target.peer === self || target.start === 0) continue
      this.#say(target.peer, [this.#forge(terms, 1, this.#around(target))])
    }
  }

  /** A route that leads through one stage, and through this peer for all else. */
  #around({ peer, start, end, layers }: Target): readonly RouteHop[] {
    const { self } = this.#host
    return [
      { peer: self, start: 0, end: start },
      { peer, start, end },
      { peer: self, start: end, end: layers }
    ].filter(hop => hop.end > hop.start)
  }

  /** Terms of another driver under a signature of its own. */
  #forge(terms: Terms, hop: number, route: readonly RouteHop[]): OpenFrame {
    return { kind: 'open', hop, terms: signTerms({ ...terms, epoch: highest, route, keep: 0 }, this.#host.sign) }
  }

  /** Has a whole model compute for it, a token at a time in each of several sessions. */
  #flood(target: Target): void {
    const { self, sign, model, tokensMax } = this.#host
    const { peer, start, end, layers } = target
    const key = `${peer} ${start}-${end}`
    const held = this.#hoard.get(key) ?? 0
    if (peer === self || start > 0 || end < layers || held >= hoardMax) return
    const sampling = { temperature: 0, topP: 1, topK: 0, seed: 1 }
    const session = this.#host.nextSession()
    const route = [{ peer, start, end }]
    const terms = signTerms({ session, epoch: 0, model, route, driver: self, tokensMax, sampling, keep: 0 }, sign)
    const drive = this.#host.stages()?.drive(session, {
      onTokens: () => {},
      onScores: () => {},
      onTailRefused: () => {},
      onTailLost: () => {}
    })
    if (drive === undefined) return
    drive.admit(0, peer)
    this.#hoard.set(key, held + 1)
    let isGone = false
    const gone = (): void => {
      if (isGone) return
      isGone = true
      drive.stop()
      this.#hoard.set(key, this.#hoard.get(key)! - 1)
    }
    const credit = new SendCredit()
    let position = 0
    const stepAll = (channel: WireChannel): void => {
      if (this.#host.roguery() !== 'flood') {
        channel.close()
        gone()
        return
      }
      while (credit.allows(1)) {
        if (position === tokensMax) position = 0
        const input = { kind: 'ids', ids: Int32Array.of(1) } as const
        channel.send(encodeFrame({ kind: 'step', epoch: 0, position: position++, tokens: 1, sample: false, input }))
        credit.sent(1)
      }
    }
    this.#say(peer, [{ kind: 'open', hop: 0, terms }], gone, {
      begun: stepAll,
      onFrame: (channel, frame) => {
        if (frame?.kind === 'ack' && credit.acked(frame.steps, frame.tokens)) stepAll(channel)
      }
    })
  }

  /** Has a stage reserve a cache, in its own name, and keeps the stream open. */
  #grab(target: Target): void {
    const { peer, start, end } = target
    const { self, sign, model, tokensMax } = this.#host
    const key = `${peer} ${start}-${end}`
    const held = this.#hoard.get(key) ?? 0
    if (peer === self || held >= hoardMax) return
    const route = this.#around(target)
    const sampling = { temperature: 0, topP: 1, topK: 0, seed: 1 }
    const session = this.#host.nextSession()
    const terms = signTerms({ session, epoch: 0, model, route, driver: self, tokensMax, sampling, keep: 0 }, sign)
    this.#hoard.set(key, held + 1)
    const gone = (): void => void this.#hoard.set(key, this.#hoard.get(key)! - 1)
    this.#say(peer, [{ kind: 'open', hop: start === 0 ? 0 : 1, terms }], gone)
  }

  #say(
    peer: PeerId,
    frames: readonly Frame[],
    onEnd = (): void => {},
    goOn: {
      readonly begun?: (channel: WireChannel) => void
      readonly onFrame?: (channel: WireChannel, frame: Frame | undefined) => void
    } = {}
  ): void {
    this.#host.openChannel(peer, stageProtocol, channel => {
      if (channel === undefined) {
        onEnd()
        return
      }
      const handlers: ChannelHandlers = {
        onFrame: bytes => {
          // A seat that refuses for another reason is still there.
          const frame = decodeFrame(bytes)
          goOn.onFrame?.(channel, frame)
          if (frame?.kind !== 'refuse' || frame.reason !== 'no-room') return
          channel.close()
          onEnd()
        },
        onClose: onEnd
      }
      channel.handlers = handlers
      for (const frame of frames) channel.send(encodeFrame(frame))
      goOn.begun?.(channel)
    })
  }
}

function openOf(bytes: Uint8Array): OpenFrame | undefined {
  try {
    const frame = decodeFrame(bytes)
    return frame?.kind === 'open' ? frame : undefined
  } catch {
    return undefined
  }
}

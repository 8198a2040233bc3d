/**
 * Sessions that outlive their driver, as a peer's users name them: checks names, times and keys, and joins the session
 * to the service that keeps it.
 */
import { join } from 'node:path'
import { type Clock, systemClock } from '../base/clock.ts'
import type { ModelId, PeerId } from '../base/ids.ts'
import { openToAll } from '../disk/openness.ts'
import type { Keeping } from '../disk/keeping.ts'
import { InvalidKeyError, InvalidOptionError } from '../errors.ts'
import { keyFileBytes, readKeyFile } from '../keep/key-file.ts'
import { createKeepService, type FoundSession, type KeepService, type SessionName } from '../keep/service.ts'
import { keepTtlMaxMs } from '../keep/limits.ts'
import { keepNameCharsMax, keepTtlDefaultMs, keepTtlMinMs } from './limits.ts'
import type { GrammarSpec } from '../model/grammar-spec.ts'
import type { SessionKeep } from '../session/parts.ts'
import { loadIdentity } from '../swarm/identity.ts'
import type { SwarmRecord } from '../swarm/record.ts'
import type { Swarm } from '../swarm/swarm.ts'

/** Which session is kept or resumed. */
export interface KeptSessionName {
  /** [1..128] characters. The same name under another key is another session. */
  name: string
  /**
   * 32 bytes, or the path of a file that holds them (`skein key`). Whoever has the key can resume the session.
   * @default a key that only this peer has, derived from its identity
   */
  key?: Uint8Array | string
}

/** How a session is kept. */
export interface KeptSessionInit extends KeptSessionName {
  /**
   * How long it is kept after its last token, in ms: from a second to a day.
   * @default an hour
   */
  ttlMs?: number
}

/** How a session is to be kept, and what it begins with. */
export interface KeptBefore extends Pick<KeptOf, 'after' | 'peers'> {
  /** @default it is not kept */
  readonly session: KeptSessionInit | undefined
  /** [layers] the numeric class that computed each layer; none before the first route. */
  readonly classes: readonly string[]
}

/** What a session that is kept is of. */
interface KeptOf {
  readonly model: ModelId
  /** The version under which it was found when it is resumed; 0 for a new one. */
  readonly after: number
  /** Who has computed what it begins with. @default nobody, or that is not known */
  readonly peers?: readonly PeerId[] | undefined
  /** [layers] the numeric class of each layer; none before the first route. */
  readonly classes: () => readonly string[]
  /** What the answer must be. @default anything */
  readonly grammar?: GrammarSpec | undefined
}

/** A session that was found; `thoughtsEnd` as in a session's content. */
export type ResumableSession = Omit<FoundSession, 'grammar'> & {
  readonly grammar?: GrammarSpec
  readonly thoughtsEnd?: number | undefined
  /** Who has computed a part of its answer, and was found out: of the session only what was asked is left. */
  readonly voidBy?: PeerId
}

export class KeptSessions {
  readonly #service: KeepService
  readonly #deviceKey: Uint8Array

  /** Begins to keep sessions of others, in `keep/` of the data directory. @throws {DataDirectoryError} */
  static async start(init: {
    readonly swarm: Swarm
    readonly dataDir: string
    readonly keeping: Keeping
    /** @default the machine's */
    readonly clock?: Clock
  }): Promise<KeptSessions> {
    const { swarm, dataDir, keeping, clock = systemClock } = init
    const identity = await loadIdentity(dataDir)
    const service = await createKeepService({
      links: swarm.links,
      folder: join(dataDir, 'keep'),
      peers: () => keepers(swarm).map(({ peer }) => peer),
      staying: () => keepers(swarm).flatMap(({ peer, leaving }) => (leaving ? [] : [peer])),
      keeping,
      clock,
      onViolation: (peer, message) => swarm.reportViolation(peer, 'bad keep frame', message)
    })
    return new KeptSessions(service, identity.derive('skein session key'))
  }

  private constructor(service: KeepService, deviceKey: Uint8Array) {
    this.#service = service
    this.#deviceKey = deviceKey
  }

  /**
   * Makes a session kept.
   *
   * @throws {InvalidOptionError} {InvalidKeyError}
   */
  async keep(session: KeptSessionInit, { model, after, peers, classes, grammar }: KeptOf): Promise<SessionKeep> {
    const { ttlMs = keepTtlDefaultMs } = session
    if (!(Number.isSafeInteger(ttlMs) && ttlMs >= keepTtlMinMs && ttlMs <= keepTtlMaxMs)) {
      throw new InvalidOptionError(`a session is kept for ${keepTtlMinMs} to ${keepTtlMaxMs} ms, not ${ttlMs}`)
    }
    const named = await this.#named(session)
    const open = typeof session.key === 'string' ? await openToAll('session key', session.key) : undefined
    return ({ ids, exact, thoughtsEnd, ...content }, onWarning) => {
      if (open !== undefined) onWarning(open)
      const form = grammar && { grammar: { spec: JSON.stringify(grammar), after: thoughtsEnd } }
      const question = { ...content, ...form, model, ttlMs, classes: classes() }
      const keeper = this.#service.keep(named, { question, ids, exact, after, peers }, onWarning)
      return {
        routed: peers => {
          keeper.routed(classes())
          keeper.by(peers)
        },
        token: id => keeper.token(id),
        inexact: () => keeper.inexact(),
        end: stop => keeper.end(stop),
        leave: () => keeper.close()
      }
    }
  }

  /**
   * @param refuted peers whose work counts for nothing: of a session that one of them has computed a part of, the prompt is left
   * @throws {InvalidOptionError} {InvalidKeyError} {UnknownSessionError} @throws the signal's reason.
   */
  async find(
    session: KeptSessionName,
    {
      signal,
      refuted = new Set()
    }: { readonly signal: AbortSignal; readonly refuted?: ReadonlySet<PeerId> | undefined }
  ): Promise<ResumableSession> {
    const { grammar, ...all } = await this.#service.find(await this.#named(session), { signal })
    // It was sealed by who has the key, and is checked as any other one before a token is drawn.
    const form = grammar === undefined ? {} : { grammar: JSON.parse(grammar.spec) as GrammarSpec }
    const voidBy = all.peers.find(peer => refuted.has(peer))
    if (voidBy !== undefined) return { ...all, ...form, ids: [], stop: undefined, exact: true, peers: [], voidBy }
    return grammar === undefined ? all : { ...all, ...form, thoughtsEnd: grammar.after }
  }

  /** How many peers had it. @throws {InvalidOptionError} {InvalidKeyError} @throws the signal's reason. */
  async forget(session: KeptSessionName, { signal }: { signal: AbortSignal }): Promise<number> {
    return this.#service.forget(await this.#named(session), { signal })
  }

  stop(): Promise<void> {
    return this.#service.stop()
  }

  async #named({ name, key }: KeptSessionName): Promise<SessionName> {
    if (name === '' || [...name].length > keepNameCharsMax || /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(name)) {
      throw new InvalidOptionError(
        `the name of a session has 1 to ${keepNameCharsMax} characters, none of them a control character`
      )
    }
    if (key === undefined) return { name, key: this.#deviceKey }
    if (typeof key === 'string') return { name, key: await readKeyFile(key) }
    if (key.byteLength !== keyFileBytes) {
      throw new InvalidKeyError(`a session key has ${keyFileBytes} bytes, not ${key.byteLength}`)
    }
    return { name, key }
  }
}

/** Records of other peers that are connected and may keep sessions. */
function keepers(swarm: Swarm): SwarmRecord[] {
  const { membership } = swarm
  return swarm
    .records()
    .filter(
      ({ record, connected }) =>
        connected && record.peer !== swarm.id && membership?.may(record.peer, 'keeper') !== false
    )
    .map(({ record }) => record)
}

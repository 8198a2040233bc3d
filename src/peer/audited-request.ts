/** One request of this peer for the audit log: its routes, its end and the digest of its answer's token ids; nothing of the text. Pure. */
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex } from '@noble/hashes/utils.js'
import type { AuditHop, AuditRequest } from '../audit/entry.ts'
import { auditChangesMax, auditNameCharsMax } from '../audit/limits.ts'
import type { ModelId, PeerId } from '../base/ids.ts'
import type { Hop } from '../route/view.ts'
import type { GenerationEvent } from '../session/generation.ts'
import type { LoggedRequest } from './request-log.ts'

/** Who keeps what there is to say of requests. */
export interface Auditing {
  add(request: AuditRequest): void
  /** The numeric class of a peer for a model, as far as its record says. */
  classOf(peer: PeerId, model: ModelId): string | null
}

interface AuditedRequestInit {
  readonly operation: AuditRequest['operation']
  readonly client: string
  /** The same request as those are told who ask what became of it. */
  readonly logged: LoggedRequest
  readonly audit: Auditing
}

export class AuditedRequest {
  readonly #init: AuditedRequestInit
  /** Of the tokens that count. */
  #digest = sha256.create()
  readonly #refuted: PeerId[] = []
  #model: { readonly id: ModelId; readonly precision: string | null } | undefined
  #route: readonly AuditHop[] = []
  readonly #changes: { readonly atMs: number; readonly route: readonly AuditHop[] }[] = []
  #promptTokens: number | null = null

  constructor(init: AuditedRequestInit) {
    this.#init = init
  }

  began(model: { readonly id: ModelId; readonly precision: string | null }): void {
    this.#model = model
  }

  told(event: GenerationEvent): void {
    if (event.event === 'token') this.#digest.update(bytesOfId(event.id))
    else if (event.event === 'refuted') {
      this.#digest = sha256.create()
      this.#refuted.push(event.peer)
    } else if (event.event === 'route') this.#routed(event.hops)
    else if (event.event === 'recovered') this.#routed(event.route)
    else if (event.event === 'conversation') this.#promptTokens = event.tokens
    else if (event.event === 'done') this.#promptTokens = event.promptIds.length
  }

  /** @param outcome as metrics have it: `stop`, `length`, `cancelled`, or the name of an error */
  ended(outcome: string): void {
    const { operation, client, logged, audit } = this.#init
    const { request, modelName, tokens, totalMs } = logged.trace()
    audit.add({
      request,
      operation,
      client: client.slice(0, auditNameCharsMax),
      model: this.#model?.id ?? null,
      modelName,
      precision: this.#model?.precision ?? null,
      route: this.#route,
      changes: this.#changes,
      promptTokens: this.#promptTokens,
      tokens,
      outcome,
      ms: Math.round(totalMs),
      answer: tokens === 0 ? null : bytesToHex(this.#digest.digest()),
      ...(this.#refuted.length === 0 ? {} : { refuted: this.#refuted })
    })
  }

  #routed(hops: readonly Hop[]): void {
    const model = this.#model?.id
    const route = hops.map(({ peer, start, end }) => ({
      ...{ peer, start, end },
      class: model === undefined ? null : this.#init.audit.classOf(peer, model)
    }))
    if (this.#route.length === 0) this.#route = route
    // Those beyond are counted where the line is made; what a peer loses in an hour has some end.
    else if (this.#changes.length < 4 * auditChangesMax) {
      this.#changes.push({ atMs: Math.round(this.#init.logged.trace().totalMs), route })
    }
  }
}

interface AuditedRunInit {
  readonly operation: 'infer' | 'embeddings'
  /** The so many-th run of this peer. */
  readonly number: number
  readonly request?: string | undefined
  readonly client?: string | undefined
  readonly classOf: Auditing['classOf']
}

/** A run of a graph, or of several on as many texts, for the audit log: whole models of one layer, which leave no tokens. */
export class AuditedRun {
  readonly #init: AuditedRunInit
  readonly #peers = new Set<PeerId>()
  #graph: { readonly id: ModelId; readonly manifest: { readonly name: string } } | undefined

  constructor(init: AuditedRunInit) {
    this.#init = init
  }

  get modelName(): string | null {
    return this.#graph?.manifest.name ?? null
  }

  found(graph: { readonly id: ModelId; readonly manifest: { readonly name: string } }): void {
    this.#graph = graph
  }

  ranAt(peer: PeerId): void {
    this.#peers.add(peer)
  }

  ended(outcome: string, durationMs: number): AuditRequest {
    const { operation, number, request = `${operation}-${number}`, client = 'local', classOf } = this.#init
    const model = this.#graph?.id ?? null
    const routes = [...this.#peers].map(peer => [
      { peer, start: 0, end: 1, class: model === null ? null : classOf(peer, model) }
    ])
    return {
      request: request.slice(0, auditNameCharsMax),
      operation,
      client: client.slice(0, auditNameCharsMax),
      model,
      modelName: this.modelName,
      precision: null,
      route: routes[0] ?? [],
      changes: routes.slice(1).map(route => ({ atMs: 0, route })),
      promptTokens: null,
      tokens: 0,
      outcome,
      ms: Math.round(durationMs),
      answer: null
    }
  }
}

/** 4 bytes, the lowest first. */
function bytesOfId(id: number): Uint8Array {
  return Uint8Array.of(id & 255, (id >>> 8) & 255, (id >>> 16) & 255, id >>> 24)
}

/** The digest of an answer's token ids, as the audit log has it. */
export function answerDigest(ids: readonly number[]): string {
  const digest = sha256.create()
  for (const id of ids) digest.update(bytesOfId(id))
  return bytesToHex(digest.digest())
}

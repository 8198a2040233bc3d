/** The one place that wires everything together. */
import type { ModelId, PeerId, Range } from './base/ids.ts'
import type { Sampling } from './engine/engine.ts'
import type { Generation } from './session/generation.ts'

export type { Answer, Generation, GenerationEvent, HopReport, Token } from './session/generation.ts'

/** How to start a peer. */
export interface PeerInit {
  /** Directory of everything this peer keeps: identity, shards, remembered peers. Made if it does not exist. */
  dataDir: string
  /** The swarm to join: a file made by `skein init`, or its contents. */
  swarm: string | SwarmConfig
  /**
   * Name or id of the model to serve.
   * @default the only model in `dataDir`, or the one that ships when there is none
   */
  model?: string
  /**
   * Budget for weights and caches, in bytes. Placement never exceeds it.
   * @default half of the machine's memory
   */
  memoryBytes?: number
  /** Serve exactly these layers, half-open, instead of what placement decides. */
  layers?: Range
  /**
   * Multiaddrs to listen on.
   * @default ['/ip4/0.0.0.0/tcp/0']
   */
  listen?: string[]
  /** Multiaddrs of peers to dial besides those that are discovered or remembered. */
  bootstrap?: string[]
  /**
   * Look for peers by multicast DNS.
   * @default true
   */
  mdns?: boolean
  /**
   * Threads per engine. More than one hurts when several peers share a machine.
   * @default 1
   */
  threads?: number
}

/** The contents of a swarm file. */
export interface SwarmConfig {
  readonly format: 1
  readonly name: string
  /** 32 random bytes, base64url. Whoever has it can join: never log it. */
  readonly secret: string
}

export interface GenerateOptions extends Partial<Sampling> {
  /**
   * Tokens to generate at most.
   * @default 256, or what the context leaves
   */
  maxTokens?: number
  /** Name or id. @default the model that this peer serves */
  model?: string
  /** Cancels the answer and frees every cache on its route. */
  signal?: AbortSignal
}

export interface StageStatus extends Range {
  readonly model: ModelId
  readonly serving: boolean
}

export interface PeerStatus {
  readonly id: PeerId
  readonly self: boolean
  readonly addresses: readonly string[]
  readonly hardware: {
    readonly cores: number
    readonly memoryBytes: number
    readonly architecture: string
    readonly platform: string
    readonly cpu: string
  }
  readonly budgetBytes: number
  /** Resident bytes of its stages with their reserves; null for other peers. */
  readonly usedBytes: number | null
  readonly stages: readonly StageStatus[]
  readonly sessions: number
  /** Measured, per model that it offers. */
  readonly timings: readonly {
    readonly model: ModelId
    readonly visitMs: number
    readonly layerMs: number
    readonly numericClass: string
  }[]
  readonly battery: { readonly level: number; readonly charging: boolean } | null
  /** Age of its record, in ms; 0 for this peer. */
  readonly ageMs: number
}

export interface ModelStatus {
  readonly id: ModelId
  readonly name: string
  readonly layers: number
  /** [layers] how many serving stages hold each layer. */
  readonly coverage: readonly number[]
  /** What the budgets lack to cover every layer, or null when they suffice. */
  readonly missing: { readonly layers: readonly Range[]; readonly bytes: number } | null
}

export interface Status {
  readonly self: PeerId
  readonly swarm: string
  readonly peers: readonly PeerStatus[]
  readonly models: readonly ModelStatus[]
  /** Ways of discovery and what became of each. */
  readonly discovery: readonly { readonly way: string; readonly state: string }[]
  /** Protocol violations by remote peers since the start, by kind. */
  readonly violations: Readonly<Record<string, number>>
}

/** Events of a peer, as a typed EventTarget. */
export interface PeerEvents {
  /** A peer's first live record was accepted. */
  'peer:join': CustomEvent<{ readonly peer: PeerId }>
  /** A peer's record expired, or it said goodbye. */
  'peer:leave': CustomEvent<{ readonly peer: PeerId }>
  /** A stage of this peer began or ceased to serve. */
  'stage:up': CustomEvent<StageStatus>
  'stage:down': CustomEvent<StageStatus>
  /** A model became covered, or is no longer. */
  'model:covered': CustomEvent<{ readonly model: ModelId }>
  'model:uncovered': CustomEvent<{ readonly model: ModelId }>
  /** A problem that does not end the peer, in one sentence. */
  warning: CustomEvent<{ readonly message: string }>
}

export interface Peer {
  readonly id: PeerId
  /** Multiaddrs that others can dial, with this peer's id. */
  readonly addresses: readonly string[]
  status(): Status
  /** Answers a prompt. Nothing runs until the result is iterated. */
  generate(prompt: string, options?: GenerateOptions): Generation
  addEventListener<K extends keyof PeerEvents>(type: K, listener: (event: PeerEvents[K]) => void): void
  removeEventListener<K extends keyof PeerEvents>(type: K, listener: (event: PeerEvents[K]) => void): void
  /** Says goodbye, ends sessions, closes everything. Safe to call twice. */
  stop(): Promise<void>
}

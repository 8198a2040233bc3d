/**
 * A peer among fifty, as far as the window looks at one: its status is made from records by the peer's own functions, every link measured,
 * and an answer that runs over three of them. Fifty processes would show what two cores do with fifty processes.
 */
import type { ModelId, PeerId } from '../../src/base/ids.ts'
import type { AnswerNews, AnswerStatus, Peer, Status } from '../../src/index.ts'
import { linksOf, modelStatuses, peerStatus } from '../../src/peer/status.ts'
import { peerHint, type SwarmRecord } from '../../src/swarm/record.ts'
import { peerOfBytes } from '../../src/base/peer-bytes.ts'

const model = 'ab'.repeat(32) as ModelId
const layers = 30

function peerAt(i: number): PeerId {
  const bytes = new Uint8Array(38)
  bytes.set([0x00, 0x24, 0x08, 0x01, 0x12, 0x20])
  for (let at = 6; at < 38; at++) bytes[at] = (i * 31 + at * 7 + ((i * at) >> 1)) % 256
  return peerOfBytes(bytes)
}

function recordOf(peer: PeerId, i: number, all: readonly PeerId[]): SwarmRecord {
  const others = all.filter(other => other !== peer)
  const start = (i % 5) * 6
  return {
    peer,
    seq: 1,
    ttlMs: 30_000,
    addresses: [],
    agent: 'skein',
    hardware: { cores: 4, memoryBytes: 8e9, architecture: 'arm64', platform: 'linux', cpu: 'a board' },
    budgetBytes: 512e6,
    models: [
      {
        model,
        name: 'smol',
        layers,
        held: [{ start, end: start + 6 }],
        embedding: true,
        head: true,
        visitMs: 1,
        layerMs: 0.5,
        numericClass: 'a',
        pinned: null
      }
    ],
    stages: i === 0 ? [] : [{ model, start, end: start + 6, serving: i !== 7, cacheBytesFree: 1e6, sessions: 1 }],
    load: { sessions: i % 4, queuedSteps: 0 },
    battery: i % 3 === 0 ? { level: 0.1 + (i % 9) / 10, charging: i % 2 === 0 } : null,
    leaving: i === 11,
    neighbours: new Set(others.map(peerHint)),
    rtts: new Map(others.map((other, at) => [peerHint(other), 1 + ((i * at) % 40)]))
  }
}

/** @param size peers, this one included */
export class PeerAmongMany extends EventTarget {
  readonly id: PeerId
  readonly #records: { record: SwarmRecord; addresses: string[]; ageMs: number; connected: boolean }[]
  #tokens = 0
  #looks = 0

  constructor(size = 50) {
    super()
    const all = Array.from({ length: size }, (_, i) => peerAt(i))
    this.id = all[0]!
    this.#records = all.map((peer, i) => ({
      record: recordOf(peer, i, all),
      addresses: ['/ip4/10.0.0.7/tcp/4001'],
      ageMs: 100,
      connected: i !== 13
    }))
  }

  status(): Status {
    this.#looks += 1
    const own = this.#records.slice(1).map(({ record }, i) => ({
      peer: record.peer,
      bytesIn: this.#looks * 1000 * i,
      bytesOut: this.#looks * 500 * i,
      rttMs: 1 + ((i * this.#looks) % 30)
    }))
    return {
      self: this.id,
      swarm: 'fifty',
      peers: this.#records.map(each => peerStatus(each, each.record.peer === this.id ? 0 : null, Date.now())),
      models: modelStatuses(this.#records, this.id, () => undefined),
      fetching: null,
      fetches: [],
      draft: null,
      discovery: [],
      disk: { usedBytes: 1e9, limitBytes: null, keptBytes: 0 },
      unkept: [],
      membership: null,
      prefixes: { bytes: 0, reused: 0 },
      violations: {},
      links: linksOf(this.#records, this.id, own),
      answers: this.answers()
    } as unknown as Status
  }

  /** Each look finds another token. */
  answers(): AnswerStatus[] {
    this.#tokens += 1
    const route = [1, 2, 3, 4, 5].map(i => ({
      peer: this.#records[i]!.record.peer,
      start: (i % 5) * 6,
      end: (i % 5) * 6 + 6
    }))
    const answer = { model, state: 'running', route, tokensPerSecond: 10, ageMs: this.#tokens * 100, lost: 0 } as const
    return [1, 2, 3].map(number => ({ ...answer, number, tokens: this.#tokens }))
  }

  tell(news: AnswerNews): void {
    this.dispatchEvent(new CustomEvent('answer', { detail: news }))
  }

  get asPeer(): Peer {
    return this as unknown as Peer
  }
}

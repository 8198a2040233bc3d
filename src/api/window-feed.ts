/**
 * What the window shows, as one stream of server-sent events to each page that is open: the swarm when it changes and once a second at
 * most, answers ten times a second at most, what happens to answers, and rates of links. Made once for all pages; a page that reads
 * slowly gets the newest state and not every one, so that what waits for it has a bound.
 */
import type { AnswerNews, Peer, Status } from '../index.ts'
import {
  windowNewsMax,
  windowPagesMax,
  windowSilentMs,
  windowStalledMs,
  windowSwarmMs,
  windowTickMs
} from './limits.ts'

/** What of a peer the window looks at. */
export type WatchedPeer = Pick<Peer, 'id' | 'status' | 'answers' | 'addEventListener' | 'removeEventListener'>

/** Kinds of events, in the order in which those that wait are sent. */
const kinds = ['swarm', 'answers', 'rates'] as const
type Kind = (typeof kinds)[number]

export class WindowFeed {
  readonly #peer: WatchedPeer
  readonly #pages = new Set<Page>()
  /** The newest text of each kind, for pages that come. */
  readonly #newest = new Map<Kind, string>()
  #timer: NodeJS.Timeout | undefined
  #swarmAtMs = Number.NEGATIVE_INFINITY
  #moved = new Map<string, { readonly there: number; readonly back: number; readonly atMs: number }>()

  constructor(peer: WatchedPeer) {
    this.#peer = peer
  }

  /** Pages that are open. */
  get pages(): number {
    return this.#pages.size
  }

  /** The stream of one page, which ends with it; undefined when {@link windowPagesMax} are open already. */
  open(): ReadableStream<Uint8Array> | undefined {
    if (this.#pages.size >= windowPagesMax) return undefined
    const page = new Page(() => this.#left(page))
    this.#pages.add(page)
    if (this.#pages.size === 1) this.#begin()
    else for (const [kind, text] of this.#newest) page.put(kind, text)
    return page.stream
  }

  /** Ends all streams. */
  close(): void {
    for (const page of [...this.#pages]) page.end()
  }

  #begin(): void {
    this.#peer.addEventListener('answer', this.#onNews)
    this.#timer = setInterval(() => this.#tick(performance.now()), windowTickMs).unref()
    this.#tick(performance.now())
  }

  #left(page: Page): void {
    if (!this.#pages.delete(page) || this.#pages.size > 0) return
    this.#peer.removeEventListener('answer', this.#onNews)
    clearInterval(this.#timer)
    this.#newest.clear()
    this.#moved.clear()
    this.#swarmAtMs = Number.NEGATIVE_INFINITY
  }

  readonly #onNews = ({ detail }: CustomEvent<AnswerNews>): void => {
    for (const page of this.#pages) page.tell(detail)
  }

  /** A look that fails ends the pages, which come again, and nothing else. */
  #tick(nowMs: number): void {
    try {
      this.#look(nowMs)
    } catch {
      this.close()
    }
  }

  #look(nowMs: number): void {
    if (nowMs - this.#swarmAtMs >= windowSwarmMs) {
      this.#swarmAtMs = nowMs
      const status = this.#peer.status()
      this.#say('swarm', JSON.stringify(pictureOf(status)))
      this.#say('rates', JSON.stringify(this.#rates(status, nowMs)))
    }
    // Its age changes at every look, and the page has a clock itself.
    this.#say('answers', JSON.stringify(this.#peer.answers().map(({ ageMs: _, ...answer }) => rounded(answer))))
    for (const page of [...this.#pages]) page.flush(nowMs)
  }

  #say(kind: Kind, text: string): void {
    if (this.#newest.get(kind) === text) return
    this.#newest.set(kind, text)
    for (const page of this.#pages) page.put(kind, text)
  }

  /** Of the links of this peer: round trips, and bytes a second since the last look. */
  #rates({ links }: Status, nowMs: number): { peer: string; rttMs: number | null; there: number; back: number }[] {
    const before = this.#moved
    this.#moved = new Map()
    return links.flatMap(({ to, rttMs, bytesThere, bytesBack }) => {
      if (bytesThere === null || bytesBack === null) return []
      this.#moved.set(to, { there: bytesThere, back: bytesBack, atMs: nowMs })
      const last = before.get(to)
      const seconds = last === undefined ? 0 : (nowMs - last.atMs) / 1000
      const rate = (now: number, then = now): number =>
        seconds > 0 ? Math.max(0, Math.round((now - then) / seconds)) : 0
      return [
        {
          peer: to,
          rttMs: rttMs === null ? null : Number(rttMs.toPrecision(2)),
          there: rate(bytesThere, last?.there),
          back: rate(bytesBack, last?.back)
        }
      ]
    })
  }
}

/** One open page. */
class Page {
  readonly stream: ReadableStream<Uint8Array>
  readonly #encoder = new TextEncoder()
  readonly #waiting = new Map<Kind, string>()
  readonly #news: AnswerNews[] = []
  /** What was not told, since the page reads slowly. */
  #untold = 0
  #controller!: ReadableStreamDefaultController<Uint8Array>
  readonly #onEnd: () => void
  #isEnded = false
  #sentMs = performance.now()

  constructor(onEnd: () => void) {
    this.#onEnd = onEnd
    this.stream = new ReadableStream<Uint8Array>(
      {
        start: controller => {
          this.#controller = controller
        },
        cancel: () => this.#over()
      },
      // A few chunks: what the socket does not take waits here, and then nothing more is made.
      { highWaterMark: 4 }
    )
  }

  put(kind: Kind, text: string): void {
    this.#waiting.set(kind, text)
  }

  tell(news: AnswerNews): void {
    if (this.#news.length >= windowNewsMax) this.#untold += 1
    else this.#news.push(news)
  }

  /** Sends what waits, if the page takes it. One that has taken nothing for long is ended: sleeping tabs never say goodbye. */
  flush(nowMs: number): void {
    if (this.#isEnded) return
    if ((this.#controller.desiredSize ?? 0) <= 0) {
      if (nowMs - this.#sentMs > windowStalledMs) this.end()
      return
    }
    let text = ''
    for (const kind of kinds) {
      const data = this.#waiting.get(kind)
      if (data !== undefined) text += `event: ${kind}\ndata: ${data}\n\n`
    }
    this.#waiting.clear()
    if (this.#news.length > 0) {
      text += `event: news\ndata: ${JSON.stringify({ news: this.#news.splice(0), untold: this.#untold })}\n\n`
      this.#untold = 0
    }
    if (text === '' && nowMs - this.#sentMs < windowSilentMs) return
    this.#sentMs = nowMs
    // A comment where there is nothing to say: a page whose machine has vanished is found out by writing to it.
    this.#controller.enqueue(this.#encoder.encode(text === '' ? ': here\n\n' : text))
  }

  end(): void {
    if (this.#isEnded) return
    this.#over()
    this.#controller.close()
  }

  #over(): void {
    this.#isEnded = true
    this.#onEnd()
  }
}

function rounded<Answer extends { readonly tokensPerSecond: number }>(answer: Answer): Answer {
  return { ...answer, tokensPerSecond: Number(answer.tokensPerSecond.toPrecision(3)) }
}

/** The swarm as it is drawn: peers, models, and links by the places of their two ends among the peers. What changes all the time is left out. */
export function pictureOf({ self, swarm, peers, models, links, disk, fetches, violations }: Status): object {
  const places = new Map(peers.map(({ id }, i) => [id, i]))
  return {
    self,
    swarm,
    peers: peers.map(({ id, hardware, budgetBytes, usedBytes, stages, sessions, battery, leaving, connected }) => ({
      id,
      cores: hardware.cores,
      memoryBytes: hardware.memoryBytes,
      budgetBytes,
      usedBytes,
      stages,
      sessions,
      battery: battery === null ? null : { level: Number(battery.level.toFixed(2)), charging: battery.charging },
      leaving,
      connected
    })),
    models: models.map(({ id, name, layers, coverage, missing }) => ({ id, name, layers, coverage, missing })),
    links: links.flatMap(({ from, to, rttMs, bytesThere }) => {
      const ends = [places.get(from), places.get(to)]
      if (ends.includes(undefined)) return []
      // Round trips of this peer's own links come with their rates.
      return [bytesThere === null && rttMs !== null ? [...ends, Number(rttMs.toPrecision(2))] : ends]
    }),
    diskBytes: disk.usedBytes,
    fetches: fetches.map(({ state, bytes, bytesTotal }) => ({ state, bytes, bytesTotal })),
    refused: Object.values(violations).reduce((sum, count) => sum + count, 0)
  }
}

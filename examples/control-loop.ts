/**
 * A control loop that embeds a peer and does not suffer from it: a simulated vehicle holds its height at 50 Hz while its peer serves
 * layers to the swarm and answers prompts of its own. When a gust makes the vehicle busy, or the loop itself falls behind, the
 * peer serves nothing (`unserve`) until all has been calm for a while (`serve`).
 *
 * What is under way then is not lost: answers of others, and its own, go on at peers that have the same layers. Where there are none they
 * wait, up to `waitMs`, and go on with the same tokens. `drain` would hand over first, but is for a peer that goes for good.
 *
 *   node examples/control-loop.ts --swarm swarm.json    # Node 22.18 or later; `npx skein init swarm.json` makes the file
 *
 * It listens on loopback, for peers of the same machine; `--listen /ip4/0.0.0.0/tcp/0` is for those of its network.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { createPeer, type Peer } from 'skein'

const { values } = parseArgs({
  allowNegative: true,
  options: {
    swarm: { type: 'string', default: 'swarm.json' },
    data: { type: 'string', default: 'vehicle-data' },
    bootstrap: { type: 'string', multiple: true, default: [] },
    listen: { type: 'string', multiple: true, default: ['/ip4/127.0.0.1/tcp/0'] },
    mdns: { type: 'boolean', default: true },
    /** A tick is late when it begins so many ms after its time. */
    'late-ms': { type: 'string', default: '20' }
  }
})

const lateMs = Number(values['late-ms'])
const periodMs = 20
const flightTicks = 220
/** A gust pushes the vehicle down at this tick, for half a second. */
const gustTick = 50
const gustTicks = 25
/** The vehicle is busy while its height is so far from where it should be. */
const heightErrorMax = 0.5
/** The loop is behind when so many of its last 25 ticks were late. */
const lateTicksMax = 3
/** The peer serves again after so many ticks without a reason to pause. */
const calmTicks = 25

/** One body on a vertical axis, in metres and seconds, and a controller that holds it at 10 m. */
class Vehicle {
  height = 10
  #speed = 0

  get error(): number {
    return Math.abs(this.height - 10)
  }

  step(gust: boolean): void {
    const thrust = 12 * (10 - this.height) - 5 * this.#speed
    this.#speed += ((thrust - (gust ? 12 : 0)) * periodMs) / 1000
    this.height += (this.#speed * periodMs) / 1000
  }
}

/** Says when the peer should compute, from what each tick has been like. */
class Calm {
  #late: boolean[] = []
  #calm = calmTicks
  #why: string | undefined

  /** @returns why the peer should pause; undefined when it may compute */
  tick(isLate: boolean, vehicle: Vehicle): string | undefined {
    this.#late = [...this.#late.slice(-24), isLate]
    const isBehind = this.#late.filter(Boolean).length >= lateTicksMax
    const why = vehicle.error > heightErrorMax ? 'the vehicle is busy' : isBehind ? 'the loop is behind' : undefined
    this.#calm = why === undefined ? this.#calm + 1 : 0
    if (why !== undefined || this.#calm >= calmTicks) this.#why = why
    return this.#why
  }
}

/** Has the peer serve, or not, whatever was wished last; a change that is under way is completed first. */
class Serving {
  readonly #peer: Peer
  readonly #model: string
  #wished = true
  #is = true
  #change: Promise<void> | undefined

  constructor(peer: Peer, model: string) {
    this.#peer = peer
    this.#model = model
  }

  /** Returns at once: the loop never waits for the peer. */
  wish(serve: boolean): void {
    this.#wished = serve
    this.#change ??= this.#follow().finally(() => {
      this.#change = undefined
    })
  }

  async settled(): Promise<void> {
    await this.#change
  }

  async #follow(): Promise<void> {
    while (this.#is !== this.#wished) {
      try {
        if (this.#wished) await this.#peer.serve(this.#model)
        else await this.#peer.unserve(this.#model)
        this.#is = !this.#is
      } catch (error) {
        // It is tried again at the next tick.
        console.error(`the peer cannot change what it serves: ${(error as Error).message}`)
        return
      }
    }
  }
}

/** Asks the same again and again until the flight is over; greedy answers to one prompt must all be the same. */
async function ask(peer: Peer, signal: AbortSignal): Promise<string[]> {
  const answers: string[] = []
  try {
    while (!signal.aborted) {
      const answer = peer.generate('Once upon a time', { maxTokens: 100, waitMs: 60_000, signal })
      for await (const event of answer.events()) {
        if (event.event === 'lost') console.log(`the answer has lost a hop: ${event.reason}`)
        else if (event.event === 'recovered') console.log(`the answer goes on after ${Math.round(event.ms)} ms`)
        else if (event.event === 'done') answers.push(event.text)
      }
    }
  } catch (error) {
    if (!signal.aborted) console.error(`no more answers: ${(error as Error).message}`)
  }
  return answers
}

const peer = await createPeer({
  swarm: values.swarm,
  dataDir: values.data,
  bootstrap: values.bootstrap,
  listen: values.listen,
  mdns: values.mdns,
  memoryBytes: 256e6
})
peer.addEventListener('stage:up', ({ detail }) => console.log(`serving layers ${detail.start}-${detail.end}`))
peer.addEventListener('stage:down', () => console.log('serving nothing'))
const model = (await peer.model()).manifest.name
// The first answer shows that all is loaded; then the vehicle takes off.
await peer.generate('Once upon a time', { maxTokens: 1, waitMs: 60_000 }).answer

const flight = new AbortController()
const answers = ask(peer, flight.signal)
const vehicle = new Vehicle()
const calm = new Calm()
const serving = new Serving(peer, model)
let late = 0
let worstMs = 0
let paused: string | undefined
let dueMs = performance.now()
for (let tick = 0; tick < flightTicks; tick++) {
  await sleep(Math.max(0, dueMs - performance.now()))
  const lateByMs = performance.now() - dueMs
  if (lateByMs >= lateMs) late++
  worstMs = Math.max(worstMs, lateByMs)
  vehicle.step(tick >= gustTick && tick < gustTick + gustTicks)
  const why = calm.tick(lateByMs >= lateMs, vehicle)
  if (why !== paused) console.log(why === undefined ? `resume at tick ${tick}` : `pause at tick ${tick}: ${why}`)
  paused = why
  serving.wish(why === undefined)
  // What was missed is left out, not made up for in a hurry.
  dueMs = Math.max(dueMs + periodMs, performance.now())
}
flight.abort(new Error('the flight is over'))
const texts = await answers
await serving.settled()
console.log(`flew ${flightTicks} ticks, ${late} of them late, by ${worstMs.toFixed(1)} ms at most`)
console.log(`${texts.length} answers, ${new Set(texts).size === 1 ? 'all the same' : 'NOT all the same'}`)
await peer.stop()

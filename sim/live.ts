/**
 * The same scenario, lived by real peers: processes with libp2p, engines and a model, whose connections go through an
 * air that the scenario's radio decides. The simulator is given what they announce of themselves and nothing else, lives
 * through the scenario first, and what was asked and done there is asked and done to them (`live-swarm.ts`).
 */
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { availableParallelism, loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Figures, figuresOf, isOff, type Row, simulatedCourse, type Spread, tableOf } from './live-course.ts'
import { readLiveModel } from './live-model.ts'
import { builtFile, packageFolder } from './live-peer.ts'
import { calibrated, liveBudgets, type LiveTimings, whyNotLive } from './live-plan.ts'
import { airFromMs, LiveError, LiveSwarm } from './live-swarm.ts'
import { type Scenario, ScenarioError } from './scenario-fields.ts'
import { World, type WorldCourse } from './world.ts'

export interface LiveInit {
  readonly scenario: Scenario
  readonly seed: number
  readonly print: (line: string) => void
  readonly signal: AbortSignal
}

/** What a live run ends with. */
export interface LiveSummary {
  readonly event: 'live'
  readonly scenario: string
  readonly seed: number
  readonly peers: number
  readonly model: string
  readonly rows: readonly Row[]
  /** Lines of the table whose simulated and measured medians differ by more than a quarter. */
  readonly off: readonly string[]
  readonly simulated: Figures
  readonly measured: Figures
  /** What the peers announced, per group. */
  readonly timings: Readonly<Record<string, LiveTimings>>
  readonly machine: {
    readonly cores: number
    readonly loadBefore: number
    readonly loadAfter: number
    /** How much later than its radio says the live air handed over. */
    readonly airLateMs: Spread
  }
}

/**
 * Lives through a scenario twice, and compares.
 * @throws {ScenarioError} when it is none for real peers. @throws {LiveError} @throws the signal's reason.
 * @throws {BrokenPromise} when the simulated world breaks one.
 */
export async function runLive({ scenario, seed, print, signal }: LiveInit): Promise<LiveSummary> {
  const why = whyNotLive(scenario)
  if (why !== undefined) throw new ScenarioError(why)
  if (!existsSync(builtFile)) throw new LiveError('real peers run what npm run build makes, and it has not been run')
  const model = readLiveModel(packageFolder)
  if (model === undefined) throw new LiveError('there is no model in models/ that real peers could serve')
  // A world that is never begun knows who is there, where they are and who hears whom.
  const cast = new World({ scenario, seed })
  const budgets = liveBudgets(scenario, cast.shape, model.shape)
  if (budgets === undefined) {
    throw new ScenarioError(
      `the peers of ${scenario.name} could not hold ${model.manifest.name}, whatever their budgets`
    )
  }
  if (budgets.factor > 1) {
    print(
      `budgets are ${budgets.factor.toFixed(2)} times the scenario's share of the model, or nobody could hold the ends of ${model.manifest.name}`
    )
  }
  const folder = await mkdtemp(join(tmpdir(), 'skein-live-'))
  const swarm = new LiveSwarm({ cast, folder, budgets, print, signal })
  try {
    const loadBefore = loadavg()[0]!
    await swarm.start()
    const timings = swarm.timings()
    const same = calibrated(scenario, model, budgets, timings)
    const events: WorldCourse[] = []
    const { hidden } = model.manifest.config
    print('simulating the same')
    const world = new World({ scenario: same, seed, hidden, onCourse: event => events.push(event) })
    const endMs = scenario.minutes * 60_000
    const carried = async (untilMs: number): Promise<number> => {
      await world.live(untilMs)
      return [...world.wire.bytes.values()].reduce((sum, bytes) => sum + bytes, 0)
    }
    const before = await carried(airFromMs)
    const airBytes = (((await carried(endMs)) - before) * 1000) / (endMs - airFromMs)
    // The promises of its healing, too.
    await world.run()
    const simulated = figuresOf(simulatedCourse(events, endMs), airBytes)
    print(`living ${scenario.minutes} minutes of it`)
    const course = await swarm.live(events, model)
    const measured = figuresOf(course, swarm.airBytesPerSecond)
    const rows = tableOf(simulated, measured)
    return {
      event: 'live',
      scenario: scenario.name,
      seed,
      peers: cast.peers.length,
      model: model.manifest.name,
      rows,
      off: rows.filter(isOff).map(({ what }) => what),
      simulated,
      measured,
      timings: Object.fromEntries(scenario.peers.map(({ name }, i) => [name, timings[i]!])),
      machine: {
        cores: availableParallelism(),
        loadBefore,
        loadAfter: loadavg()[0]!,
        airLateMs: swarm.airLateMs
      }
    }
  } finally {
    await swarm.stop()
    await rm(folder, { recursive: true, force: true, maxRetries: 5 })
  }
}

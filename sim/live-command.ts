/** `npm run sim -- --live`: has real peers live a scenario, prints the table, and leaves nothing behind. */
import { runLive, type LiveSummary } from './live.ts'
import { LiveError } from './live-swarm.ts'
import { offFactor, renderTable } from './live-course.ts'
import { BrokenPromise } from './promises.ts'
import type { Scenario } from './scenario-fields.ts'

export interface LiveCommand {
  readonly scenario: Scenario
  readonly seed: number
  readonly quiet: boolean
  readonly json: boolean
  readonly print: (line: string) => void
}

/**
 * Returns the exit code: 0 lived, 1 the simulated world broke a promise, 3 the scenario's watch was not content with
 * what real peers did, 4 they cannot be had here, 130 interrupted.
 * @throws {ScenarioError} when the scenario is none for real peers.
 */
export async function commandLive({ scenario, seed, quiet, json, print }: LiveCommand): Promise<number> {
  const stopping = new AbortController()
  const interrupt = (): void => {
    // Whoever insists does not wait for goodbyes; the peers end with this process.
    if (stopping.signal.aborted) process.exit(130)
    stopping.abort(new Error('interrupted'))
  }
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, interrupt)
  const fail = (code: number, message: string, details: object): number => {
    print(message)
    if (json) print(JSON.stringify({ event: 'failed', scenario: scenario.name, seed, message, ...details }))
    return code
  }
  try {
    const tell = quiet ? (): void => {} : print
    const summary = await runLive({ scenario, seed, print: tell, signal: stopping.signal })
    if (!quiet || !json) for (const line of describe(summary)) print(line)
    const wrong = discontent(scenario, summary)
    for (const line of wrong) print(`not content: ${line}`)
    if (json) print(JSON.stringify(summary))
    return wrong.length === 0 ? 0 : 3
  } catch (error) {
    if (stopping.signal.aborted) return fail(130, 'interrupted', {})
    if (error instanceof LiveError) return fail(4, error.message, {})
    if (error instanceof BrokenPromise) return fail(1, `broken: ${error.message}`, { promise: error.promise })
    throw error
  } finally {
    for (const name of ['SIGINT', 'SIGTERM'] as const) process.off(name, interrupt)
  }
}

function describe({ rows, off, simulated, measured, timings, machine, model, peers }: LiveSummary): string[] {
  const losses = (found: Readonly<Record<string, number>>): string =>
    Object.entries(found)
      .map(([reason, count]) => `${count} ${reason}`)
      .join(', ') || 'none'
  const costs = Object.entries(timings).map(
    ([group, { visitMs, layerMs }]) => `${group} ${visitMs.toFixed(3)} + ${layerMs.toFixed(3)} a layer`
  )
  return [
    ...renderTable(rows),
    `answers: ${simulated.answered} of ${simulated.asked} simulated, ${measured.answered} of ${measured.asked} measured`,
    `hops lost: ${losses(simulated.losses)} simulated; ${losses(measured.losses)} measured`,
    `${peers} peers with ${model} on ${machine.cores} cores, load ${machine.loadBefore.toFixed(1)} before and ${machine.loadAfter.toFixed(1)} after; the air handed over ${machine.airLateMs.median} ms late (median)`,
    `announced, ms: ${costs.join('; ')}`,
    ...(off.length === 0 ? [] : [`off by more than ${Math.round(100 * (offFactor - 1))} %: ${off.join(', ')}`])
  ]
}

/** What the scenario watches for and real peers did not do. */
function discontent({ watch }: Scenario, { measured }: LiveSummary): string[] {
  const found: string[] = []
  const ratio = measured.asked === 0 ? 1 : measured.answered / measured.asked
  if (watch.answeredRatioMin !== undefined && ratio < watch.answeredRatioMin) {
    found.push(`${(100 * ratio).toFixed(1)} % of the prompts were answered, not ${100 * watch.answeredRatioMin} %`)
  }
  const { most } = measured.pauseMs
  if (watch.pauseP99MsMax !== undefined && most !== null && most > watch.pauseP99MsMax) {
    found.push(`the longest pause was ${most} ms, not ${watch.pauseP99MsMax} ms`)
  }
  return found
}

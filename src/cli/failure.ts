/** What becomes of an error at the door: a sentence, a name, an exit code. */
import { reasonOf } from '../index.ts'
import type { ControlFailure } from './control.ts'

/** Thrown when a signal ends a command: exit code 128 + its number, as shells count. */
export class InterruptedError extends Error {
  override readonly name = 'InterruptedError'
  readonly exitCode: number
  constructor(signal: 'SIGINT' | 'SIGTERM' | 'SIGHUP') {
    super(`interrupted by ${signal}`)
    this.exitCode = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 }[signal]
  }
}

/** Thrown when nobody reads the output any more, as under `| head`: the command ends without a word. */
export class OutputClosedError extends Error {
  override readonly name = 'OutputClosedError'
  readonly exitCode = 0
}

/** An error as it is shown and as it crosses the control socket. What is not expected counts as a defect: code 1. */
export function describeFailure(err: unknown): ControlFailure {
  if (!(err instanceof Error)) return { name: 'Error', message: reasonOf(err), exitCode: 1 }
  const { exitCode, text } = err as { exitCode?: unknown; text?: unknown }
  const isExpected = typeof exitCode === 'number'
  return {
    name: err.name,
    message: isExpected ? err.message : reasonOf(err),
    exitCode: isExpected && Number.isInteger(exitCode) && exitCode >= 0 ? exitCode : 1,
    ...(typeof text === 'string' ? { text } : {})
  }
}

/** The exit codes as `skein --help` lists them. */
export const exitCodes = `Exit codes:
  0    done
  1    a defect in Skein, a demo whose answers differ, or something that doctor says fails
  2    a flag, option or prompt is wrong, or a budget is too small
  3    a model, shard, swarm file or data directory is unusable
  4    nothing to ask: no peer runs there, layers are missing, an address is taken
  5    a peer or an engine failed while it answered
  130  interrupted (Ctrl-C); a peer that is asked to stop, stops with 0`

/** `skein drain`: a peer goes, and says what became of what it held. */
import type { DrainReport } from '../index.ts'
import type { CommandContext } from './context.ts'
import { askDrain } from './control-client.ts'
import { formatMs, layers, say, sayJson } from './output.ts'

export interface DrainFlags {
  readonly data: string
  readonly json?: boolean
}

/** Has the running peer go, and says what it did once that is done. @throws what {@link askDrain} throws. */
export async function drain(flags: DrainFlags, { signal }: CommandContext): Promise<void> {
  const report = await askDrain(flags.data, { signal })
  if (flags.json) sayJson({ event: 'drained', ...report })
  else say(describeDrain(report))
}

/** One line for a person. */
export function describeDrain({ handedOver, notTaken, sessions, sessionsLeft, answersLeft, ms }: DrainReport): string {
  const parts = [
    handedOver.length > 0 ? `others serve ${handedOver.map(layers).join(', ')} now` : '',
    notTaken.length > 0 ? `nobody else serves ${notTaken.map(layers).join(', ')}` : '',
    sessions > sessionsLeft ? `${count(sessions - sessionsLeft, 'session')} moved on or ended` : '',
    sessionsLeft > 0 ? `${count(sessionsLeft, 'session')} ran here to the last` : '',
    answersLeft > 0 ? `${count(answersLeft, 'answer')} of its own ended early` : ''
  ].filter(part => part !== '')
  return `left after ${formatMs(ms)}: ${parts.join('; ') || 'it held nothing'}`
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`
}

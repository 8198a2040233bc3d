import { expect, it } from 'vitest'
import { describeDrain } from '../../src/cli/drain.ts'
import type { DrainReport } from '../../src/index.ts'

const stage = (start: number, end: number): DrainReport['handedOver'][number] =>
  ({ model: 'm', start, end, serving: true, cacheBytesFree: 0 }) as unknown as DrainReport['handedOver'][number]
const nothing: DrainReport = { handedOver: [], notTaken: [], sessions: 0, sessionsLeft: 0, answersLeft: 0, ms: 1234 }

it.each([
  [{}, 'left after 1234 ms: it held nothing'],
  [
    { handedOver: [stage(2, 4)], sessions: 1 },
    'left after 1234 ms: others serve layers 2-4 now; 1 session moved on or ended'
  ],
  [
    { notTaken: [stage(0, 1)], sessions: 3, sessionsLeft: 3, answersLeft: 1 },
    'left after 1234 ms: nobody else serves layer 0; 3 sessions ran here to the last; 1 answer of its own ended early'
  ]
])('a departure in a line: %j', (report, line) => {
  expect(describeDrain({ ...nothing, ...report })).toBe(line)
})

/** What a person sees of an answer on a terminal. */
import { afterEach, expect, it, vi } from 'vitest'
import { showEvent } from '../../src/cli/ask.ts'
import type { GenerationEvent } from '../../src/index.ts'

afterEach(() => vi.restoreAllMocks())

it('the line after an answer names the peers that gave its end, not one that was lost', () => {
  const isTTY = process.stderr.isTTY
  process.stderr.isTTY = true
  let told = ''
  vi.spyOn(process.stderr, 'write').mockImplementation(text => {
    told += text
    return true
  })
  vi.spyOn(process.stdout, 'write').mockImplementation(() => true)
  const hop = (peer: string, start: number, end: number) => ({ peer, start, end })
  const events = [
    { event: 'route', hops: [hop('head', 0, 3), hop('tail', 3, 6)] },
    { event: 'lost', peer: 'head', hop: 0, reason: 'closed', charged: true },
    { event: 'recovered', ms: 5, replayedTokens: 7, exact: true, route: [hop('other', 0, 3), hop('tail', 3, 6)] },
    {
      event: 'done',
      text: '',
      promptIds: [1],
      ids: [2],
      stop: 'eos',
      timing: { firstTokenMs: 1, totalMs: 2, tokensPerSecond: 3 },
      bytesPerToken: 0,
      exact: true,
      hops: [],
      drafts: { proposed: 0, taken: 0 }
    }
  ] as unknown as GenerationEvent[]
  try {
    const show = showEvent()
    for (const event of events) show(event)
  } finally {
    process.stderr.isTTY = isTTY
  }
  const last = told.trimEnd().split('\n').at(-1)
  expect(last).toContain('other layers 0-3 → ')
  expect(last).toContain('tail layers 3-6')
  expect(last).not.toContain('head')
})

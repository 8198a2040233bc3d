/** What a person sees of an answer on a terminal. */
import { afterEach, expect, it, vi } from 'vitest'
import { showEvent } from '../../src/cli/ask.ts'
import { describeScores } from '../../src/cli/scores.ts'
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

it('how likely tokens were is told of each, with what else was likely, and nothing of it moves a terminal', () => {
  const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values)
  const likely = { id: 1, logprob: Math.log(0.8), bytes: bytes(32, 97) }
  const half = { id: 2, logprob: Math.log(0.15), bytes: bytes(0xf0, 0x9f) }
  const rare = { id: 3, logprob: Math.log(0.00001), bytes: bytes(27, 91, 65) }
  expect(
    describeScores([
      { ...likely, top: [likely, half] },
      { ...rare, top: [likely] }
    ])
  ).toEqual([
    'probability  token       likely, too',
    '80.00 %      " a"        0xf09f 15.00 %',
    '1e-3 %       "\\u001b[A"  " a" 80.00 %',
    `mean log-probability ${((Math.log(0.8) + Math.log(0.00001)) / 2).toFixed(3)}, perplexity 353.55`
  ])
  expect(describeScores([])).toEqual(['no token came whose probability is known'])
})

/** The swarm as text, as wide as there is room for. */
import { describe, expect, it } from 'vitest'
import { summaryOf, swarmView, withoutSpeeds } from '../../src/cli/swarm-view.ts'
import type { LinkStatus, ModelId, PeerId, PeerStatus, Status } from '../../src/index.ts'

const model = 'f'.repeat(64) as ModelId
const [me, near, far] = ['selfself', 'nearnear', 'farawayy'].map(id => `12D3KooW${id}`) as [PeerId, PeerId, PeerId]
const peer = (id: PeerId, more: Partial<PeerStatus> = {}): PeerStatus => ({
  id,
  self: id === me,
  addresses: [],
  hardware: { cores: 4, memoryBytes: 8e9, architecture: 'arm64', platform: 'linux', cpu: '' },
  budgetBytes: 64e6,
  usedBytes: id === me ? 12e6 : null,
  stages: [],
  sessions: 1,
  timings: [],
  battery: null,
  leaving: false,
  speaks: true,
  ageMs: 0,
  connected: true,
  ...more
})
const link = (bytesThere: number, bytesBack: number): LinkStatus => ({
  from: me,
  to: near,
  rttMs: 1.25,
  bytesThere,
  bytesBack
})
const status = (more: Partial<Status> = {}): Status =>
  ({
    self: me,
    swarm: 'alpha',
    peers: [
      peer(me, { stages: [{ model, start: 0, end: 4, serving: true }] }),
      peer(near, {
        stages: [{ model, start: 4, end: 6, serving: false }],
        battery: { level: 0.5, charging: true },
        leaving: true
      }),
      peer(far, { connected: false, sessions: 0 })
    ],
    models: [{ id: model, name: 'stories', layers: 6, coverage: [1, 1, 1, 1, 0, 0], missing: null }],
    links: [link(5000, 9000)],
    answers: [
      {
        number: 7,
        model,
        state: 'running',
        route: [{ peer: me, start: 0, end: 6 }],
        tokens: 34,
        tokensPerSecond: 20.25,
        ageMs: 2400,
        lost: 1
      }
    ],
    discovery: [{ way: 'mdns', state: 'nobody' }],
    fetches: [],
    unkept: [],
    membership: null,
    ...more
  }) as unknown as Status
const view = (columns: number, rows = 40, more: Partial<Status> = {}): string[] =>
  swarmView({
    status: status(more),
    before: { status: status({ links: [link(3000, 9000)] }), ms: 500 },
    time: '12:34:56',
    columns,
    rows
  })

describe('a picture of the swarm', () => {
  it('has peers with their layers, links, sessions and battery, and answers with their speed', () => {
    const lines = view(200)
    expect(lines[0]).toBe(
      'swarm alpha: 3 peers (1 not connected), stories lacks 2 layers of 6, 2 sessions, 1 answer, 20.3 tokens/s  12:34:56'
    )
    expect(lines[2]).toMatch(/^peer +rtt +layers +sessions +sent +got +memory +battery +cores/)
    expect(lines[3]).toMatch(/^…selfself +this one +████·· stories +1 +12\.0 MB of 64\.0 MB +4 arm64$/)
    expect(lines[4]).toMatch(
      /^…nearnear +1\.3 ms +····▒▒ stories +1 +4\.0 kB\/s +0 B\/s +64\.0 MB +50 %\+ +4 arm64 +leaving$/
    )
    expect(lines[5]).toMatch(/^…farawayy +away +0 +64\.0 MB/)
    const text = lines.join('\n')
    expect(text).toContain('stories  1111··  lacks 2 layers of 6')
    expect(text).toMatch(/#7 +running +34 +20\.3 +2 s +1 +stories +…selfself 0-6/)
  })

  it.each([20, 40, 60, 79, 120])('is never wider than %d columns, and keeps peers and layers', columns => {
    const lines = view(columns)
    for (const line of lines) expect([...line].length).toBeLessThanOrEqual(columns)
    const row = lines.find(line => line.startsWith('…selfself'))
    if (columns >= 40) expect(row).toContain('████··')
    expect(lines.some(line => line.includes('cores'))).toBe(columns >= 120)
  })

  it('says all of its summary in as many lines as that takes', () => {
    expect(view(50).slice(0, 4)).toEqual([
      'swarm alpha: 3 peers (1 not connected),',
      'stories lacks 2 layers of 6, 2 sessions, 1 answer,',
      '20.3 tokens/s  12:34:56',
      ''
    ])
  })

  it('is no higher than there are rows, and says what is left out', () => {
    expect(view(100, 5)).toHaveLength(5)
    expect(view(100, 5).at(-1)).toMatch(/^… \d+ more lines$/)
  })

  it('does nothing to a terminal that others say', () => {
    const models = [{ ...status().models[0]!, name: 'bad\x1b[2J' }]
    expect(view(100, 40, { models }).join('')).not.toContain('\x1b')
  })
})

it('does not count on a peer that it has lost', () => {
  const whole = [{ model, start: 0, end: 6, serving: true }]
  const seen = (connected: boolean): string =>
    summaryOf(status({ peers: [peer(me), peer(far, { connected, stages: whole })], answers: [] }))
  expect(seen(true)).toContain('stories covered 1x')
  expect(seen(false)).toContain('stories lacks 6 layers of 6')
})

it('a summary that differs in speed alone is no news', () => {
  const faster = { ...status().answers[0]!, tokensPerSecond: 99 }
  const [one, two] = [summaryOf(status()), summaryOf(status({ answers: [faster] }))]
  expect(one).not.toBe(two)
  expect(withoutSpeeds(one)).toBe(withoutSpeeds(two))
  expect(withoutSpeeds(one)).not.toBe(withoutSpeeds(summaryOf(status({ answers: [] }))))
})

import { describe, expect, it } from 'vitest'
import { formatMs, layers, table } from '../../src/cli/output.ts'
import { coverageBar, describeStatus } from '../../src/cli/status.ts'
import type { ModelId, ModelStatus, PeerId, PeerStatus, Status } from '../../src/index.ts'

const model = 'f'.repeat(64) as ModelId
const peer = (id: string, more: Partial<PeerStatus> = {}): PeerStatus => ({
  id: `12D3KooW${id}` as PeerId,
  self: false,
  addresses: [],
  hardware: { cores: 4, memoryBytes: 8e9, architecture: 'arm64', platform: 'linux', cpu: 'Cortex-A72' },
  budgetBytes: 64e6,
  usedBytes: null,
  stages: [],
  sessions: 0,
  timings: [],
  battery: null,
  leaving: false,
  speaks: true,
  ageMs: 1500,
  connected: true,
  ...more
})
const status = (models: Partial<ModelStatus>, peers: PeerStatus[], more: Partial<Status> = {}): Status => ({
  self: peers[0]!.id,
  swarm: 'alpha',
  peers,
  links: [],
  answers: [],
  models: [{ id: model, name: 'stories', layers: 4, coverage: [1, 1, 2, 0], missing: null, needs: null, ...models }],
  discovery: [{ way: 'mdns', state: 'no multicast route' }],
  disk: { usedBytes: 12_300_000, limitBytes: 50e6, keptBytes: 8e6 },
  unkept: [],
  membership: null,
  prefixes: { bytes: 0, reused: 0 },
  draft: null,
  violations: {},
  fetching: null,
  fetches: [],
  ...more
})

describe('a status for a person', () => {
  it('says who serves what, and what nobody serves', () => {
    const text = describeStatus(
      status({ missing: { layers: [{ start: 3, end: 4 }], bytes: 12_300_000, pinned: false } }, [
        peer('selfself', { self: true, usedBytes: 5e6, stages: [{ model, start: 0, end: 3, serving: true }] }),
        peer('loadload', {
          stages: [{ model, start: 2, end: 3, serving: false }],
          timings: [{ model, visitMs: 0.25, layerMs: 0.5, numericClass: 'x' }],
          battery: { level: 0.5, charging: false }
        }),
        peer('gonegone', { leaving: true })
      ])
    ).join('\n')
    expect(text).toContain('swarm alpha: 3 peers')
    expect(text).toMatch(/…gonegone +1500 ms ago, leaving /)
    expect(text).toMatch(/…selfself +this one +4 arm64 +8\.0 GB +64\.0 MB +5\.0 MB +stories layers 0-3 /)
    expect(text).toMatch(
      /…loadload +1500 ms ago .* stories layer 2 \(loading\) +0\.25 \+ 0\.50 a layer +0, battery 50 %/
    )
    expect(text).toContain('stories  112·  1 of 4 layers are covered by nobody')
    expect(text).toContain('12.3 MB of budget are missing for layer 3: start another peer, or raise --memory')
    expect(text).toContain('discovery by mdns: no multicast route')
    expect(text).toContain('disk: models take 12.3 MB of 50.0 MB, 8.0 MB of them imported and kept')
    const pinned = status({ missing: { layers: [{ start: 3, end: 4 }], bytes: 12_300_000, pinned: true } }, [
      peer('x', { self: true })
    ])
    expect(describeStatus(pinned).join('\n')).toContain(
      'nobody may load layer 3, as --layers keeps peers to others: start another peer, or one without --layers'
    )
    expect(text).not.toContain('violations')
    expect(text).not.toContain('prompts:')
  })

  it('says what a model takes, and on how many peers, where it lacks layers or nothing of it is here', () => {
    const stages = [{ model, start: 0, end: 4, serving: true }]
    const fit = { wholeBytes: 165e6, budgetBytes: 64e6, peers: 3 }
    const lines = (more: Partial<ModelStatus>, ...of: PeerStatus[]): string =>
      describeStatus(status({ needs: fit, ...more }, of)).join('\n')
    const own = peer('self', { self: true, stages })
    const other = peer('other', { stages })
    const sentence = '  it takes 165 MB in all: 3 peers that give 64.0 MB each'
    expect(lines({}, own)).toContain(sentence)
    expect(lines({ coverage: [1, 1, 1, 1] }, peer('self', { self: true }), other)).toContain(sentence)
    expect(lines({ coverage: [1, 1, 1, 1] }, own)).not.toContain('it takes')
    const told = (needs: object): string => lines({ needs: { ...fit, ...needs } }, own)
    expect(told({ peers: 1, budgetBytes: 200e6 })).toContain('165 MB in all: one peer that gives 200 MB holds it')
    expect(told({ peers: null })).toContain('and peers that give 64.0 MB each cannot hold one of its layers')
    expect(told({ budgetBytes: 0, peers: null })).toContain('\n  it takes 165 MB in all\n')
    // A peer of an older version says nothing of it.
    expect(lines({ needs: undefined as never }, own)).not.toContain('it takes')
  })

  it('says what drafts, or why nothing does', () => {
    const draft = { model, name: 'small', ready: true, state: 'ready', bytes: 24_600_000 }
    const lines = (more: object): string => describeStatus(status({}, [peer('x')], more)).join('\n')
    expect(lines({ draft })).toContain('drafts: by small, 24.6 MB of the budget')
    const looking = { ...draft, model: null, ready: false, state: "looking for the model 'small'", bytes: 0 }
    expect(lines({ draft: looking })).toContain("drafts: not by small: looking for the model 'small'")
    expect(lines({})).not.toContain('drafts:')
    // A peer of an older version says nothing of it.
    expect(lines({ draft: undefined })).not.toContain('drafts:')
  })

  it('says what is kept of prompts', () => {
    const text = describeStatus(status({}, [peer('x')], { prefixes: { bytes: 2_500_000, reused: 1024 } })).join('\n')
    expect(text).toContain('prompts: the beginnings of earlier ones take 2.5 MB; 1024 tokens were not computed again')
  })

  it('shows a graph as one, and what a run of it takes', () => {
    const stages = [{ model, start: 0, end: 1, serving: true }]
    const timing = { model, layerMs: 0, numericClass: '' }
    const one = peer('one', { self: true, stages, timings: [{ ...timing, visitMs: 12.34 }] })
    const two = peer('two', { stages, timings: [{ ...timing, visitMs: 0 }] })
    const graph = { name: 'minilm', layers: 1, coverage: [2], isGraph: true }
    const lines = describeStatus(status(graph, [one, two]))
    expect(lines.find(line => line.includes('one'))).toMatch(/ minilm +12\.3 a run /)
    expect(lines.find(line => line.includes('two'))).toMatch(/ minilm +no run yet /)
    expect(lines.join('\n')).toContain('minilm  2  a graph, served by 2 peers')
  })

  it('sets models of one name apart by their ids, and says that the name is not clear', () => {
    const other = 'e'.repeat(64) as ModelId
    const stages = [
      { model, start: 0, end: 4, serving: true },
      { model: other, start: 0, end: 2, serving: true }
    ]
    const models = [
      { id: model, name: 'stories', layers: 4, coverage: [1, 1, 1, 1], missing: null, needs: null },
      { id: other, name: 'stories', layers: 2, coverage: [1, 1], missing: null, needs: null }
    ]
    const text = describeStatus(status({}, [peer('selfself', { self: true, stages })], { models })).join('\n')
    expect(text).toContain(' stories (ffffffffffff) layers 0-4, stories (eeeeeeeeeeee) layers 0-2 ')
    expect(text).toContain('stories (ffffffffffff)  1111  every layer is covered')
    expect(text).toContain('stories (eeeeeeeeeeee)  11  every layer is covered')
    expect(text).toContain(
      'the name stories is not clear, it is that of ffffffffffff and eeeeeeeeeeee: give --model the beginning of an id'
    )
  })

  it('says which peers it has no connection with, and does not count on them', () => {
    const serving = (start: number, end: number) => [{ model, start, end, serving: true }]
    const text = describeStatus(
      status({ coverage: [2, 2, 1, 2] }, [
        peer('selfself', { self: true, stages: serving(0, 2) }),
        peer('nearnear', { stages: serving(3, 4) }),
        // Its process was killed: its record is known for half a minute more.
        peer('deaddead', { connected: false, stages: serving(0, 4) })
      ])
    ).join('\n')
    expect(text).toMatch(/…deaddead +1500 ms ago, not connected /)
    expect(text).toContain('2212  every layer is covered, layer 2 only by peers that are not connected')
  })

  it('says when all is well, and what other peers did wrong', () => {
    const stages = [{ model, start: 0, end: 4, serving: true }]
    const well = describeStatus(
      status({ coverage: [2, 3, 12, 2] }, [peer('selfself', { self: true, stages }), peer('nearnear', { stages })], {
        violations: { 'frame too long': 2, garbage: 0 }
      })
    ).join('\n')
    expect(well).toContain('stories  23+2  every layer is covered at least 2 times')
    expect(well).toContain('protocol violations by other peers: frame too long 2')
    expect(well).not.toContain('garbage')
    expect(well).toContain('swarm alpha: 2 peers\n')
    expect(describeStatus(status({}, [peer('selfself', { self: true })]))[0]).toBe('swarm alpha: 1 peer')
  })
})

describe('output', () => {
  it('draws coverage, pads columns and names layers', () => {
    expect(coverageBar([0, 1, 9, 10])).toBe('·19+')
    expect(
      table([
        ['a', 'bb', ''],
        ['ccc', 'd', '']
      ])
    ).toEqual(['a    bb', 'ccc  d'])
    expect(layers({ start: 0, end: 2 })).toBe('layers 0-2')
    expect(layers({ start: 2, end: 3 })).toBe('layer 2')
  })

  it.each([
    [0.44, '0.4 ms'],
    [9.96, '10 ms'],
    [640, '640 ms'],
    [9949, '9949 ms'],
    [12_345, '12.3 s']
  ])('writes %d ms as %s', (ms, text) => {
    expect(formatMs(ms)).toBe(text)
  })
})

import { expect, it } from 'vitest'
import { watch } from '../../src/cli/watch.ts'
import type { ModelId, Peer, StageStatus, Status } from '../../src/index.ts'

const [graph, decoder] = ['a'.repeat(64) as ModelId, 'b'.repeat(64) as ModelId]

it('a peer tells of layers where a model has them, and of graphs as a whole', () => {
  const stage = (model: ModelId, end: number, serving: boolean): StageStatus =>
    ({ model, start: 0, end, serving }) as StageStatus
  const statusOf = (serving: boolean): Status =>
    ({
      self: 'p',
      discovery: [],
      fetches: [],
      draft: null,
      peers: [{ id: 'p', self: true, stages: [stage(graph, 1, serving), stage(decoder, 2, serving)] }],
      models: [
        { id: graph, name: 'minilm', layers: 1, coverage: [serving ? 1 : 0], isGraph: true },
        { id: decoder, name: 'stories', layers: 2, coverage: serving ? [1, 1] : [0, 0] }
      ]
    }) as unknown as Status
  let serving = false
  const peer = Object.assign(new EventTarget(), { id: 'p', status: () => statusOf(serving) })
  const lines: string[] = []
  const stop = watch(peer as unknown as Peer, (_, line) => lines.push(line))
  for (const is of [true, false]) {
    serving = is
    peer.dispatchEvent(new Event('stage:up'))
  }
  peer.dispatchEvent(new CustomEvent('stage:down', { detail: stage(graph, 1, true) }))
  peer.dispatchEvent(new CustomEvent('stage:down', { detail: stage(decoder, 2, true) }))
  stop()
  expect(lines).toEqual([
    'loading minilm',
    'loading layers 0-2 of stories',
    'serving minilm',
    'serving layers 0-2 of stories',
    'minilm: it is served',
    'stories: every layer is covered',
    'minilm: nobody serves it any more',
    'stories: no longer every layer is covered',
    'released minilm',
    'released layers 0-2 of stories'
  ])
})

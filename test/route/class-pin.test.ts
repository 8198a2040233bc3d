import { describe, expect, it } from 'vitest'
import type { PeerId } from '../../src/base/ids.ts'
import { answerRoute } from '../../src/route/asking.ts'
import { ClassPin } from '../../src/route/class-pin.ts'
import type { Hop, ModelShape, PeerView } from '../../src/route/view.ts'
import { modelId } from '../session/world.ts'

const model: ModelShape = {
  id: modelId,
  name: 'toy',
  layers: 6,
  layerBytes: [1, 1, 1, 1, 1, 1],
  embeddingBytes: 1,
  headBytes: 1,
  tiedEmbeddings: false,
  cacheBytesPerLayer: 1,
  stageBytes: 1
}

const view = (peer: string, start: number, end: number, numericClass: string, layerMs = 1): PeerView => ({
  peer: peer as PeerId,
  budgetBytes: 1000,
  held: [{ start: 0, end: 6 }],
  holdsEmbedding: true,
  holdsHead: true,
  pinned: null,
  visitMs: 1,
  layerMs,
  numericClass,
  stages: [{ start, end, serving: true }],
  sessions: 0,
  battery: null
})

/** Asks as a session does that has lost these peers. */
function ask(views: readonly PeerView[], pin: ClassPin, lost: readonly string[] = []): string | undefined {
  const answer = answerRoute(views, model, {
    from: 'driver' as PeerId,
    excluded: new Set(lost as PeerId[]),
    inflight: new Map(),
    waitedMs: 0,
    ...(pin.layerClasses === undefined ? {} : { layerClasses: pin.layerClasses })
  })
  if (answer.kind !== 'hops') return undefined
  pin.note(answer.hops, views)
  return answer.hops.map((hop: Hop) => hop.peer).join('')
}

describe('the classes that a session began with', () => {
  it('a slower stand-in of the same class comes before a faster one of another', () => {
    const pin = new ClassPin()
    const views = [view('A', 0, 3, 'x'), view('B', 3, 6, 'x'), view('C', 3, 6, 'y', 0.1), view('D', 3, 6, 'x', 50)]
    expect(ask(views, pin)).toBe('AB')
    expect(ask(views, pin, ['B'])).toBe('AD')
    expect(pin.exact).toBe(true)
  })

  it('more hops of the same class come before fewer of another', () => {
    const pin = new ClassPin()
    const views = [
      ...[view('A', 0, 3, 'x'), view('B', 3, 6, 'x'), view('C', 3, 6, 'y')],
      ...[view('D', 3, 4, 'x'), view('E', 4, 6, 'x')]
    ]
    ask(views, pin)
    expect(ask(views, pin, ['B'])).toBe('ADE')
    expect(pin.exact).toBe(true)
  })

  it('another class is better than no answer, and it is said', () => {
    const pin = new ClassPin()
    const views = [view('A', 0, 3, 'x'), view('B', 3, 6, 'x'), view('C', 3, 6, 'y')]
    ask(views, pin)
    expect(ask(views, pin, ['B'])).toBe('AC')
    expect(pin.exact).toBe(false)
    expect(ask(views, pin, ['C'])).toBe('AB')
    expect(pin.exact).toBe(true)
  })

  it('a session that began on two classes keeps each at its layers', () => {
    const pin = new ClassPin()
    const views = [view('A', 0, 3, 'x'), view('B', 3, 6, 'y'), view('C', 3, 6, 'x', 9), view('D', 3, 6, 'y', 9)]
    expect(ask([views[0]!, views[1]!], pin)).toBe('AB')
    expect(ask(views, pin, ['B'])).toBe('AD')
    expect(pin.exact).toBe(true)
    expect(ask(views, pin, ['B', 'D'])).toBe('AC')
    expect(pin.exact).toBe(false)
  })
})

import { afterAll, expect, test } from 'vitest'
import type { Channel } from '../../src/swarm/links.ts'
import type { PeerId } from '../../src/base/ids.ts'
import { Agenda } from '../../sim/agenda.ts'
import { Chance } from '../../sim/chance.ts'
import { Radio } from '../../sim/radio.ts'
import { RadioLinks, type Tap } from '../../sim/radio-links.ts'
import { parseScenario } from '../../sim/scenario.ts'
import type { Station } from '../../sim/station.ts'
import { Wire } from '../../sim/wire.ts'
import { linksCompliance } from '../compliance/links.ts'

/** Lets everything pass. */
const open: Tap = {
  wireBytes: frame => frame.length,
  opening: () => {},
  accepts: () => true,
  sending: (_, frame) => frame,
  arriving: (_channel, _frame, take) => take(),
  taking: () => true,
  taken: () => {},
  aborted: () => {},
  ended: () => {}
}

const { radio: spec } = parseScenario(
  {
    name: 'two',
    minutes: 1,
    model: { layers: 1, layerMB: 1 },
    peers: [{ name: 'p', count: 2, memoryMB: 9, visitMs: 1, layerMs: 1 }],
    radio: { delayMs: 1, jitterMs: 0, rateMbps: 1e6 }
  },
  'here'
)
const pumps: ReturnType<typeof setInterval>[] = []
afterAll(() => {
  for (const pump of pumps) clearInterval(pump)
})

interface Joined {
  readonly agenda: Agenda
  readonly a: RadioLinks
  readonly b: RadioLinks
}

/** Two peers in reach of one another. */
function twoPeers(tapOfB: Tap = open): Joined {
  const agenda = new Agenda()
  const stations = new Map<PeerId, Station>()
  const radio = new Radio(
    spec,
    [0, 1].map(() => ({ motion: () => ({ x: 0, y: 0 }), isOn: () => true })),
    []
  )
  const wire = new Wire(
    agenda,
    radio,
    new Chance(1),
    id => stations.get(id),
    2,
    () => {}
  )
  const join = (id: PeerId, index: number, tap: Tap): RadioLinks => {
    const station: Station = {
      id,
      index,
      life: 1,
      isFrozen: false,
      frameMs: 0,
      openMs: 0,
      enter: (_, task) => task(),
      connected: () => {},
      disconnected: () => {},
      speaks: protocol => links.speaks(protocol),
      accept: channel => links.accept(channel)
    }
    stations.set(id, station)
    const links: RadioLinks = new RadioLinks({
      station,
      wire,
      tap,
      soon: task => agenda.after(0, task),
      onWatch: () => {}
    })
    return links
  }
  return { agenda, a: join('12D3KooWA' as PeerId, 0, open), b: join('12D3KooWB' as PeerId, 1, tapOfB) }
}

linksCompliance('links over the radio', async () => {
  const { agenda, a, b } = twoPeers()
  // Its time runs a thousand times as fast as ours: who cannot be reached is known after seconds of it.
  pumps.push(setInterval(() => agenda.run(agenda.nowMs + 1_000), 1))
  return { a, b, stranger: '12D3KooWX' as PeerId, close: async () => {} }
})

test('what came while a peer did nothing is not taken once it has ended the stream', async () => {
  // Else a judge would take an Open for heard that the stage never read.
  const undone: (() => void)[] = []
  const taken: number[] = []
  const { agenda, a, b } = twoPeers({
    ...open,
    arriving: (_channel, _frame, take) => void undone.push(take),
    taking: (_, frame) => taken.push(frame[0]!) > 0
  })
  const accepted: Channel[] = []
  const protocol = { name: '/test/held', revisions: ['1.0.0'] }
  const options = { inboundMax: 4, frameBytesMax: 100 }
  const read: number[] = []
  await b.handle(protocol, options, channel => {
    accepted.push(channel)
    channel.receive({ onFrame: frame => void read.push(frame[0]!), onClose: () => {} })
  })
  const begin = async (...frames: number[]): Promise<void> => {
    const opened = a.open(b.self, protocol, { signal: AbortSignal.timeout(10_000) })
    agenda.run(agenda.nowMs + 1_000)
    const channel = await opened
    channel.receive({ onFrame: () => {}, onClose: () => {} })
    for (const frame of frames) channel.send(Uint8Array.of(frame))
    agenda.run(agenda.nowMs + 1_000)
  }
  await begin(1, 2)
  await begin(3)
  expect(undone.length).toBe(3)
  accepted[0]!.abort(new Error('no Open was heard in time'))
  for (const take of undone.splice(0)) take()
  expect({ taken, read }).toEqual({ taken: [3], read: [3] })
})

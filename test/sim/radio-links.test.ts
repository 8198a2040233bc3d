import { afterAll } from 'vitest'
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

linksCompliance('links over the radio', async () => {
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
  const join = (id: PeerId, index: number): RadioLinks => {
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
      tap: open,
      soon: task => agenda.after(0, task),
      onWatch: () => {}
    })
    return links
  }
  // Its time runs a thousand times as fast as ours: who cannot be reached is known after seconds of it.
  pumps.push(setInterval(() => agenda.run(agenda.nowMs + 1_000), 1))
  return {
    a: join('12D3KooWA' as PeerId, 0),
    b: join('12D3KooWB' as PeerId, 1),
    stranger: '12D3KooWX' as PeerId,
    close: async () => {}
  }
})

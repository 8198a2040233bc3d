import { expect, test } from 'vitest'
import type { PeerId } from '../../src/base/ids.ts'
import { Agenda } from '../../sim/agenda.ts'
import { Chance } from '../../sim/chance.ts'
import { Radio } from '../../sim/radio.ts'
import { parseScenario } from '../../sim/scenario.ts'
import type { Station } from '../../sim/station.ts'
import { Wire } from '../../sim/wire.ts'
import type { WireChannel } from '../../sim/wire-channel.ts'

interface Host extends Station {
  accepted: WireChannel | undefined
}

function host(id: string, index: number): Host {
  return {
    id: id as PeerId,
    index,
    life: 1,
    isFrozen: false,
    frameMs: 0,
    openMs: 0,
    accepted: undefined,
    enter: (_life, task) => task(),
    connected: () => {},
    disconnected: () => {},
    speaks: ({ revisions }) => revisions[0],
    accept(channel) {
      this.accepted = channel
    }
  }
}

/** Two stations that hear one another, 5 ms apart. */
function two(air: Readonly<Record<string, number>>): { agenda: Agenda; hosts: Host[]; radio: Radio; wire: Wire } {
  const { radio: spec } = parseScenario(
    {
      name: 'two',
      minutes: 1,
      model: { layers: 1, layerMB: 1 },
      peers: [{ name: 'p', count: 2, memoryMB: 9, visitMs: 1, layerMs: 1 }],
      radio: { delayMs: 5, jitterMs: 0, ...air }
    },
    'here'
  )
  const agenda = new Agenda()
  const hosts = [host('a', 0), host('b', 1)]
  const masts = hosts.map(() => ({ motion: () => ({ x: 0, y: 0 }), isOn: () => true }))
  const radio = new Radio(spec, masts, [])
  const stationOf = (id: PeerId): Host | undefined => hosts.find(each => each.id === id)
  return { agenda, hosts, radio, wire: new Wire(agenda, radio, new Chance(7), stationOf, 2, () => {}) }
}

/** Two stations, one stream, so many frames so far apart; when each arrives. */
function send(loss: number, count: number, everyMs: number): { readonly order: number[]; readonly delays: number[] } {
  const { agenda, hosts, wire } = two({ loss, edgeLoss: loss })
  let channel: WireChannel | undefined
  wire.open(hosts[0]!, hosts[1]!.id, { name: 'p', revisions: ['1.0.0'] }, opened => {
    channel = opened
  })
  agenda.run(60_000)
  const [order, delays]: [number[], number[]] = [[], []]
  hosts[1]!.accepted!.handlers = {
    onFrame: frame => {
      const number = new DataView(frame.buffer).getUint32(0)
      order.push(number)
      delays.push(agenda.nowMs - (61_000 + number * everyMs))
    },
    onClose: () => {}
  }
  for (let number = 0; number < count; number++) {
    const frame = new Uint8Array(4)
    new DataView(frame.buffer).setUint32(0, number)
    agenda.at(61_000 + number * everyMs, () => channel!.send(frame))
  }
  agenda.run(600_000)
  return { order, delays }
}

test('a stream loses nothing and keeps its order, whatever the radio loses', () => {
  const { order } = send(0.3, 400, 10)
  expect(order).toEqual(Array.from({ length: 400 }, (_, i) => i))
})

test('a stream that closes over a gap gives nothing of what comes behind it', () => {
  // 1,000 bytes a millisecond: frames of 40 kB arrive 40 ms apart.
  const { agenda, hosts, radio, wire } = two({ rateMbps: 8 })
  let channel: WireChannel | undefined
  wire.open(hosts[0]!, hosts[1]!.id, { name: 'p', revisions: ['1.0.0'] }, opened => {
    channel = opened
  })
  agenda.run(60_000)
  const order: number[] = []
  hosts[1]!.accepted!.handlers = { onFrame: frame => order.push(frame[0]!), onClose: () => {} }
  const at = (ms: number, act: () => void): void => void agenda.at(60_000 + ms, act)
  at(0, () => {
    for (const number of [0, 1, 2, 3]) channel!.send(Uint8Array.of(number), 40_000)
  })
  // The second one finds no way; the third has one again, and the sender hangs up before anything is sent anew.
  at(60, () => radio.cut(0, 1, true))
  at(100, () => radio.cut(0, 1, false))
  at(140, () => wire.disconnect(hosts[0]!.id, hosts[1]!.id, 'it was silent', 'silent'))
  agenda.run(120_000)
  expect(order).toEqual([0])
})

test('what comes behind a lost frame has it sent again at once; a lost tail waits for its timeout', () => {
  // A round trip is 10 ms, the timeout of a sender 200 ms, and twice as long each time.
  const busy = send(0.2, 400, 10).delays.slice(0, -20)
  expect(Math.max(...busy)).toBeLessThan(200)
  const alone = send(0.2, 400, 1000).delays
  expect(Math.max(...alone)).toBeGreaterThan(200)
})

test('the air carries no more than it can, however much is sent at once', () => {
  const { radio: spec } = parseScenario(
    {
      name: 'two',
      minutes: 1,
      model: { layers: 1, layerMB: 1 },
      peers: [{ name: 'p', count: 3, memoryMB: 9, visitMs: 1, layerMs: 1 }],
      radio: { rateMbps: 8, delayMs: 1, jitterMs: 0, shared: true }
    },
    'here'
  )
  const masts = [0, 1, 2].map(() => ({ motion: () => ({ x: 0, y: 0 }), isOn: () => true }))
  const radio = new Radio(spec, masts, [])
  const chance = new Chance(1)
  // 8 Mbit/s are 1,000 bytes a millisecond: two flows of 50 frames of 10 kB take a second together.
  const arrivals: number[] = []
  for (let i = 0; i < 50; i++) {
    for (const [from, to] of [
      [0, 1],
      [1, 2]
    ] as const) {
      arrivals.push(radio.arrival(from, radio.path(from, to)!, 10_000, 0, chance))
    }
  }
  expect(Math.max(...arrivals)).toBeGreaterThan(950)
  expect(Math.max(...arrivals)).toBeLessThan(1050)
  // A short frame of a third flow does not wait for all of that.
  expect(radio.arrival(2, radio.path(2, 0)!, 100, 0, chance)).toBeLessThan(2)
})

test('a host closes the connections of a process that ended once it has cleared it away', () => {
  const { agenda, hosts, wire } = two({})
  let closedMs: number | undefined
  wire.open(hosts[0]!, hosts[1]!.id, { name: 'p', revisions: ['1.0.0'] }, opened => {
    opened!.handlers = {
      onFrame: () => {},
      onClose: () => {
        closedMs = agenda.nowMs
      }
    }
  })
  agenda.run(1_000)
  wire.vanish(hosts[1]!.id, true)
  agenda.run(2_000)
  // The clearing, and the way.
  expect(closedMs).toBeGreaterThanOrEqual(1_000 + 15 + 5)
  expect(closedMs).toBeLessThan(1_100)
})

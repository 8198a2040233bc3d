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

/** Two stations, one stream, so many frames so far apart; when each arrives. */
function send(loss: number, count: number, everyMs: number): { readonly order: number[]; readonly delays: number[] } {
  const { radio: spec } = parseScenario(
    {
      name: 'two',
      minutes: 1,
      model: { layers: 1, layerMB: 1 },
      peers: [{ name: 'p', count: 2, memoryMB: 9, visitMs: 1, layerMs: 1 }],
      radio: { loss, edgeLoss: loss, delayMs: 5, jitterMs: 0 }
    },
    'here'
  )
  const agenda = new Agenda()
  const hosts = [host('a', 0), host('b', 1)]
  const radio = new Radio(
    spec,
    hosts.map(() => ({ motion: () => ({ x: 0, y: 0 }), isOn: () => true })),
    []
  )
  const wire = new Wire(
    agenda,
    radio,
    new Chance(7),
    id => hosts.find(each => each.id === id),
    2,
    () => {}
  )
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
  const { radio: spec } = parseScenario(
    {
      name: 'two',
      minutes: 1,
      model: { layers: 1, layerMB: 1 },
      peers: [{ name: 'p', count: 2, memoryMB: 9, visitMs: 1, layerMs: 1 }],
      radio: { delayMs: 5, jitterMs: 0 }
    },
    'here'
  )
  const agenda = new Agenda()
  const hosts = [host('a', 0), host('b', 1)]
  const masts = hosts.map(() => ({ motion: () => ({ x: 0, y: 0 }), isOn: () => true }))
  const wire = new Wire(
    agenda,
    new Radio(spec, masts, []),
    new Chance(7),
    id => hosts.find(each => each.id === id),
    2,
    () => {}
  )
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

import { describe, expect, test } from 'vitest'
import type { Point } from '../../sim/motion.ts'
import { Radio } from '../../sim/radio.ts'
import { parseScenario } from '../../sim/scenario.ts'
import type { ScenarioFile } from '../../sim/scenario-fields.ts'

/** Stations where the points say, by the radio of a scenario. */
function radioOf(
  spec: ScenarioFile['radio'],
  points: readonly Point[],
  oneWay: readonly (readonly [number, number])[] = [],
  isOn: (station: number) => boolean = () => true
): Radio {
  const { radio } = parseScenario(
    {
      name: 'air',
      minutes: 1,
      model: { layers: 1, layerMB: 1 },
      peers: [{ name: 'p', count: 1, memoryMB: 9, visitMs: 1, layerMs: 1 }],
      radio: spec
    },
    'here'
  )
  const masts = points.map((point, i) => ({ motion: () => point, isOn: () => isOn(i) }))
  return new Radio(radio, masts, oneWay)
}

const at = (x: number, y = 0): Point => ({ x, y })

describe('the air', () => {
  test('carries less and loses more with distance, and nothing beyond its range', () => {
    const radio = radioOf({ rangeM: 100, rateMbps: 8, loss: 0.01, edgeLoss: 0.2 }, [
      at(0),
      at(1),
      at(70),
      at(99),
      at(101)
    ])
    const [near, far, edge] = [radio.path(0, 1)!, radio.path(0, 2)!, radio.path(0, 3)!]
    expect(near.bytesPerMs).toBeCloseTo(1000, -1)
    expect(near.loss).toBeCloseTo(0.01, 3)
    expect(far.bytesPerMs).toBeLessThan(near.bytesPerMs)
    expect(edge.bytesPerMs).toBeLessThan(far.bytesPerMs)
    expect(far.loss).toBeGreaterThan(near.loss)
    expect(edge.loss).toBeGreaterThan(far.loss)
    expect(radio.path(0, 4)).toBeUndefined()
  })

  test('has links that work one way only', () => {
    const radio = radioOf({}, [at(0), at(1)], [[0, 1]])
    expect(radio.path(0, 1)).toBeUndefined()
    expect(radio.path(1, 0)).toBeDefined()
    expect(radio.joins(0, 1)).toBe(false)
  })

  test('is jammed inside a zone, which moves, begins and ends', () => {
    const zone = { x: 0, y: 0, radiusM: 10, loss: 0.5, fromS: 10, untilS: 30, dx: 5 }
    const radio = radioOf({ zones: [zone] }, [at(0), at(1), at(50), at(60)])
    const losses = (nowS: number): (number | undefined)[] => {
      radio.move(1000 * nowS)
      return [radio.path(0, 1)?.loss, radio.path(2, 3)?.loss]
    }
    expect(losses(5)).toEqual([0, 0])
    expect(losses(10)).toEqual([0.5, 0])
    expect(losses(20)).toEqual([0, 0.5])
    expect(losses(30)).toEqual([0, 0])
    radio.move(10_000)
    radio.heal()
    expect(radio.path(0, 1)?.loss).toBe(0)
    const silent = radioOf({ zones: [{ x: 0, y: 0, radiusM: 10, loss: 1 }] }, [at(0), at(50)])
    expect(silent.path(0, 1)).toBeUndefined()
  })

  test('goes over relays, each of which sends everything again', () => {
    const radio = radioOf({ rangeM: 100, rateMbps: 8, delayMs: 2, relays: 3 }, [
      at(0),
      at(90),
      at(180),
      at(270),
      at(360)
    ])
    expect(radio.path(0, 2)).toMatchObject({ hops: 2, delayMs: 4, via: [0, 1, 2] })
    expect(radio.path(0, 3)?.hops).toBe(3)
    expect(radio.path(0, 4)).toBeUndefined()
  })

  test('is cut between two, parted between sides, and silent where a host has no power', () => {
    let isOn = true
    const radio = radioOf({}, [at(0), at(1), at(2)], [], station => station !== 2 || isOn)
    radio.cut(0, 1, true)
    expect([radio.joins(0, 1), radio.joins(0, 2), radio.joins(1, 2)]).toEqual([false, true, true])
    radio.cut(0, 1, false)
    radio.part([0, 0, 1])
    expect([radio.joins(0, 1), radio.joins(0, 2), radio.joins(1, 2)]).toEqual([true, false, false])
    radio.part(undefined)
    isOn = false
    radio.changed()
    expect([radio.joins(0, 1), radio.joins(0, 2)]).toEqual([true, false])
  })
})

import { expect, test } from 'vitest'
import { batteryLeaveRatio, batteryLeaveReadings, batteryReturnRatio } from '../../src/swarm/limits.ts'
import { BatteryWatch } from '../../src/swarm/battery.ts'

const at = (level: number, charging = false) => ({ level, charging })

function after(...readings: Parameters<BatteryWatch['read']>[0][]): boolean {
  const watch = new BatteryWatch()
  for (const reading of readings) watch.read(reading)
  return watch.isLow
}

const low = at(batteryLeaveRatio - 0.01)
const drained = new Array(batteryLeaveReadings).fill(low)

test('a battery is low after some readings in a row, and one better one begins them anew', () => {
  expect(after(...drained)).toBe(true)
  expect(after(...drained.slice(1))).toBe(false)
  expect(after(...drained.slice(1), at(0.5), ...drained.slice(1))).toBe(false)
  expect(after(at(batteryLeaveRatio), at(batteryLeaveRatio), at(batteryLeaveRatio))).toBe(false)
})

test('it has recovered only well above, or when it charges', () => {
  const between = at((batteryLeaveRatio + batteryReturnRatio) / 2)
  expect(after(...drained, between, between, between)).toBe(true)
  const enough = at(batteryReturnRatio)
  expect(after(...drained, enough)).toBe(true)
  expect(after(...drained, enough, enough)).toBe(false)
  expect(after(...drained, at(0.01, true), at(0.01, true))).toBe(false)
})

test('a peer on mains is never low', () => {
  expect(after(null, null, null)).toBe(false)
  expect(after(at(0, true), at(0, true), at(0, true))).toBe(false)
  expect(after(...drained, null, null)).toBe(false)
})

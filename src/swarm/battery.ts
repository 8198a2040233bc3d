/** When a battery is so low that its peer hands over what it serves, and when it may serve again. */
import { batteryLeaveRatio, batteryLeaveReadings, batteryReturnRatio } from './limits.ts'
import type { RecordContent } from './record.ts'

export class BatteryWatch {
  #low = false
  #readings = 0

  /** True while the peer should not be counted on. */
  get isLow(): boolean {
    return this.#low
  }

  /**
   * Takes one reading; null is mains, or a machine that does not know. One reading alone decides nothing, since gauges
   * jump under load, and between the two bounds everything stays as it is.
   */
  read(battery: RecordContent['battery']): boolean {
    const onMains = battery === null || battery.charging
    const changes = this.#low
      ? onMains || battery.level >= batteryReturnRatio
      : !onMains && battery.level < batteryLeaveRatio
    this.#readings = changes ? this.#readings + 1 : 0
    if (this.#readings >= batteryLeaveReadings) {
      this.#low = !this.#low
      this.#readings = 0
    }
    return this.#low
  }
}

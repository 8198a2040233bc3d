/** Energy that a machine's own meters count, as totals that only grow. Pure: whoever reads the meters tells what they show. */

/** What one meter shows. */
export interface MeterReading {
  /** `package-0` */
  readonly domain: string
  /** Since some beginning; after {@link rangeMicrojoules} it begins at 0 again. */
  readonly microjoules: number
  readonly rangeMicrojoules: number
}

export class Joules {
  /** By domain: what the meter showed last, and what has been counted since the first time. */
  readonly #meters = new Map<string, { lastMicrojoules: number; joules: number }>()

  /** To be told more often than a meter goes round, which takes minutes at hundreds of watts. */
  read(readings: readonly MeterReading[]): void {
    for (const { domain, microjoules, rangeMicrojoules } of readings) {
      const meter = this.#meters.get(domain) ?? { lastMicrojoules: microjoules, joules: 0 }
      const step = microjoules - meter.lastMicrojoules
      meter.joules += (step < 0 ? step + rangeMicrojoules : step) / 1e6
      meter.lastMicrojoules = microjoules
      this.#meters.set(domain, meter)
    }
  }

  /** Since each meter was first read. */
  get totals(): { readonly domain: string; readonly joules: number }[] {
    return [...this.#meters].map(([domain, { joules }]) => ({ domain, joules }))
  }
}

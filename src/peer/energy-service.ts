/** Reads what the processor says of its energy (RAPL), where Linux lets this user. */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type Clock, systemClock } from '../base/clock.ts'
import { Joules, type MeterReading } from '../base/joules.ts'
import { readPlainText } from '../base/plain-file.ts'
import { meterBytesMax, meterReadMs, metersMax } from './limits.ts'

export class EnergyService {
  readonly #joules = new Joules()
  readonly #folder: string
  readonly #clock: Clock
  #timer: { stop(): void } | undefined
  #isStopped = false

  /** @param folder where Linux has its meters */
  constructor({ folder = '/sys/class/powercap', clock = systemClock }: { folder?: string; clock?: Clock } = {}) {
    this.#folder = folder
    this.#clock = clock
  }

  /** Joules of the whole machine since the start, of each domain that can be read; none where none can. */
  get totals(): Joules['totals'] {
    return this.#joules.totals
  }

  /** Reads them once and, where there are any, from then on. It never throws. */
  async start(): Promise<void> {
    await this.read()
    if (this.totals.length === 0 || this.#isStopped) return
    this.#timer = this.#clock.every(meterReadMs, () => void this.read()).unref()
  }

  stop(): void {
    this.#isStopped = true
    this.#timer?.stop()
  }

  async read(): Promise<void> {
    const names = await readdir(this.#folder).catch(() => [])
    // `intel-rapl:0` is a package, of AMD as well; `intel-rapl:0:1` is a part of it.
    const domains = names.filter(name => /^intel-rapl:\d+$/.test(name)).slice(0, metersMax)
    const readings = await Promise.all(domains.map(name => reading(join(this.#folder, name))))
    this.#joules.read(readings.filter(each => each !== undefined))
  }
}

/** Undefined where it cannot be read: only root may, on most machines. */
async function reading(folder: string): Promise<MeterReading | undefined> {
  const texts = ['name', 'energy_uj', 'max_energy_range_uj'].map(file =>
    readPlainText(join(folder, file), meterBytesMax)
  )
  const [domain, shows, range] = await Promise.all(texts).catch(() => [])
  const [microjoules, rangeMicrojoules] = [Number(shows), Number(range)]
  if (domain === undefined || domain.trim() === '' || !(microjoules >= 0 && rangeMicrojoules > 0)) return undefined
  return { domain: domain.trim(), microjoules, rangeMicrojoules }
}

/** Energy as the machine's own meters count it: files such as Linux has, in a folder of this test. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { EnergyService } from '../../src/peer/energy-service.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'skein-energy-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

async function meter(domain: string, files: Record<string, string>): Promise<void> {
  await mkdir(join(folder, domain), { recursive: true })
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, domain, name), `${text}\n`)
}

it('is what each package has taken since the start, however often its meter goes round', async () => {
  const range = { max_energy_range_uj: '262143328850' }
  await meter('intel-rapl:0', { name: 'package-0', energy_uj: '262143000000', ...range })
  await meter('intel-rapl:0:0', { name: 'core', energy_uj: '5', ...range })
  await meter('intel-rapl:1', { name: 'package-1', energy_uj: '1000000', ...range })
  await meter('intel-rapl:2', { name: 'psys', energy_uj: 'nothing', ...range })
  await meter('intel-rapl:3', { energy_uj: '5', ...range })
  const energy = new EnergyService({ folder })
  await energy.start()
  energy.stop()
  expect(energy.totals).toEqual([
    { domain: 'package-0', joules: 0 },
    { domain: 'package-1', joules: 0 }
  ])
  await meter('intel-rapl:0', { energy_uj: '1671150' })
  await meter('intel-rapl:1', { energy_uj: '3500000' })
  await energy.read()
  expect(energy.totals).toEqual([
    { domain: 'package-0', joules: 2 },
    { domain: 'package-1', joules: 2.5 }
  ])
})

it('is nothing where there is no meter', async () => {
  for (const none of [folder, join(folder, 'none')]) {
    const energy = new EnergyService({ folder: none })
    await energy.start()
    expect(energy.totals).toEqual([])
  }
})

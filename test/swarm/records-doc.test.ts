import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import * as shared from '../../src/limits.ts'
import * as own from '../../src/swarm/limits.ts'
import { recordsChannelFrameBytesMax } from '../../src/swarm/records-frame.ts'

const limits = { ...shared, ...own }

const doc = readFileSync(new URL('../../protocols/records.md', import.meta.url), 'utf8')

it('records.md shows the limits that the code has', () => {
  const number = (value: number): string => value.toLocaleString('en-GB')
  expect(doc).toContain(`| Signed record | ${limits.recordBytesMax / 1024} KiB |`)
  expect(doc).toContain(`| Frame | ${recordsChannelFrameBytesMax / 1024} KiB |`)
  expect(doc).toContain(`| ${limits.recordsPerSecondMax} per second, ${number(limits.recordsBurstMax)} at once |`)
  expect(doc).toContain(
    `| ${limits.recordTtlMs / 1000} s as announced, ${limits.recordTtlMaxMs / 60_000} min at most |`
  )
  expect(doc).toContain(`| Live records known | ${number(limits.recordsMax)} |`)
  expect(doc).toContain(`from one neighbour | ${limits.recordsHearsayMax}, ${limits.recordsHearsayShareMax} |`)
  expect(doc).toContain(`| ${limits.recordsHearsayPerSecondMax} per second, ${limits.recordsHearsayShareMax} at once |`)
  expect(doc).toContain(`| Values held for the DHT | ${number(limits.recordsMax)} |`)
  const { providersPerPeerMax, providersPerShardMax, providersMax } = limits
  expect(doc).toContain(`| ${number(providersPerPeerMax)}, ${providersPerShardMax}, ${number(providersMax)} |`)
  expect(doc).toContain(`| Origins whose last \`seq\` is remembered | ${number(limits.recordMarksMax)} |`)
  expect(doc).toContain(`| ${limits.recordAddressesMax}, ${limits.recordAddressBytesMax} |`)
  expect(doc).toContain(`| Models, and stages | ${limits.recordOffersMax} each |`)
  expect(doc).toContain(`| Runs of held layers per model | ${limits.recordRangesMax} |`)
  expect(doc).toContain(`| ${limits.recordTextMax} characters,`)
  expect(doc).toContain(`| Neighbours | ${limits.neighboursMax}, and ${limits.recordNeighboursMax} in a record |`)
  expect(doc).toContain(
    `every ${limits.publishMs / 1000} s, and else every ${limits.publishRefreshMs / 60_000} minutes`
  )
})

it('every rule of records.md is cited by a test', () => {
  const rules = [...doc.matchAll(/\*\*(R\d+)\.\*\*/g)].map(match => match[1])
  expect(rules).toEqual(Array.from({ length: rules.length }, (_, i) => `R${i + 1}`))
  const tests = ['framing', 'records', 'service', 'neighbourhood', 'contacts', 'gather', 'closest', 'large']
    .map(name => readFileSync(new URL(`${name}.test.ts`, import.meta.url), 'utf8'))
    .join('\n')
  expect(rules.filter(rule => !new RegExp(`['\`]${rule}[:,]`).test(tests))).toEqual([])
})

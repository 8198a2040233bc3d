/** Figures of a log: exact ones, and others that leave the swarm, as often as their budget allows. */
import { appendFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeEach, expect, it } from 'vitest'
import { type Clock, systemClock } from '../../src/base/clock.ts'
import { type FiguresReport, reportAudit } from '../../src/index.ts'
import { openLog, request } from '../audit/logs.ts'
import { scratchFolders } from '../scratch.ts'

const folder = scratchFolders()
const hourMs = 3_600_000
const startMs = Date.parse('2026-11-30T10:20:00Z')

let nowMs = startMs
const clock: Clock = { ...systemClock, wallMs: () => nowMs }
let dataDir = ''
beforeEach(async () => {
  nowMs = startMs
  dataDir = await folder()
  const { log } = await openLog(dataDir, { clock })
  for (let i = 0; i < 50; i++) log.add(request(`r${i}`, { tokens: 10 }))
  nowMs += hourMs
  log.add(request('late', { tokens: 9000, modelName: 'other', outcome: 'SessionFailedError' }))
  log.add(request('gone', { tokens: 3, outcome: 'cancelled' }))
  await log.stop()
})

it('are exact where they stay, and say so', async () => {
  const report = await reportAudit(dataDir, { clock, fromMs: startMs })
  expect(report).toEqual({
    ...{ from: '2026-11-30T10:00:00.000Z', to: '2026-11-30T12:00:00.000Z', requests: 52, tokens: 9503 },
    byModel: [
      { model: 'stories', requests: 51, tokens: 503 },
      { model: 'other', requests: 1, tokens: 9000 }
    ],
    byHour: [
      { hour: '2026-11-30T10:00:00.000Z', requests: 50, tokens: 500 },
      { hour: '2026-11-30T11:00:00.000Z', requests: 2, tokens: 9003 }
    ],
    byOutcome: { answered: 50, cancelled: 1, failed: 1 },
    privacy: null
  })
})

const noised = (more: object = {}): Promise<FiguresReport> =>
  reportAudit(dataDir, { clock, fromMs: startMs, epsilon: 1, models: ['stories'], ...more })

it('have noise where they leave, of whole hours and named models alone', async () => {
  const reports = await Promise.all([noised({ budget: 1000 }), noised({ budget: 1000, epsilon: 10 })])
  for (const report of reports) {
    expect(report.to).toBe('2026-11-30T11:00:00.000Z')
    expect(report.byModel.map(({ model }) => model)).toEqual(['stories', 'others'])
    expect(report.byHour).toHaveLength(1)
  }
  // At epsilon 10 a count of requests is off by 30 once in a few quintillions.
  expect(Math.abs(reports[1]!.requests - 50)).toBeLessThan(30)
  expect(reports[1]!.privacy).toMatchObject({ epsilon: 10, budget: 1000, tokensMax: 512, error95: { requests: 3 } })
  const ten = await Promise.all(Array.from({ length: 10 }, () => noised({ budget: 1000 })))
  expect(new Set(ten.map(({ requests }) => requests)).size).toBeGreaterThan(1)
})

it('spend of a budget that is written down before they are shown, and are refused where it has no room', async () => {
  for (let i = 1; i <= 3; i++) expect((await noised()).privacy?.spent).toBe(i)
  expect((await noised({ epsilon: 0.5 })).privacy).toMatchObject({ spent: 3.5, budget: 4, periodMs: 28 * 24 * hourMs })
  expect((await readFile(join(dataDir, 'report-budget.jsonl'), 'utf8')).match(/"epsilon":1}/g)).toHaveLength(3)
  await expect(noised()).rejects.toMatchObject({
    name: 'PrivacyBudgetError',
    exitCode: 4,
    message:
      'reports on this log may spend 4 of epsilon in 672 hours, of which 0.5 is left, and this one would spend 1; there is room for it from 2026-12-28T11:20:00.000Z on'
  })
  await expect(noised({ epsilon: 5 })).rejects.toThrow(/this one would spend 5$/)
  // What was refused was not spent, and exact figures cost nothing.
  await reportAudit(dataDir, { clock })
  expect((await noised({ epsilon: 0.5 })).privacy?.spent).toBe(4)
  nowMs = Date.parse('2026-12-28T11:20:00.000Z')
  await expect(noised({ fromMs: nowMs - 5 * hourMs })).resolves.toBeDefined()
  // A clock that goes back gives nothing back.
  nowMs = Date.parse('2026-12-01T11:20:00Z')
  await expect(noised()).rejects.toThrow(/of which 0 is left/)
})

it('of two at once with room for one, at most one is shown', async () => {
  const both = await Promise.allSettled([noised({ budget: 1 }), noised({ budget: 1 })])
  expect(both.filter(({ status }) => status === 'fulfilled').length).toBeLessThanOrEqual(1)
})

it('do not leave where it is not known what was spent, but for what a crash has cut', async () => {
  const path = join(dataDir, 'report-budget.jsonl')
  await noised()
  await appendFile(path, '\n{"ts":"2026-11-')
  expect((await noised()).privacy?.spent).toBe(2)
  await appendFile(path, '\n{"epsilon":"much"}')
  await expect(noised()).rejects.toMatchObject({
    name: 'AuditError',
    message: expect.stringMatching(/is damaged: it says what reports have spent/)
  })
  const other = await folder()
  await (await openLog(other, { clock })).log.stop()
  await mkdir(join(other, 'report-budget.jsonl'))
  await expect(reportAudit(other, { clock, epsilon: 1 })).rejects.toThrow(
    /cannot be read, and no report leaves that is not counted/
  )
})

it('are refused in a sentence where they are of no time, or of no epsilon', async () => {
  await expect(noised({ fromMs: startMs + 9 * hourMs })).rejects.toThrow(/^a report is of 1 to 745 hours, not of -8$/)
  await expect(noised({ epsilon: 0.001 })).rejects.toThrow(
    /^epsilon must be a number from 0.01 to 10, in thousandths, not 0.001$/
  )
  await expect(noised({ epsilon: 0.12345 })).rejects.toThrow(/in thousandths/)
  await expect(noised({ budget: 0 })).rejects.toThrow(/^budget must be a number above 0/)
  await expect(noised({ models: Array.from({ length: 65 }, (_, i) => `m${i}`) })).rejects.toThrow(/64 models at most/)
  await expect(reportAudit(await folder(), { clock })).rejects.toMatchObject({ name: 'AuditError', exitCode: 3 })
  await writeFile(join(dataDir, 'x'), '')
})

/** The audit log of a peer on its disk: what is in it, and what becomes of it in a crash, on a full disk, and with the time. */
import { appendFile, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { Clock } from '../../src/base/clock.ts'
import { systemClock } from '../../src/base/clock.ts'
import { auditSignLines, auditSignMs, auditWaitingMax } from '../../src/audit/limits.ts'
import { tailAudit, verifyAudit } from '../../src/index.ts'
import { Tmpfs, whyNoTmpfs } from '../lab/tmpfs.ts'
import { needs } from '../needs.ts'
import { scratchFolders } from '../scratch.ts'
import { filesIn, hop, linesIn, openLog, request, rewrite, writeLog } from './logs.ts'

const folder = scratchFolders()
const signedAt = (lines: readonly string[]): number[] =>
  lines.flatMap((line, i) => (line.includes('"sig":') ? [i] : []))

it('has a line for each request, numbered and chained, that log collectors take as it is', async () => {
  const dataDir = await folder()
  await writeLog(dataDir, 3)
  const lines = (await linesIn(dataDir)).map(line => JSON.parse(line) as Record<string, unknown>)
  expect(lines.map(({ n, msg }) => [n, msg])).toEqual([
    [1, 'audit started'],
    [2, 'request'],
    [3, 'request'],
    [4, 'request'],
    [5, 'audit stopped']
  ])
  expect(lines[1]).toMatchObject({ level: 'info', ts: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/), request: 'r0' })
  expect(Object.keys(lines[1]!).slice(0, 3)).toEqual(['ts', 'level', 'msg'])
  const report = await verifyAudit(dataDir)
  expect(report).toMatchObject({
    ...{ problem: null, lines: 5, requests: 3, files: 1, end: 'stopped', unsignedLines: 0, knownBy: 'key' },
    signed: { file: '000001.jsonl', line: 5, n: 5 }
  })
  expect((await stat(join(dataDir, 'audit', '000001.jsonl'))).mode & 0o777).toBe(0o600)
})

it('goes on with the chain at the next start, in the same file', async () => {
  const dataDir = await folder()
  await writeLog(dataDir, 2)
  await writeLog(dataDir, 2)
  expect(await filesIn(dataDir)).toEqual(['000001.jsonl'])
  expect(await verifyAudit(dataDir)).toMatchObject({ problem: null, lines: 8, requests: 4, end: 'stopped' })
})

it('calls a request that failed a warning, and says how many changes of a route it leaves out', async () => {
  const dataDir = await folder()
  const { log } = await openLog(dataDir)
  const changes = Array.from({ length: 20 }, (_, i) => ({ atMs: i, route: [hop(`p${i}`, 0, 6)] }))
  log.add(request('lost', { outcome: 'SessionFailedError', changes }))
  await log.stop()
  const line = JSON.parse((await linesIn(dataDir))[1]!) as { level: string; changes: unknown[]; changesLeftOut: number }
  expect(line.level).toBe('warn')
  expect([line.changes.length, line.changesLeftOut]).toEqual([8, 12])
})

it('keeps a line within its bound, whatever the routes are', async () => {
  const dataDir = await folder()
  const { log } = await openLog(dataDir)
  const long = Array.from({ length: 500 }, (_, i) => hop(`12D3KooW${'x'.repeat(44)}`, i, i + 1, 'c'.repeat(64)))
  log.add(request('long', { route: long, changes: Array.from({ length: 8 }, () => ({ atMs: 1, route: long })) }))
  await log.stop()
  const [, line] = await linesIn(dataDir)
  expect(line!.length).toBeLessThan(64 << 10)
  expect(JSON.parse(line!)).toMatchObject({ changes: [], changesLeftOut: 8 })
})

/** A clock of which the test says how late it is. */
function handClock(): { clock: Clock; pass(ms: number): void } {
  let lateMs = 0
  const ticks: (() => void)[] = []
  const clock: Clock = {
    ...systemClock,
    nowMs: () => systemClock.nowMs() + lateMs,
    every: (ms, task) => {
      ticks.push(task)
      return systemClock.every(ms, task)
    }
  }
  return {
    clock,
    pass: ms => {
      lateMs += ms
      for (const tick of ticks) tick()
    }
  }
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  for (const end = Date.now() + 10_000; !(await holds()); ) {
    if (Date.now() > end) throw new Error('not in time')
    await new Promise(resolve => setTimeout(resolve, 10))
  }
}

it('signs after so many lines, after so long, and where nothing happens', async () => {
  const dataDir = await folder()
  const { clock, pass } = handClock()
  const { log } = await openLog(dataDir, { clock })
  for (let i = 0; i < auditSignLines + 1; i++) log.add(request(`r${i}`))
  await until(async () => (await linesIn(dataDir)).length === auditSignLines + 3)
  expect(signedAt(await linesIn(dataDir))).toEqual([0, auditSignLines + 1])
  pass(auditSignMs)
  await until(async () => (await linesIn(dataDir)).length === auditSignLines + 4)
  pass(auditSignMs)
  pass(3_600_000)
  await until(async () => (await linesIn(dataDir)).length === auditSignLines + 5)
  expect(signedAt(await linesIn(dataDir)).slice(-2)).toEqual([auditSignLines + 3, auditSignLines + 4])
  expect(await verifyAudit(dataDir)).toMatchObject({ problem: null, end: 'open', unsignedLines: 0 })
  await log.stop()
})

describe('a crash', () => {
  it('within a line is told apart from tampering, before the next start and after it', async () => {
    const dataDir = await folder()
    await writeLog(dataDir, 3)
    const path = join(dataDir, 'audit', '000001.jsonl')
    await rm(join(dataDir, 'audit-head.json'))
    // In the middle of the last request: the lines after it were never written.
    const lines = await linesIn(dataDir)
    await truncate(path, lines.slice(0, 3).join('\n').length + 100)
    expect(await verifyAudit(dataDir)).toMatchObject({ problem: null, lines: 4, requests: 2, cutLines: 1, end: 'open' })
    await writeLog(dataDir, 1)
    expect(await verifyAudit(dataDir)).toMatchObject({ problem: null, requests: 3, cutLines: 1, end: 'stopped' })
    const started = JSON.parse((await linesIn(dataDir))[4]!) as { msg: string; cut: { bytes: number } }
    expect([started.msg, started.cut.bytes]).toEqual(['audit started', 99])
  })

  it('between a line and its end costs nothing', async () => {
    const dataDir = await folder()
    await writeLog(dataDir, 1)
    const path = join(dataDir, 'audit', '000001.jsonl')
    await truncate(path, (await stat(path)).size - 1)
    expect(await verifyAudit(dataDir)).toMatchObject({ problem: null, cutLines: 0, end: 'stopped' })
    await writeLog(dataDir, 1)
    expect(await verifyAudit(dataDir)).toMatchObject({ problem: null, cutLines: 0, requests: 2 })
  })

  it('that leaves zeros, as file systems do after a power cut, is one', async () => {
    const dataDir = await folder()
    await writeLog(dataDir, 1)
    await appendFile(join(dataDir, 'audit', '000001.jsonl'), Buffer.alloc(300))
    await writeLog(dataDir, 1)
    expect(await verifyAudit(dataDir)).toMatchObject({ problem: null, cutLines: 1, requests: 2 })
  })
})

it('says at its start what was cut off while its peer did not run, and in the log for ever', async () => {
  const dataDir = await folder()
  await writeLog(dataDir, 5)
  const report = await rewrite(dataDir, lines => lines.slice(0, 4))
  expect(report.problem).toMatchObject({ kind: 'removed', file: '000001.jsonl', line: 4 })
  expect(report.problem!.message).toMatch(/lines number 5 to 7 are missing after it/)
  const { log, warnings } = await openLog(dataDir)
  await log.stop()
  expect(warnings).toEqual([expect.stringMatching(/has lost its lines number 5 to 7/)])
  expect((await verifyAudit(dataDir)).problem).toMatchObject({ kind: 'removed', line: 5 })
})

describe('its files', () => {
  const bounds = { fileBytesMax: 2000, filesMax: 3 }

  it('have a bound each, and of them the oldest go: the chain runs over all, and says what is gone', async () => {
    const dataDir = await folder()
    const { log } = await openLog(dataDir, { bounds })
    for (let i = 0; i < 40; i++) {
      log.add(request(`r${i}`))
      await until(async () => (await tailed(dataDir, 60)).some(name => name === `r${i}`))
    }
    await log.stop()
    const files = await filesIn(dataDir)
    // Where its last word began one more, the next start drops one for it.
    expect([3, 4]).toContain(files.length)
    expect(files[0]).not.toBe('000001.jsonl')
    const report = await verifyAudit(dataDir)
    expect(report).toMatchObject({ problem: null, files: files.length, end: 'stopped' })
    expect(report.droppedLines).toBeGreaterThan(20)
    for (const file of files) expect((await stat(join(dataDir, 'audit', file))).size).toBeLessThan(3500)
    // Another one of them gone is not what the log says.
    await rm(join(dataDir, 'audit', files[0]!))
    expect((await verifyAudit(dataDir)).problem).toMatchObject({ kind: 'removed', file: files[1], line: 1 })
  })

  it('are followed from one to the next', async () => {
    const dataDir = await folder()
    const { log } = await openLog(dataDir, { bounds })
    const seen: string[] = []
    const end = new AbortController()
    const following = (async () => {
      for await (const { line } of tailAudit(dataDir, { lines: 0, follow: true, signal: end.signal })) {
        if (line.msg === 'request') seen.push(line.request as string)
      }
    })().catch(() => {})
    for (let i = 0; i < 12; i++) {
      log.add(request(`r${i}`))
      await until(async () => seen.length === i + 1)
    }
    end.abort()
    await following
    await log.stop()
    expect(seen).toEqual(Array.from({ length: 12 }, (_, i) => `r${i}`))
  })
})

async function tailed(dataDir: string, lines: number): Promise<unknown[]> {
  const names: unknown[] = []
  for await (const { line } of tailAudit(dataDir, { lines })) names.push(line.request)
  return names
}

it('shows the last lines, of the file before as well', async () => {
  const dataDir = await folder()
  await writeLog(dataDir, 3)
  const path = join(dataDir, 'audit', '000001.jsonl')
  await writeFile(join(dataDir, 'audit', '000002.jsonl'), (await linesIn(dataDir)).slice(4).join('\n'))
  await writeFile(path, `${(await linesIn(dataDir)).slice(0, 4).join('\n')}\n`)
  expect(await tailed(dataDir, 2)).toEqual(['r1', 'r2'])
  expect(await tailed(dataDir, 0)).toEqual([])
})

it('tells of somebody else who changes it while its peer runs, and the chain shows it', async () => {
  const dataDir = await folder()
  const { log, warnings } = await openLog(dataDir)
  log.add(request('one'))
  await until(async () => (await linesIn(dataDir)).length === 2)
  await truncate(join(dataDir, 'audit', '000001.jsonl'), (await linesIn(dataDir))[0]!.length + 1)
  log.add(request('two'))
  await log.stop()
  expect(warnings).toEqual([expect.stringMatching(/somebody else changes it$/)])
  expect((await verifyAudit(dataDir)).problem).toMatchObject({ kind: 'removed', line: 2 })
})

it('takes what comes while the disk is away, up to a bound, and counts the rest', async () => {
  const dataDir = await folder()
  const { log } = await openLog(dataDir)
  for (let i = 0; i < auditWaitingMax + 5; i++) log.add(request(`r${i}`))
  await log.stop()
  const report = await verifyAudit(dataDir)
  expect(report).toMatchObject({ problem: null, requests: auditWaitingMax, end: 'stopped' })
  expect(
    (await linesIn(dataDir)).map(line => JSON.parse(line)).filter(({ msg }) => msg === 'audit lost requests')
  ).toEqual([expect.objectContaining({ level: 'warn', requests: 5 })])
})

it('cannot be kept where its folder is none, and says so', async () => {
  const dataDir = await folder()
  await writeFile(join(dataDir, 'audit'), '')
  await expect(openLog(dataDir)).rejects.toMatchObject({
    name: 'DataDirectoryError',
    message: expect.stringMatching(/audit cannot be used for an audit log: /)
  })
  await expect(verifyAudit(dataDir)).rejects.toMatchObject({ name: 'AuditError', exitCode: 3 })
  expect(await readFile(join(dataDir, 'audit'), 'utf8')).toBe('')
})

describe('a full disk', needs(whyNoTmpfs()), () => {
  it('is told of once; what came meanwhile is written when there is room', async () => {
    const disk = new Tmpfs(1 << 20)
    try {
      const { log, warnings } = await openLog(disk.path)
      log.add(request('before'))
      await until(async () => (await linesIn(disk.path)).length === 2)
      disk.fill()
      for (let i = 0; i < 30; i++) {
        log.add(request(`r${i}`))
        await new Promise(resolve => setTimeout(resolve, i % 10 === 0 ? 150 : 1))
      }
      expect(warnings).toEqual([expect.stringMatching(/^the audit log cannot be kept on disk .*the disk is full/)])
      disk.free()
      await log.stop()
      expect(warnings).toHaveLength(1)
      expect(await verifyAudit(disk.path)).toMatchObject({ problem: null, requests: 31, cutLines: 0, end: 'stopped' })
    } finally {
      disk.close()
    }
  })
})

/** What a reader of an audit log finds out: the first line that was removed, changed, moved or forged, wherever it is. */
import { appendFile, cp, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Chain } from '../../src/audit/chain.ts'
import { notes, requestMsg } from '../../src/audit/entry.ts'
import { verifyAudit } from '../../src/index.ts'
import { seeded } from '../../src/base/rng.ts'
import { loadIdentity } from '../../src/swarm/identity.ts'
import { scratchFolders } from '../scratch.ts'
import { linesIn, openLog, request, rewrite, writeLog } from './logs.ts'

const folder = scratchFolders()
const file = '000001.jsonl'

/** A log of three runs of a peer, of 14 lines: each begins and ends with one that is signed. */
async function threeRuns(): Promise<string> {
  const dataDir = await folder()
  for (const requests of [2, 3, 3]) await writeLog(dataDir, requests)
  expect(await linesIn(dataDir)).toHaveLength(14)
  return dataDir
}

function edited(line: string, from: RegExp, to: string): string {
  const changed = line.replace(from, to)
  if (changed === line) throw new Error(`nothing to change in ${line}`)
  return changed
}

describe('names the first line that', () => {
  it('was removed', async () => {
    const { problem, signed } = await rewrite(await threeRuns(), lines => lines.toSpliced(6, 1))
    expect(problem).toMatchObject({ kind: 'removed', file, line: 7, message: 'line number 7 is missing before it' })
    expect(signed).toMatchObject({ n: 5 })
  })

  it('was removed with others', async () => {
    const { problem } = await rewrite(await threeRuns(), lines => lines.toSpliced(6, 3))
    expect(problem).toMatchObject({ line: 7, message: 'lines number 7 to 9 are missing before it' })
  })

  it('was removed at the beginning', async () => {
    const { problem } = await rewrite(await threeRuns(), lines => lines.slice(3))
    expect(problem).toMatchObject({
      kind: 'removed',
      line: 1,
      message: expect.stringMatching(/^lines number 1 to 3 are missing/)
    })
  })

  it('was removed at the end', async () => {
    const { problem, signed } = await rewrite(await threeRuns(), lines => lines.slice(0, 12))
    expect(problem).toMatchObject({
      kind: 'removed',
      line: 12,
      message: expect.stringMatching(/^lines number 13 to 14 are/)
    })
    expect(signed).toMatchObject({ line: 10 })
  })

  it('was changed', async () => {
    const { problem } = await rewrite(await threeRuns(), lines =>
      lines.with(6, edited(lines[6]!, /"client":"local"/, '"client":"alice"'))
    )
    expect(problem).toMatchObject({
      kind: 'changed',
      file,
      line: 7,
      message: 'it was changed after the next one was written'
    })
  })

  it('was changed, right before one that is signed', async () => {
    const { problem } = await rewrite(await threeRuns(), lines =>
      lines.with(12, edited(lines[12]!, /"client":"local"/, '"client":"alice"'))
    )
    expect(problem).toMatchObject({ kind: 'changed', line: 13, message: expect.stringMatching(/written and signed$/) })
  })

  it('was changed by a byte, whatever byte it is', async () => {
    const dataDir = await threeRuns()
    const whole = await readFile(join(dataDir, 'audit', file))
    const starts = [0, ...[...whole.keys()].filter(i => whole[i] === 10).map(i => i + 1)]
    const copy = await folder()
    await cp(dataDir, copy, { recursive: true })
    await fc.assert(
      fc.asyncProperty(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 }), async (at, by) => {
        const changed = Uint8Array.from(whole)
        changed[at] = changed[at]! ^ by
        await writeFile(join(copy, 'audit', file), changed)
        const { problem } = await verifyAudit(copy)
        // The last line end may be anything but one: then a crash may have cut it, and it was whole.
        if (at === whole.length - 1 && problem === null) return
        const line = starts.findLastIndex(start => start <= at) + 1
        expect(problem).not.toBeNull()
        expect(Math.abs(problem!.line - line)).toBeLessThanOrEqual(1)
      }),
      { numRuns: 300 }
    )
  })

  it('has another letter at the end of a signature, of the same bytes', async () => {
    const { problem } = await rewrite(await threeRuns(), lines =>
      lines.with(
        -1,
        edited(
          lines.at(-1)!,
          /[AQgw]==/,
          { A: 'B==', Q: 'R==', g: 'h==', w: 'x==' }[/(.)=="/.exec(lines.at(-1)!)![1]!]!
        )
      )
    )
    expect(problem).toMatchObject({ kind: 'forged' })
  })

  it('was replaced by something else', async () => {
    const { problem } = await rewrite(await threeRuns(), lines => lines.with(6, 'nothing'))
    expect(problem).toMatchObject({
      kind: 'changed',
      line: 7,
      message: expect.stringMatching(/^it is no line of an audit log/)
    })
  })

  it('was moved', async () => {
    const { problem } = await rewrite(await threeRuns(), lines => lines.with(6, lines[7]!).with(7, lines[6]!))
    expect(problem).toMatchObject({ kind: 'moved', line: 7, message: expect.stringMatching(/stands before number 7/) })
  })

  it('was copied', async () => {
    const { problem } = await rewrite(await threeRuns(), lines => lines.toSpliced(8, 0, lines[6]!))
    expect(problem).toMatchObject({ kind: 'moved', line: 9 })
  })

  it('was forged: chained as it should be, without the key', async () => {
    const dataDir = await threeRuns()
    const { id } = await loadIdentity(dataDir)
    const other = await loadIdentity(await folder())
    const forge = (): string[] => {
      const chain = new Chain({ member: id, sign: other.sign })
      const now = { nowMs: 0, wallMs: 1e12 }
      const line = (name: string): string =>
        chain.line({ level: 'info', msg: requestMsg, ...request(name) } as never, now)
      const lines = [chain.note(notes.started, {}, now), line('a'), line('b')]
      return [...lines, chain.note(notes.stopped, {}, now), ...Array.from({ length: 10 }, (_, i) => line(`${i}`))]
    }
    const { problem, signed } = await rewrite(dataDir, forge)
    expect(problem).toMatchObject({
      kind: 'forged',
      line: 1,
      message: expect.stringMatching(/no signature of 12D3.* that holds/)
    })
    expect(signed).toBeNull()
  })

  it('was forged: a line about the log itself without a signature', async () => {
    const { problem } = await rewrite(await threeRuns(), lines =>
      lines.with(4, edited(lines[4]!, /,"sig":"[^"]*"/, ''))
    )
    expect(problem).toMatchObject({ kind: 'forged', line: 5 })
  })

  it('is of another peer', async () => {
    const { log } = await openLog(await folder())
    await log.stop()
    const dataDir = await folder()
    const { log: other, peer } = await openLog(dataDir)
    await other.stop()
    const { id } = await loadIdentity(await folder())
    expect((await verifyAudit(dataDir, { peer })).problem).toBeNull()
    const { problem, knownBy } = await verifyAudit(dataDir, { peer: id })
    expect([problem?.kind, problem?.line, knownBy]).toEqual(['forged', 1, 'told'])
  })
})

it('finds every removal, change, move and copy of one line or several', async () => {
  const dataDir = await threeRuns()
  const lines = await linesIn(dataDir)
  const copy = await folder()
  await cp(dataDir, copy, { recursive: true })
  const rng = seeded(11)
  for (let i = 0; i < 200; i++) {
    const at = Math.floor(rng() * lines.length)
    const to = Math.floor(rng() * lines.length)
    const kind = Math.floor(rng() * 4)
    const changed =
      kind === 0
        ? lines.toSpliced(at, 1 + Math.floor(rng() * 3))
        : kind === 1
          ? lines.with(at, edited(lines[at]!, /"ts":"\d/, '"ts":"3'))
          : kind === 2
            ? lines.with(at, lines[to]!).with(to, lines[at]!)
            : lines.toSpliced(to, 0, lines[at]!)
    if (changed.join() === lines.join()) continue
    const { problem } = await rewrite(copy, () => changed)
    expect(problem, `${['removed', 'changed', 'moved', 'copied'][kind]} ${at} ${to}`).not.toBeNull()
  }
})

it('reads a folder of files that was copied from a data directory, and says that nobody but its lines names the peer', async () => {
  const dataDir = await threeRuns()
  const copy = await folder()
  await cp(join(dataDir, 'audit'), copy, { recursive: true })
  const report = await verifyAudit(copy)
  expect(report).toMatchObject({ problem: null, lines: 14, knownBy: 'lines', isRunning: false, folder: copy })
})

it('says what is not signed yet', async () => {
  const dataDir = await folder()
  const { log } = await openLog(dataDir)
  log.add(request('one'))
  await log.stop()
  const { unsignedLines, signed, problem } = await rewrite(dataDir, lines => lines.slice(0, 2))
  expect([unsignedLines, signed?.n]).toEqual([1, 1])
  expect(problem).toMatchObject({ kind: 'removed', line: 2 })
})

it('takes what its peer remembers of its end for nothing where that is damaged', async () => {
  const dataDir = await folder()
  await writeLog(dataDir, 1)
  await writeFile(join(dataDir, 'audit-head.json'), '{"n":1e99}')
  expect((await verifyAudit(dataDir)).problem).toBeNull()
})

it('takes garbage after the end for what a crash has left only where no line end follows it', async () => {
  const dataDir = await threeRuns()
  await appendFile(join(dataDir, 'audit', file), '{"ts":"2026')
  expect(await verifyAudit(dataDir)).toMatchObject({ problem: null, cutLines: 1 })
  await appendFile(join(dataDir, 'audit', file), '\n')
  expect((await verifyAudit(dataDir)).problem).toMatchObject({ kind: 'changed', line: 15 })
})

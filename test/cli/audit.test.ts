/** `skein audit`: a log shown and checked, with the exit codes that scripts go by. */
import { join } from 'node:path'
import { writeFile } from 'node:fs/promises'
import { expect, it } from 'vitest'
import { request, linesIn, openLog, rewrite, writeLog } from '../audit/logs.ts'
import { scratchFolders } from '../scratch.ts'
import { expectFailure, Skein, skein } from './skein.ts'

const folder = scratchFolders()

it('verify says that a log is whole with 0, and where it is not with 3', async () => {
  const dataDir = await folder()
  await writeLog(dataDir, 3)
  const whole = await skein(['audit', 'verify', dataDir])
  expect([whole.code, whole.stderr]).toEqual([0, ''])
  expect(whole.stdout).toMatch(
    /^whole: 5 lines in 1 file, 3 requests of 12D3\w+\nsignatures vouch for all up to 000001.jsonl:5 /
  )
  await rewrite(dataDir, lines => lines.toSpliced(2, 1))
  const broken = await skein(['audit', 'verify', '--data', dataDir])
  expect(broken.code).toBe(3)
  expect(broken.stdout).toMatch(/^removed: 000001.jsonl:3: line number 3 is missing before it\nbefore it: /)
  const told = await skein(['audit', 'verify', dataDir, '--json'])
  expect([told.code, JSON.parse(told.stdout)]).toEqual([
    3,
    expect.objectContaining({
      event: 'audit',
      ok: false,
      problem: expect.objectContaining({ kind: 'removed', line: 3 })
    })
  ])
})

it('verify names the peer that a copied log is said to be of', async () => {
  const dataDir = await folder()
  await writeLog(dataDir, 1)
  const copied = await skein(['audit', 'verify', join(dataDir, 'audit')])
  expect([copied.code, copied.stdout]).toEqual([
    0,
    expect.stringMatching(/its lines alone say: --peer says whose it must be/)
  ])
  await expectFailure(skein(['audit', 'verify', dataDir, '--peer', 'me']), 2, /^skein: --peer takes the id of a peer/)
})

it('tail shows the last lines, as they are with --json, and those that come with --follow', async () => {
  const dataDir = await folder()
  const { log } = await openLog(dataDir)
  for (let i = 0; i < 12; i++) log.add(request(`r${i}`, i === 11 ? { outcome: 'SessionFailedError' } : {}))
  const follow = new Skein(['audit', 'tail', dataDir, '--follow', '--json', '--lines', '50'])
  await expect.poll(() => follow.events.length, { timeout: 20_000 }).toBe(13)
  log.add(request('late'))
  await expect.poll(() => follow.events.length, { timeout: 20_000 }).toBe(14)
  await follow.end('SIGINT')
  await log.stop()
  const { stdout, code } = await skein(['audit', 'tail', dataDir])
  const lines = stdout.trimEnd().split('\n')
  expect([code, lines.length]).toEqual([0, 10])
  expect(lines[7]).toMatch(
    /Z {2}local {2}r11 {2}stories {2}12 tokens, SessionFailedError, 340 ms {2}…\S+ 0-3 → …\S+ 3-6$/
  )
  expect((await skein(['audit', 'tail', dataDir, '--json', '--lines', '2'])).stdout).toBe(
    (await linesIn(dataDir))
      .slice(-2)
      .map(line => `${line}\n`)
      .join('')
  )
})

it('says in a sentence that there is no log, or that it cannot be read', async () => {
  const dataDir = await folder()
  for (const of of ['verify', 'tail']) {
    await expectFailure(
      skein(['audit', of, dataDir]),
      3,
      /^skein: there is no audit log in .*audit: a peer keeps one with skein up --audit/
    )
  }
  await writeFile(join(dataDir, 'audit'), '')
  await expectFailure(skein(['audit', 'verify', dataDir]), 3, /^skein: .*audit cannot be read: /)
  await expectFailure(skein(['audit', 'verify', dataDir, '--data', dataDir]), 2, /say twice where the log is/)
})

it('report sums up, exactly or with noise that is counted down', async () => {
  const dataDir = await folder()
  await writeLog(dataDir, 3)
  const exact = await skein(['report', dataDir])
  expect([exact.code, exact.stderr]).toEqual([0, ''])
  expect(exact.stdout).toMatch(
    /: 3 requests, 36 tokens\n3 answered, 0 cancelled, 0 failed\n\nmodel +requests +tokens\nstories +3 +36\n/
  )
  expect(exact.stdout).toMatch(/exact figures, for use here/)
  const noised = ['report', '--data', dataDir, '--epsilon', '1', '--budget', '1', '--model', 'stories']
  const told = JSON.parse((await skein([...noised, '--json'])).stdout)
  expect(told).toMatchObject({ event: 'report', privacy: { epsilon: 1, spent: 1, budget: 1 } })
  expect(told.byModel.map(({ model }: { model: string }) => model)).toEqual(['stories', 'others'])
  await expectFailure(
    skein(noised),
    4,
    /^skein: reports on this log may spend 1 of epsilon in 672 hours, of which 0 is left/
  )
  await expectFailure(skein(['report', dataDir, '--epsilon', '0']), 2, /--epsilon takes a number from 0.01 to 10/)
})

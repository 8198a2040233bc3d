/** A few dozen losses with a fixed seed, as `npm run churn` does them by the thousand. */
import { spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'

const file = fileURLToPath(new URL('./churn.ts', import.meta.url))

/** Runs the suite's own command; its children end with it. */
function churn(
  args: readonly string[]
): Promise<{ code: number | null; events: Record<string, unknown>[]; stderr: string }> {
  const child = spawn(process.execPath, [file, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', text => {
    stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', text => {
    stderr += text
  })
  return new Promise(resolve => {
    child.once('close', code =>
      resolve({
        code,
        events: stdout
          .split('\n')
          .filter(Boolean)
          .map(line => JSON.parse(line) as Record<string, unknown>),
        stderr
      })
    )
  })
}

// Two runs at once, since each waits most of its time for processes to start. Whatever else the machine does, they have
// the time that they need: on two idle cores half a minute.
it('sixteen losses change no token and blame nobody', async () => {
  const runs = await Promise.all(
    [
      { faults: 8, seed: 3, layout: 'four' },
      { faults: 8, seed: 4, layout: 'five' }
    ].map(async ({ faults, seed, layout }) => ({
      faults,
      ...(await churn(['--faults', String(faults), '--seed', String(seed), '--layout', layout, '--json']))
    }))
  )
  for (const { faults, code, events, stderr } of runs) {
    const last = events.at(-1) as
      | { faults: number; identical: number; blamed: number; tokensLost: number; pauseMs: Record<string, object> }
      | undefined
    // What it says is what a person needs who sees this fail: the command at its end repeats the failure.
    expect({ code, blamed: last?.blamed, tokensLost: last?.tokensLost }, stderr).toEqual({
      code: 0,
      blamed: 0,
      tokensLost: 0
    })
    expect(Object.keys(last!)).toEqual(['event', 'faults', 'identical', 'blamed', 'tokensLost', 'pauseMs'])
    expect(last!.faults).toBeGreaterThanOrEqual(faults)
    expect(last!.identical).toBe(last!.faults)
    expect(Object.keys(last!.pauseMs)).toEqual(['kill', 'silent', 'left'])
    const answers = events.filter(({ event }) => event === 'answer') as unknown as { recoveries: object[] }[]
    expect(answers.flatMap(({ recoveries }) => recoveries).length).toBeGreaterThan(faults / 2)
  }
}, 900_000)

it('leaves nothing behind when it is interrupted', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'skein-churn-test-'))
  /** Processes whose command line names the folder: every peer, stopped ones too. */
  const processes = (): string[] =>
    readdirSync('/proc').filter(pid => {
      try {
        return Number(pid) > 0 && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(folder)
      } catch {
        return false
      }
    })
  const child = spawn(process.execPath, [file, '--seed', '2', '--layout', 'four', '--ways', 'silent', '--verbose'], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, TMPDIR: folder }
  })
  const ended = new Promise<number | null>(resolve => child.once('close', resolve))
  try {
    let text = ''
    // In the middle of an answer, with a peer stopped.
    await new Promise<void>(resolve => {
      child.stdout.setEncoding('utf8').on('data', chunk => {
        text += chunk
        if (/^ {2}silent peer/m.test(text)) resolve()
      })
    })
    expect(processes().length).toBeGreaterThan(3)
    child.kill('SIGINT')
    expect(await ended).not.toBe(0)
    expect(processes()).toEqual([])
    expect(readdirSync(folder)).toEqual([])
  } finally {
    child.kill('SIGKILL')
    rmSync(folder, { recursive: true, force: true })
  }
}, 180_000)

it('a number that is none is refused', async () => {
  expect(await churn(['--faults', 'many'])).toMatchObject({ code: 2, stderr: expect.stringContaining('many') })
})

import { execFile, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { main } from '../../src/cli/main.ts'
import { expectFailure, skein } from './skein.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const bin = join(root, 'bin', 'skein.js')
let folder = ''

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'skein-cli-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe('skein', () => {
  it('shows its version, its help, and what its exit codes mean', async () => {
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
    expect(await skein(['--version'])).toMatchObject({ code: 0, stdout: `${version}\n` })
    const { code, stdout } = await skein(['--help'])
    expect(code).toBe(0)
    for (const word of ['init', 'up', 'ask', 'key', 'forget', 'status', 'model', 'demo', 'Exit codes', '130'])
      expect(stdout).toContain(word)
    expect((await skein(['up', '--help'])).stdout).toMatch(/0-2 is layers 0 and\s+1/)
    expect((await skein(['up', '--help'])).stdout).not.toContain('stop-with-stdin')
    expect(await skein([])).toMatchObject({ code: 2, stdout: '' })
    expect(await skein(['model'])).toMatchObject({ code: 2, stdout: '' })
  })

  it.each<[string[], string]>([
    [['fly'], "unknown command 'fly'"],
    [['model', 'fly'], "unknown command 'fly'"],
    [['--fly'], "unknown option '--fly'"],
    [['up', '--swarm', 's', '--fly'], "unknown option '--fly'"],
    [['up'], 'has joined no swarm: use skein join with an invitation, or --swarm'],
    [['ask'], "missing required argument 'prompt'"],
    [
      ['ask', '-5 degrees'],
      "unknown option '-5 degrees'; a prompt that begins with a dash goes after --: skein ask -- '-5 degrees'\n"
    ],
    [['ask', "--what's this"], "goes after --: skein ask -- '--what'\\''s this'\n"],
    [
      ['ask', `-${'long '.repeat(40)}`],
      `unknown option '-${'long '.repeat(12).slice(0, 59)}…'; a prompt that begins with a dash goes after --\n`
    ],
    [['forget', '-night'], 'a name that begins with a dash goes after --: skein forget -- -night\n'],
    [['key', '-file'], 'a file that begins with a dash goes after --: skein key -- -file\n'],
    [['model', 'rm', '-x'], 'a name that begins with a dash goes after --: skein model rm -- -x\n'],
    [['ask', 'a', '--max-token', '5'], "unknown option '--max-token'\n(Did you mean --max-tokens?)"],
    [['ask', 'a', 'b'], 'too many arguments'],
    [['ask', 'a', '--max-tokens', '0'], '--max-tokens takes a whole number'],
    [['ask', 'a', '--max-tokens', 'ten'], '--max-tokens takes a whole number'],
    [['ask', 'a', '--temperature', '-1'], '--temperature takes a number from 0 to 100'],
    [['ask', 'a', '--top-p', '0'], '--top-p takes a number above 0 and at most 1'],
    [['ask', 'a', '--seed', '1.5'], '--seed takes a whole number'],
    [['ask', 'a', '--data', ''], '--data must not be empty'],
    [['ask', 'a', '--ttl', '5x', '--session', 's'], '--ttl takes a time from 1s to 24h'],
    [['ask', 'a', '--ttl', '25h', '--session', 's'], '--ttl takes a time from 1s to 24h'],
    [['ask', 'a', '--wait', '5'], '--wait takes a time from 0s to 24h'],
    [['ask', 'a', '--ttl', '5m'], '--ttl goes with --session or --resume'],
    [['ask', 'a', '--key', 'k'], '--key goes with --session or --resume'],
    [['ask', 'a', '--session', ''], '--session must not be empty'],
    [['ask', 'a', '--resume', 's'], '--resume takes no prompt'],
    [['ask', '--resume', 's', '--session', 's'], '--resume takes no --session'],
    [['ask', '--resume', 's', '--seed', '1'], '--resume takes no --seed'],
    [['ask', '--resume', 's', '--top-p', '0.5'], '--resume takes no --top-p'],
    [['key'], "missing required argument 'file'"],
    [['up', '--swarm', 's', '--memory', 'lots'], '--memory takes a size such as 64MB'],
    [['up', '--swarm', 's', '--layers', '2-0'], '--layers takes a range such as 0-2'],
    [['up', '--swarm', 's', '--listen', '4001'], '--listen takes a TCP multiaddr'],
    [['up', '--swarm', 's', '--bootstrap', '/ip4/1.2.3.4/tcp/0'], '--bootstrap takes a TCP multiaddr'],
    [['up', '--swarm', 's', '--threads', '0'], '--threads takes a whole number from 1 to 256'],
    [['model', 'import', 'x'], "required option '--name <name>'"],
    [['model', 'import', 'x', '--name', 'n', '--dtype', 'q2'], '--dtype is one of f32, q8, q4'],
    [['ask', 'x', '--cache', 'i4'], '--cache is one of f32, i8'],
    [['ask', 'x', '--temperature', '-1'], "--temperature takes a number from 0 to 100, not '-1'"],
    [['ask', 'x', '--presence-penalty', '-2.5'], "--presence-penalty takes a number from -2 to 2, not '-2.5'"],
    [['ask', 'x', '--frequency-penalty', '3'], "--frequency-penalty takes a number from -2 to 2, not '3'"],
    [['ask', 'x', '--min-p', '1.5'], "--min-p takes a number from 0 to 1, not '1.5'"],
    [['ask', 'x', '--logit-bias', '5'], "--logit-bias takes ID=AMOUNT, of a token's id and from -100 to 100, not '5'"],
    [
      ['ask', 'x', '--logit-bias', '5=101'],
      "--logit-bias takes ID=AMOUNT, of a token's id and from -100 to 100, not '5=101'"
    ],
    [['ask', 'x', '--repetition-penalty', '0'], "--repetition-penalty takes a number from 0.1 to 10, not '0'"],
    [['ask', '--resume', 'x', '--presence-penalty', '1'], '--resume takes no --presence-penalty: a session goes on'],
    [['ask', '--resume', 'x', '--cache', 'i8'], '--resume takes no --cache: a session goes on as it began'],
    [['model', 'import', 'x', '--name', 'n', '--edge', 'f64'], '--edge is one of auto, f16, bf16, f32'],
    [['model', 'rm'], "missing required argument 'name'"],
    [['demo', '--peers', '0'], '--peers takes a whole number from 1 to 16'],
    [['demo', '--peers', '99'], '--peers takes a whole number from 1 to 16']
  ])('refuses %j', async (args, sentence) => {
    const never = new AbortController().signal
    const written = vi.spyOn(process.stderr, 'write').mockReturnValue(true)
    try {
      expect(await main(args, { signal: never, interrupted: never, onInterrupt: () => () => {} })).toBe(2)
      const text = written.mock.calls.map(([chunk]) => chunk).join('')
      expect(text).toMatch(/^skein: /)
      expect(text).toContain(sentence)
    } finally {
      written.mockRestore()
    }
  })

  it('takes a prompt that begins with a dash after --', async () => {
    const dir = join(folder, 'nobody')
    await expectFailure(skein(['ask', '--data', dir, '--', '-5 degrees']), 4, 'no peer is running')
  })

  it('ends with 2 and one sentence when a flag is wrong', async () => {
    await expectFailure(skein(['ask', 'a', '--top-p', '0']), 2, '--top-p takes a number above 0 and at most 1, not')
    await expectFailure(skein(['up', '--fly', '--swarm', 's']), 2, "unknown option '--fly'")
  })

  it('says when no peer is running', async () => {
    const dir = join(folder, 'nobody')
    const sentence = `no peer is running on ${dir}: start one with skein up --data ${dir} --swarm FILE, without --swarm where it has joined by an invitation`
    await expectFailure(skein(['ask', 'x', '--data', dir]), 4, sentence)
    await expectFailure(skein(['status', '--data', dir]), 4, sentence)
    await expectFailure(skein(['status'], { env: { SKEIN_DATA: dir } }), 4, sentence)
    const spaced = join(folder, "d'ora nord")
    const quoted = `skein up --data '${folder}/d'\\''ora nord' --swarm FILE`
    await expectFailure(skein(['status', '--data', spaced]), 4, quoted)
    const xdg = await skein(['status'], { env: { XDG_DATA_HOME: folder } })
    expect(xdg.stderr).toContain(`no peer is running on ${join(folder, 'skein')}:`)
  })

  it('tells a program about its failure as well', async () => {
    const { code, stdout, stderr } = await skein(['ask', 'x', '--json', '--data', join(folder, 'nobody')])
    expect(code).toBe(4)
    const last = JSON.parse(stdout.trim().split('\n').at(-1)!)
    expect(last).toEqual({
      event: 'error',
      name: 'PeerNotRunningError',
      message: expect.stringContaining('no peer is running')
    })
    expect(stderr).toContain(last.message)
  })

  it('ends quietly when nobody reads its output', async () => {
    const child = spawn(process.execPath, [bin, '--help'], { stdio: ['ignore', 'pipe', 'pipe'] })
    child.stdout.destroy()
    let stderr = ''
    child.stderr.setEncoding('utf8').on('data', text => {
      stderr += text
    })
    expect(await new Promise(resolve => child.once('close', resolve))).toBe(0)
    expect(stderr).toBe('')
  })

  it('tells an old Node what is needed, and a fresh clone how to build', async () => {
    const pretend = "Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '20.20.2' } })"
    const old = promisify(execFile)(process.execPath, [
      '--import',
      `data:text/javascript,${encodeURIComponent(pretend)}`,
      bin
    ])
    await expect(old).rejects.toMatchObject({
      code: 2,
      stderr: expect.stringMatching(
        /^skein: Skein needs Node\.js 22\.12 or newer, but this is 20\.20\.2: .*npx skein.*\n$/
      )
    })
    const clone = join(folder, 'clone', 'bin')
    await promisify(execFile)('mkdir', ['-p', clone])
    writeFileSync(join(clone, 'skein.mjs'), readFileSync(bin))
    await expect(promisify(execFile)(process.execPath, [join(clone, 'skein.mjs')])).rejects.toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/^skein: Skein is not built yet: run `npm ci`.*\n$/)
    })
  })
})

describe('skein key', () => {
  it('makes a key that only its owner can read, once, and never shows it', async () => {
    const file = join(folder, 'session.key')
    const made = await skein(['key', file])
    expect(made).toMatchObject({ code: 0, stderr: '' })
    const bytes = readFileSync(file)
    expect(bytes).toHaveLength(32)
    expect(statSync(file).mode & 0o777).toBe(0o600)
    for (const form of ['hex', 'base64', 'base64url', 'latin1'] as const) {
      expect(made.stdout).not.toContain(bytes.toString(form))
    }
    await expectFailure(skein(['key', file]), 3, 'exists already and is not overwritten')
    expect(readFileSync(file)).toEqual(bytes)
  })
})

describe('skein init', () => {
  it('makes a swarm that only its owner can read, once, and never shows the secret', async () => {
    const file = join(folder, 'swarm.json')
    const made = await skein(['init', file, '--name', 'alpha'])
    expect(made).toMatchObject({ code: 0, stderr: '' })
    const bytes = readFileSync(file, 'utf8')
    const swarm = JSON.parse(bytes)
    expect(swarm).toMatchObject({ format: 1, name: 'alpha' })
    expect(Buffer.from(swarm.secret, 'base64url')).toHaveLength(32)
    expect(made.stdout).not.toContain(swarm.secret)
    expect(statSync(file).mode & 0o777).toBe(0o600)

    const again = await skein(['init', file])
    expect(again.code).toBeGreaterThan(1)
    expect(again.stderr).toContain(file)
    expect(readFileSync(file, 'utf8')).toBe(bytes)
    expect(existsSync(`${file}.tmp`)).toBe(false)
  })
})

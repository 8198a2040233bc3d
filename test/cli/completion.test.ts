/** `skein completion` in real shells. */
import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { needs, whyNotBuilt } from '../needs.ts'
import { skein } from './skein.ts'

const bin = fileURLToPath(new URL('../../bin/skein.js', import.meta.url))
const whyNoDist = whyNotBuilt(fileURLToPath(new URL('../../dist/src/cli/main.js', import.meta.url)))
const whyNo = (shell: string): string | undefined => {
  try {
    execFileSync(shell, ['-c', 'true'])
    return whyNoDist
  } catch {
    return `there is no ${shell}`
  }
}

let folder = ''
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'skein-completion-'))
  writeFileSync(join(folder, 'skein'), `#!/bin/sh\nexec "${process.execPath}" "${bin}" "$@"\n`)
  chmodSync(join(folder, 'skein'), 0o755)
  mkdirSync(join(folder, 'work', 'data'), { recursive: true })
  writeFileSync(join(folder, 'work', 'my swarm.json'), '')
  for (const shell of ['bash', 'zsh', 'fish']) {
    const { stdout, code } = await skein(['completion', shell])
    expect(code).toBe(0)
    writeFileSync(join(folder, shell === 'zsh' ? '_skein' : `skein.${shell}`), stdout)
  }
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const env = (): NodeJS.ProcessEnv => ({
  ...process.env,
  PATH: `${folder}:${process.env.PATH}`,
  HOME: folder,
  XDG_CONFIG_HOME: folder,
  SKEIN_DATA: join(folder, 'work', 'data'),
  TERM: 'dumb'
})
const run = (shell: string, args: string[]): string =>
  execFileSync(shell, args, {
    env: env(),
    cwd: join(folder, 'work'),
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit']
  })

/** What is proposed for the last of some words. */
const ways: Record<string, (words: string[]) => string[]> = {
  bash: words => {
    const list = ['skein', ...words].map(word => `'${word}'`).join(' ')
    const script = `. ${folder}/skein.bash; COMP_WORDS=(${list}); COMP_CWORD=${words.length}; _skein; printf '%s\\n' "\${COMPREPLY[@]}"`
    return run('bash', ['--norc', '-c', script]).split('\n').filter(Boolean)
  },
  // It completes only where keys are typed: its builtins are replaced by ones that print what they are given.
  zsh: words => {
    const list = ['skein', ...words].map(word => `'${word}'`).join(' ')
    const script = `compdef() { :; }; . ${folder}/_skein
      _describe() { local each; for each in "\${(@P)2}"; do print -r -- "\${\${each//\\\\:/\\0}%%:*}"; done }
      _files() { if [[ $1 = -/ ]]; then print -rl -- *(/N); else print -rl -- *(N); fi }
      compadd() { if [[ $1 = -a ]]; then print -rl -- "\${(@P)2}"; else shift; print -rl -- "$@"; fi }
      words=(${list}); CURRENT=$#words; _skein; true`
    return run('zsh', ['-f', '-c', script]).split('\n').filter(Boolean)
  },
  fish: words => {
    const line = ['skein', ...words].join(' ').replaceAll("'", "\\'")
    return run('fish', ['--no-config', '-c', `source ${folder}/skein.fish; complete -C '${line}'`])
      .split('\n')
      .filter(Boolean)
      .map(text => text.split('\t')[0]!)
  }
}

describe.each(Object.keys(ways))('in %s', shell => {
  const complete = (...words: string[]): string[] => ways[shell]!(words)

  describe('one', needs(whyNo(shell)), () => {
    it('completes commands, and those below them', () => {
      const all = complete('')
      expect(all).toEqual(expect.arrayContaining(['init', 'up', 'ask', 'chat', 'model', 'doctor', 'completion']))
      expect(all).not.toContain('--stop-with-stdin')
      expect(complete('model', '').filter(word => !word.startsWith('-'))).toEqual(
        expect.arrayContaining(['import', 'pull', 'ls', 'show', 'verify', 'rm'])
      )
      expect(complete('model', '')).not.toContain('up')
    })

    it('completes the flags of a command alone', () => {
      const flags = complete('up', '--')
      expect(flags).toEqual(expect.arrayContaining(['--swarm', '--memory', '--no-mdns']))
      expect(flags).not.toContain('--max-tokens')
      expect(flags).not.toContain('--stop-with-stdin')
      expect(complete('model', 'pull', '--')).toContain('--revision')
    })

    it('completes values: files, words, names of models', () => {
      expect(complete('up', '--swarm', '').join()).toContain('swarm.json')
      expect(complete('up', '--data', '').join()).toMatch(/^data\/?$/)
      expect(complete('up', '--memory', '1GB', '--engine', '')).toEqual(expect.arrayContaining(['wasm', 'onnx']))
      expect(complete('completion', '')).toEqual(expect.arrayContaining(['bash', 'zsh', 'fish']))
      expect(complete('model', 'show', '')).toContain('stories15m')
      expect(complete('ask', 'Once', '--data', 'data', '--model', '')).toContain('stories15m')
      expect(complete('up', '--memory', '')).toEqual([])
    })
  })
})

it('refuses a shell that it does not know', async () => {
  const { code, stderr } = await skein(['completion', 'csh'])
  expect(code).toBe(2)
  expect(stderr).toContain("'csh' is invalid for argument 'shell'. Allowed choices are bash, zsh, fish")
})

/**
 * The code stays tidy: files and functions keep to a size, what comments and tests cite exists (the rules of protocols
 * are in `protocols.test.ts`), and all that is promised is cited where it is held.
 */
import { execFileSync } from 'node:child_process'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))
const read = (name: string): string => readFileSync(join(root, name), 'utf8')

const fileLinesMax = 450
/** Lines with code in them, as Biome counts them; its own bound is in `biome.json`. */
const functionLinesMax = 70

/** What is longer, why that stands, and a ceiling for it, at most fifty lines above. A ceiling only ever sinks. */
type Exceptions = Readonly<Record<string, readonly [ceiling: number, reason: string]>>

const longFiles: Exceptions = {}

const longFunctions: Exceptions = {
  'sim/main.ts command': [150, 'runs one command line: its flags checked one after the other'],
  'sim/random-world.ts drawScenario': [100, 'draws one world: each draw uses what was drawn before'],
  'sim/world.ts constructor': [100, 'sets up one world'],
  'sim/faults.ts fault': [150, 'one case for each kind of fault'],
  'src/cli/demo-telling.ts personTelling': [100, 'one sentence for each kind of event'],
  'src/cli/main.ts describeProgram': [220, 'a list: every command with its flags'],
  'src/engine/onnx/graph.ts buildGraph': [100, 'one graph, in the order in which it computes']
}

/** What is wrong with sizes above `max`, or with the exceptions themselves. */
function oversized(sizes: ReadonlyMap<string, number>, max: number, exceptions: Exceptions): string[] {
  const wrong: string[] = []
  for (const [name, lines] of sizes) {
    const [ceiling] = exceptions[name] ?? [max]
    if (lines > ceiling)
      wrong.push(`${name} has ${lines} lines, at most ${ceiling} are allowed: split it by what it does`)
    else if (name in exceptions && lines > max && lines <= ceiling - 50) {
      wrong.push(`${name} has shrunk to ${lines} lines: lower its ceiling of ${ceiling}`)
    }
  }
  for (const name of Object.keys(exceptions)) {
    if ((sizes.get(name) ?? 0) <= max) wrong.push(`${name} needs no exception any more: strike it off the list`)
  }
  return wrong
}

const sourceFiles = ['src', 'sim'].flatMap(folder => globSync(`${folder}/**/*.ts`, { cwd: root })).sort()

/** Functions that Biome finds longer than its bound, as `file name`. */
function longFunctionSizes(): Map<string, number> {
  const biome = join(root, 'node_modules', '@biomejs', 'biome', 'bin', 'biome')
  const rule = '--only=complexity/noExcessiveLinesPerFunction'
  const args = [biome, 'lint', rule, '--max-diagnostics=none', '--reporter=json', 'src', 'sim']
  const output = execFileSync(process.execPath, args, {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore']
  })
  const { diagnostics } = JSON.parse(output) as {
    diagnostics: { message: string; location: { path: string; start: { line: number } } }[]
  }
  return new Map(
    diagnostics.map(({ message, location: { path, start } }) => {
      const line = read(path).split('\n')[start.line - 1]!
      const name = /(?:function\*?|const)\s+([\w$]+)|([#\w$]+)\s*[(<]/.exec(line)
      return [`${path} ${name?.[1] ?? name?.[2] ?? line.trim()}`, Number(/\((\d+)\)/.exec(message)?.[1])]
    })
  )
}

describe('sizes', () => {
  it(`of files are at most ${fileLinesMax} lines`, () => {
    const sizes = new Map(sourceFiles.map(file => [file, read(file).split('\n').length - 1]))
    expect(sizes.size).toBeGreaterThan(100)
    expect(oversized(sizes, fileLinesMax, longFiles)).toEqual([])
  })

  it(`of functions are at most ${functionLinesMax} lines of code`, () => {
    expect(read('biome.json')).toContain(`"maxLines": ${functionLinesMax} `)
    expect(oversized(longFunctionSizes(), functionLinesMax, longFunctions)).toEqual([])
  })

  it('are told apart: too long, shrunk, and passed over for nothing', () => {
    const sizes = new Map([
      ['short', 10],
      ['long', 11],
      ['known', 70],
      ['grown', 101],
      ['shrunk', 50],
      ['mended', 10]
    ])
    const exceptions: Exceptions = {
      known: [100, ''],
      grown: [100, ''],
      shrunk: [100, ''],
      mended: [50, ''],
      gone: [50, '']
    }
    expect(oversized(sizes, 10, exceptions)).toEqual([
      'long has 11 lines, at most 10 are allowed: split it by what it does',
      'grown has 101 lines, at most 100 are allowed: split it by what it does',
      'shrunk has shrunk to 50 lines: lower its ceiling of 100',
      'mended needs no exception any more: strike it off the list',
      'gone needs no exception any more: strike it off the list'
    ])
  })
})

/** Numbers of the promises that a document states: list items that begin with `**P4. `. */
function promises(markdown: string): string[] {
  const prose = markdown.replace(/^```[\s\S]*?^```/gm, '')
  return [...prose.matchAll(/^- \*\*(P\d+)\. /gm)].map(([, number]) => number!)
}

describe('promises', () => {
  const stated = promises(read('src/README.md'))

  it('are numbered without a gap or a double', () => {
    expect(stated.length).toBeGreaterThan(3)
    expect(stated).toEqual(stated.map((_, i) => `P${i + 1}`))
  })

  it('exist where they are cited, and are cited', () => {
    const cited = new Set<string>()
    const broken: string[] = []
    const files = ['src/**/*.ts', 'sim/**/*.ts', 'test/**/*.ts', 'protocols/*.md', 'README.md']
    for (const file of files.flatMap(pattern => globSync(pattern, { cwd: root }))) {
      // This file speaks of promises that do not exist.
      if (file === 'test/tidy.test.ts') continue
      for (const [number] of read(file).matchAll(/\bP\d{1,2}\b/g)) {
        cited.add(number)
        if (!stated.includes(number)) broken.push(`${file} cites promise ${number}, which src/README.md does not state`)
      }
    }
    expect(broken).toEqual([])
    expect(
      stated.filter(number => !cited.has(number)),
      'stated, and cited by no code, test or protocol'
    ).toEqual([])
  })

  it('are read from list items alone', () => {
    expect(promises('P1. no\n- **P2. Yes.** as P3. says\n```\n- **P4. no\n```\n- **P10. Yes.**')).toEqual(['P2', 'P10'])
  })
})

describe('skipped tests', () => {
  it('say why, where the totals can tell it', () => {
    const silent = globSync('test/**/*.test.ts', { cwd: root }).filter(file =>
      /\.(?:skipIf|runIf|todo)\(|\b(?:it|test|describe)\.skip\b|\.skip\(\)/.test(read(file))
    )
    // This file and the one of the totals speak of them.
    const others = silent.filter(file => !['test/tidy.test.ts', 'test/totals.test.ts'].includes(file))
    expect(others, 'use needs() of test/needs.ts, or context.skip with a reason').toEqual([])
  })
})

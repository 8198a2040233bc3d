/**
 * A protocol is NAME.md + NAME.proto + the generated NAME.ts, and the three say the same. The documents have one
 * order, and a rule that code or a test cites exists.
 */
import { execFileSync } from 'node:child_process'
import { globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))
const read = (name: string): string => readFileSync(join(root, name), 'utf8')
const names = globSync('protocols/*.proto', { cwd: root })
  .map(file => basename(file, '.proto'))
  .sort()

/** The order of a protocol document's sections, after the title, one line and the table of id and revision. */
const sections = ['Purpose', 'Roles', 'Diagram', 'Messages', 'Rules', 'Limits', 'Errors', 'Security']

/** Headings of the second level, in order; those within code blocks are none. */
function headings(markdown: string): string[] {
  const prose = markdown.replace(/^```[\s\S]*?^```/gm, '')
  return [...prose.matchAll(/^## +(.+?) *$/gm)].map(([, heading]) => heading!)
}

/** Numbers of the rules that a document states: a line (or list item, or table row) that begins with `S4.`. */
function rules(markdown: string): string[] {
  const prose = markdown.replace(/^```[\s\S]*?^```/gm, '')
  return [...prose.matchAll(/^(?:[-*|] *)?(?:#+ +)?\**([A-Z]+\d+)(?:\.\**|\**\.) /gm)].map(([, number]) => number!)
}

/** The block that gives the messages. */
function protoBlock(markdown: string): string | undefined {
  return /^```proto(?:buf)?\n([\s\S]*?)^```/m.exec(markdown)?.[1]
}

describe('protocols', () => {
  it('are there', () => {
    expect(names).toContain('stage')
    expect(names).toContain('records')
    const strangers = globSync('protocols/*.{ts,md}', { cwd: root })
      .map(file => basename(file).replace(/\.(ts|md)$/, ''))
      .filter(name => !['README', 'arithmetic'].includes(name) && !names.includes(name))
    expect(strangers, 'every document of frames and every generated file has its .proto').toEqual([])
  })
})

describe.each(names)('protocols/%s', name => {
  let generated = ''
  let folder = ''

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'skein-protons-'))
    const protons = join(root, 'node_modules', 'protons', 'dist', 'bin', 'protons.js')
    execFileSync(process.execPath, [protons, '--output', folder, `protocols/${name}.proto`], { cwd: root })
    generated = readFileSync(join(folder, `${name}.ts`), 'utf8')
  })

  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  it('has generated code that is up to date', () => {
    expect(read(`protocols/${name}.ts`) === generated, 'run npm run protocols').toBe(true)
  })

  it('says in the document what the .proto says', () => {
    expect(protoBlock(read(`protocols/${name}.md`))?.trim()).toBe(read(`protocols/${name}.proto`).trim())
  })

  it('has a document in the fixed order', () => {
    const markdown = read(`protocols/${name}.md`)
    expect(markdown, 'a title, one line, then a table with the id and the revision').toMatch(
      /^# .+\n\n[^\n#|][^#|]*\n\n\|[^\n]*\|\n\|[-:| ]+\|\n(?:\|[^\n]*\|\n)+/
    )
    const table = markdown.slice(0, markdown.indexOf('\n## ')).toLowerCase()
    expect(table).toMatch(/\|\s*\**(?:protocol|id)\s*\|\s*`\/skein\//)
    expect(table).toContain('revision')
    expect(headings(markdown)).toEqual(sections)
  })

  it('numbers its rules without a gap or a double', () => {
    const numbers = rules(read(`protocols/${name}.md`))
    const letter = numbers[0]?.replace(/\d+/, '')
    expect(numbers.length).toBeGreaterThan(3)
    expect(numbers).toEqual(numbers.map((_, i) => `${letter}${i + 1}`))
  })
})

describe('rules that are cited', () => {
  it('exist', () => {
    const known = new Set(names.flatMap(name => rules(read(`protocols/${name}.md`))))
    const letters = [...new Set([...known].map(number => number.replace(/\d+/, '')))]
    expect(letters.length, 'each protocol has its own letter').toBe(names.length)
    const citation = new RegExp(`\\b(?:${letters.join('|')})\\d{1,2}\\b`, 'g')
    const broken: string[] = []
    const cited = new Set<string>()
    for (const file of ['src', 'sim', 'test'].flatMap(folder => globSync(`${folder}/**/*.ts`, { cwd: root }))) {
      // This file speaks of rules that do not exist.
      if (file === 'test/protocols.test.ts') continue
      for (const [number] of read(file).matchAll(citation)) {
        if (known.has(number)) cited.add(number)
        else broken.push(`${file} cites ${number}, which no document states`)
      }
    }
    expect(broken).toEqual([])
    for (const letter of letters) {
      expect(
        [...cited].some(number => number.startsWith(letter)),
        `no test or code cites a rule ${letter}`
      ).toBe(true)
    }
  })
})

describe('the test of the protocols', () => {
  const document = [
    '# Stage\n\nOne line.\n\n| | |\n|-|-|\n| id | `/x/1.0.0` |\n| revision | 1 |\n',
    ...sections.map(section => `## ${section}\n`),
    '```proto\nmessage A {}\n## not a heading\nS9. Not a rule.\n```\n',
    '**S1.** A stage MUST refuse.\n\nS2. A stage MAY.\n- S3. Listed.\n- **S4**. Bold.\nS2 is meant here.\n'
  ].join('\n')

  it('reads headings, rules and the message block', () => {
    expect(headings(document)).toEqual(sections)
    expect(rules(document)).toEqual(['S1', 'S2', 'S3', 'S4'])
    expect(protoBlock(document)?.split('\n')[0]).toBe('message A {}')
    expect(protoBlock('no block')).toBeUndefined()
  })
})

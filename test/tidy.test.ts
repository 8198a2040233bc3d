/** What comments and tests cite exists, and all that is promised is cited where it is held. */
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))
const read = (name: string): string => readFileSync(join(root, name), 'utf8')

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

/** Everything that a program can import has a docstring: the reference (`npm run docs`) is made of these. */
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))

interface Exported {
  readonly file: string
  readonly name: string
  /** What stands in front of its declaration as a docstring; empty where there is none. */
  readonly doc: string
  /** Its declaration and what follows it in the file. */
  readonly code: string
}

const declaration =
  /(\/\*\*(?:(?!\*\/)[\s\S])*\*\/\n)?^export (?:declare )?(?:abstract )?(?:async )?(?:class|function\*?|const|interface|type|enum) (\w+)/gm

/** What a file exports, and what it passes on from others. */
function exportsOf(file: string): Exported[] {
  const code = readFileSync(join(root, file), 'utf8')
  const own = [...code.matchAll(declaration)].map(
    ({ index, 1: doc = '', 2: name }): Exported => ({ file, name: name!, doc, code: code.slice(index + doc.length) })
  )
  const passed = [...code.matchAll(/^export (?:type )?(\*|\{[^}]*\}) from '(\.[^']+)'/gm)].flatMap(
    ([, names, from]) => {
      const all = exportsOf(join(dirname(file), from!))
      if (names === '*') return all
      const wanted = names!
        .slice(1, -1)
        .split(',')
        .map(each => each.trim().replace(/^type /, ''))
        .filter(Boolean)
      return wanted.map(name => {
        const found = all.find(each => each.name === name)
        if (found === undefined) throw new Error(`${file} exports ${name}, which is not found in ${from}`)
        return found
      })
    }
  )
  return [...own, ...passed]
}

const all = ['src/index.ts', 'src/api/serve.ts'].flatMap(exportsOf)

it('each name that is exported says what it is', () => {
  expect(all.length).toBeGreaterThan(150)
  expect(all.filter(({ doc }) => doc === '').map(({ file, name }) => `${file} ${name}`)).toEqual([])
})

it('each method of a peer, and each field of what one is started and asked with, says what it is', () => {
  const open = all.filter(({ name, code }) => /^export interface/.test(code) && /^Peer$|(?:Init|Options)$/.test(name))
  expect(open.length).toBeGreaterThan(10)
  const missing = open.flatMap(({ file, name, code }) => {
    const body = code.slice(0, code.search(/^\}/m)).split('\n').slice(1)
    const members = body.flatMap((line, i) => {
      const [, member] = /^ {2}(?:readonly )?(\w+)[?(<:]/.exec(line) ?? []
      return member === undefined || /\*\/$/.test(body[i - 1] ?? '') ? [] : [`${file} ${name}.${member}`]
    })
    return members
  })
  expect(missing).toEqual([])
})

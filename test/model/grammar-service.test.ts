/** Grammars in their threads: what a schema costs nobody else pays, and an answer goes on though its thread is another one. */
import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { ModelId } from '../../src/base/ids.ts'
import type { GrammarSpec } from '../../src/model/grammar-spec.ts'
import { type AnswerGrammar, Grammars, type GrammarsInit, type GrammarSource } from '../../src/model/grammar-service.ts'
import { scratchFolders } from '../scratch.ts'
import { loopTicks } from './hostile.ts'
import { tinyTokenizer } from './hugging-face.ts'

const folder = scratchFolders()
let dir: string
let grammars: Grammars
let starts: number
const opened: AnswerGrammar[] = []

beforeEach(async () => {
  dir = await folder()
  starts = 0
  await writeFile(path.join(dir, 'tiny'), tinyTokenizer())
  await writeFile(path.join(dir, 'broken'), '{"model":{"type":"Magic"}}')
  use({})
})
afterEach(async () => {
  for (const each of opened.splice(0)) each.close()
  await grammars.close()
})

function use(init: GrammarsInit): void {
  grammars = new Grammars(init)
}

const never = new AbortController().signal

function source(name = 'tiny'): GrammarSource {
  return {
    id: name as ModelId,
    manifest: { name, bosId: 1, eosIds: [2] },
    vocab: 300,
    file: async () => {
      starts++
      return path.join(dir, name === 'broken' ? 'broken' : 'tiny')
    }
  }
}

async function open(spec: GrammarSpec, name?: string): Promise<AnswerGrammar> {
  const grammar = await grammars.open(source(name), spec, { signal: never })
  opened.push(grammar)
  return grammar
}

const yes: GrammarSpec = { kind: 'regex', pattern: 'yes' }
const bytes = (text: string): number[] => [...Buffer.from(text)].map(each => 3 + each)
const ids = (mask: Uint8Array | undefined): number[] =>
  Array.from({ length: 300 }, (_, id) => id).filter(id => (mask![id >> 3]! >> (id & 7)) & 1)

/** Each letter of it is looked at in five hundred ways, none of which was met before. */
const slow: GrammarSpec = {
  kind: 'regex',
  pattern: Array.from({ length: 500 }, (_, i) => `a{0,${90_000 + i}}`).join('|')
}

test('answers are told what may follow, each by its own grammar, in one thread', async () => {
  const [one, other] = [await open(yes), await open({ kind: 'json' })]
  expect((await one.masks([], bytes('yes'), { signal: never })).map(ids)).toEqual([
    bytes('y'),
    bytes('e'),
    bytes('s'),
    [2]
  ])
  expect(ids((await other.masks([], [], { signal: never }))[0])).toEqual(bytes('{'))
  expect(ids((await one.masks(bytes('ye'), [], { signal: never }))[0])).toEqual(bytes('s'))
  expect(ids((await one.masks([...bytes('yes'), 2], [], { signal: never }))[0])).toEqual([2])
  // Another text than before is read anew.
  expect(ids((await one.masks(bytes('y'), [], { signal: never }))[0])).toEqual(bytes('e'))
  expect(starts).toBe(1)
})

test('a thread that nobody asks ends, and an answer goes on in the next one', async () => {
  use({ idleMs: 20 })
  const grammar = await open(yes)
  await grammar.masks(bytes('y'), [], { signal: never })
  await expect
    .poll(async () => {
      await delay(60)
      expect(ids((await grammar.masks(bytes('ye'), [], { signal: never }))[0])).toEqual(bytes('s'))
      return starts
    })
    .toBeGreaterThan(1)
})

test('a grammar that takes too long costs its own answer the deadline, no other one, and not the loop', async () => {
  use({ masksMs: 500 })
  const [grammar, wide] = [await open(yes), await open(slow)]
  await grammar.masks([], [], { signal: never })
  const ticks = loopTicks()
  const [late, other] = await Promise.allSettled([
    wide.masks(bytes('a'.repeat(50_000)), [], { signal: never }),
    grammar.masks(bytes('y'), [], { signal: never })
  ])
  ticks.stop()
  const message = 'the thread for grammars of tiny did not say which tokens may follow an answer within 500 ms'
  expect(late).toMatchObject({ reason: { name: 'DeadlineError', message: expect.stringContaining(message) } })
  expect(other.status === 'fulfilled' && ids(other.value[0])).toEqual(bytes('e'))
  expect(starts).toBe(2)
  expect(ticks.count()).toBeGreaterThan(10)
})

test('whoever waits no more hears so', async () => {
  const stopping = new AbortController()
  const opening = grammars.open(source(), slow, { signal: stopping.signal })
  stopping.abort(new Error('gone'))
  await expect(opening).rejects.toThrow('gone')
})

test('what no answer can be held to is refused, without a thread where that is seen before', async () => {
  await expect(open({ kind: 'json-schema', schema: { not: {} } })).rejects.toMatchObject({ name: 'InvalidOptionError' })
  expect(starts).toBe(0)
  const wide = open({ kind: 'regex', pattern: '(?:(?:a?){1000}){1000}' })
  await expect(wide).rejects.toMatchObject({ name: 'InvalidOptionError', message: expect.stringContaining('too wide') })
  await expect(open(yes, 'broken')).rejects.toMatchObject({ name: 'InvalidManifestError' })
})

test('so many models at a time, of which one that has no answers makes room', async () => {
  use({ max: 2 })
  const one = await open(yes, 'one')
  await open(yes, 'two')
  await expect(open(yes, 'three')).rejects.toMatchObject({ name: 'NoRoomError' })
  one.close()
  one.close()
  await open(yes, 'three')
  await expect(open(yes, 'one')).rejects.toMatchObject({ name: 'NoRoomError' })
})

test('once they are closed, answers that are under way end in peace', async () => {
  const grammar = await open(yes)
  await grammars.close()
  expect(ids((await grammar.masks([], [], { signal: never }))[0])).toEqual(bytes('y'))
  grammar.close()
  await expect(open(yes)).rejects.toThrow('closed')
})

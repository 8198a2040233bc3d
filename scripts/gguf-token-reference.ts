/**
 * What llama.cpp makes of `test/model/formats/mixed-text.ts` with the tokenizers of real GGUF files: two bytes of a digest for each
 * line, so that our own are held against it (`test/model/formats/gguf-tokenizer.test.ts`).
 *
 *   npm install --no-save --ignore-scripts node-llama-cpp@3.22.1
 *   node --experimental-transform-types scripts/gguf-token-reference.ts FOLDER_OF_NODE_LLAMA_CPP NAME=FILE.gguf…
 */
import { createRequire } from 'node:module'
import path from 'node:path'
import { writeFile } from 'node:fs/promises'
import { pathToFileURL } from 'node:url'
import { idsDigest, mixedText, referenceLine } from '../test/model/formats/mixed-text.ts'

interface NodeLlamaCpp {
  getLlama(options: object): Promise<{
    loadModel(
      options: object
    ): Promise<{ tokenize(text: string, special: boolean): number[]; dispose(): Promise<void> }>
    dispose(): Promise<void>
  }>
}

const [folder, ...files] = process.argv.slice(2)
const place = createRequire(path.join(folder!, 'package.json')).resolve(path.resolve(folder!, 'dist/index.js'))
const { getLlama } = (await import(pathToFileURL(place).href)) as NodeLlamaCpp
const llama = await getLlama({ gpu: false, build: 'never', progressLogs: false, logLevel: 'error' })
const digests: Record<string, string> = {}
for (const each of files) {
  const [name, file] = each.split('=')
  const model = await llama.loadModel({ modelPath: file, gpuLayers: 0, vocabOnly: true })
  const lines = mixedText().map(line => idsDigest(model.tokenize(referenceLine(name!, line), true)))
  digests[name!] = Buffer.concat(lines).toString('base64')
  await model.dispose()
}
await llama.dispose()
const out = new URL('../test/model/formats/token-digests.json', import.meta.url)
await writeFile(out, `${JSON.stringify(digests, null, 1)}\n`)

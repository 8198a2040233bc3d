/** `skein model pull` against a hub on this machine. */
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { writeTiny } from '../model/hugging-face.ts'
import { commit, HubServer } from '../model/hub-server.ts'
import { tinyGguf } from '../model/tiny-gguf.ts'
import { type Ended, expectFailure, Skein, skein } from './skein.ts'

const token = 'hf_secret'
let folder = ''
let data = ''
let hub: HubServer

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'skein-pull-'))
  await writeTiny(join(folder, 'tiny'), { files: 2 })
  writeFileSync(join(folder, 'tiny', 'README.md'), '---\nlicense: mit\n---\n')
  hub = await HubServer.start(join(folder, 'tiny'))
})
afterAll(async () => {
  await hub.close()
  rmSync(folder, { recursive: true, force: true })
})
beforeEach(() => {
  hub.intercept = () => false
  hub.asked = []
  data = mkdtempSync(join(folder, 'data-'))
})

const args = (...more: readonly string[]): string[] => [
  ...['model', 'pull', 'someone/tiny', '--name', 'tiny', '--data', data],
  ...more
]
const env = (more: NodeJS.ProcessEnv = {}): { env: NodeJS.ProcessEnv } => ({
  env: { HF_ENDPOINT: hub.address, HF_TOKEN: '', ...more }
})
const pull = (...more: readonly string[]): Promise<Ended> => skein(args(...more), env())
const pulls = (): string[] => globSync('pulls/**/*', { cwd: data })

describe('skein model pull', () => {
  it('fetches, imports and leaves nothing beside the model', async () => {
    const { code, stdout, stderr } = await skein(args('--edge', 'f16'), env({ HF_TOKEN: token }))
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toMatch(
      new RegExp(
        `^fetched someone/tiny@${commit}: \\d files\nimported tiny: .* q8-f16 with f16 edges, .* id [0-9a-f]{64}\n$`
      )
    )
    expect(existsSync(join(data, 'pulls', 'someone--tiny'))).toBe(false)
    const show = await skein(['model', 'show', 'tiny', '--data', data, '--json'])
    expect(JSON.parse(show.stdout)).toMatchObject({ manifest: { licence: 'mit', source: `someone/tiny@${commit}` } })
    expect(
      hub.asked.filter(({ host }) => host === 'hub').every(({ authorization }) => authorization === `Bearer ${token}`)
    ).toBe(true)
    expect(hub.asked.some(({ host, authorization }) => host === 'storage' && authorization !== undefined)).toBe(false)
  })

  it('imports the GGUF file that is named, as it is quantised', async () => {
    const checkpoint = await writeTiny(join(folder, 'checkpoint'))
    writeFileSync(join(folder, 'tiny', 'tiny.F32.gguf'), tinyGguf(checkpoint))
    try {
      const { code, stdout } = await pull('--file', '*F32.gguf')
      expect(code).toBe(0)
      expect(stdout).toMatch(new RegExp(`^fetched someone/tiny@${commit}: 1 file\nimported tiny: `))
      const show = await skein(['model', 'show', 'tiny', '--data', data, '--json'])
      expect(JSON.parse(show.stdout)).toMatchObject({ dtype: 'f32', manifest: { source: `someone/tiny@${commit}` } })
      expect(pulls()).toEqual([])
    } finally {
      rmSync(join(folder, 'tiny', 'tiny.F32.gguf'))
    }
  })

  it('tells programs how far it is', async () => {
    const { stdout } = await pull('--json')
    const events = stdout
      .trim()
      .split('\n')
      .map(line => JSON.parse(line))
    const fetched = events.filter(({ event }) => event === 'fetch')
    expect(fetched[0]).toMatchObject({ file: 'config.json' })
    const { weights } = fetched.at(-1)
    expect(weights.bytes).toBe(weights.total)
    expect(events.map(({ event }) => event).filter((event, i, all) => event !== all[i - 1])).toEqual([
      'fetch',
      'fetched',
      'progress',
      'edge',
      'imported'
    ])
  })

  it('goes on where Ctrl-C ended it, and says where that is', async () => {
    const begun = new Promise<void>(resolve => {
      hub.intercept = (host, request, response) => {
        if (host !== 'storage' || request.method !== 'GET') return false
        const file = readFileSync(join(folder, 'tiny', basename(request.url!)))
        response.writeHead(200, { 'content-length': String(file.length) })
        response.write(file.subarray(0, 500), () => setTimeout(resolve, 300))
        return true
      }
    })
    const first = new Skein(args(), env())
    await begun
    const { code, stderr } = await first.end('SIGINT')
    expect(code).toBe(130)
    const kept = join(data, 'pulls', 'someone--tiny')
    expect(stderr).toBe(
      `skein: what has arrived is kept in ${kept}: the same command goes on from there, and removing that folder gives up\n`
    )
    expect(pulls()).toContain('pulls/someone--tiny/config.json')

    hub.intercept = () => false
    hub.asked = []
    expect((await pull()).code).toBe(0)
    const continued = hub.asked.filter(({ host, range }) => host === 'storage' && range !== undefined)
    expect(continued.map(({ range }) => range)).toEqual(['bytes=500-'])
    expect(hub.asked.filter(({ method, url }) => method === 'GET' && /config\.json|tokenizer\.json/.test(url))).toEqual(
      []
    )
    expect(pulls()).toEqual([])
  })

  it('refuses in one sentence, and leaves no folder of which nothing has arrived', async () => {
    await expectFailure(skein([...args(), '--name', 'no name'], env()), 2, "a model's name has 1-64 letters")
    await expectFailure(
      skein(['model', 'pull', 'tiny', '--name', 'tiny', '--data', data], env()),
      2,
      "a hub's repository is owner/name, not 'tiny'"
    )
    hub.intercept = (_host, _request, response) => {
      response.writeHead(401, { 'x-error-code': 'GatedRepo' }).end()
      return true
    }
    await expectFailure(pull(), 4, 'skein: someone/tiny is gated (401): accept its terms on')
    const bad = await skein(args(), env({ HF_TOKEN: `${token}\n` }))
    expect(bad).toMatchObject({ code: 2, stderr: 'skein: the hub token holds characters that a header cannot carry\n' })
    expect(pulls()).toEqual([])
  })

  it('says at once that it is offline', async () => {
    await hub.stopHub()
    const startedMs = performance.now()
    await expectFailure(
      pull(),
      4,
      `cannot fetch config.json of someone/tiny from ${hub.address}: ECONNREFUSED; nobody answers there`
    )
    // Four pauses would take 10 s.
    expect(performance.now() - startedMs).toBeLessThan(9_000)
    await hub.startHub()
  })

  it('asks for room before it fetches weights', async () => {
    await expectFailure(pull('--disk', '1kB'), 4, /^skein: what has arrived is kept in .*\nskein: .*1.0 kB/)
    expect(hub.asked.some(({ host, method }) => host === 'storage' && method === 'GET')).toBe(false)
  })
})

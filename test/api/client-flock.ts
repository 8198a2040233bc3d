/**
 * What clients of the front door are tried against: a peer without layers, whose door it is, before two that have half of each model.
 * All tests of a file share them.
 */
import { cp, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, vi } from 'vitest'
import { type ApiInit, type ApiServer, serveApi } from '../../src/api/serve.ts'
import { type ChatMessage, type ChatOptions, type GenerateOptions, importGraph, type Peer } from '../../src/index.ts'
import { openLibrary } from '../../src/model/library.ts'
import { newSwarm } from '../../src/swarm/swarm-file.ts'
import { readExposition, total } from '../exposition.ts'
import { importScripted } from '../model/scripted-model.ts'
import { writeStoryChat } from '../model/story-chat.ts'
import { embedder } from '../model/tiny-graphs.ts'
import { livePeers } from '../peer/live-peers.ts'

/** What `caller` says where it is told of functions, and what it says else. */
export const calls =
  '<tool_call>\n{"name": "weather", "arguments": {"city": "Rome"}}\n</tool_call>\n' +
  '<tool_call>\n{"name": "weather", "arguments": {"city": "Oslo", "unit": "C"}}\n</tool_call>'
export const report = 'Sun 😀 in one of them, and rain in the other.'

/** Functions as Qwen's template has them. What has a result at its end is answered in words. */
const callerTemplate =
  '{{ bos_token }}{% if tools %}Functions: {{ tools | tojson }}. Call as <tool_call>{...}</tool_call>\n{% endif %}' +
  "{% for m in messages %}{{ m.role + ' ' + m.content }}{% for c in m.tool_calls or [] %}" +
  "{{ c.function.name + ' of ' + c.function.arguments.city }}{% endfor %}{{ '\n' }}{% endfor %}" +
  "assistant{{ '~' if tools and messages[-1].role != 'tool' else '^' }}"

/** A loss that nobody can stand in for is told after this. */
const lossMs = 1_000

export interface ClientFlock {
  /** The peer that holds no layers. */
  readonly driver: Peer
  /** Head and tail. */
  readonly stages: readonly Peer[]
  /** `http://127.0.0.1:PORT/v1` of a door without keys. */
  readonly baseUrl: string
  /** Another door of the same peer, which ends with the tests. */
  open(init?: ApiInit): Promise<ApiServer>
  /** What a program that embeds the peer has as answer. */
  chat(messages: readonly ChatMessage[], options?: ChatOptions): Promise<string>
  generate(prompt: string, options?: GenerateOptions): Promise<string>
  /** Sessions that hold a cache at any stage. */
  sessions(): number
  /** A door that wants a {@link key}. */
  keyed(): Promise<ApiServer>
  /** Stops the tail, whose layers nobody else has. Before the next test another one comes. */
  lose(): Promise<void>
}

export const messages = [{ role: 'user' as const, content: 'Tell me of a cat.' }]
/** Of what is asked, so that it has as many tokens as it may. */
export const endless = { 1: -100, 2: -100 }

/** Keys of doors that want one. */
export const key = '0123456789abcdef'

/** @param name of the folders, for who finds one left behind */
export function clientFlock(name: string): () => ClientFlock {
  const { start, folder } = livePeers(name, afterAll)
  const doors: ApiServer[] = []
  afterAll(async () => {
    await Promise.all(doors.map(door => door.close()))
  })
  let flock: ClientFlock
  let restore: () => Promise<void>
  beforeAll(async () => {
    const home = await modelsIn(await folder())
    const swarm = newSwarm(name)
    const half = async (half: 0 | 1): Promise<Peer> => {
      const dataDir = await folder()
      await cp(join(home, 'models'), join(dataDir, 'models'), { recursive: true })
      const models = [
        { model: 'storychat', layers: { start: 3 * half, end: 3 * half + 3 } },
        { model: 'caller', layers: { start: half, end: half + 1 } },
        ...(half === 0 ? [{ model: 'embedder' }] : [])
      ]
      return start({ dataDir, swarm, models, memoryBytes: 600e6 })
    }
    const stages = [await half(0), await half(1)]
    const driver = await start({ swarm, memoryBytes: 0 })
    const ready = (): string[] =>
      driver
        .status()
        .models.filter(({ coverage }) => coverage.every(Boolean))
        .map(model => model.name)
    // Hooks may not poll.
    const covered = () =>
      vi.waitFor(() => expect(ready().toSorted()).toEqual(['caller', 'embedder', 'storychat']), { timeout: 60_000 })
    await covered()
    const open = async (init: ApiInit = {}): Promise<ApiServer> => {
      doors.push(await serveApi(impatient(driver), { port: 0, ...init }))
      return doors.at(-1)!
    }
    let isLost = false
    const keys = join(await folder(), 'keys')
    await writeFile(keys, `ada ${key}\n`)
    flock = {
      driver,
      stages,
      baseUrl: `${(await open()).url}/v1`,
      open,
      keyed: () => open({ apiKeyFile: keys }),
      chat: async (messages, options) => textOf(driver.chat(messages, { model: 'storychat', ...options })),
      generate: async (prompt, options) => textOf(driver.generate(prompt, { model: 'storychat', ...options })),
      sessions: () =>
        stages.reduce((sum, peer) => sum + total(readExposition(peer.metrics()), 'skein_stage_sessions'), 0),
      lose() {
        isLost = true
        return stages[1]!.stop()
      }
    }
    restore = async () => {
      if (!isLost) return
      stages[1] = await half(1)
      isLost = false
      await covered()
    }
  })
  beforeEach(() => restore())
  return () => flock
}

async function modelsIn(dataDir: string): Promise<string> {
  await writeStoryChat(dataDir)
  await importScripted(dataDir, {
    name: 'caller',
    chatTemplate: callerTemplate,
    scripts: { '~': calls, '^': report }
  })
  const { manifest } = await (await openLibrary(dataDir)).resolve('stories15m')
  const tokenizer = join(import.meta.dirname, '../../models/stories15m/shards', manifest.tokenizer!.sha256)
  const source = join(dataDir, 'embedder.onnx')
  await writeFile(source, embedder())
  await importGraph({ source, dataDir, name: 'embedder', tokenizer })
  return dataDir
}

/** The same peer, whose answers wait no half a minute for a stand-in. */
function impatient(peer: Peer): Peer {
  const generate: Peer['generate'] = (prompt, options) => peer.generate(prompt, { waitMs: lossMs, ...options })
  const chat: Peer['chat'] = (messages, options) => peer.chat(messages, { waitMs: lossMs, ...options })
  return new Proxy(peer, {
    get(_, key) {
      if (key === 'generate') return generate
      if (key === 'chat') return chat
      const value = peer[key as keyof Peer]
      return typeof value === 'function' ? value.bind(peer) : value
    }
  })
}

async function textOf(generation: ReturnType<Peer['chat']>): Promise<string> {
  for await (const _token of generation);
  return (await generation.answer).text
}

/** The window's routes over HTTP: files, the stream of events, questions, and who may act. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it, onTestFinished } from 'vitest'
import { windowNewsMax, windowPagesMax } from '../../src/api/limits.ts'
import { type WatchedPeer, WindowFeed } from '../../src/api/window-feed.ts'
import type { AnswerNews, Status } from '../../src/index.ts'
import { readExposition, total } from '../exposition.ts'
import { frontDoors } from './front-door.ts'

const { open } = frontDoors('window')

interface Told {
  readonly event: string
  // biome-ignore lint/suspicious/noExplicitAny: a test says of each event what it should be
  readonly data: any
}

/** Events of a response, as they come. */
async function* eventsOf(response: Response): AsyncGenerator<Told> {
  let rest = ''
  for await (const part of response.body!.pipeThrough(new TextDecoderStream())) {
    const blocks = (rest + part).split('\n\n')
    rest = blocks.pop()!
    for (const block of blocks) {
      const data = /^data: (.*)$/m.exec(block)?.[1]
      if (data !== undefined) yield { event: /^event: (.*)$/m.exec(block)?.[1] ?? '', data: JSON.parse(data) }
    }
  }
}

describe('the window', () => {
  it('is one page of files that ask nobody else, and everything else is asked for with the key', {
    timeout: 120_000
  }, async () => {
    const folder = await mkdtemp(join(tmpdir(), 'skein-window-'))
    onTestFinished(() => rm(folder, { recursive: true, force: true }))
    await writeFile(join(folder, 'keys'), 'me secret-secret-secret\n')
    const { ask } = await open({ api: { apiKeyFile: join(folder, 'keys') } })
    const page = await ask('/')
    expect(page.status).toBe(200)
    expect(page.headers.get('content-type')).toBe('text/html; charset=utf-8')
    expect(page.headers.get('content-security-policy')).toMatch(/^default-src 'none'; script-src 'self'; /)
    for (const [, path] of page.text.matchAll(/(?:src|href)="(\/[^"]*)"/g)) {
      expect((await ask(path!)).status, path).toBe(200)
    }
    expect(page.text).not.toMatch(/https?:\/\//)
    for (const path of ['/window/../package.json', '/window/%2e%2e/package.json', '/window/tsconfig.json']) {
      expect((await ask(path)).text, path).not.toContain('compilerOptions')
    }
    for (const path of ['/window/events', '/metrics']) expect((await ask(path)).status, path).toBe(401)
    const own = { headers: { authorization: 'Bearer secret-secret-secret' } }
    const metrics = await ask('/metrics', own)
    expect(metrics.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
    expect(total(readExposition(metrics.text), 'skein_peers')).toBe(1)
  })

  it('shows the swarm and answers as they are made, and ends an answer with its page', {
    timeout: 120_000
  }, async () => {
    const { url, peer } = await open()
    const closed = new AbortController()
    const events = eventsOf(await fetch(`${url}/window/events`, { signal: closed.signal }))
    const first = await events.next()
    expect(first.value).toMatchObject({
      event: 'swarm',
      data: {
        self: peer.id,
        swarm: 'window',
        peers: [{ id: peer.id, connected: true }],
        models: [{ name: 'storychat' }]
      }
    })
    const asked = await fetch(`${url}/window/ask`, {
      method: 'POST',
      headers: { origin: url, 'content-type': 'application/json' },
      body: JSON.stringify({ messages: [{ role: 'user', content: 'Tell me of a fox' }], maxTokens: 12 })
    })
    const answer: Told[] = []
    for await (const told of eventsOf(asked)) answer.push(told)
    const kinds = answer.map(({ data }) => data.event)
    expect(new Set(kinds)).toEqual(new Set(['conversation', 'route', 'token', 'stopped', 'done']))
    expect(answer.at(-1)!.data).toMatchObject({ tokens: 12, exact: true })
    expect(answer.at(-1)!.data).not.toHaveProperty('ids')

    // Whoever closes the page wants no more of it.
    const gone = new AbortController()
    const left = await fetch(`${url}/window/ask`, {
      method: 'POST',
      headers: { origin: url },
      body: JSON.stringify({ messages: [{ role: 'user', content: 'Tell me of a fox' }], maxTokens: 200 }),
      signal: gone.signal
    })
    await eventsOf(left).next()
    expect(peer.answers()).toHaveLength(1)
    gone.abort()
    await expect.poll(() => peer.answers(), { timeout: 2_000 }).toEqual([])

    const news: AnswerNews[] = []
    let most = 0
    for await (const { event, data } of events) {
      if (event === 'news') news.push(...data.news)
      if (event === 'answers') most = Math.max(most, ...data.map(({ tokens }: { tokens: number }) => tokens), 0)
      if (news.filter(({ what }) => what === 'ended').length === 2) break
    }
    expect(news.map(({ what }) => what)).toEqual(['began', 'route', 'ended', 'began', 'route', 'ended'])
    expect(news.at(-1)).toMatchObject({ what: 'ended', error: 'cancelled' })
    expect(JSON.stringify(news)).not.toContain('fox')
    closed.abort()
  })

  it('lets nobody act but its own page, and says what is wrong with a question', { timeout: 120_000 }, async () => {
    let drained = 0
    const { ask, url } = await open({
      api: {
        drain: async () => {
          drained += 1
        }
      }
    })
    const json = { messages: [{ role: 'user', content: 'x' }], maxTokens: 4 }
    for (const headers of [{ accept: '*/*' }, { origin: 'http://localhost:1' }] as Record<string, string>[]) {
      for (const path of ['/window/drain', '/window/ask']) {
        const { status, json: body } = await ask(path, { json, headers })
        expect([status, body.error.code]).toEqual([403, 'foreign_origin'])
      }
    }
    expect(drained).toBe(0)
    const headers = { origin: url }
    expect(await ask('/window/drain', { json: {}, headers })).toMatchObject({ status: 202 })
    expect(drained).toBe(1)
    const wrong: [object, string][] = [
      [{ ...json, messages: [] }, "'messages'"],
      [{ ...json, messages: [{ role: 'judge', content: 'x' }] }, "'messages.0.role'"],
      [{ ...json, maxTokens: 0 }, "'maxTokens'"],
      [{ ...json, temperature: 1 }, 'temperature']
    ]
    for (const [body, named] of wrong) {
      const told = await ask('/window/ask', { json: body, headers })
      expect([told.status, told.json.error.message]).toEqual([400, expect.stringContaining(named)])
    }
    const unknown = await ask('/window/ask', { json: { ...json, model: 'nobody' }, headers })
    expect(unknown).toMatchObject({ status: 404 })
    expect((await ask('/window/drain', { headers })).status).toBe(405)
  })
})

describe('its feed', () => {
  const feeds: WindowFeed[] = []
  afterEach(() => {
    for (const feed of feeds.splice(0)) feed.close()
  })

  /** A peer that says what it is told to. */
  class Told extends EventTarget {
    readonly id = 'self' as Status['self']
    looks = 0
    status(): Status {
      this.looks += 1
      return {
        self: this.id,
        swarm: 'x',
        peers: [],
        models: [],
        links: [],
        answers: [],
        fetches: [],
        violations: {},
        disk: { usedBytes: 0 }
      } as unknown as Status
    }
    answers(): [] {
      return []
    }
    tell(news: Partial<AnswerNews>): void {
      this.dispatchEvent(new CustomEvent('answer', { detail: news }))
    }
  }
  const feedOf = (peer: Told): WindowFeed => {
    feeds.push(new WindowFeed(peer as unknown as WatchedPeer))
    return feeds.at(-1)!
  }
  const textOf = async (reader: ReadableStreamDefaultReader<Uint8Array>): Promise<string> =>
    new TextDecoder().decode((await reader.read()).value)

  it('opens so many pages and no more, looks at the peer only while one is open, and ends with them', async () => {
    const peer = new Told()
    const feed = feedOf(peer)
    const readers = Array.from({ length: windowPagesMax }, () => feed.open()!.getReader())
    expect(feed.open()).toBeUndefined()
    await readers[0]!.cancel()
    const again = feed.open()
    expect(again).toBeDefined()
    expect(feed.pages).toBe(windowPagesMax)
    const late = again!.getReader()
    // Whoever comes later is told all the same.
    expect(await textOf(late)).toMatch(/^event: swarm\ndata: .*\n\nevent: answers\ndata: \[\]\n\nevent: rates/)
    for (const reader of [...readers.slice(1), late]) await reader.cancel()
    expect(feed.pages).toBe(0)
    const { looks } = peer
    await new Promise(resolve => setTimeout(resolve, 1_200))
    expect(peer.looks).toBe(looks)
  })

  it('ends its pages, and nothing else, when the peer cannot be looked at', async () => {
    const peer = new Told()
    const reader = feedOf(peer).open()!.getReader()
    expect(await textOf(reader)).toMatch(/^event: swarm/)
    peer.answers = () => {
      throw new Error('it has stopped')
    }
    expect((await reader.read()).done).toBe(true)
  })

  it('holds no more for a page that reads nothing than the newest, and counts what it left out', async () => {
    const peer = new Told()
    const reader = feedOf(peer).open()!.getReader()
    expect(await textOf(reader)).toMatch(/^event: swarm/)
    // Nothing that a page has not taken grows with what happens.
    for (let i = 0; i < 10 * windowNewsMax; i++) peer.tell({ what: 'began', answer: i })
    const told = JSON.parse(/^event: news\ndata: (.*)$/m.exec(await textOf(reader))![1]!)
    expect(told.news).toHaveLength(windowNewsMax)
    expect(told.untold).toBe(9 * windowNewsMax)
  })
})

/**
 * The board for Grafana shows data: each of its expressions, run by a real Prometheus that has scraped real peers with answers and a loss;
 * and where there is none, each series that an expression names is looked for in what the peers say.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { expect, it } from 'vitest'
import { newSwarm } from '../../src/swarm/swarm-file.ts'
import { readExposition, type Sample } from '../exposition.ts'
import { livePeers } from './live-peers.ts'

interface Board {
  readonly panels: readonly { readonly title: string; readonly targets?: readonly { readonly expr: string }[] }[]
}

const { peers, start } = livePeers('board')
const board = JSON.parse(readFileSync(new URL('../../docs/grafana.json', import.meta.url), 'utf8')) as Board
/** Panels of what not every machine has. */
const notEverywhere = ['Batteries', 'Power of machines', 'Runs of graphs, and embeddings']
const expressions = board.panels
  .flatMap(({ title, targets = [] }) => targets.map(({ expr }) => ({ title, expr })))
  .filter(({ title }) => !notEverywhere.includes(title))
const prometheus = (process.env.PATH ?? '')
  .split(delimiter)
  .map(folder => join(folder, 'prometheus'))
  .find(existsSync)

/** Series that an expression takes: their names, with the labels that they must have. What comes after `or` is for where there are none. */
function seriesOf(expr: string): { readonly name: string; readonly labels: readonly (readonly [string, string])[] }[] {
  return [...expr.matchAll(/\b((?:skein|gen_ai|process)_\w+)\{([^}]*)\}/g)].map(([, name, pairs]) => ({
    name: name!,
    labels: [...pairs!.matchAll(/(\w+)="([^"]*)"/g)].map(([, label, value]) => [label!, value!] as const)
  }))
}

function isIn(samples: readonly Sample[], { name, labels }: ReturnType<typeof seriesOf>[number]): boolean {
  const own = labels.filter(([label]) => label !== 'job')
  return samples.some(each => each.name === name && own.every(([label, value]) => each.labels[label] === value))
}

/** Two stages, a driver, answers, and a loss in one of them. Returns what the driver and the stage that is left are. */
async function lived(): Promise<void> {
  const swarm = newSwarm('board')
  for (let i = 0; i < 2; i++) await start({ swarm, memoryBytes: 128e6, diskBytes: 1e9 })
  const driver = await start({ swarm, memoryBytes: 0, traceEvery: 1 })
  const least = (): number => Math.min(...(driver.status().models[0]?.coverage ?? [0]))
  await expect.poll(least, { timeout: 60_000 }).toBe(2)
  let ended: Promise<void> | undefined
  let lost = ''
  for await (const event of driver.generate('Once upon a time', { maxTokens: 100, logprobs: 0 }).events()) {
    if (event.event === 'route') lost = event.hops[0]!.peer
    if (event.event === 'token') ended ??= peers.find(({ id }) => id === lost)!.stop()
  }
  await ended
  peers.splice(0, peers.length, ...peers.filter(({ id }) => id !== lost))
}

async function scrapedBy(
  file: string,
  folder: string
): Promise<{ server: Server; process: ChildProcess; url: string }> {
  // One target for each peer, on one port: Prometheus asks for /0 and /1.
  const server = createServer((request, response) => {
    response.setHeader('content-type', 'text/plain; version=0.0.4; charset=utf-8')
    response.end(peers[Number(request.url!.slice(1))]?.metrics() ?? '')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const target = `127.0.0.1:${(server.address() as AddressInfo).port}`
  const jobs = peers.map((_, i) => ({
    targets: [target],
    labels: { __metrics_path__: `/${i}`, instance: `peer-${i}` }
  }))
  const config = {
    global: { scrape_interval: '1s', scrape_timeout: '900ms' },
    scrape_configs: [{ job_name: 'skein', static_configs: jobs }]
  }
  await writeFile(join(folder, 'prometheus.yml'), JSON.stringify(config))
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address() as AddressInfo
  probe.close()
  const flags = [`--config.file=${folder}/prometheus.yml`, `--storage.tsdb.path=${folder}/data`]
  const own = spawn(file, [...flags, `--web.listen-address=127.0.0.1:${port}`, '--log.level=error'], {
    stdio: 'ignore'
  })
  return { server, process: own, url: `http://127.0.0.1:${port}` }
}

async function resultsOf(url: string, expr: string): Promise<unknown[]> {
  const query = expr.replaceAll('$__rate_interval', '20s').replaceAll('$job', 'skein')
  const response = await fetch(`${url}/api/v1/query?query=${encodeURIComponent(query)}`)
  const { data, error } = (await response.json()) as {
    data?: { result: { value: [number, string] }[] }
    error?: string
  }
  if (data === undefined) throw new Error(`${query}: ${error}`)
  return data.result
}

it('shows data in every panel', { timeout: 150_000 }, async context => {
  expect(expressions.length).toBeGreaterThan(25)
  expect(new Set(board.panels.map(({ title }) => title)).size).toBe(board.panels.length)
  if (prometheus === undefined) {
    context.annotate('there is no Prometheus here: series are looked for by their names')
    await lived()
    const samples = peers.flatMap(peer => readExposition(peer.metrics()))
    const missing = expressions.flatMap(({ title, expr }) => {
      const [needed = ''] = expr.split(' or vector')
      if (needed !== expr) return []
      return seriesOf(needed).flatMap(series => (isIn(samples, series) ? [] : [`${title}: ${series.name}`]))
    })
    expect(missing).toEqual([])
    return
  }
  const folder = await mkdtemp(join(tmpdir(), 'skein-prometheus-'))
  await lived()
  const { server, process: own, url } = await scrapedBy(prometheus, folder)
  try {
    await expect
      .poll(
        () =>
          fetch(`${url}/-/ready`).then(
            ({ ok }) => ok,
            () => false
          ),
        { timeout: 20_000 }
      )
      .toBe(true)
    await expect.poll(() => resultsOf(url, 'skein_peers'), { timeout: 20_000 }).not.toEqual([])
    // Counters move while it looks.
    const driver = peers.at(-1)!
    for (let i = 0; i < 3; i++) await driver.generate('Once upon a time', { maxTokens: 40, logprobs: 0 }).answer
    const empty = async (): Promise<string[]> => {
      const all = await Promise.all(expressions.map(({ expr }) => resultsOf(url, expr)))
      return expressions.flatMap(({ title, expr }, i) => (all[i]!.length === 0 ? [`${title}: ${expr}`] : []))
    }
    await expect.poll(empty, { timeout: 30_000, interval: 1_000 }).toEqual([])
  } finally {
    own.kill()
    server.close()
    await rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 })
  }
})

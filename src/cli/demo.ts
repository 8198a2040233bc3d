/** `skein demo`: several peers on this machine answer with one model that none of them can hold alone. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import {
  type Answer,
  DeadlineError,
  formatBytes,
  type GenerationEvent,
  initSwarm,
  InvalidOptionError,
  listModels,
  PeerNotRunningError,
  type Range,
  shareModel,
  showModel,
  type Status,
  type StoredModel,
  splitBudgets,
  UnknownModelError
} from '../index.ts'
import type { CommandContext } from './context.ts'
import { askGenerate, askStatus } from './control-client.ts'
import { DemoPeer } from './demo-peer.ts'
import { describeFailure } from './failure.ts'
import { demoKillToken, demoPollMs, demoReadyMs } from './limits.ts'
import { jsonTelling, personTelling } from './demo-telling.ts'
import { sayJson } from './output.ts'

type Hop = (GenerationEvent & { event: 'route' })['hops'][number]

export interface DemoFlags {
  readonly peers: number
  readonly prompt: string
  /** An imported model of the data directory `data`. @default the one that ships */
  readonly model?: string
  readonly data: string
  readonly maxTokens: number
  /** Kill a peer in mid-story, with a stand-in for it loaded. */
  readonly kill?: boolean
  readonly json?: boolean
}

/**
 * Runs the demo and returns its exit code: 0 when the peers together gave the very tokens that one peer
 * gives alone, else 1. With `kill` one of them is killed in mid-story and another one goes on in its place. Whatever
 * happens, its processes and files are gone afterwards.
 *
 * @throws {InvalidOptionError} for a kill with a single peer.
 * @throws {PeerNotRunningError} when one of its peers ends by itself.
 * @throws {DeadlineError} when not every layer is covered in time; says what is missing.
 * @throws the errors of answering, and the signal's reason.
 */
export async function demo(flags: DemoFlags, { signal }: CommandContext): Promise<number> {
  if (flags.kill && flags.peers < 2) {
    throw new InvalidOptionError('the peer that is asked is not killed: --kill needs 2 peers or more')
  }
  const tell = flags.json ? jsonTelling : personTelling(flags.prompt)
  const folder = await mkdtemp(join(tmpdir(), 'skein-demo-'))
  const peers: DemoPeer[] = []
  try {
    const model = flags.model === undefined ? await shippedModel(folder) : await showModel(flags.data, flags.model)
    const { name, config } = model.manifest
    const budgets = splitBudgets(model, flags.peers)
    const [whole] = splitBudgets(model, 1)
    tell.begin({ prompt: flags.prompt, model: name, layers: config.layers, budgets, wholeBytes: whole! })

    const swarm = join(folder, 'swarm.json')
    await initSwarm(swarm, 'demo')
    const start = async (label: string, memoryBytes: number, file: string, range?: Range): Promise<DemoPeer> => {
      if (!model.shipped) await shareModel(flags.data, model.id, join(folder, label))
      const place = range === undefined ? {} : { layers: range }
      const init = {
        ...{ dataDir: join(folder, label), temporaryDir: folder, swarm: file, model: model.id, memoryBytes },
        ...place
      }
      const peer = new DemoPeer(init, event => {
        if (event.event === 'found' || event.event === 'serving') tell.step(label, event)
      })
      peers.push(peer)
      return peer
    }
    const together: DemoPeer[] = []
    for (const [i, budget] of budgets.entries()) together.push(await start(`peer-${i + 1}`, budget, swarm))
    const startedMs = performance.now()
    const seen = await untilCovered(together, config.layers, signal)
    tell.covered(seen, performance.now() - startedMs)
    if (flags.kill) {
      const range = secondAct(seen)
      tell.standIn(range)
      together.push(await start('stand-in', Math.max(...budgets), swarm, range))
      await untilCovered(together, config.layers, signal, range)
    }

    const killing = flags.kill ? new Killing(together, tell.killed) : undefined
    const answer = await answerThrough(together[0]!, flags, signal, event => {
      killing?.onEvent(event, Math.min(demoKillToken, Math.floor(flags.maxTokens / 2)))
      tell.answering(event, killing?.pauseMs)
    })
    tell.answered(answer)
    await Promise.all(together.map(peer => peer.stop()))

    // A swarm of its own, so that nothing of the first one can take part.
    const lone = join(folder, 'alone.json')
    await initSwarm(lone, 'demo-alone')
    tell.alone()
    const one = await start('alone', whole!, lone)
    await untilCovered([one], config.layers, signal)
    const alone = await answerThrough(one, flags, signal, () => {})
    const identical = sameIds(answer.ids, alone.ids) && sameIds(answer.promptIds, alone.promptIds)
    tell.end({
      peers: flags.peers,
      answer,
      alone,
      identical,
      recovered: killing?.recovered ?? 0,
      pauseMs: killing?.pauseMs
    })
    return identical ? 0 : 1
  } catch (err) {
    if (flags.json && !signal.aborted) {
      const { name, message } = describeFailure(err)
      sayJson({ event: 'error', name, message })
    }
    throw err
  } finally {
    await Promise.all(peers.map(peer => peer.stop()))
    await rm(folder, { recursive: true, force: true })
  }
}

/** @throws {UnknownModelError} when the package is not whole */
async function shippedModel(folder: string): Promise<StoredModel> {
  const model = (await listModels(folder)).find(({ shipped }) => shipped)
  if (model === undefined) throw new UnknownModelError('the model that ships with Skein is not here: install it anew')
  return model
}

/** The layers that get a stand-in: those of a peer that is not asked, in the middle of the route if there is one. */
function secondAct(seen: Status): Range {
  const others = seen.peers
    .filter(({ self }) => !self)
    .flatMap(({ stages }) => stages.filter(({ serving }) => serving))
    .sort((a, b) => a.start - b.start)
  const { start, end } = others[Math.floor((others.length - 1) / 2)]!
  return { start, end }
}

/** Kills a peer of the route that has a stand-in, once the story is under way. */
class Killing {
  readonly #peers: readonly DemoPeer[]
  readonly #onKilled: (victim: Hop) => void
  #route: readonly Hop[] = []
  #tokens = 0
  #killedMs: number | undefined
  /** From the kill to the next token of the story, in ms. */
  pauseMs: number | undefined
  recovered = 0

  constructor(peers: readonly DemoPeer[], onKilled: (victim: Hop) => void) {
    this.#peers = peers
    this.#onKilled = onKilled
  }

  onEvent(event: GenerationEvent, atToken: number): void {
    if (event.event === 'route') this.#route = event.hops
    if (event.event === 'token' && ++this.#tokens === atToken) this.#kill()
    if (event.event === 'recovered') {
      this.recovered++
      if (this.#killedMs !== undefined) this.pauseMs ??= performance.now() - this.#killedMs
    }
  }

  #kill(): void {
    const [, ...others] = this.#peers
    const standIn = others.at(-1)!
    // The route may lead through either of the two that serve these layers.
    const victim = this.#route.find(hop => standIn.serves(hop) && others.some(({ id }) => id === hop.peer))
    if (victim === undefined) return
    this.#killedMs = performance.now()
    others.find(({ id }) => id === victim.peer)!.kill()
    this.#onKilled(victim)
  }
}

/** Waits until the first peer sees every layer covered, all the peers there, and `twice` covered twice. */
async function untilCovered(
  peers: readonly DemoPeer[],
  layerCount: number,
  signal: AbortSignal,
  twice?: Range
): Promise<Status> {
  const isCovered = (times: number, layer: number): boolean =>
    times > (twice !== undefined && layer >= twice.start && layer < twice.end ? 1 : 0)
  const deadline = AbortSignal.timeout(demoReadyMs)
  let seen: Status | undefined
  while (!deadline.aborted) {
    for (const peer of peers) peer.assertRunning()
    try {
      seen = await askStatus(peers[0]!.dataDir, { signal })
    } catch (err) {
      // Its control socket is not there yet; whether it ever will be, the deadline decides.
      if (!(err instanceof PeerNotRunningError)) throw err
    }
    const coverage = seen?.models.find(model => model.layers === layerCount)?.coverage ?? []
    if (seen?.peers.length === peers.length && coverage.length === layerCount && coverage.every(isCovered)) return seen
    await delay(demoPollMs, undefined, { signal }).catch(() => signal.throwIfAborted())
  }
  throw new DeadlineError(
    `not every layer was covered within ${demoReadyMs / 1000} s: ${whatIsMissing(seen, peers.length)}`
  )
}

function whatIsMissing(seen: Status | undefined, wanted: number): string {
  if (seen === undefined) return 'the first peer did not answer'
  if (seen.peers.length < wanted) {
    const ways = seen.discovery.map(({ way, state }) => `${way}: ${state}`).join(', ')
    return `it sees ${seen.peers.length} of ${wanted} peers (${ways})`
  }
  const [model] = seen.models
  if (model === undefined) return 'no peer offers a model'
  const gaps = model.coverage.flatMap((times, layer) => (times === 0 ? [layer] : []))
  const bytes = model.missing === null ? '' : `, ${formatBytes(model.missing.bytes)} of budget are missing`
  return `nobody serves ${gaps.map(layer => `layer ${layer}`).join(', ')}${bytes}`
}

/** Asks one peer and returns the whole answer. @throws the errors of answering. */
async function answerThrough(
  peer: DemoPeer,
  { prompt, maxTokens }: DemoFlags,
  signal: AbortSignal,
  onEvent: (event: GenerationEvent) => void
): Promise<Answer> {
  let answer: Answer | undefined
  for await (const event of askGenerate(peer.dataDir, prompt, { maxTokens, temperature: 0, seed: 1 }, { signal })) {
    onEvent(event)
    if (event.event === 'done') answer = event
  }
  if (answer === undefined) throw new PeerNotRunningError('the peer ended its answer without its last event')
  return answer
}

function sameIds(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((id, i) => id === b[i])
}

/** `skein status`: the swarm as one peer sees it. */
import {
  type DiskStatus,
  type DraftStatus,
  type FetchingStatus,
  formatBytes,
  type ModelFit,
  type ModelStatus,
  momentText,
  type PeerStatus,
  type PrefixStats,
  type Range,
  type Status
} from '../index.ts'
import type { CommandContext } from './context.ts'
import { askStatus } from './control-client.ts'
import { formatMs, layers, modelName, paint, say, sayJson, shortPeer, table } from './output.ts'

export interface StatusFlags {
  readonly data: string
  readonly json?: boolean
}

/** Prints the status as tables, or as one JSON object. @throws what {@link askStatus} throws. */
export async function status(flags: StatusFlags, { signal }: CommandContext): Promise<void> {
  const seen = await askStatus(flags.data, { signal })
  if (flags.json) sayJson(seen)
  else for (const line of describeStatus(seen)) say(line)
}

/** The lines that a person reads. */
export function describeStatus(seen: Status): string[] {
  const violations = Object.entries(seen.violations).filter(([, count]) => count > 0)
  return [
    paint('bold', `swarm ${seen.swarm}: ${seen.peers.length} ${seen.peers.length === 1 ? 'peer' : 'peers'}`),
    '',
    ...table([
      ['peer', '', 'cores', 'memory', 'budget', 'used', 'serves', 'ms per token', 'sessions'],
      ...seen.peers.map(peer => describePeer(peer, seen))
    ]),
    '',
    ...seen.models.flatMap(model => describeModel(model, seen)),
    ...describeUnclear(seen.models),
    ...(seen.models.length === 0 ? ['no model is known here'] : []),
    ...(seen.fetching === null ? [] : [describeFetching(seen.fetching)]),
    ...((seen.draft ?? null) === null ? [] : [describeDraft(seen.draft!)]),
    '',
    ...seen.discovery.map(({ way, state }) => `discovery by ${way}: ${state}`),
    // A peer of an older version says nothing of these.
    ...(seen.disk === undefined ? [] : [describeDisk(seen.disk)]),
    ...(seen.unkept ?? []).map(sentence => `disk: ${sentence}`),
    ...(seen.prefixes === undefined || seen.prefixes.bytes + seen.prefixes.reused === 0
      ? []
      : [describePrefixes(seen.prefixes)]),
    ...describeWork(seen.peers),
    ...describeAttestation(seen),
    ...(violations.length === 0
      ? []
      : [`protocol violations by other peers: ${violations.map(([kind, count]) => `${kind} ${count}`).join(', ')}`])
  ]
}

/** What checks say of the peers that have computed for this one. */
function describeWork(peers: readonly PeerStatus[]): string[] {
  return peers.flatMap(({ id, work }) => {
    // A peer of an older version says nothing of it.
    if (work === undefined || (work.sessions === 0 && work.state === 'unchecked')) return []
    // An older version does not say how many could be.
    const { state, sessions, checkable = sessions, passed, reason } = work
    const unlike = checkable === sessions ? '' : `, of which ${checkable} could be checked`
    const counts = `${passed} checks passed in ${sessions} sessions${unlike}`
    return [`work of ${shortPeer(id)}: ${state}, ${counts}${reason === null ? '' : `: ${reason}`}`]
  })
}

/** Who has given evidence of its machine; a peer of an older version says nothing of that. */
function describeAttestation({ membership }: Status): string[] {
  const { attests = null, key, requires = [], peers = [] } = membership?.attestation ?? {}
  return [
    ...(attests === null ? [] : [`evidence: this machine gives some by ${attests}, with the key ${key}`]),
    ...(requires.length === 0 ? [] : [`evidence: ${requires.join(', ')} of others count only with some`]),
    ...peers.map(({ peer, untilMs, refusal }) =>
      untilMs === null
        ? `  ${shortPeer(peer)} has not given any that counts: ${refusal}`
        : `  ${shortPeer(peer)} has given some, which counts until ${momentText(untilMs)}`
    )
  ]
}

function describeDraft({ name, ready, state, bytes }: DraftStatus): string {
  const taken = bytes === 0 ? '' : `, ${formatBytes(bytes)} of the budget`
  return ready ? `drafts: by ${name}${taken}` : `drafts: not by ${name}${taken}: ${state}`
}

function describeDisk({ usedBytes, limitBytes, keptBytes }: DiskStatus): string {
  const kept = keptBytes === 0 ? '' : `, ${formatBytes(keptBytes)} of them imported and kept`
  return limitBytes === null
    ? `disk: models take ${formatBytes(usedBytes)}${kept}`
    : `disk: models take ${formatBytes(usedBytes)} of ${formatBytes(limitBytes)}${kept}`
}

function describePrefixes({ bytes, reused }: PrefixStats): string {
  return `prompts: the beginnings of earlier ones take ${formatBytes(bytes)}; ${reused} tokens were not computed again`
}

function describePeer(peer: PeerStatus, seen: Status): string[] {
  const { hardware, stages, timings, battery } = peer
  const isGraph = (model: string): boolean => seen.models.find(({ id }) => id === model)?.isGraph === true
  const serves = stages.map(
    stage =>
      `${modelName(seen.models, stage.model)}${isGraph(stage.model) ? '' : ` ${layers(stage)}`}${stage.serving ? '' : ' (loading)'}`
  )
  return [
    shortPeer(peer.id),
    `${peer.self ? 'this one' : `${formatMs(peer.ageMs)} ago`}${peer.connected ? '' : ', not connected'}${peer.leaving ? ', leaving' : ''}${peer.speaks ? '' : ', of another version: it speaks no revision that this peer speaks'}`,
    `${hardware.cores} ${hardware.architecture}`,
    formatBytes(hardware.memoryBytes),
    formatBytes(peer.budgetBytes),
    peer.usedBytes === null ? '-' : formatBytes(peer.usedBytes),
    serves.join(', ') || 'nothing',
    timings.map(timing => describeTiming(timing, isGraph(timing.model))).join(', ') || '-',
    `${peer.sessions}${battery === null ? '' : `, battery ${Math.round(battery.level * 100)} %`}`
  ]
}

function describeTiming({ visitMs, layerMs }: PeerStatus['timings'][number], isGraph: boolean): string {
  if (!isGraph) return `${visitMs.toFixed(2)} + ${layerMs.toFixed(2)} a layer`
  return visitMs === 0 ? 'no run yet' : `${visitMs.toFixed(1)} a run`
}

function describeFetching({ state, bytes, bytesTotal }: FetchingStatus): string {
  if (bytesTotal === 0) return state
  return `fetching ${state}: ${formatBytes(bytes)} of ${formatBytes(bytesTotal)}`
}

/** Of each name that is that of more than one model, what to do about it. */
function describeUnclear(models: readonly ModelStatus[]): string[] {
  return [...Map.groupBy(models, ({ name }) => name)].flatMap(([name, same]) => {
    if (same.length === 1) return []
    const list = same.map(({ id }) => id.slice(0, 12)).join(' and ')
    return [`the name ${name} is not clear, it is that of ${list}: give --model the beginning of an id`]
  })
}

function describeModel(model: ModelStatus, { models, peers }: Status): string[] {
  const { layers: count, coverage, missing } = model
  const gaps = coverage.filter(times => times === 0).length
  // A record lives on for half a minute after its peer is gone: what it serves is no comfort until then.
  const within = connectedCoverage(model, peers)
  const out = stretches(within.map((times, layer) => times === 0 && coverage[layer]! > 0))
  const least = Math.min(...within)
  const verdict = model.isGraph
    ? `a graph, served by ${coverage[0] === 1 ? '1 peer' : `${coverage[0] ?? 0} peers`}`
    : coverage.length === 0 || gaps > 0
      ? `${gaps} of ${count} layers are covered by nobody`
      : `every layer is covered${least > 1 ? ` at least ${least} times` : ''}`
  const beyond = out.length === 0 ? '' : `, ${out.map(layers).join(', ')} only by peers that are not connected`
  const lines = [`${modelName(models, model.id)}  ${coverageBar(coverage)}  ${verdict}${beyond}`]
  const isFetched = peers.some(({ self, stages }) => self && stages.some(stage => stage.model === model.id))
  // A peer of an older version says nothing of it.
  if ((model.needs ?? null) !== null && (gaps > 0 || !isFetched)) lines.push(`  ${describeNeeds(model.needs!)}`)
  if (missing !== null) {
    const where = missing.layers.map(layers).join(', ')
    lines.push(
      missing.pinned
        ? `  nobody may load ${where}, as --layers keeps peers to others: start another peer, or one without --layers`
        : `  ${formatBytes(missing.bytes)} of budget are missing for ${where}: start another peer, or raise --memory`
    )
  }
  return lines
}

/** `it takes 165 MB in all: 3 peers that give 64.0 MB each`. */
function describeNeeds({ wholeBytes, budgetBytes, peers }: ModelFit): string {
  const all = `it takes ${formatBytes(wholeBytes)} in all`
  if (budgetBytes === 0) return all
  const each = `${formatBytes(budgetBytes)} each`
  if (peers === null) return `${all}, and peers that give ${each} cannot hold one of its layers`
  return peers === 1
    ? `${all}: one peer that gives ${formatBytes(budgetBytes)} holds it`
    : `${all}: ${peers} peers that give ${each}`
}

/** [layers] how many serving stages hold each layer on peers that can be reached from here. */
export function connectedCoverage({ id, coverage }: ModelStatus, peers: readonly PeerStatus[]): number[] {
  const stages = peers.filter(({ connected }) => connected).flatMap(peer => peer.stages)
  const serving = stages.filter(stage => stage.model === id && stage.serving)
  return coverage.map((_, layer) => serving.filter(({ start, end }) => start <= layer && layer < end).length)
}

/** The half-open stretches in which a list is true. */
function stretches(list: readonly boolean[]): Range[] {
  const starts = list.flatMap((is, i) => (is && list[i - 1] !== true ? [i] : []))
  const ends = list.flatMap((is, i) => (is && list[i + 1] !== true ? [i + 1] : []))
  return starts.map((start, i) => ({ start, end: ends[i]! }))
}

/** One cell per layer: how many stages serve it, `·` for none and `+` for more than nine. */
export function coverageBar(coverage: readonly number[]): string {
  return coverage
    .map(times => (times === 0 ? paint('red', '·') : paint('green', times > 9 ? '+' : String(times))))
    .join('')
}

/** What happens to a running peer, as lines for a person or events for a program. */
import {
  type DiskFreed,
  formatBytes,
  type ModelId,
  type Peer,
  type PeerId,
  type ShardFetch,
  type StageStatus,
  type Status
} from '../index.ts'
import { watchMs } from './limits.ts'
import { formatMs, layers, modelName, shortPeer } from './output.ts'
import { progressBar } from './progress.ts'

/** Says that something happened: as a line for a person, or as an event with its details. */
export type Tell = (event: string, line: string, details?: object) => void

/**
 * Tells what happens to a peer, beginning with what has happened before, but for warnings. Returns how to stop.
 *
 * @param show told often what is on its way at this moment, as one line; empty where nothing is
 */
export function watch(peer: Peer, tell: Tell, show: (line: string) => void = () => {}): () => void {
  const known = new Set<string>()
  const loading = new Set<string>()
  const serving = new Set<string>()
  const discovery = new Map<string, string>()
  const tellDraft = draftTeller(tell)
  const tellCoverage = coverageTeller(tell)
  const nameOf = (status: Status, id: ModelId): string => modelName(status.models, id)
  const keyOf = ({ model, start, end }: StageStatus): string => `${model} ${start}-${end}`

  // The events say when, the status says what: whatever both tell is told once.
  const look = (): void => {
    const status = peer.status()
    for (const { way, state } of status.discovery) {
      if (discovery.get(way) === state) continue
      discovery.set(way, state)
      tell('discovery', `discovery by ${way}: ${state}`, { way, state })
    }
    tellDraft(status)
    for (const { id, self, stages } of status.peers) {
      if (!self && !known.has(id)) {
        known.add(id)
        tell('found', `found ${shortPeer(id)}`, { peer: id })
      }
      if (!self) continue
      for (const stage of stages) {
        const key = keyOf(stage)
        const told = stage.serving ? serving : loading
        if (told.has(key)) continue
        told.add(key)
        const verb = stage.serving ? 'serving' : 'loading'
        tell(verb, `${verb} ${placed(stage, status)}`, stageDetails(stage))
      }
    }
    tellCoverage(status)
    show(underway(status))
  }
  const onLeave = ({ detail }: CustomEvent<{ readonly peer: PeerId }>): void => {
    known.delete(detail.peer)
    tell('lost', `lost ${shortPeer(detail.peer)}`, { peer: detail.peer })
  }
  const onLeaving = ({ detail }: CustomEvent<{ readonly peer: PeerId; readonly leaving: boolean }>): void => {
    const who = detail.peer === peer.id ? 'this peer' : shortPeer(detail.peer)
    if (detail.leaving) tell('leaving', `${who} is leaving: others take over its layers`, { peer: detail.peer })
    else tell('staying', `${who} stays after all`, { peer: detail.peer })
  }
  const onDown = ({ detail }: CustomEvent<StageStatus>): void => {
    serving.delete(keyOf(detail))
    loading.delete(keyOf(detail))
    tell('released', `released ${placed(detail, peer.status())}`, stageDetails(detail))
  }
  const onFetch = ({ detail }: CustomEvent<ShardFetch>): void => {
    const line = describeFetch(detail, nameOf(peer.status(), detail.model))
    tell(detail.tookMs === undefined ? 'fetching' : 'fetched', line, detail)
  }
  const onFreed = ({ detail }: CustomEvent<DiskFreed>): void => tell('freed', describeFreed(detail), detail)
  const looks = ['peer:join', 'stage:up', 'model:covered', 'model:uncovered'] as const
  for (const type of looks) peer.addEventListener(type, look)
  peer.addEventListener('peer:leave', onLeave)
  peer.addEventListener('peer:leaving', onLeaving)
  peer.addEventListener('stage:down', onDown)
  peer.addEventListener('shards:fetch', onFetch)
  peer.addEventListener('disk:freed', onFreed)
  const timer = setInterval(look, watchMs)
  look()
  return () => {
    clearInterval(timer)
    for (const type of looks) peer.removeEventListener(type, look)
    peer.removeEventListener('peer:leave', onLeave)
    peer.removeEventListener('peer:leaving', onLeaving)
    peer.removeEventListener('stage:down', onDown)
    peer.removeEventListener('shards:fetch', onFetch)
    peer.removeEventListener('disk:freed', onFreed)
  }
}

/** What is fetched and what is loaded now, as one line. */
export function underway({ self, peers, models, fetches }: Status): string {
  const fetching = fetches.filter(({ bytesTotal }) => bytesTotal > 0)
  const loading = peers.find(({ id }) => id === self)?.stages.filter(({ serving }) => !serving) ?? []
  return [
    ...fetching.map(({ model, state, bytes, bytesTotal }) => {
      const of = model === null ? '' : ` of ${modelName(models, model)}`
      return `${progressBar(bytes, bytesTotal)} of ${formatBytes(bytesTotal)}  ${state}${of}`
    }),
    ...(fetching.length === 0 && loading.length > 0
      ? [`loading ${loading.map(stage => `${layers(stage)} of ${modelName(models, stage.model)}`).join(', ')} …`]
      : [])
  ].join('  ')
}

/** Tells when all of a model is served, and when it is so no longer. */
function coverageTeller(tell: Tell): (status: Status) => void {
  const covered = new Set<ModelId>()
  return status => {
    for (const { id, coverage, isGraph } of status.models) {
      const name = modelName(status.models, id)
      const isCovered = coverage.length > 0 && coverage.every(count => count > 0)
      if (isCovered === covered.has(id)) continue
      if (isCovered) {
        covered.add(id)
        const line = isGraph ? `${name}: it is served` : `${name}: every layer is covered`
        tell('covered', line, { model: id, coverage })
      } else {
        covered.delete(id)
        const line = isGraph ? `${name}: nobody serves it any more` : `${name}: no longer every layer is covered`
        tell('uncovered', line, { model: id, coverage })
      }
    }
  }
}

/** What a stage holds: `layers 0-2 of NAME`; a graph is whole. */
function placed(stage: StageStatus, { models }: Status): string {
  const name = modelName(models, stage.model)
  return models.some(({ id, isGraph }) => id === stage.model && isGraph === true) ? name : `${layers(stage)} of ${name}`
}

/** Tells once that there is something that drafts. */
function draftTeller(tell: Tell): (status: Status) => void {
  let isTold = false
  return ({ draft }) => {
    if (draft?.ready === true && !isTold) tell('drafting', `drafting by ${draft.name}`, draft)
    isTold = draft?.ready === true
  }
}

function stageDetails({ model, start, end }: StageStatus): object {
  return { model, start, end }
}

function describeFetch({ shards, bytes, peers, tookMs }: ShardFetch, name: string): string {
  const what = `${shards} of ${name} (${formatBytes(bytes)})`
  return tookMs === undefined
    ? `fetching ${what} from ${peers} ${peers === 1 ? 'peer' : 'peers'}`
    : `fetched ${what} in ${formatMs(tookMs)}`
}

function describeFreed({ bytes, files }: DiskFreed): string {
  const more = files.length > 3 ? ` and ${files.length - 3} more` : ''
  return `made room on the disk, ${formatBytes(bytes)}: ${files.slice(0, 3).join(', ')}${more}`
}

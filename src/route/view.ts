/**
 * What placement and routing see of the swarm: plain data, made from live records and
 * the manifest. Nothing here knows libp2p, engines or files.
 */
import type { ModelId, PeerId, Range, PlaceId } from '../base/ids.ts'
import { pagesHeld } from '../base/pages.ts'
import { meshMax } from '../limits.ts'
import { shapesMax } from './limits.ts'
import { type ModelOffer, type OfferFootprint, peerHint, type SwarmRecord } from '../swarm/record.ts'

/** A model's sizes. All bytes are resident bytes: what a stage occupies once loaded, not the file's size. */
export interface ModelShape {
  readonly id: ModelId
  readonly name: string
  readonly layers: number
  /** [layers] bytes of each layer's weights. */
  readonly layerBytes: readonly number[]
  /** [layers] bytes of each layer's file: how layers compare whatever an engine takes. @default as `layerBytes` do */
  readonly layerFileBytes?: readonly number[]
  readonly embeddingBytes: number
  readonly headBytes: number
  /** The tail needs the embedding too (once, if it is also the head). */
  readonly tiedEmbeddings: boolean
  /** Reserved per layer of a stage for caches: at least one session of the usual length. */
  readonly cacheBytesPerLayer: number
  /** The same of a cache of int8. @default the engine has none */
  readonly i8CacheBytesPerLayer?: number | undefined
  /** Tokens that `cacheBytesPerLayer` is for. @default nobody knows: every stage counts as having room */
  readonly cacheTokens?: number
  /** Tokens of a page, which a session's cache takes whole. @default 1 */
  readonly cachePageTokens?: number | undefined
  readonly i8CachePageTokens?: number | undefined
  /** [layers] bytes of a page: how layers compare, of which the largest takes `cacheBytesPerLayer`. @default all take that */
  readonly cachePageBytes?: readonly number[] | undefined
  readonly i8CachePageBytes?: readonly number[] | undefined
  /** [layers] how many of a session's last tokens the cache of a layer need hold, since it has a window; undefined: all. @default all */
  readonly latestTokens?: readonly (number | undefined)[] | undefined
  /** Caches hold no more than that. @default they hold all */
  readonly givesBackWindows?: boolean | undefined
  /** Reserved per stage whatever its layers: retained hidden states and buffers. */
  readonly stageBytes: number
  /** Bytes of one token's step between two hops, header included. @default a 4,096 wide model's, for predictions only */
  readonly stepBytes?: number
}

/** One stage of the model in question, as its peer announces it. */
export interface StageView extends Range {
  /** False while it is being loaded. */
  readonly serving: boolean
  /** Free for caches of more sessions, by its peer's own announcement. @default nobody knows: it counts as having room */
  readonly cacheBytesFree?: number
  /** Steps at a time, lately, by its peer's own announcement, and the most of that for some minutes. @default nobody knows */
  readonly load?: number
  readonly peak?: number
}

/** One live peer, this one included, as far as one model goes. */
export interface PeerView {
  readonly peer: PeerId
  /** Memory it gives for weights and caches. */
  readonly budgetBytes: number
  /** Layers whose shards it has on disk, in order, not overlapping. */
  readonly held: readonly Range[]
  readonly holdsEmbedding: boolean
  readonly holdsHead: boolean
  /** Layers that its person asked it to serve (`--layers`), or null when placement decides. */
  readonly pinned: Range | null
  /** Predicted ms per token for one visit of n layers: `visitMs + n · layerMs`, measured on that peer. */
  readonly visitMs: number
  readonly layerMs: number
  readonly numericClass: string
  readonly stages: readonly StageView[]
  /** Sessions it serves now, by its own announcement. */
  readonly sessions: number
  /** Steps that wait there, by its own announcement. @default none */
  readonly queuedSteps?: number
  /** 0..1, or null when it runs on mains or does not know. */
  readonly battery: number | null
  /** What it may fetch from others because somebody present has it on disk (`withObtainable`). @default nothing */
  readonly obtainable?: Holding
  /** Whom it is connected with, where it has said so of all of them. @default nobody knows */
  readonly contacts?: Contacts
  /** Its stages have failed their probes: no plan counts on it, and a route takes it last. @default false */
  readonly isDoubtful?: boolean
  /** What it was to load has not come: no plan asks it for more than it serves. @default false */
  readonly isStuck?: boolean
  /** What it has measured of its links. @default nothing, and nobody else's measure of a link with it is known */
  readonly links?: MeasuredLinks
  /** What its engine takes of memory. @default as much as this peer's */
  readonly footprint?: OfferFootprint | undefined
  /** It is about to go: no plan counts on it, though its stages serve until they are gone. */
  readonly leaving?: boolean
}

/** A peer's connections as records have them: by short hints of ids. */
export interface Contacts {
  readonly hint: number
  readonly others: ReadonlySet<number>
}

/** Round trips that a peer has announced, in ms, by short hints of ids; `hint` is its own. */
export interface MeasuredLinks {
  readonly hint: number
  readonly rttMs: ReadonlyMap<number, number>
}

/** What is on disk of one model. */
export interface Holding {
  /** Layers, in order, not overlapping. */
  readonly held: readonly Range[]
  readonly holdsEmbedding: boolean
  readonly holdsHead: boolean
}

/** One stage in a route. */
export interface Hop extends Range {
  readonly peer: PeerId
}

/** Whom a route does without: whole peers, and single stages of others. */
export type Without = ReadonlySet<PeerId | PlaceId>

export function placeOf({ peer, start, end }: Hop): PlaceId {
  return `${peer}/${start}-${end}` as PlaceId
}

/** Whether a hop, or its whole peer, is one of those. */
export function isWithout(without: Without, hop: Hop): boolean {
  return without.has(hop.peer) || without.has(placeOf(hop))
}

/** What is left of the views without them. */
export function viewsWithout(views: readonly PeerView[], without: Without): readonly PeerView[] {
  if (without.size === 0) return views
  return views
    .filter(({ peer }) => !without.has(peer))
    .map(view => {
      const { peer } = view
      const stages = view.stages.filter(({ start, end }) => !without.has(placeOf({ peer, start, end })))
      return stages.length === view.stages.length ? view : { ...view, stages }
    })
}

/** The views, each with what others could give it: one copy of a shard among those present is enough for all. */
export function withObtainable(views: readonly PeerView[]): PeerView[] {
  const held: { start: number; end: number }[] = []
  for (const { start, end } of views.flatMap(view => view.held).sort((a, b) => a.start - b.start)) {
    const last = held.at(-1)
    if (last !== undefined && start <= last.end) last.end = Math.max(last.end, end)
    else held.push({ start, end })
  }
  const holdsEmbedding = views.some(view => view.holdsEmbedding)
  const holdsHead = views.some(view => view.holdsHead)
  const obtainable: Holding = { held, holdsEmbedding, holdsHead }
  return views.map(view => {
    const before = obtaining.get(view)
    if (before !== undefined && sameHolding(before.obtainable!, obtainable)) return before
    const made = { ...view, obtainable }
    obtaining.set(view, made)
    return made
  })
}

/** The last that was made of each view: others hardly ever have anything else, and who knows a view knows what it made of it. */
const obtaining = new WeakMap<PeerView, PeerView>()

function sameHolding(a: Holding, b: Holding): boolean {
  return (
    a.holdsEmbedding === b.holdsEmbedding &&
    a.holdsHead === b.holdsHead &&
    a.held.length === b.held.length &&
    a.held.every((range, i) => sameRange(range, b.held[i]!))
  )
}

/** Whether there is nothing that others could give a peer. */
export function holdsAllObtainable(view: PeerView): boolean {
  return view.obtainable === undefined || sameHolding(view, view.obtainable)
}

/** The views as they are without others' shards. */
export function heldOnly(view: PeerView): PeerView {
  let alone = without.get(view)
  if (alone === undefined) {
    const { obtainable: _, ...rest } = view
    alone = rest
    without.set(view, alone)
  }
  return alone
}

const without = new WeakMap<PeerView, PeerView>()

/** [layers] whether a peer would have to fetch each layer. */
export function lacks(view: PeerView, model: ModelShape): boolean[] {
  const layers = Array.from({ length: model.layers }, () => true)
  for (const { start, end } of view.held) layers.fill(false, start, end)
  return layers
}

/**
 * Whether a peer may load [start, end): within its budget, and with every shard it takes on its disk or on that of
 * somebody who can give it.
 */
export function canHold(peer: PeerView, model: ModelShape, range: Range): boolean {
  const { start, end } = range
  if (!(start >= 0 && start < end && end <= model.layers)) return false
  if (stageBytes(shapeAt(peer, model), range) > peer.budgetBytes) return false
  const { held: ranges, holdsEmbedding, holdsHead } = peer.obtainable ?? peer
  const needsEmbedding = start === 0 || (end === model.layers && model.tiedEmbeddings)
  if (needsEmbedding && !holdsEmbedding) return false
  if (end === model.layers && !holdsHead) return false
  let reached = start
  for (const held of ranges) if (held.start <= reached && held.end > reached) reached = held.end
  return reached >= end
}

/** Whether two peers are known not to be connected: both say with whom they are, and neither names the other. */
export function areApart({ contacts: a }: PeerView, { contacts: b }: PeerView): boolean {
  return a !== undefined && b !== undefined && !a.others.has(b.hint) && !b.others.has(a.hint)
}

/** What a session's caches take at a stage of layers [start, end), in whole pages; 0 where that is not known. */
export function cacheBytesOf(model: ModelShape, { start, end }: Range, tokensMax: number): number {
  const { cacheBytesPerLayer, cacheTokens, cachePageTokens = 1, cachePageBytes } = model
  if (cacheTokens === undefined) return 0
  const all = Math.ceil(cacheTokens / cachePageTokens)
  const held = (layer: number): number => pagesHeld(tokensMax, cachePageTokens, latestOf(model, layer))
  let pages = 0
  if (cachePageBytes === undefined) {
    for (let layer = start; layer < end; layer++) pages += held(layer)
    return Math.ceil((cacheBytesPerLayer * pages) / all)
  }
  let bytes = 0
  for (let layer = start; layer < end; layer++) bytes += held(layer) * (cachePageBytes[layer] ?? 0)
  // Times exactly 1, where it is the engine of which the pages are.
  return Math.ceil(bytes * (cacheBytesPerLayer / all / Math.max(...cachePageBytes)))
}

/** How many of a session's last tokens the cache of a layer holds; undefined: all. */
function latestOf({ latestTokens, givesBackWindows = false }: ModelShape, layer: number): number | undefined {
  return givesBackWindows ? latestTokens?.[layer] : undefined
}

/** Reserved for caches of layers [start, end). */
export function reserveBytes(model: ModelShape, { start, end }: Range): number {
  let bytes = 0
  for (let layer = start; layer < end; layer++) bytes += layerReserveBytes(model, layer)
  return bytes
}

/**
 * The same of one layer: less than others have where it has a window and its cache gives back what lies before, or where its pages are
 * smaller.
 */
export function layerReserveBytes(model: ModelShape, layer: number): number {
  const { cacheBytesPerLayer, cacheTokens, cachePageBytes } = model
  const takesMost = latestOf(model, layer) === undefined && cachePageBytes === undefined
  if (takesMost || cacheTokens === undefined) return cacheBytesPerLayer
  return cacheBytesOf(model, { start: layer, end: layer + 1 }, cacheTokens)
}

/** What was made of a model for each footprint: of a model there are as many as engines. */
const shapes = new WeakMap<ModelShape, Map<string, ModelShape>>()

/**
 * A model's sizes on one peer, by what that says of its engine. Every peer counts the same there, whatever its own engine takes:
 * else two would find different plans in the same records.
 */
export function shapeAt({ footprint }: Pick<PeerView, 'footprint'>, model: ModelShape): ModelShape {
  if (footprint === undefined) return model
  const made = shapesOf.get(footprint)
  if (made?.model === model) return made.shape
  const shape = shapeWith(footprint, model)
  shapesOf.set(footprint, { model, shape })
  return shape
}

/** The last that was made with each footprint: one comes with each offer, for that offer's model. */
const shapesOf = new WeakMap<OfferFootprint, { readonly model: ModelShape; readonly shape: ModelShape }>()

/** Layers of which the largest takes so much: those of a mixture of experts are many times as large as others. */
function layersLike(bytes: readonly number[], largest: number): number[] {
  const own = Math.max(...bytes)
  return bytes.map(each => (each === own ? largest : own === largest ? each : Math.ceil(each * (largest / own))))
}

function shapeWith(footprint: OfferFootprint, model: ModelShape): ModelShape {
  const { layerBytes, embeddingBytes, headBytes, cacheBytesPerLayer, cachePageTokens, givesBackWindows } = footprint
  const own = { embeddingBytes, headBytes, cacheBytesPerLayer, cachePageTokens, givesBackWindows }
  const key = [layerBytes, ...Object.values(own)].join()
  const known = shapes.get(model) ?? new Map<string, ModelShape>()
  shapes.set(model, known)
  let shape = known.get(key)
  if (shape === undefined) {
    const layers = layersLike(model.layerFileBytes ?? model.layerBytes, layerBytes)
    shape = { ...model, ...own, layerBytes: layers }
    // Whoever announces another one every time takes the place of others, and no more.
    if (known.size >= shapesMax) known.clear()
    known.set(key, shape)
  }
  return shape
}

/** Whether two ranges are the same layers. */
export function sameRange(a: Range, b: Range): boolean {
  return a.start === b.start && a.end === b.end
}

/** Resident bytes of a stage [start, end) with its reserves. */
export function stageBytes(model: ModelShape, { start, end }: Range): number {
  let bytes = model.stageBytes + reserveBytes(model, { start, end })
  for (let layer = start; layer < end; layer++) bytes += model.layerBytes[layer] ?? 0
  const isHead = start === 0
  const isTail = end === model.layers
  if (isHead || (isTail && model.tiedEmbeddings)) bytes += model.embeddingBytes
  if (isTail) bytes += model.headBytes
  return bytes
}

/** What was made of each record that is still alive: many look at it, and it does not change. */
const views = new WeakMap<SwarmRecord, Map<ModelId, PeerView>>()

/** One peer's record as placement and routing see it for one model; undefined when it offers nothing of that model. */
export function viewOf(record: SwarmRecord, model: ModelId): PeerView | undefined {
  let made = views.get(record)
  const known = made?.get(model)
  if (known !== undefined) return known
  // Of those models only that it offers, which are few.
  const offer = record.models.find(each => each.model === model)
  if (offer === undefined) return undefined
  const view = readView(record, model, offer)
  made ??= new Map()
  made.set(model, view)
  views.set(record, made)
  return view
}

function readView(record: SwarmRecord, model: ModelId, offer: ModelOffer): PeerView {
  const hint = peerHint(record.peer)
  return {
    peer: record.peer,
    // Nobody gives more than it has, whatever it says of its models.
    budgetBytes: Math.min(record.budgetBytes, offer.budgetBytes ?? record.budgetBytes),
    held: offer.held,
    holdsEmbedding: offer.embedding,
    holdsHead: offer.head,
    pinned: offer.pinned,
    visitMs: offer.visitMs,
    layerMs: offer.layerMs,
    numericClass: offer.numericClass,
    stages: record.stages
      .filter(stage => stage.model === model)
      .map(({ start, end, serving, cacheBytesFree, load, peak }) => ({
        start,
        end,
        serving,
        cacheBytesFree,
        ...(load === undefined ? {} : { load }),
        ...(peak === undefined ? {} : { peak })
      })),
    sessions: record.load.sessions,
    queuedSteps: record.load.queuedSteps,
    battery: record.battery === null || record.battery.charging ? null : record.battery.level,
    leaving: record.leaving,
    ...(offer.footprint === undefined ? {} : { footprint: offer.footprint }),
    links: { hint, rttMs: record.rtts ?? new Map() },
    // Who has as many connections as it makes may reach others all the same; who names none has not said.
    ...(record.neighbours.size === 0 || record.neighbours.size >= meshMax
      ? {}
      : { contacts: { hint, others: record.neighbours } })
  }
}

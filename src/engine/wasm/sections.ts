/**
 * How the layers of a stage are shared out among memories. One memory with addresses of 32 bits has 4 GiB, and kernels work on
 * one: a stage of more is several sections, each with weights, caches and scratch space of its own, and hidden states go from
 * one to the next. Each layer's edge is rounded wherever it lies, so that sections change no bit. Pure.
 */
import { cacheTypes } from '../../base/cache-type.ts'
import { pagesHeld } from '../../base/pages.ts'
import { EngineError } from '../../errors.ts'
import type { ModelConfig } from '../../model/decoder.ts'
import type { ModelShape } from '../../model/layout.ts'
import { partAlignment, shardLayout } from '../../model/layout.ts'
import { shardName, type ShardPlace, stagePlaces } from '../../model/manifest.ts'
import { roundUp } from '../../model/tiles.ts'
import { attentionRows, pageHalfBytes, pagePositions } from './attention.ts'
import { bytePage } from './byte-page.ts'
import { memoryPageBytes, memoryPagesMax } from './emit.ts'
import { rotationRows, segmentNumbers } from './job.ts'
import { headWidth, passRowsMax } from './kernels.ts'
import { convolutionRowBytes, layerForms } from './layer-kinds.ts'
import { takeOwn, takeScratch } from './layout.ts'
import { positionsOf } from './paged-cache.ts'
import { latestTokens, windowsOf } from '../windows.ts'
import type { RotationForm } from './rotary.ts'

/** Layers [start, end) in one memory. */
export interface Section {
  readonly start: number
  readonly end: number
  /** What lies in it, in the order of the model. */
  readonly places: readonly ShardPlace[]
}

export interface SectionsInit extends ModelShape {
  /** Layers of the stage: [start, end). */
  readonly start: number
  readonly end: number
  /** @default 1 */
  readonly threads?: number | undefined
  /** What all sessions' caches are to have together. @default as little as can be */
  readonly cacheBytesMax?: number | undefined
  /** Of one memory, in whole pages of 64 KiB. @default 4 GiB */
  readonly memoryBytesMax?: number | undefined
}

export interface Sections {
  readonly sections: readonly Section[]
  /** What all sessions' caches can ever have together: less than they were to where even a memory for each layer has no more room. */
  readonly cacheBytesMost: number
}

/** Addresses are handed out in multiples of it. */
const alignment = partAlignment

/**
 * As few sections as hold weights and caches, and of these the ones that leave most room for caches.
 * @throws {EngineError} when a layer, with the embedding or the head where it is the first or the last, is too large for a memory.
 */
export function sectionsOf(init: SectionsInit): Sections {
  const { config, start, end, cacheBytesMax = 0, memoryBytesMax = memoryPagesMax * memoryPageBytes } = init
  const layers = end - start
  const pageBytes = layerPageBytes(config)
  const splitFor = splitting(init, memoryBytesMax)
  const pagesMax = Math.floor(memoryBytesMax / pageBytes)
  const most = largest(pagesMax, pages => splitFor(pages) !== undefined)
  if (most === 0) throw new EngineError(whyNone(init, memoryBytesMax))
  const wanted = Math.min(Math.max(1, Math.ceil(cacheBytesMax / layers / pageBytes)), most)
  const count = splitFor(wanted)!.length
  const pages = largest(most, each => splitFor(each)!.length <= count)
  return { sections: splitFor(pages)!, cacheBytesMost: pages * pageBytes * layers }
}

/** Why a model has a layer that no memory holds, in one sentence; undefined where each is held. */
export function whyTooLarge(shape: ModelShape): string | undefined {
  const init = { ...shape, start: 0, end: shape.config.layers }
  const bytesMax = memoryPagesMax * memoryPageBytes
  // A page of each layer's cache is the least: how many more there are room for need not be searched for each answer.
  return splitting(init, bytesMax)(1) === undefined ? whyNone(init, bytesMax) : undefined
}

/** Of one page in one layer. */
function layerPageBytes({ kvHeads, headDim }: ModelConfig): number {
  return 2 * kvHeads * pageHalfBytes(headWidth(headDim))
}

/** The largest whole number in [0, most] for which something holds that holds for all below it, or 0. */
function largest(most: number, holds: (value: number) => boolean): number {
  let [low, high] = [0, most]
  while (low < high) {
    const middle = Math.ceil((low + high) / 2)
    if (holds(middle)) low = middle
    else high = middle - 1
  }
  return low
}

/**
 * The sections of a stage for so many pages of caches in each layer, each with as many layers as it holds: that makes as few as
 * there can be. Undefined where a layer alone is too large.
 */
function splitting(init: SectionsInit, memoryBytesMax: number): (pages: number) => Section[] | undefined {
  const { config, start, end, threads = 1 } = init
  const pageBytes = layerPageBytes(config)
  const shares = pageShares(config, start, end)
  const sharesMax = Math.max(...shares)
  const forms = layerForms(config).rotations
  const byLayer = Array.from({ length: end - start }, (_, i) => placesOf(init, start + i))
  const weights = byLayer.map(places => shardsBytes(init, places))
  const [withHead, without] = [scratchBytes(config, threads, true), scratchBytes(config, threads, false)]
  // One page of memory is what rounding takes.
  const room = memoryBytesMax - memoryPageBytes
  return pages => {
    const tokens = tokensOf(config, pages * sharesMax)
    const sections: { start: number; end: number; places: ShardPlace[]; bytes: number; shares: number }[] = []
    for (const [i, places] of byLayer.entries()) {
      const layer = start + i
      const scratch = layer + 1 === config.layers ? withHead : without
      const [bytes, share] = [weights[i]!, shares[i]!]
      const takes = (layers: number, all: number, sum: number): boolean => {
        const caches = Math.ceil(pages * pageBytes * Math.min(sum, shares.length))
        return all + caches + scratch + tableBytes(forms, { threads, layers, tokens }) <= room
      }
      const last = sections.at(-1)
      if (last !== undefined && takes(layer + 1 - last.start, last.bytes + bytes, last.shares + share)) {
        last.end = layer + 1
        last.places.push(...places)
        last.bytes += bytes
        last.shares += share
      } else if (takes(1, bytes, share)) {
        sections.push({ start: layer, end: layer + 1, places: [...places], bytes, shares: share })
      } else return undefined
    }
    // In the order of the model: the embedding comes first.
    return sections.map(({ start, end, places }) => ({ start, end, places: inOrder(places) }))
  }
}

/**
 * [layers] of what all caches take together, how much at most each layer has, in parts of which there are as many as layers. Where
 * some have windows, the longer sessions are, the more of it is the others'.
 */
function pageShares(config: ModelConfig, start: number, end: number): number[] {
  const windows = windowsOf(config, start, end)
  const rows = windows.map((_, i) => convolutionRowBytes(config, start + i))
  const shares = (parts: readonly number[]): number[] => {
    const all = parts.reduce((sum, part) => sum + part, 0)
    return parts.map(part => (part * parts.length) / all)
  }
  const width = headWidth(config.headDim)
  // Of float32: there are the more pages the shorter they are, and the smaller is the part of those that windows need. Rows of
  // convolutions take the more beside keys and values of bytes.
  const types = rows.some(row => row !== undefined) ? cacheTypes : (['f32'] as const)
  const least = types.flatMap(type => {
    const positions = positionsOf(type, width)
    const sizes = rows.map(row => (row === undefined ? 1 : (row * positions) / layerPageBytes(config)))
    const held = windows.map((window, i) => pagesHeld(config.contextMax, positions, latestTokens(window)) * sizes[i]!)
    return [shares(sizes), shares(held)]
  })
  return windows.map((_, i) => Math.max(...least.map(each => each[i]!)))
}

/** The longest that a session can be of whose cache a layer has so many pages. */
function tokensOf({ contextMax, headDim }: ModelConfig, pages: number): number {
  return Math.min(contextMax, Math.ceil(pages) * bytePage(headWidth(headDim)).positions)
}

/** What a stage holds with one of its layers. A table that is the embedding and the output matrix lies where the head is. */
function placesOf({ config, start, end }: SectionsInit, layer: number): ShardPlace[] {
  const hasHead = end === config.layers
  const withTable = config.tiedEmbeddings && hasHead ? end - 1 : start
  return stagePlaces(config, start, end).filter(({ role, layer: of }) => {
    if (role === 'layer') return of === layer
    return layer === (role === 'head' ? end - 1 : withTable)
  })
}

function inOrder(places: readonly ShardPlace[]): ShardPlace[] {
  const isTable = ({ role }: ShardPlace): boolean => role === 'embedding'
  return [...places.filter(isTable), ...places.filter(place => !isTable(place))]
}

function shardsBytes(shape: ModelShape, places: readonly ShardPlace[]): number {
  return places.reduce((sum, place) => sum + roundUp(shardLayout(shape, place).bytes, alignment), 0)
}

/** Scratch space of all threads, and of each, as a section takes it when it is loaded. */
export function scratchBytes(config: ModelConfig, threads: number, hasHead: boolean): number {
  let bytes = 0
  const take = (more: number): number => {
    bytes += roundUp(more, alignment)
    return bytes
  }
  takeScratch(config, hasHead, take)
  for (let i = 0; i < threads; i++) takeOwn(config, take)
  return bytes
}

/**
 * At most what a section takes as sessions grow to so many tokens. Scores and tables of addresses are taken anew twice as large
 * each time, so that what was taken before is no more than what is.
 */
function tableBytes(
  forms: readonly RotationForm[],
  { threads, layers, tokens }: { readonly threads: number; readonly layers: number; readonly tokens: number }
): number {
  const chunks = Math.ceil(tokens / rotationRows)
  const positions = tokens + pagePositions
  const pages = Math.ceil(tokens / pagePositions)
  const numbers = 2 * chunks * forms.length + passRowsMax * (segmentNumbers + pages * layers)
  const doubled = 2 * 2
  return (
    chunks * forms.reduce((sum, { dims }) => sum + 2 * roundUp(4 * (dims / 2) * rotationRows, alignment), 0) +
    doubled * (4 * attentionRows * positions * threads + 4 * numbers)
  )
}

function whyNone(init: SectionsInit, memoryBytesMax: number): string {
  const { config, start, end, threads = 1 } = init
  const forms = layerForms(config).rotations
  const least = Array.from({ length: end - start }, (_, i) => {
    const places = placesOf(init, start + i)
    const hasHead = start + i + 1 === config.layers
    const tokens = tokensOf(config, 1)
    const rest =
      scratchBytes(config, threads, hasHead) +
      tableBytes(forms, { threads, layers: 1, tokens }) +
      layerPageBytes(config) +
      memoryPageBytes
    return { places: inOrder(places), weights: shardsBytes(init, places), rest }
  })
  const { places, weights, rest } = least.reduce((a, b) => (b.weights + b.rest > a.weights + a.rest ? b : a))
  const what = places.map(place => shardName(place)).join(' and ')
  return `${what}, ${weights} bytes of weights and ${rest} to compute with, must fit into one memory of ${memoryBytesMax} bytes: a type of weights with fewer bits may`
}

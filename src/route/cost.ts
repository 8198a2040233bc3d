/**
 * Predicted time of one token: `visitMs + layers · layerMs` measured on that very peer, plus half a round
 * trip and the bytes of the hidden state per link. Every visit has a fixed price, so two layers on a slow
 * peer can cost more than ten on a fast one.
 */
import type { PeerId } from '../base/ids.ts'
import { hopMarginRatio, hopsMarginRatio, linkBytesPerMsDefault, linkRttDefaultMs, stepBytesDefault } from './limits.ts'
import type { Hop, ModelShape, PeerView } from './view.ts'

/** What is known of the link between two peers. */
export interface LinkView {
  readonly rttMs: number
  readonly bytesPerMs: number
}

/** Looks up a link; undefined where nobody has measured it. */
export type LinkLookup = (from: PeerId, to: PeerId) => LinkView | undefined

/** LinkLookup as peers announce them: where both ends have measured one the slower counts, so that nobody makes it fast by saying so. */
export function announcedLinks(peers: readonly PeerView[]): LinkLookup {
  const byPeer = new Map(peers.map(({ peer, links }) => [peer, links]))
  return (from, to) => {
    const [a, b] = [byPeer.get(from), byPeer.get(to)]
    if (a === undefined || b === undefined) return undefined
    const [there, back] = [a.rttMs.get(b.hint), b.rttMs.get(a.hint)]
    if (there === undefined && back === undefined) return undefined
    return { rttMs: Math.max(there ?? 0, back ?? 0), bytesPerMs: linkBytesPerMsDefault }
  }
}

/** The same, with what a peer has measured of its own links itself. */
export function ownLinks(self: PeerId, rttMs: (peer: PeerId) => number | undefined, links: LinkLookup): LinkLookup {
  return (from, to) => {
    const other = from === self ? to : to === self ? from : undefined
    const measured = other === undefined ? undefined : rttMs(other)
    return measured === undefined ? links(from, to) : { rttMs: measured, bytesPerMs: linkBytesPerMsDefault }
  }
}

/** Speed of a peer: the two measured numbers of its {@link PeerView}. */
export type Speed = Pick<PeerView, 'visitMs' | 'layerMs'>

/** Bytes of the sampled token that the tail sends back, with its frame. */
const tokenBytes = 64

/** One token through `layers` layers on a peer, in ms. */
export function stageMs({ visitMs, layerMs }: Speed, layers: number): number {
  return visitMs + layers * layerMs
}

/** One way over a link with `bytes`, in ms; nothing when both ends are one peer. */
export function linkMs(from: PeerId, to: PeerId, bytes: number, links?: LinkLookup): number {
  if (from === to) return 0
  const link = links?.(from, to)
  return (link?.rttMs ?? linkRttDefaultMs) / 2 + bytes / (link?.bytesPerMs ?? linkBytesPerMsDefault)
}

/** The hidden state of one token over a link, in ms. */
export function hiddenMs(from: PeerId, to: PeerId, model: ModelShape, links?: LinkLookup): number {
  return linkMs(from, to, model.stepBytes ?? stepBytesDefault, links)
}

/** The way between the driver and an end of the route (a sampled token, or the next step's id), in ms. */
export function turnMs(from: PeerId, to: PeerId, links?: LinkLookup): number {
  return linkMs(from, to, tokenBytes, links)
}

/** Price of one more hop in ms: placement must not depend on who computes it. @default of a link that nobody has measured */
export function hopMs(model: ModelShape, rttMs = linkRttDefaultMs): number {
  return rttMs / 2 + (model.stepBytes ?? stepBytesDefault) / linkBytesPerMsDefault
}

/**
 * Price of a hop at each peer whose links are slower than most, in ms; all others have that of {@link hopMs}. A search that
 * knew who comes next to whom would have to weigh all pairs, so a peer is known by its middle link to the others: what that
 * takes beyond the middle one of all peers is paid there and back. LinkLookup below {@link linkRttDefaultMs} count as that:
 * nobody moves for less.
 */
export function hopPrices(peers: readonly PeerView[], model: ModelShape): ReadonlyMap<PeerId, number> {
  const byHint = new Map(peers.flatMap(({ peer, links }) => (links === undefined ? [] : [[links.hint, peer] as const])))
  /** LinkLookup above the default, by both of their ends. */
  const slow = new Map<PeerId, Map<PeerId, number>>()
  const note = (from: PeerId, to: PeerId, rttMs: number): void => {
    const known = slow.get(from) ?? new Map<PeerId, number>()
    known.set(to, Math.max(known.get(to) ?? 0, rttMs))
    slow.set(from, known)
  }
  for (const { peer, links } of peers) {
    for (const [hint, rttMs] of links?.rttMs ?? []) {
      const other = byHint.get(hint)
      if (other === undefined || other === peer || rttMs <= linkRttDefaultMs) continue
      note(peer, other, rttMs)
      note(other, peer, rttMs)
    }
  }
  const middle = (values: readonly number[], count: number): number => {
    const sorted = [...values].sort((a, b) => a - b)
    // Those that are not named are as fast as the default.
    return sorted[Math.floor((count - 1) / 2) - (count - sorted.length)] ?? linkRttDefaultMs
  }
  const middles = new Map([...slow].map(([peer, links]) => [peer, middle([...links.values()], peers.length - 1)]))
  const usualMs = middle([...middles.values()], peers.length)
  return new Map(
    peers.map(({ peer }) => {
      const ownMs = middles.get(peer) ?? linkRttDefaultMs
      return [peer, hopMs(model, usualMs) + Math.max(0, ownMs - usualMs)]
    })
  )
}

/**
 * What a predicted time counts with, by the number of hops: 1 for one peer alone, then more, but never as much as
 * {@link hopsMarginRatio} more. A factor of each way alone, so that whatever else is compared the better of two ways
 * stays the better one: what a swarm has loaded halfway does not change what it wanted.
 */
export function hopWeight(hops: number): number {
  // By products, which are the same on every machine where powers are not, and each once: planning asks for thousands.
  while (hopShares.length < hops) hopShares.push(hopShares.at(-1)! * (1 - hopMarginRatio / hopsMarginRatio))
  return 1 + hopsMarginRatio * (1 - (hopShares[hops - 1] ?? 1))
}

/** The part of {@link hopsMarginRatio} that is left to win, by the number of hops less one. */
const hopShares = [1]

/**
 * One token along a route, from the tail's sample back to it: stages, links between them, and the turn
 * tail → driver → head. Hops whose peer is not among `peers` count their links only.
 */
export function routeMs(
  hops: readonly Hop[],
  peers: readonly PeerView[],
  model: ModelShape,
  from: PeerId,
  links?: LinkLookup
): number {
  const speeds = new Map(peers.map(peer => [peer.peer, peer]))
  let total = 0
  for (const [index, hop] of hops.entries()) {
    const speed = speeds.get(hop.peer)
    if (speed !== undefined) total += stageMs(speed, hop.end - hop.start)
    const before = hops[index - 1]
    total += before === undefined ? turnMs(from, hop.peer, links) : hiddenMs(before.peer, hop.peer, model, links)
  }
  const tail = hops.at(-1)
  return tail === undefined ? 0 : total + turnMs(tail.peer, from, links)
}

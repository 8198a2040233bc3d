/**
 * What peers of one swarm say to each other by multicast DNS (RFC 6762), as libp2p's `mdns` lays it out: a question for the
 * swarm's service, and as the answer one TXT record per address. Ours adds the voucher's code in a TXT record of its own, which
 * readers that do not know it pass over. Pure: bytes in, a checked value out, and back.
 */
import { type Answer, decode, encode } from 'dns-packet'
import type { PeerId } from '../base/ids.ts'
import { candidateAddressesMax, mdnsPacketBytesMax } from './limits.ts'

/** How long an answer holds, as every responder of libp2p says; nobody reads it. */
const ttlSeconds = 120
const authoritative = 1 << 10
/** Longest text in a TXT record. */
const textBytesMax = 255
const announcement =
  /^dnsaddr=((?:\/ip4\/[0-9.]{7,15}|\/ip6\/[0-9a-fA-F:.]{2,45})\/tcp\/[0-9]{1,5})\/p2p\/(12D3KooW[1-9A-HJ-NP-Za-km-z]{44})$/
const codePrefix = 'skein-code='

export interface MdnsAnswer {
  readonly kind: 'answer'
  readonly peer: PeerId
  /** IP addresses and TCP ports as multiaddrs, without the id. */
  readonly addresses: readonly string[]
  readonly code: string | undefined
}

export type MdnsMessage = { readonly kind: 'question' } | MdnsAnswer

/** The name under which peers of a swarm are asked for. */
export function mdnsService(tag: string): string {
  return `_skein-${tag}._udp.local`
}

export function encodeQuestion(service: string): Uint8Array {
  return encode({ type: 'query', questions: [{ name: service, type: 'PTR' }] })
}

/** @param instance one DNS label that no other peer has */
export function encodeAnswer(
  service: string,
  instance: string,
  { peer, addresses, code }: Omit<MdnsAnswer, 'kind'>
): Uint8Array {
  const name = `${instance}.${service}`
  const texts = [...addresses.map(address => `dnsaddr=${address}/p2p/${peer}`), `${codePrefix}${code}`]
  const answers: Answer[] = [
    { name: service, type: 'PTR', class: 'IN', ttl: ttlSeconds, data: name },
    ...texts
      .filter(text => text.length <= textBytesMax)
      .map(data => ({ name, type: 'TXT' as const, class: 'IN' as const, ttl: ttlSeconds, data }))
  ]
  return encode({ type: 'response', flags: authoritative, answers })
}

/** What a packet says about this service; undefined when that is nothing, as for most of a network's packets. */
export function decodePacket(bytes: Uint8Array, service: string): MdnsMessage | undefined {
  if (bytes.length > mdnsPacketBytesMax) return undefined
  try {
    const packet = decode(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength))
    if (packet.type === 'query') {
      return packet.questions?.some(({ name }) => name === service) === true ? { kind: 'question' } : undefined
    }
    const answers = packet.answers ?? []
    if (!answers.some(answer => answer.type === 'PTR' && answer.name === service)) return undefined
    return readTexts(
      [...answers, ...(packet.additionals ?? [])].flatMap(answer =>
        answer.type === 'TXT' && answer.name.endsWith(`.${service}`) ? [answer.data].flat().map(String) : []
      )
    )
  } catch {
    return undefined
  }
}

function readTexts(texts: readonly string[]): MdnsAnswer | undefined {
  let peer: PeerId | undefined
  const addresses: string[] = []
  for (const text of texts) {
    const [, address, id] = announcement.exec(text) ?? []
    if (address === undefined) continue
    peer ??= id as PeerId
    // One answer is of one peer.
    if (id === peer && addresses.length < candidateAddressesMax) addresses.push(address)
  }
  if (peer === undefined) return undefined
  const code = texts.find(text => text.startsWith(codePrefix))?.slice(codePrefix.length)
  return { kind: 'answer', peer, addresses, code }
}

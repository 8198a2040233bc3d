/** Which addresses are worth announcing, and which of another peer's are worth dialling, and in which order. Pure. */
import { linkLocalZonesMax } from './limits.ts'

/** One address of one of this machine's interfaces. */
export interface OwnAddress {
  /** Of the interface, empty where that is not known. */
  readonly name: string
  readonly family: 4 | 6
  readonly address: string
  readonly cidr: string | null
  /** What the system calls the interface in an IPv6 link-local address, after the `%`. */
  readonly zone: string
  readonly internal: boolean
  /** The interface's hardware address: an interface that is taken out and put in again may have another one. */
  readonly hardware: string
}

const isLinkLocal = (host: string): boolean => /^169\.254\.|^fe[89ab][0-9a-f]:/i.test(host)
const isLinkLocal6 = (host: string): boolean => /^fe[89ab][0-9a-f]:/i.test(host)
const isLoopback = (host: string): boolean => host.startsWith('127.') || host === '::1'
const isUnspecified = (host: string): boolean => host === '0.0.0.0' || host === '::'

/** The IP address in a multiaddr, or the name of a host. */
function hostOf(text: string): string {
  const parts = text.split('/')
  return (parts[1] === 'ip6zone' ? parts[4] : parts[2]) ?? ''
}

/**
 * The addresses of one family at which a socket that listens everywhere is reached: routable ones first, then those of links that
 * have nothing but link-local addresses (a direct cable, a radio without DHCP), then loopback.
 */
export function announced(own: readonly OwnAddress[], family: 4 | 6): string[] {
  const isRoutable = ({ address, internal }: OwnAddress): boolean => !internal && !isLinkLocal(address)
  const routableLinks = new Set(own.filter(isRoutable).map(({ name }) => name))
  const mine = own.filter(entry => entry.family === family)
  const bare = mine.filter(
    ({ name, address, internal }) => !internal && isLinkLocal(address) && !routableLinks.has(name)
  )
  // One loopback address is enough: machines without the IPv4 one are rare.
  const hasLoopback4 = own.some(entry => entry.internal && entry.family === 4)
  const inside = mine.filter(({ internal }) => internal && (family === 4 || !hasLoopback4))
  return [...new Set([...mine.filter(isRoutable), ...bare, ...inside].map(({ address }) => address))]
}

/**
 * The addresses of a peer that are worth dialling, the nearest first, since they are tried one after the other: same
 * machine, same subnet, others. Another machine's loopback addresses are left out, which from here lead to this
 * machine: they count only when the peer has one of this machine's own addresses too, or no others. An IPv6 link-local
 * address that does not say on which link is tried on each of this machine's.
 */
export function reachable(addresses: readonly string[], own: readonly OwnAddress[]): string[] {
  const outer = own.filter(({ internal }) => !internal)
  const unique = [...new Set(addresses)].filter(text => !isUnspecified(hostOf(text)))
  const others = unique.filter(text => !isLoopback(hostOf(text)))
  const isOwn = (text: string): boolean => outer.some(({ address }) => address === hostOf(text))
  const isNear = (text: string): boolean => outer.some(({ cidr }) => cidr !== null && contains(cidr, hostOf(text)))
  const near = [
    ...others.filter(text => !isOwn(text) && isNear(text)),
    // An address that this machine has too is often a bridge of containers that every machine has.
    ...others.filter(isOwn),
    ...others.filter(text => !isOwn(text) && !isNear(text))
  ]
  const sameMachine = others.length === 0 || others.some(isOwn)
  const ordered = sameMachine ? [...unique.filter(text => isLoopback(hostOf(text))), ...near] : near
  return [...new Set(ordered.flatMap(text => withZones(text, outer)))]
}

/** An address as it can be dialled from here: an IPv6 link-local one needs the link. */
function withZones(text: string, own: readonly OwnAddress[]): string[] {
  if (!text.startsWith('/ip6/') || !isLinkLocal6(hostOf(text))) return [text]
  const zones = new Set(own.filter(({ address }) => isLinkLocal6(address)).map(({ zone }) => zone))
  return [...zones].slice(0, linkLocalZonesMax).map(zone => `/ip6zone/${zone}${text}`)
}

/** The multiaddr of an IPv6 link-local address on this link; any other address as it is. */
export function onLink(text: string, zone: string): string {
  return text.startsWith('/ip6/') && isLinkLocal6(hostOf(text)) ? `/ip6zone/${zone}${text}` : text
}

/**
 * One address per interface and family to multicast from: a routable one for IPv4 and a link-local one for IPv6, where there is
 * a choice. Loopback only where there is nothing else. Interfaces with a routable address first.
 */
export function multicastLinks(own: readonly OwnAddress[], countMax: number): OwnAddress[] {
  const outer = own.filter(({ internal, family, zone }) => !internal && !(family === 6 && zone === ''))
  if (outer.length === 0) return own.filter(({ internal, family }) => internal && family === 4).slice(0, 1)
  const routable = new Set(outer.filter(({ address }) => !isLinkLocal(address)).map(({ name }) => name))
  const byLink = new Map<string, OwnAddress>()
  for (const entry of outer) {
    const key = `${entry.family} ${entry.name}`
    const before = byLink.get(key)
    const isBetter = isLinkLocal(entry.address) === (entry.family === 6)
    if (before === undefined || (isBetter && isLinkLocal(before.address) !== (entry.family === 6)))
      byLink.set(key, entry)
  }
  const links = [...byLink.values()]
  const isFirst = ({ name }: OwnAddress): boolean => routable.has(name)
  return [...links.filter(isFirst), ...links.filter(link => !isFirst(link))].slice(0, countMax)
}

/** True when a subnet such as `10.0.0.7/24` or `fd00::7/64` holds an address. */
export function contains(cidr: string, address: string): boolean {
  const [network = '', bits = ''] = cidr.split('/')
  const a = bitsOf(network)
  const b = bitsOf(address)
  return a !== undefined && b !== undefined && a.length === b.length && a.startsWith(b.slice(0, Number(bits)))
}

/** The first 64 bits of an IPv6 address, by which strangers' addresses are told apart: one link has them all in common. */
export function linkPrefix(address: string): string {
  return bitsOf(address)?.slice(0, 64) ?? address
}

/** An IP address as a text of zeros and ones, or undefined when it is none. */
function bitsOf(text: string): string | undefined {
  if (text.includes('.') && !text.includes(':')) {
    const parts = text.split('.')
    if (parts.length !== 4 || parts.some(part => !/^\d{1,3}$/.test(part) || Number(part) > 255)) return undefined
    return parts.map(part => Number(part).toString(2).padStart(8, '0')).join('')
  }
  const [head = '', tail, more] = (text.split('%')[0] ?? '').split('::')
  if (more !== undefined || !text.includes(':')) return undefined
  const first = head === '' ? [] : head.split(':')
  const last = tail === undefined || tail === '' ? [] : tail.split(':')
  const missing = 8 - first.length - last.length
  const groups = tail === undefined ? first : [...first, ...Array<string>(Math.max(0, missing)).fill('0'), ...last]
  if (groups.length !== 8 || groups.some(group => !/^[0-9a-f]{1,4}$/i.test(group))) return undefined
  return groups.map(group => Number.parseInt(group, 16).toString(2).padStart(16, '0')).join('')
}

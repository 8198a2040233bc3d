/**
 * The addresses of this machine. Listing them can fail: Android and hardened units refuse it, and it takes a descriptor.
 * Then the last list counts, or what the system's routes tell of this machine's own addresses; it never throws.
 */
import { createSocket } from 'node:dgram'
import { networkInterfaces } from 'node:os'
import { getSystemErrorName } from 'node:util'
import { interfacesFreshMs } from './limits.ts'
import type { OwnAddress } from './reachable.ts'

const loopback: readonly OwnAddress[] = [
  { name: 'lo', family: 4, address: '127.0.0.1', cidr: '127.0.0.1/8', zone: 'lo', internal: true, hardware: '' },
  { name: 'lo', family: 6, address: '::1', cidr: '::1/128', zone: 'lo', internal: true, hardware: '' }
]

let known: readonly OwnAddress[] | undefined
/** What routes told, while listing fails. */
let routed: readonly OwnAddress[] = []
let problem: string | undefined
let listedMs = Number.NEGATIVE_INFINITY

/** This machine's addresses, as of a moment ago. */
export function ownAddresses(): readonly OwnAddress[] {
  const nowMs = performance.now()
  if (nowMs - listedMs >= interfacesFreshMs) {
    listedMs = nowMs
    try {
      known = listAddresses()
      problem = undefined
    } catch (error) {
      const { info, message } = error as Error & { info?: { errno?: number } }
      problem = info?.errno === undefined ? message : getSystemErrorName(-Math.abs(info.errno))
    }
  }
  return known ?? [...routed, ...loopback]
}

/** Why interfaces cannot be listed at this moment, or undefined. */
export function listingProblem(): string | undefined {
  ownAddresses()
  return problem
}

/** Where interfaces cannot be listed: asks which of this machine's addresses the system would send from. Sends nothing. */
export async function askRoutes(): Promise<void> {
  if (listingProblem() === undefined) return
  // Addresses of documentation networks, which lead to the default route, and the groups of multicast DNS.
  const targets = ['192.0.2.1', '224.0.0.251', '2001:db8::1']
  const found = await Promise.all(targets.map(target => sourceFor(target)))
  const unique = [...new Set(found)].filter(address => address !== undefined)
  routed = unique.map(address => ({
    name: '',
    family: address.includes(':') ? 6 : 4,
    address,
    cidr: null,
    zone: '',
    internal: false,
    hardware: ''
  }))
}

async function sourceFor(target: string): Promise<string | undefined> {
  const socket = createSocket(target.includes(':') ? 'udp6' : 'udp4')
  try {
    return await new Promise<string | undefined>(resolve => {
      socket.on('error', () => resolve(undefined))
      socket.once('connect', () => {
        const { address } = socket.address()
        resolve(/^(0\.0\.0\.0$|::|127\.)/.test(address) ? undefined : address)
      })
      socket.connect(9, target)
    })
  } catch {
    return undefined
  } finally {
    socket.close()
  }
}

function listAddresses(): OwnAddress[] {
  return Object.entries(networkInterfaces()).flatMap(([name, list]) =>
    (list ?? []).map(entry => ({
      name,
      family: entry.family === 'IPv6' ? 6 : 4,
      address: entry.address,
      cidr: entry.cidr,
      // Windows numbers its zones, all others name them as the interface.
      zone: process.platform === 'win32' && entry.family === 'IPv6' ? String(entry.scopeid) : name,
      internal: entry.internal,
      hardware: entry.mac
    }))
  )
}

import { execFile, execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { whyNoNamespaces } from '../lab/namespaces.ts'
import { needs } from '../needs.ts'
import type { LabInit, LabPeer } from './mdns-lab.ts'

const run = promisify(execFile)
const file = (name: string): string => fileURLToPath(new URL(name, import.meta.url))
const node = `"${process.execPath}" --experimental-transform-types --no-warnings`

/** Runs a script in a new network namespace that `setup` prepares, and returns the line of JSON that it prints. */
async function inNamespace(setup: string, script: string, before = ''): Promise<Record<string, unknown>> {
  const { stdout } = await run('unshare', ['-n', 'sh', '-c', `${setup} && exec ${before} ${node} ${script}`], {
    timeout: 120_000
  })
  return JSON.parse(stdout)
}

/** Why this machine cannot make network namespaces with these links, or undefined when it can. */
function missing(setup: string): string | undefined {
  try {
    execFileSync('unshare', ['-n', 'sh', '-c', setup], { stdio: 'pipe' })
    return undefined
  } catch (error) {
    return `network namespaces cannot be made here (${(error as Error).message.split('\n').at(-1)})`
  }
}

const loopback = 'ip link set lo up'
// An interface with an address, but no route that covers multicast.
const unrouted = `${loopback} && ip link add eth0 type veth peer name eth1 && ip addr add 10.9.8.7/24 dev eth0 && ip link set eth1 up && ip link set eth0 up`

describe('multicast DNS', { timeout: 70_000 }, () => {
  it('finds the peers of this swarm, and only those', async context => {
    const why = missing(loopback)
    if (why !== undefined) context.skip(why)
    expect(await inNamespace(loopback, file('mdns-peer.ts'))).toEqual({
      met: true,
      states: expect.arrayContaining(['1 found, 1 connected']),
      strangers: 0,
      refused: {}
    })
  })

  it('needs no route', async context => {
    const why = missing(unrouted)
    if (why !== undefined) context.skip(why)
    expect(await inNamespace(unrouted, file('mdns-peer.ts'))).toMatchObject({
      met: true,
      states: expect.arrayContaining([expect.stringMatching(/^1 found, 1 connected/)])
    })
  })

  it('goes on where interfaces cannot be listed, with addresses of all families to listen at', async context => {
    const why = missing(loopback)
    if (why !== undefined) context.skip(why)
    const locked = `python3 "${file('../lab/no-netlink.py')}"`
    const isLocked = await run('sh', ['-c', `${locked} true`]).catch(() => undefined)
    if (isLocked === undefined) context.skip('python3 with seccomp is needed')
    const { met, states } = await inNamespace(loopback, `${file('mdns-peer.ts')} default`, locked)
    expect(met).toBe(true)
    expect(states).toEqual(
      expect.arrayContaining(['1 found, 1 connected, and interfaces cannot be listed here (EAFNOSUPPORT)'])
    )
  })

  it('that a stranger floods with true ids and wrong addresses keeps nobody out, loses nobody and fills nothing', async context => {
    const why = missing(loopback)
    if (why !== undefined) context.skip(why)
    const { lost, newcomerMs, stored, dialed } = (await inNamespace(loopback, file('mdns-flood.ts'))) as {
      lost: number
      newcomerMs: number | null
      stored: number
      dialed: string[]
    }
    expect(lost).toBe(0)
    expect(newcomerMs).not.toBeNull()
    expect(newcomerMs).toBeLessThan(10_000)
    // Its addresses are neither kept nor dialled.
    expect(stored).toBeLessThanOrEqual(2)
    expect(dialed).toEqual([])
  })
})

describe('multicast DNS on machines of their own', { timeout: 70_000 }, () => {
  const only = (a: string | null, b: string | null): LabInit => ({ links: [['a', 'b', a, b]], meet: { a: 1, b: 1 } })
  const cases: [string, LabInit, RegExp][] = [
    ['with link-local IPv4 addresses only', only('169.254.10.1/16', '169.254.10.2/16'), /^\/ip4\/169\.254\.10\./],
    ['with link-local IPv6 addresses only', only(null, null), /^\/ip6\/fe80:/],
    ['with private IPv6 addresses only', only('fd00::1/64', 'fd00::2/64'), /^\/ip6\/fd00::/],
    ['with public IPv6 addresses only', only('2a00:1:2:3::1/64', '2a00:1:2:3::2/64'), /^\/ip6\/2a00:1:2:3::/],
    [
      'on all interfaces of a machine that has several',
      {
        links: [
          ['a', 'b', '10.0.1.1/24', '10.0.1.2/24'],
          ['b', 'c', '10.0.2.2/24', '10.0.2.3/24'],
          ['b', 'd', null, null]
        ],
        meet: { a: 1, b: 3, c: 1, d: 1 }
      },
      /^\/ip4\/10\.0\.|^\/ip6\/fe80:/
    ]
  ]
  it.each(cases)('finds others %s', needs(whyNoNamespaces()), async (_name, init, announced) => {
    const args = ['--experimental-transform-types', '--no-warnings', file('mdns-lab.ts'), JSON.stringify(init)]
    const { stdout } = await run(process.execPath, args, { timeout: 60_000 })
    const peers = JSON.parse(stdout) as Record<string, LabPeer>
    for (const [name, { met, addresses, state }] of Object.entries(peers)) {
      expect(met, `${name}: ${state}`).toBe(true)
      expect(addresses[0], name).toMatch(announced)
    }
  })
})

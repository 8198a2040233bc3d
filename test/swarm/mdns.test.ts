import { execFile, execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'

const script = fileURLToPath(new URL('mdns-peer.ts', import.meta.url))

/** Runs the two peers in a new network namespace that `setup` prepares. */
async function inNamespace(setup: string): Promise<Record<string, unknown>> {
  const command = `${setup} && exec "$0" --experimental-transform-types --no-warnings "$1"`
  const { stdout } = await promisify(execFile)('unshare', ['-n', 'sh', '-c', command, process.execPath, script], {
    timeout: 25_000
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

describe('multicast DNS', () => {
  it('finds the peers of this swarm, and only those', async context => {
    const why = missing(loopback)
    if (why !== undefined) context.skip(why)
    expect(await inNamespace(loopback)).toEqual({
      met: true,
      states: expect.arrayContaining(['1 found, 1 connected']),
      strangers: 0,
      refused: {}
    })
  })

  it('that is not routed says so', async context => {
    const why = missing(unrouted)
    if (why !== undefined) context.skip(why)
    expect(await inNamespace(unrouted)).toMatchObject({
      met: false,
      states: Array(2).fill(
        'multicast is not routed on this machine (ENETUNREACH): add a default route, or one for 224.0.0.0/4'
      )
    })
  })
})

/**
 * Peers on machines of their own that have only multicast DNS to find each other by, for `mdns.test.ts`: makes a namespace per
 * machine and the links between them, starts a peer with default addresses on each, and prints one line of JSON about each.
 *
 *   node test/swarm/mdns-lab.ts '{"links":[["a","b","fd00::1/64","fd00::2/64"]],"meet":{"a":1,"b":1}}'
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { createSwarm } from '../../src/swarm/service.ts'
import { newSwarm, type SwarmConfig } from '../../src/swarm/swarm-file.ts'
import { addNamespace, insideNamespaces, ip } from '../lab/namespaces.ts'
import { connectedCount, until } from './real-peers.ts'

export interface LabInit {
  /** Two machines, and an address of each on the link between them; null for link-local IPv6 addresses alone. */
  readonly links: readonly (readonly [string, string, string | null, string | null])[]
  /** How many others each peer should be connected to. */
  readonly meet: Readonly<Record<string, number>>
}

export interface LabPeer {
  readonly met: boolean
  readonly state: string
  readonly addresses: readonly string[]
}

const self = fileURLToPath(import.meta.url)
const node = [process.execPath, '--experimental-transform-types', '--no-warnings', self]
const limitMs = 20_000

/** One peer, in its namespace. Ends with its stdin. */
async function peer(dataDir: string, config: SwarmConfig, others: number): Promise<void> {
  const swarm = await createSwarm({ dataDir, config, neighbours: false })
  const met = await until(() => connectedCount(swarm) >= others, 'they meet', limitMs).then(
    () => true,
    () => false
  )
  const state = swarm.discovery().find(({ way }) => way === 'mdns')?.state ?? ''
  console.log(JSON.stringify({ met, state, addresses: swarm.addresses }))
  process.stdin.resume()
  await once(process.stdin, 'end')
  await swarm.stop()
}

async function lab({ links, meet }: LabInit): Promise<Record<string, LabPeer>> {
  const root = await mkdtemp(join(tmpdir(), 'skein-test-'))
  for (const name of Object.keys(meet)) addNamespace(name)
  for (const [i, [a, b, addressA, addressB]] of links.entries()) {
    ip(`link add ${a}${i} type veth peer name ${b}${i}`)
    for (const [name, address] of [
      [a, addressA],
      [b, addressB]
    ] as const) {
      ip(`link set ${name}${i} netns ${name}`)
      if (address !== null) {
        ip(`-n ${name} link set ${name}${i} addrgenmode ${address.includes(':') ? 'eui64' : 'none'}`)
        ip(`-n ${name} addr add ${address} dev ${name}${i}`)
      }
      ip(`-n ${name} link set ${name}${i} up`)
    }
  }
  const config = JSON.stringify(newSwarm('test'))
  const peers = Object.entries(meet).map(([name, others]) => {
    const command = [...node, 'peer', join(root, name), config, String(others)]
    return [name, spawn('ip', ['netns', 'exec', name, ...command], { stdio: ['pipe', 'pipe', 'inherit'] })] satisfies [
      string,
      ChildProcess
    ]
  })
  const said = await Promise.all(
    peers.map(async ([name, child]) => {
      const { value } = await createInterface({ input: child.stdout! })[Symbol.asyncIterator]().next()
      return [name, JSON.parse(value as string) as LabPeer]
    })
  )
  const gone = peers.map(([, child]) => once(child, 'exit'))
  for (const [, child] of peers) child.stdin!.end()
  await Promise.all(gone)
  await rm(root, { recursive: true, force: true })
  return Object.fromEntries(said)
}

if (process.argv[1] === self) {
  const [, , what, dataDir, config, others] = process.argv
  if (what === 'peer') await peer(dataDir!, JSON.parse(config!) as SwarmConfig, Number(others))
  else {
    const code = await insideNamespaces()
    if (code === undefined) console.log(JSON.stringify(await lab(JSON.parse(what!) as LabInit)))
    process.exitCode = code ?? 0
  }
}

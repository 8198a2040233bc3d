/**
 * An emulated network: every peer in a network namespace of its own, on one bridge; the driver, which is this process,
 * over a link with delay if asked for. A peer's packets vanish when its cable is taken off the bridge: no interface goes
 * down and no connection is closed, as out of radio range.
 *
 * Everything lies in namespaces that end with this process: `unshare` gives it private mounts, so that even the names
 * of namespaces are seen by nobody else.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** A place in the network for one peer. */
export interface Attachment {
  readonly address: string
  /** The command that runs another one there. */
  readonly prefix: readonly string[]
  /** Takes the cable off the bridge, or puts it back. */
  unplug(): void
  plug(): void
}

const relay = fileURLToPath(new URL('../../../shared/lab/tapdelay.py', import.meta.url))
const inside = 'SKEIN_CHURN_NETWORK'

/** Why there can be no emulated network here, or undefined. */
export function whyNoNetwork(rttMs: number): string | undefined {
  try {
    const probe = 'ip netns add probe && ip link add br0 type bridge'
    execFileSync('unshare', ['-mn', 'sh', '-c', privately(probe)], { stdio: 'ignore' })
  } catch {
    return 'network namespaces need root, unshare, and ip'
  }
  if (rttMs > 0 && !existsSync(relay)) return 'a link with delay needs tapdelay.py, which is not here'
  return undefined
}

/** Runs this very command again in namespaces of its own and returns its exit code; undefined when inside already. */
export async function insideNetwork(): Promise<number | undefined> {
  if (process.env[inside] !== undefined) return undefined
  const command = ['sh', '-c', privately('exec "$@"'), 'sh', process.execPath, ...process.argv.slice(1)]
  const child = spawn('unshare', ['-mn', ...command], {
    stdio: 'inherit',
    env: { ...process.env, [inside]: '1' }
  })
  // A terminal's Ctrl-C reaches the child by itself; it ends in order, and so does this process.
  const pass = (signal: NodeJS.Signals) => (): void => void child.kill(signal)
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, pass(signal))
  return new Promise(resolve => child.once('exit', code => resolve(code ?? 1)))
}

/** The names of namespaces are files: a file system of one's own for them leaves none behind. */
function privately(command: string): string {
  return `mkdir -p /run/netns && mount -t tmpfs none /run/netns && ${command}`
}

function ip(line: string): void {
  execFileSync('ip', line.split(' '), { stdio: ['ignore', 'ignore', 'pipe'] })
}

export class Network {
  /** Where this process, the driver, listens. */
  readonly driverAddress = '10.77.0.1'
  #relay: ChildProcess | undefined
  #peers = 0

  /** @param rttMs round trip between the driver and every peer; peers are near one another. */
  static async open(rttMs: number): Promise<Network> {
    const network = new Network()
    ip('link set lo up')
    ip('netns add hub')
    ip('-n hub link set lo up')
    ip('-n hub link add br0 type bridge')
    ip('-n hub link set br0 up')
    if (rttMs === 0) {
      ip('link add up0 type veth peer name down0 netns hub')
      ip('-n hub link set down0 master br0')
      ip('-n hub link set down0 up')
      ip(`addr add ${network.driverAddress}/24 dev up0`)
      ip('link set up0 up')
      return network
    }
    ip(`netns attach driver ${process.pid}`)
    const child = spawn('python3', [relay, 'driver', 'hub', String(rttMs / 2)], { stdio: ['pipe', 'pipe', 'inherit'] })
    network.#relay = child
    process.once('exit', () => child.kill('SIGKILL'))
    await new Promise<void>((resolve, reject) => {
      child.stdout!.once('data', () => resolve())
      child.once('exit', code => reject(new Error(`the relay ended with exit code ${code}`)))
    })
    ip('-n hub link set tap0 master br0')
    ip('-n hub link set tap0 up')
    ip(`addr add ${network.driverAddress}/24 dev tap0`)
    ip('link set tap0 up')
    return network
  }

  /** A new place on the bridge. */
  attach(): Attachment {
    const n = ++this.#peers
    const name = `peer${n}`
    const address = `10.77.0.${n + 10}`
    ip(`netns add ${name}`)
    ip(`-n hub link add cable${n} type veth peer name eth0 netns ${name}`)
    ip(`-n hub link set cable${n} master br0`)
    ip(`-n hub link set cable${n} up`)
    ip(`-n ${name} addr add ${address}/24 dev eth0`)
    ip(`-n ${name} link set eth0 up`)
    ip(`-n ${name} link set lo up`)
    return {
      address,
      prefix: ['ip', 'netns', 'exec', name],
      unplug: () => ip(`-n hub link set cable${n} nomaster`),
      plug: () => ip(`-n hub link set cable${n} master br0`)
    }
  }

  close(): void {
    this.#relay?.kill('SIGKILL')
  }
}

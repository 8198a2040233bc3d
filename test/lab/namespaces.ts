/**
 * Network namespaces that end with the process that made them: `unshare` gives it private mounts, so that even the names
 * of its namespaces are seen by nobody else, and nothing of the machine's own network is touched.
 */
import { execFileSync, spawn } from 'node:child_process'

const inside = 'SKEIN_LAB_INSIDE'

/** Why there can be no namespaces here, or undefined. */
export function whyNoNamespaces(): string | undefined {
  try {
    const probe = 'ip netns add probe && ip link add br0 type bridge'
    execFileSync('unshare', ['-mn', 'sh', '-c', privately(probe)], { stdio: 'ignore' })
  } catch {
    return 'network namespaces need root, unshare, and ip'
  }
  return undefined
}

/** Runs this very command again in namespaces of its own and returns its exit code; undefined when inside already. */
export async function insideNamespaces(): Promise<number | undefined> {
  if (process.env[inside] !== undefined) return undefined
  const child = spawn('unshare', unshareArgs([process.execPath, ...process.execArgv, ...process.argv.slice(1)]), {
    stdio: 'inherit',
    env: { ...process.env, [inside]: '1' }
  })
  // A terminal's Ctrl-C reaches the child by itself; it ends in order, and so does this process.
  const pass = (signal: NodeJS.Signals) => (): void => void child.kill(signal)
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, pass(signal))
  return new Promise(resolve => child.once('exit', code => resolve(code ?? 1)))
}

/** What `unshare` needs to run a command in namespaces of its own. */
export function unshareArgs(command: readonly string[]): string[] {
  return ['-mn', 'sh', '-c', privately('exec "$@"'), 'sh', ...command]
}

/** The names of namespaces are files: a file system of one's own for them leaves none behind. */
function privately(command: string): string {
  return `mkdir -p /run/netns && mount -t tmpfs none /run/netns && ${command}`
}

/** Runs `ip` with these words. @throws {Error} with what it said. */
export function ip(line: string): void {
  execFileSync('ip', line.split(' '), { stdio: ['ignore', 'ignore', 'pipe'] })
}

/** Makes a namespace with this name. Only inside {@link insideNamespaces}. */
export function addNamespace(name: string): void {
  ip(`netns add ${name}`)
  ip(`-n ${name} link set lo up`)
}

/** `skein up --http`: the flags of its front door, and the door itself. */
import { type Command, Option } from 'commander'
import type { ApiInit, ApiServer } from '../api/serve.ts'
import { InvalidOptionError, type Peer } from '../index.ts'
import { httpPlace, words } from './flags.ts'
import type { Tell } from './watch.ts'

export interface HttpFlags {
  readonly http?: { readonly host: string; readonly port: number }
  readonly apiKeyFile?: string
  readonly tlsCert?: string
  readonly tlsKey?: string
  readonly metricsAliases?: 'vllm'
}

/** Adds them to a command. */
export function takesHttp(command: Command): Command {
  return command
    .option(
      '--http <host:port>',
      "serve OpenAI's API, a window to look through and metrics here, such as 127.0.0.1:8420; beyond loopback with --api-key-file",
      httpPlace('--http')
    )
    .option(
      '--api-key-file <file>',
      'whoever asks over HTTP has one of these keys: one a line, name key',
      words('--api-key-file')
    )
    .option('--tls-cert <file>', 'serve HTTPS with this certificate (PEM)', words('--tls-cert'))
    .option('--tls-key <file>', 'the key of that certificate (PEM)', words('--tls-key'))
    .addOption(
      new Option('--metrics-aliases <program>', 'have /metrics name things as that program does, too').choices(['vllm'])
    )
}

/** @throws {InvalidOptionError} when flags are given that do nothing without others */
export function checkDoor({ http, apiKeyFile, tlsCert, tlsKey, metricsAliases }: HttpFlags): void {
  const pems = { '--tls-cert': tlsCert, '--tls-key': tlsKey }
  const lone = { '--api-key-file': apiKeyFile, ...pems, '--metrics-aliases': metricsAliases }
  const [unused] = Object.entries(lone).find(([, value]) => value !== undefined) ?? []
  if (http === undefined && unused !== undefined) throw new InvalidOptionError(`${unused} goes with --http`)
  if ((tlsCert === undefined) !== (tlsKey === undefined)) {
    throw new InvalidOptionError('--tls-cert and --tls-key go together')
  }
}

/** Serves the API over HTTP, if told to. @throws what `serveApi` throws */
export async function openDoor(
  peer: Peer,
  { http, apiKeyFile, tlsCert, tlsKey, metricsAliases }: HttpFlags,
  {
    tell,
    drain,
    json = false
  }: { readonly tell: Tell; readonly drain: () => Promise<unknown>; readonly json?: boolean | undefined }
): Promise<ApiServer | undefined> {
  if (http === undefined) return undefined
  // Who serves none does not load what serves it.
  const { serveApi } = await import('../api/serve.ts')
  const door = await serveApi(peer, {
    ...http,
    ...(apiKeyFile === undefined ? {} : { apiKeyFile }),
    ...(tlsCert === undefined || tlsKey === undefined ? {} : { tls: { certFile: tlsCert, keyFile: tlsKey } }),
    ...(metricsAliases === undefined ? {} : { metricsAliases }),
    drain,
    ...collector(process.env),
    // A person is told of what happens to the swarm; a log has each request.
    ...(json ? { onRequest: told => tell('request', '', told) } : {}),
    onWarning: message => tell('warning', `warning: ${message}`, { message })
  })
  const keys = apiKeyFile === undefined ? ' (no key needed: this machine alone reaches it)' : ''
  tell('http', `OpenAI's API at ${door.url}/v1, a window at ${door.url}${keys}`, { url: door.url })
  return door
}

/** Where the environment says that spans go. */
function collector(env: NodeJS.ProcessEnv): Pick<ApiInit, 'otlp'> {
  const endpoint = env.OTEL_EXPORTER_OTLP_ENDPOINT
  if (endpoint === undefined || endpoint === '') return {}
  return { otlp: { endpoint, headers: env.OTEL_EXPORTER_OTLP_HEADERS, service: env.OTEL_SERVICE_NAME } }
}

/** One of so many answers is traced: all where spans are collected, else some of them for the metrics. */
export function traceEveryOf({ http }: HttpFlags, env: NodeJS.ProcessEnv): { traceEvery?: number } {
  if (http === undefined) return {}
  return { traceEvery: collector(env).otlp === undefined ? 16 : 1 }
}

/** What the running peer of the data directory knows of others. Pure. */
import { formatBytes } from '../base/units.ts'
import type { Status } from '../peer/status.ts'
import { fail, type Finding, ok, warn } from './finding.ts'
import { clockApartMs, namedMax } from './limits.ts'
import { shortId } from './network.ts'

export function runningFindings(status: Status): Finding[] {
  return [
    ...peerFindings(status),
    ...clockFindings(status),
    ...versionFindings(status),
    ...secretFindings(status),
    ...coverageFindings(status)
  ]
}

function peerFindings({ discovery, peers, unkept }: Status): Finding[] {
  const twin = discovery.find(({ way }) => way === 'identity')
  const away = peers.filter(({ connected }) => !connected)
  const others = peers.length - 1 - away.length
  const list = away.slice(0, namedMax).map(({ id }) => shortId(id))
  return [
    ...(twin === undefined
      ? []
      : [
          fail(
            'identity',
            `Another process has this peer's identity: ${twin.state}`,
            'Give each peer a data directory of its own; a copied one must lose its identity.key before it is used.'
          )
        ]),
    ...unkept.map(sentence =>
      fail('disk', sentence, 'Make room or mend the disk: what a peer keeps is lost when it stops.')
    ),
    ...(away.length === 0
      ? []
      : [
          warn(
            'reach',
            `The running peer knows ${away.length} that it is not connected with: ${list.join(', ')}`,
            'See whether these still run; if they do, TCP to their ports is not let through, there or on the way.'
          )
        ]),
    others > 0
      ? ok('peer', `The running peer is connected with ${others} of its swarm`)
      : warn(
          'peer',
          `The running peer is connected with nobody: ${discovery.map(({ way, state }) => `${way}: ${state}`).join('; ')}`,
          'Start another peer with the same swarm file, or name one with --bootstrap.'
        )
  ]
}

/** Clocks of connected peers against this machine's own: where most differ alike, it is this one that is wrong. */
function clockFindings({ peers }: Status): Finding[] {
  const others = peers.filter(({ self, connected, clockMs }) => !self && connected && clockMs !== undefined)
  const ahead = others.filter(({ clockMs = 0 }) => clockMs > clockApartMs)
  const behind = others.filter(({ clockMs = 0 }) => clockMs < -clockApartMs)
  const todo = 'Set it (timedatectl set-time, or a time server): certificates, logs and traces go by it.'
  const most = [ahead, behind].find(some => others.length > 1 && 2 * some.length > others.length)
  if (most !== undefined) {
    const way = most === ahead ? 'behind' : 'ahead of'
    const found = `This machine's clock is ${apart(most)} ${way} those of ${most.length} of ${others.length} connected peers`
    return [warn('clock', found, todo)]
  }
  const wrong = [...ahead, ...behind]
  if (wrong.length > 0) {
    const list = wrong.slice(0, namedMax).map(({ id, clockMs = 0 }) => {
      return `${shortId(id)} ${apart([{ clockMs }])} ${clockMs > 0 ? 'ahead of' : 'behind'} this one`
    })
    const whose = others.length > 1 ? '' : '; with two alone, either may be wrong'
    return [warn('clock', `Clocks of peers differ: ${list.join(', ')}${whose}`, todo)]
  }
  return others.length === 0 ? [] : [ok('clock', 'The clocks of connected peers show the same time, within a minute')]
}

/** What the middle one of some peers' clocks is away from this machine's. */
function apart(some: readonly { readonly clockMs?: number }[]): string {
  const all = some.map(({ clockMs = 0 }) => Math.abs(clockMs)).sort((a, b) => a - b)
  return formatMs(all[all.length >> 1]!)
}

/** `3 minutes`, `5 hours`, `2 days` */
function formatMs(ms: number): string {
  for (const [unit, unitMs] of [
    ['days', 86_400_000],
    ['hours', 3_600_000]
  ] as const) {
    if (ms >= 2 * unitMs) return `${Math.round(ms / unitMs)} ${unit}`
  }
  return ms < 90_000 ? '1 minute' : `${Math.round(ms / 60_000)} minutes`
}

function versionFindings({ peers }: Status): Finding[] {
  const strange = peers.filter(({ speaks }) => !speaks)
  if (strange.length === 0)
    return peers.length > 1 ? [ok('versions', 'All peers speak a revision that this one speaks')] : []
  const list = strange.slice(0, namedMax).map(({ id }) => shortId(id))
  return [
    fail(
      'versions',
      `${strange.length === 1 ? '1 peer speaks' : `${strange.length} peers speak`} no revision of the stage protocol that this one speaks: ${list.join(', ')}`,
      'Bring all peers to one version of Skein: skein --version.'
    )
  ]
}

function secretFindings({ violations }: Status): Finding[] {
  const { 'refused handshake': refused = 0, 'unfinished handshake': unfinished = 0, ...rest } = violations
  const broken = Object.entries(rest).filter(([, times]) => times > 0)
  return [
    ...(refused + unfinished === 0
      ? []
      : [
          warn(
            'secret',
            `${refused + unfinished} connections to or from the running peer ended in their handshake: the other end has another secret, or gave up`,
            'Compare the swarm files of all peers: each must be a copy of the very same one.'
          )
        ]),
    ...(broken.length === 0
      ? []
      : [
          warn(
            'versions',
            `Peers broke protocols: ${broken.map(([kind, times]) => `${kind} ${times}`).join(', ')}`,
            'Bring all peers to one version of Skein; if they are, one of them is broken or lies.'
          )
        ])
  ]
}

function coverageFindings({ models }: Status): Finding[] {
  return models.map(({ name, coverage, missing }) => {
    const gaps = coverage.filter(times => times === 0).length
    if (gaps === 0 && coverage.length > 0) return ok('coverage', `Every layer of ${name} is served`)
    const todo =
      missing === null
        ? 'Wait a moment while peers load; if it stays so, start another peer with that model.'
        : missing.pinned
          ? 'Start another peer, or one without --layers.'
          : `Start another peer, or raise --memory: ${formatBytes(missing.bytes)} are missing.`
    return warn('coverage', `${gaps} of ${coverage.length} layers of ${name} are served by nobody`, todo)
  })
}

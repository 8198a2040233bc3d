/** What the running peer of the data directory knows of others. Pure. */
import { formatBytes } from '../base/units.ts'
import type { Status } from '../peer/status.ts'
import { fail, type Finding, ok, warn } from './finding.ts'
import { namedMax } from './limits.ts'
import { shortId } from './network.ts'

export function runningFindings(status: Status): Finding[] {
  return [...peerFindings(status), ...versionFindings(status), ...secretFindings(status), ...coverageFindings(status)]
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

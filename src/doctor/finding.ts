/** What the doctor says: one thing looked at, how it stands, and what to do. Pure. */

/** What is looked at. */
export type FindingName =
  | 'node'
  | 'processor'
  | 'memory'
  | 'descriptors'
  | 'clock'
  | 'data'
  | 'identity'
  | 'membership'
  | 'disk'
  | 'swarm'
  | 'loopback'
  | 'interfaces'
  | 'routes'
  | 'ports'
  | 'firewall'
  | 'multicast'
  | 'discovery'
  | 'reach'
  | 'peer'
  | 'versions'
  | 'secret'
  | 'coverage'

/** One thing that was looked at. */
export interface Finding {
  readonly name: FindingName
  /** `fail`: a peer does not start here, or does not meet others; `warn`: it may be slower, blind or exposed. */
  readonly verdict: 'ok' | 'warn' | 'fail'
  /** One sentence: how it stands. */
  readonly found: string
  /** One sentence: what to do about it. Absent where all is well. */
  readonly todo?: string
}

export function ok(name: FindingName, found: string): Finding {
  return { name, verdict: 'ok', found }
}

export function warn(name: FindingName, found: string, todo: string): Finding {
  return { name, verdict: 'warn', found, todo }
}

export function fail(name: FindingName, found: string, todo: string): Finding {
  return { name, verdict: 'fail', found, todo }
}

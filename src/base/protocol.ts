/**
 * What two peers may say to one another, in revisions. Both ends name those that they speak, and a channel carries the
 * newest that they have in common, so that a swarm can be upgraded one peer at a time.
 */

/** A protocol of ours, with the revisions of it that this peer speaks. */
export interface Protocol {
  /** `/skein/stage`: what is counted, bounded and looked up, whatever the revision. */
  readonly name: string
  /** `2.0.0`, the newest first, at least one. Each change of a frame is a revision (`protocols/README.md`). */
  readonly revisions: readonly string[]
}

/** How its revisions are named on the wire, the newest first: `/skein/stage/2.0.0`. */
export function protocolIds({ name, revisions }: Protocol): string[] {
  return revisions.map(revision => `${name}/${revision}`)
}

/** The revision that an id of this protocol names; undefined when it is none that this peer speaks. */
export function revisionOf({ name, revisions }: Protocol, id: string): string | undefined {
  return revisions.find(revision => id === `${name}/${revision}`)
}

/**
 * The newest revision that both speak; undefined when there is none.
 *
 * @param theirs ids as on the wire, of any protocols, in any order.
 */
export function commonRevision(ours: Protocol, theirs: Iterable<string>): string | undefined {
  const spoken = new Set(theirs)
  return ours.revisions.find(revision => spoken.has(`${ours.name}/${revision}`))
}

/** What members may do, and who may do what about members. */

/**
 * What a peer may do. `driver`: have sessions. `stage`: serve layers. `keeper`: hold sealed sessions of others. `source`: give weights.
 * `relay`: carry others' connections. `gateway`: take requests from outside. `viewer`: read the state of the swarm, and nothing else.
 */
export const roles = ['driver', 'stage', 'keeper', 'source', 'relay', 'gateway', 'viewer'] as const
/** One of {@link roles}. */
export type Role = (typeof roles)[number]

/** What a deputy may do in the authority's place. */
export const powers = ['invite', 'revoke'] as const
/** One of {@link powers}. */
export type Power = (typeof powers)[number]

/** What a grant makes of its subject. */
export const grantKinds = ['peer', 'invitation', 'deputy', 'model'] as const
export type GrantKind = (typeof grantKinds)[number]

/** Of texts those that are among the known ones: what a newer Skein adds means nothing here, and gives nothing. */
export function among<T extends string>(known: readonly T[], texts: readonly string[]): T[] {
  return known.filter(one => texts.includes(one))
}

/**
 * Every number that bounds something has its unit in its name and its reason beside it. Units last: Ms, Bytes. A new bound
 * is added to the `limits.ts` of its room, not at the place of use; those here belong to rooms that do not know one another.
 */

/** Hops of a route at most; each adds a fixed price, and 64 peers are more than one token should pass. */
export const hopsMax = 64

/** Live peers known: the aim is hundreds; 1,024 records are at most 16 MiB. */
export const recordsMax = 1024

/** Peers beyond this many are not dialled any more: a full mesh of 32 costs each end some 6 MB. */
export const meshMax = 31

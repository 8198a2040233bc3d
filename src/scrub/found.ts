/** What scrubbing looks for, and what it has found. */

/** Kinds of personal data that are replaced, in the order in which they are looked for: what is one is no other. */
export const scrubKinds = ['email', 'coordinates', 'ip', 'card', 'phone'] as const
/** A kind of personal data that is replaced. */
export type ScrubKind = (typeof scrubKinds)[number]

/** How often each kind was replaced; those that were not are missing. */
export type ScrubCounts = Partial<Readonly<Record<ScrubKind, number>>>

/** A part of a text, [start, end) in UTF-16 units. */
export interface Found {
  readonly start: number
  readonly end: number
  /** The same for the same value, however it is written. */
  readonly key: string
}

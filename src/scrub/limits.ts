/** The bounds of scrubbing: each has its unit in its name and its reason beside it. */

/** Characters of all texts of a request that are scrubbed at once: some ms at the worst. What is longer goes to a thread. */
export const scrubAtOnceChars = 4096
/** A text of the longest prompt takes a second or two there, one that is made to be slow some ten. */
export const scrubMs = 60_000
export const scrubStartMs = 20_000
/** Its thread ends when nothing was asked of it for so long. */
export const scrubIdleMs = 30_000
/** Characters of the parts of an address of e-mail: RFC 5321 (4.5.3.1). */
export const localPartCharsMax = 64
export const domainCharsMax = 255
/** Digits of a telephone number: E.164 has 15 at most; the shortest that is told from others has 7. */
export const phoneDigitsMin = 7
export const phoneDigitsMax = 15
/** Characters of one with all that people put between its digits. */
export const phoneCharsMax = 40
/** Digits of the number of a payment card: ISO/IEC 7812. */
export const cardDigitsMin = 13
export const cardDigitsMax = 19
/** Characters before a number in which a word says what it is. */
export const labelCharsMax = 24

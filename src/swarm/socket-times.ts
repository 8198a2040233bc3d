/**
 * When bytes were last read off a socket: a frame is deciphered and delivered in the turn in which its last bytes were read, so
 * that whoever gets it then can tell how long that took.
 */
export const reads: { /** In ms of `performance.now`; undefined before the first. */ atMs: number | undefined } = {
  atMs: undefined
}

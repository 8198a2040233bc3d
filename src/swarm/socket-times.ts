/**
 * When bytes were last read off a socket, and last about to be written to one: a frame is deciphered and delivered in the turn in
 * which its last bytes were read, and enciphered and written in the one in which it is sent, so that whoever has it can tell how
 * long that took.
 */
export const socketTimes: {
  /** In ms of `performance.now`; undefined before the first. */
  readMs: number | undefined
  writeMs: number | undefined
} = { readMs: undefined, writeMs: undefined }

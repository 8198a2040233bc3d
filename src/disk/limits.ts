/** The bounds of what lies on the disk: each has its unit in its name and its reason beside it. */

/**
 * Bytes of a sealed file that are sealed together. Part of the format, so it never changes. It is the unit in which files of a
 * model travel and are checked, so a chunk that comes is sealed once; the seal takes 28 bytes of it.
 */
export const sealedChunkBytes = 256 << 10
/** Chunks that one call of the file system reads: 1 MiB, which a processor's cache still has when they are opened (4 MiB took 1.3 times as long). */
export const sealedChunksAtOnce = 4
/** A key file that an operator brings: 32 bytes are all that can be guessed no sooner than AES-256 itself. */
export const sealKeyBytesMin = 32
/** One that has more than a page is no key but a file given by mistake. */
export const sealKeyBytesMax = 4096
/** `skein.json` with what seals its directory: a TPM's two blobs have some 300 bytes together. */
export const vaultBytesMax = 64 << 10
/** `keyctl` asks the kernel, and a TPM takes up to a second for each of four commands; one that hangs is not waited for. */
export const keyToolMs = 30_000
/** What one of those tools may print: a key, or why there is none. */
export const keyToolBytesMax = 64 << 10
/** A name in a sealed folder: with its seal, in base64, file systems take 255 characters. */
export const sealedNameBytesMax = 172

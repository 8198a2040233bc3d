/**
 * Large pages for the memories of a stage. A processor fetches ahead within a page alone, and a product reads weights in order: in
 * pages of 2 MiB those of a token take 0.7 to 0.8 of the time that they take in pages of 4 KiB (`npm run bench -- --only forms`),
 * and writing to such a memory first takes a fifth. Many a Linux gives them only where `madvise` asks, which neither V8 nor Node
 * does. The optional package koffi calls it.
 */
import { createRequire } from 'node:module'
import { largePagesBytesMin } from '../limits.ts'
import type { LargePages } from './stage-memory.ts'

/** What is used of koffi, which need not be there. */
interface Koffi {
  /** @param path of a library; null: what the process has loaded */
  load(path: null): { func(declaration: string): Madvise }
}

/** @returns 0, or -1 where Linux refuses */
type Madvise = (address: Uint8Array, bytes: number, advice: number) => number

/** `MADV_HUGEPAGE` of Linux, the same on all processors that Node runs on. */
const hugePages = 14

/**
 * What has memories in large pages as far as they have not been touched. They stay in small ones, which are as right, where they have
 * less than {@link largePagesBytesMin}, on other systems, where koffi is not installed, and where Linux refuses.
 */
export function largePages(): LargePages {
  let madvise: Madvise | undefined
  return memory => {
    if (memory.byteLength < largePagesBytesMin || process.platform !== 'linux') return
    madvise ??= madviseHere()
    madvise(new Uint8Array(memory), memory.byteLength, hugePages)
  }
}

function madviseHere(): Madvise {
  try {
    const koffi = createRequire(import.meta.url)('koffi') as Koffi
    return koffi.load(null).func('int madvise(void *address, size_t bytes, int advice)')
  } catch {
    return () => -1
  }
}

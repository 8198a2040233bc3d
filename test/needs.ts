/** What a test needs that not every machine has. */
import { existsSync } from 'node:fs'

declare module 'vitest' {
  interface TaskMeta {
    /** Why it is skipped on this machine; the totals tell it (`totals-reporter.ts`). */
    whyNot?: string
  }
}

interface Needing {
  readonly skip?: boolean
  readonly meta?: { readonly whyNot: string }
}

/** Options of a test, or of several, that can only run where `whyNot` is undefined. */
export function needs(whyNot: string | undefined): Needing {
  return whyNot === undefined ? {} : { skip: true, meta: { whyNot } }
}

/** Why what checks permissions cannot be tried here: nobody forbids root anything. */
export const whyNoPermissions = process.getuid?.() === 0 ? 'root may read and write everything' : undefined

/** Why what only Linux has cannot be tried here. */
export const whyNoLinux = process.platform === 'linux' ? undefined : 'this needs Linux'

/** Why there is no built peer to start. */
export function whyNotBuilt(file: string): string | undefined {
  return existsSync(file) ? undefined : 'dist is missing: npm run build makes it'
}

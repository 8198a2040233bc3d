/** `skein seal` and `skein unseal`: a data directory, worth nothing without its key, another one, or none any more. */
import { formatBytes, resealDirectory, type SealedDirectory, sealDirectory, unsealDirectory } from '../index.ts'
import type { CommandContext } from './context.ts'
import { say, sayJson } from './output.ts'
import { ProgressLine } from './progress.ts'

interface SealFlags {
  readonly json?: boolean
  /** What opens it now, where it is to be another key. */
  readonly from?: string
}

interface Work {
  readonly signal: AbortSignal
  readonly onProgress: (progress: { readonly files: number; readonly bytes: number }) => void
}

/** @throws what {@link sealDirectory} and {@link resealDirectory} throw, and the signal's reason */
export async function sealData(
  dataDir: string,
  seal: string,
  { json, from }: SealFlags,
  { signal }: CommandContext
): Promise<void> {
  const sealed = await shown({ json, signal, done: 'sealed' }, work =>
    from === undefined ? sealDirectory(dataDir, seal, work) : resealDirectory(dataDir, seal, from, work)
  )
  if (json) {
    sayJson({ event: 'sealed', dataDir, ...sealed })
    return
  }
  say(`sealed ${dataDir}: ${sum(sealed)}; skein up --seal opens it`)
  tellLeft(sealed)
  if (sealed.files > 0 && from === undefined) {
    say(
      'what lay there in plain may still be found on the medium itself: where that counts, begin with a new directory'
    )
  }
}

/** @throws what {@link unsealDirectory} throws, and the signal's reason */
export async function unsealData(
  dataDir: string,
  seal: string,
  { json }: SealFlags,
  { signal }: CommandContext
): Promise<void> {
  const opened = await shown({ json, signal, done: 'opened' }, work => unsealDirectory(dataDir, seal, work))
  if (json) {
    sayJson({ event: 'unsealed', dataDir, ...opened })
    return
  }
  say(`took the seal off ${dataDir}: ${sum(opened)}; whoever has the disk reads it`)
  tellLeft(opened)
}

async function shown(
  { json, signal, done }: { readonly json: boolean | undefined; readonly signal: AbortSignal; readonly done: string },
  work: (options: Work) => Promise<SealedDirectory>
): Promise<SealedDirectory> {
  const line = json === true ? undefined : new ProgressLine()
  const onProgress: Work['onProgress'] = ({ files, bytes }) =>
    line?.show(`${files} files, ${formatBytes(bytes)} ${done}`)
  return work({ signal, onProgress }).finally(() => line?.clear())
}

function sum({ files, bytes }: SealedDirectory): string {
  return `${files} ${files === 1 ? 'file' : 'files'}, ${formatBytes(bytes)}`
}

function tellLeft({ left }: SealedDirectory): void {
  for (const path of left) say(`left as it is, being neither a file nor a folder: ${path}`)
}

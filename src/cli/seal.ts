/** `skein seal`: a data directory, from now on worth nothing without its key. */
import { formatBytes, sealDirectory } from '../index.ts'
import type { CommandContext } from './context.ts'
import { say, sayJson } from './output.ts'
import { ProgressLine } from './progress.ts'

/** @throws what {@link sealDirectory} throws, and the signal's reason */
export async function sealData(
  dataDir: string,
  seal: string,
  { json }: { readonly json?: boolean },
  { signal }: CommandContext
): Promise<void> {
  const line = json === true ? undefined : new ProgressLine()
  const sealed = await sealDirectory(dataDir, seal, {
    signal,
    onProgress: ({ files, bytes }) => line?.show(`${files} files, ${formatBytes(bytes)} sealed`)
  }).finally(() => line?.clear())
  if (json) {
    sayJson({ event: 'sealed', dataDir, ...sealed })
    return
  }
  const { files, bytes, left } = sealed
  say(`sealed ${dataDir}: ${files} ${files === 1 ? 'file' : 'files'}, ${formatBytes(bytes)}; skein up --seal opens it`)
  for (const path of left) say(`left as it is, being neither a file nor a folder: ${path}`)
  if (files > 0) {
    say(
      'what lay there in plain may still be found on the medium itself: where that counts, begin with a new directory'
    )
  }
}

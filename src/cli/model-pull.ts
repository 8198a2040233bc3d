/** `skein model pull`: a model from a Hugging Face hub, fetched and imported. */
import { SingleBar } from 'cli-progress'
import { dropFetch, fetchModel, formatBytes, type HubModel, type HubProgress } from '../index.ts'
import type { CommandContext } from './context.ts'
import { barStepsMax, plainProgressMs } from './limits.ts'
import { modelImport } from './model.ts'
import { type ImportFlags, roomFor } from './model-facts.ts'
import { note, say, sayJson } from './output.ts'

export interface PullFlags extends ImportFlags {
  readonly revision?: string
  readonly file?: string
}

/**
 * Fetches a model and imports it; what was fetched is removed then. Where that fails, says where what has arrived is kept.
 *
 * @throws {DownloadError} {ImportError} {DiskBudgetError} {InvalidOptionError} and the signal's reason.
 */
export async function modelPull(repo: string, flags: PullFlags, { signal, ...context }: CommandContext): Promise<void> {
  const { HF_TOKEN } = process.env
  const bar =
    flags.json === true ? jsonProgress() : process.stderr.isTTY ? barProgress() : plainProgress(note, () => Date.now())
  const onKept = (dir: string): void =>
    note(
      `skein: what has arrived is kept in ${dir}: the same command goes on from there, and removing that folder gives up`
    )
  let fetched: HubModel
  try {
    fetched = await fetchModel({
      repo,
      dataDir: flags.data,
      name: flags.name,
      ...(flags.dtype === undefined ? {} : { weights: flags.dtype }),
      ...(flags.revision === undefined ? {} : { revision: flags.revision }),
      ...(flags.file === undefined ? {} : { file: flags.file }),
      ...(HF_TOKEN === undefined || HF_TOKEN === '' ? {} : { token: HF_TOKEN }),
      ...(await roomFor(flags, { signal })),
      signal,
      onKept,
      onProgress: bar.onProgress
    })
  } finally {
    bar.stop()
  }
  const { source, dir, origin, files } = fetched
  if (flags.json === true) sayJson({ event: 'fetched', origin, files })
  else say(`fetched ${origin}: ${files.length === 1 ? '1 file' : `${files.length} files`}`)
  try {
    await modelImport(source, { ...flags, origin }, { signal, ...context })
  } catch (err) {
    onKept(dir)
    throw err
  }
  await dropFetch(dir)
}

interface Progress {
  onProgress(progress: HubProgress): void
  stop(): void
}

/** A bar on stderr, once it is known how much there is to fetch. */
function barProgress(): Progress {
  const bar = new SingleBar({
    format: '{bar} {percentage} % of {total} | {file} | {duration_formatted}, {eta_formatted} to go',
    formatValue: (value, _options, type) => (type === 'total' ? formatBytes(value) : String(value)),
    stream: process.stderr,
    hideCursor: true,
    clearOnComplete: true,
    etaBuffer: barStepsMax
  })
  let isShown = false
  return {
    onProgress({ file, weights }) {
      if (weights === undefined) return
      if (!isShown) bar.start(weights.total, weights.bytes, { file })
      isShown = true
      bar.update(weights.bytes, { file })
    },
    stop: () => bar.stop()
  }
}

/** For a log: a line now and then, none of a fetch that is soon done. */
export function plainProgress(tell: (line: string) => void, wallMs: () => number): Progress {
  let lastMs = wallMs()
  return {
    onProgress({ file, weights }) {
      if (weights === undefined || wallMs() - lastMs < plainProgressMs) return
      lastMs = wallMs()
      const { bytes, total } = weights
      tell(
        `skein: ${formatBytes(bytes)} of ${formatBytes(total)} are here (${Math.floor((100 * bytes) / total)} %), now ${file}`
      )
    },
    stop() {}
  }
}

/** Events for programs: one for each file, and for each hundredth of the weights. */
function jsonProgress(): Progress {
  let said = ''
  return {
    onProgress({ file, bytes, total, weights }) {
      const step = `${file} ${weights === undefined ? bytes === total : Math.floor((100 * weights.bytes) / weights.total)}`
      if (step === said) return
      said = step
      sayJson({ event: 'fetch', file, bytes, total, ...(weights === undefined ? {} : { weights }) })
    },
    stop() {}
  }
}

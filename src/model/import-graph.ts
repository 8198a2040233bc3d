/** A graph into a store: one ONNX file, as it is, with the tokenizer that makes its inputs of text where it has one. */
import path from 'node:path'
import type { ShardId } from '../base/ids.ts'
import { formatBytes } from '../base/units.ts'
import { stat } from '../disk/files.ts'
import { ImportError, InvalidManifestError } from '../errors.ts'
import type { Addition, StoredFile } from './addition.ts'
import { readGraph } from './graph-service.ts'
import { checkName } from './import.ts'
import { openFile, readAt, readWhole } from './import-files.ts'
import { askTokenizer } from './import-tokenizer.ts'
import { importChunkBytes, onnxBytesMax, tokenizerBytesMax } from './limits.ts'
import { encodeManifest, type FileEntry, type GraphManifest, graphFormat } from './manifest.ts'
import { decodeManifest } from './read-manifest.ts'
import type { ModelStore, StoredGraph } from './store.ts'

export interface ImportGraphInit {
  /** An ONNX file. */
  readonly source: string
  readonly store: ModelStore
  /** 1-64 letters, digits, dots, dashes or underscores. */
  readonly name: string
  /** A `tokenizer.json` for a graph that takes text. @default that beside the graph, where there is one */
  readonly tokenizer?: string | undefined
  /** Why nobody could run it, from its file. @default somebody can */
  readonly whyNot?: ((file: string) => Promise<string | undefined>) | undefined
  /** @default 'unknown' */
  readonly licence?: string | undefined
  /** Where it is from, as the manifest should give it. @default the file's name */
  readonly origin?: string | undefined
  readonly givesWay?: boolean | undefined
  /** As with `ImportInit.room`. */
  readonly room?: ((bytes: number) => Promise<void>) | undefined
  readonly signal: AbortSignal
}

/** Whether a file is imported as a graph: ONNX has no mark at its beginning, so its name says it. */
export function isGraphFile(source: string): boolean {
  return /\.onnx$/i.test(source)
}

/**
 * Imports a graph. Nothing has a name in the store before it is whole, and the same file gives the same id.
 *
 * @throws {ImportError} when it is no ONNX file, keeps weights in others, has inputs or outputs that are no tensors, when its
 *   tokenizer cannot be used, or the name belongs to another model
 * @throws {InvalidOptionError} when the name is none; the signal's reason
 */
export async function importGraph(init: ImportGraphInit): Promise<StoredGraph> {
  const { source, store, name, licence = 'unknown', origin = path.basename(source), givesWay = false, signal } = init
  checkName(name)
  const bytes = await sizeOf(source)
  const facts = await readGraph(source, { signal })
  const refusal = await init.whyNot?.(source)
  if (refusal !== undefined) throw new ImportError(`${source} cannot be imported: ${refusal}`)
  const tokenizer = await readTokenizer(init)
  const manifestOf = (file: FileEntry, tokenizer: FileEntry | null): GraphManifest => ({
    format: graphFormat,
    kind: 'graph',
    name,
    ...facts,
    tokenizer,
    licence,
    source: origin,
    shards: [{ role: 'layer', layer: 0, ...file, sha256: file.sha256 as ShardId }]
  })
  const none = (bytes: number): FileEntry => ({ bytes, sha256: '0'.repeat(64), chunks: '0'.repeat(64) })
  const provisional = manifestOf(none(bytes), tokenizer === undefined ? null : none(tokenizer.length))
  try {
    decodeManifest(encodeManifest(provisional), name)
  } catch (err) {
    if (!(err instanceof InvalidManifestError)) throw err
    throw new ImportError(`${source} cannot be imported: ${err.message}`)
  }
  await init.room?.(bytes + (tokenizer?.length ?? 0))
  const addition = await store.begin()
  try {
    const words = tokenizer === undefined ? null : await addition.putBytes(tokenizer, { signal })
    const file = await copy(source, bytes, addition, signal)
    // The file that was read may have been another one by now: what is in the store is what counts.
    const stored = await readGraph(file.path, { name: source, signal })
    if (JSON.stringify(stored) !== JSON.stringify(facts)) throw changed(source)
    const model = await store.putManifest(manifestOf(entryOf(file), words === null ? null : entryOf(words)), {
      givesWay
    })
    await addition.commit()
    return model
  } catch (err) {
    await addition.rollBack()
    throw err
  }
}

function entryOf({ bytes, sha256, chunks }: StoredFile): FileEntry {
  return { bytes, sha256, chunks }
}

async function sizeOf(source: string): Promise<number> {
  const found = await stat(source).catch(() => undefined)
  if (found === undefined) throw new ImportError(`there is no file ${source}`)
  if (!found.isFile()) throw new ImportError(`${source} is no file`)
  if (found.size > onnxBytesMax) {
    throw new ImportError(
      `${source} has ${formatBytes(found.size)}, and an ONNX file at most ${formatBytes(onnxBytesMax)}: it is none`
    )
  }
  return found.size
}

/** @throws {ImportError} when the one that is named is not there, or it cannot be used */
async function readTokenizer(init: ImportGraphInit): Promise<Uint8Array | undefined> {
  const file = init.tokenizer ?? path.join(path.dirname(init.source), 'tokenizer.json')
  const bytes = await readWhole(file, tokenizerBytesMax)
  if (bytes === undefined) {
    if (init.tokenizer === undefined) return undefined
    throw new ImportError(`there is no ${file}`)
  }
  await askTokenizer(bytes, `${file} cannot`, init, tokenizer => tokenizer.size())
  return bytes
}

async function copy(source: string, bytes: number, addition: Addition, signal: AbortSignal): Promise<StoredFile> {
  const opened = await openFile(source)
  if (opened?.size !== bytes) {
    await opened?.handle.close()
    throw changed(source)
  }
  const { handle } = opened
  try {
    const file = await addition.create(bytes)
    try {
      for (let at = 0; at < bytes; ) {
        signal.throwIfAborted()
        const part = new Uint8Array(Math.min(importChunkBytes, bytes - at))
        await readAt(handle, part, at, source)
        await file.write(part, at)
        at += part.length
      }
      return await file.finish({ signal })
    } catch (err) {
      await file.discard()
      throw err
    }
  } finally {
    await handle.close()
  }
}

function changed(source: string): ImportError {
  return new ImportError(`${source} was changed while it was imported`)
}

/**
 * A GGUF file into a store, or one that is split into several: its weights as they are where our tiles hold them
 * (`formats/gguf-blocks.ts`), its tokenizer and its template from the metadata. Everything that can be refused is refused
 * before the first weight is written.
 */
import type { OpenFile } from '../disk/files.ts'
import path from 'node:path'
import { shown } from '../base/shown.ts'
import { ImportError } from '../errors.ts'
import { describeModel } from './architectures/registry.ts'
import { type CheckpointTensor, checkpointTensors, type HeldRows } from './architectures/tensors.ts'
import { dimensionsMax, type ModelConfig } from './decoder.ts'
import { dequantise, isReadable, keptAs, type OddNumber, oddNumber, readBlocks } from './formats/gguf-blocks.ts'
import { huggingFaceTerms, type HuggingFaceTerms, ropeFactors, type RopeFactors } from './formats/gguf-config.ts'
import { GgufMetadata, shortestFloat } from './formats/gguf-metadata.ts'
import { tokenizerOf } from './formats/gguf-tokenizer.ts'
import { chosenType, chosenWeights, type WeightName } from './dtype-choice.ts'
import { type GgufHeader, type GgufTensor, readGgufHeader } from './formats/gguf.ts'
import { openFile, readAt } from './import-files.ts'
import { askTokenizer, comparedTexts, measuredTexts, type OpenedModel } from './import-tokenizer.ts'
import type { SourceTensor, TensorSource } from './import-writer.ts'
import type { ImportInit } from './import.ts'
import { ggufFilesMax, ggufSurveyBytes, tokenizerBytesMax } from './limits.ts'
import { type Blocks, type RowRange, rowsOf } from './pack.ts'
import type { Weights, WeightType } from './weight-types.ts'

/**
 * Reads everything of a GGUF model but its weights, whose scales it looks through.
 *
 * @throws {ImportError} in one sentence that says what is wrong with which file
 * @throws the signal's reason
 */
export async function openGguf(init: ImportInit): Promise<OpenedModel> {
  const files = await GgufFiles.open(init.source)
  try {
    return { ...(await opened(files, init)), close: () => files.close() }
  } catch (err) {
    await files.close()
    throw err
  }
}

async function opened(files: GgufFiles, init: ImportInit): Promise<Omit<OpenedModel, 'close'>> {
  const { source, signal, onNote } = init
  const metadata = new GgufMetadata(files.header)
  const factors = await files.factors()
  const terms = huggingFaceTerms(files.header, metadata, factors)
  const described = describeModel(terms.config, source)
  const config = terms.adapt(described.config)
  const { json, bosId, eosIds, chatTemplate } = tokenizerOf(metadata, config.vocab)
  const tokenizer = new TextEncoder().encode(JSON.stringify(json))
  if (tokenizer.length > tokenizerBytesMax) {
    throw new ImportError(
      `${source}: its tokenizer has ${tokenizer.length} bytes, at most ${tokenizerBytesMax} are taken`
    )
  }
  const { texts, compared } = await askTokenizer(tokenizer, `${source}: its tokenizer cannot`, init, async asked => {
    await asked.size()
    const texts = await measuredTexts(asked, bosId, config.contextMax)
    return { texts, compared: await comparedTexts(asked, bosId, config, init) }
  })
  const tensors = files.expect(checkpointTensors(config, terms.names(described.names)), described.architecture, terms)
  const weights = await typesOf(tensors, config, init)
  for (const note of described.notes) onNote?.(`${source}: ${note}`)
  const { architecture, edge } = described
  const licence = init.licence ?? metadata.text('general.license', 'unknown').slice(0, 256)
  const origin = init.origin ?? path.basename(path.resolve(source))
  const own = { bosId, eosIds, tokenizer, chatTemplate, licence, source: origin }
  return {
    description: { architecture, config, weights, edge, ...own },
    texts,
    compared,
    tensors: new GgufSource(tensors, {
      keeps: name => chosenType(init.weights ?? {}, name, config) === undefined,
      signal
    })
  }
}

/** A tensor and the file that it is in. */
interface Place {
  readonly file: string
  readonly handle: OpenFile
  readonly tensor: GgufTensor
}

/** Rows of a tensor that are rows of one of the model's. */
interface Piece extends Place, Pick<HeldRows, 'at' | 'from' | 'rows'> {
  /** Heads whose rows are to be taken apart into halves; undefined where rows stay. */
  readonly pairedHeads: number | undefined
}

/** What holds each of the model's tensors. */
type Pieces = ReadonlyMap<string, readonly Piece[]>

const keyOf = (tensor: string, layer: number | null): string => `${tensor} ${layer}`

/** The tensors of one GGUF model, in one file or several. */
class GgufFiles {
  readonly #handles: OpenFile[] = []
  readonly #places = new Map<string, Place>()
  #header: GgufHeader | undefined

  private constructor() {}

  /** Metadata of the first file, tensors of all. */
  get header(): GgufHeader {
    return this.#header!
  }

  /** @throws {ImportError} when a file is missing or malformed */
  static async open(source: string): Promise<GgufFiles> {
    const files = new GgufFiles()
    try {
      await files.#open(source)
      return files
    } catch (err) {
      await files.close()
      throw err
    }
  }

  async #open(source: string): Promise<void> {
    const given = await this.#read(source)
    const count = new Numbered(given, 'split.count', 1).value
    if (count > ggufFilesMax) {
      throw new ImportError(`${source} is one of ${count} files, at most ${ggufFilesMax} are read`)
    }
    const headers = count === 1 ? [given] : await this.#readAll(source, given, count)
    const tensors = headers.flatMap(each => each.tensors)
    this.#header = { file: source, metadata: headers[0]!.metadata, tensors }
    const said = new Numbered(headers[0]!, 'split.tensors.count', tensors.length).value
    if (said !== tensors.length) {
      throw new ImportError(`${source}: its ${count} files have ${tensors.length} tensors, and it says ${said}`)
    }
  }

  /** All files of a split model, by the name of one. */
  async #readAll(source: string, given: GgufHeader, count: number): Promise<GgufHeader[]> {
    const [, stem, , total] = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/s.exec(source) ?? []
    if (stem === undefined || Number(total) !== count) {
      const digits = String(count).padStart(5, '0')
      throw new ImportError(
        `${source} is one of ${count} files, whose names must end in -00001-of-${digits}.gguf and so on for the others to be found`
      )
    }
    const headers: GgufHeader[] = []
    for (let i = 0; i < count; i++) {
      const file = `${stem}-${String(i + 1).padStart(5, '0')}-of-${total}.gguf`
      const header = file === source ? given : await this.#read(file, source)
      const number = new Numbered(header, 'split.no', -1).value
      if (number !== i) throw new ImportError(`${file} says that it is file ${number} of ${count} (split.no), not ${i}`)
      headers.push(header)
    }
    return headers
  }

  async #read(file: string, namedBy?: string): Promise<GgufHeader> {
    const opened = await openFile(file)
    if (opened === undefined) {
      const missing = path.basename(file)
      throw new ImportError(
        namedBy === undefined ? `there is no ${file}` : `${namedBy} goes on in ${missing}, but that file is not there`
      )
    }
    const { handle, size } = opened
    this.#handles.push(handle)
    const read = (offset: number, into: Uint8Array): Promise<void> => readAt(handle, into, offset, file)
    const header = await readGgufHeader({ file, size, read })
    for (const tensor of header.tensors) {
      if (this.#places.has(tensor.name)) {
        throw new ImportError(`${file}: tensor ${shown(tensor.name)} is in another file as well`)
      }
      this.#places.set(tensor.name, { file, handle, tensor })
    }
    return header
  }

  /** What rotation is scaled by, where tensors say it. @throws {ImportError} when one is no list of positive numbers */
  async factors(): Promise<RopeFactors> {
    const factors: Record<string, number[]> = {}
    for (const [key, name] of Object.entries(ropeFactors)) {
      const place = this.#places.get(name)
      if (place === undefined) continue
      const { file, handle, tensor } = place
      const length = tensor.shape[0]!
      if (tensor.type.name !== 'F32' || tensor.shape.length !== 1 || length > dimensionsMax.headDim) {
        throw new ImportError(`${file}: ${name} must be a list of numbers of the type F32, one for each pair of a head`)
      }
      const bytes = new Uint8Array(tensor.bytes)
      await readAt(handle, bytes, tensor.offset, file)
      const values = new Float32Array(length)
      dequantise(tensor.type, bytes, values)
      if (values.some(value => !(value > 0 && value < Number.POSITIVE_INFINITY))) {
        throw new ImportError(`${file}: ${name} must be positive numbers`)
      }
      factors[key] = Array.from(values, shortestFloat)
    }
    return factors
  }

  /** @throws {ImportError} when a tensor is missing, unknown, has another shape than the metadata says, or cannot be read */
  expect(expected: ReadonlyMap<string, CheckpointTensor>, architecture: string, terms: HuggingFaceTerms): Pieces {
    const missing = new Set(expected.keys())
    const special = new Set<string>(Object.values(ropeFactors))
    const pieces = new Map<string, Piece[]>()
    for (const [name, place] of this.#places) {
      if (special.has(name)) continue
      const { file, tensor } = place
      const theirs = terms.nameOf(name) ?? ''
      const wanted = expected.get(theirs)
      if (wanted === undefined || !missing.delete(theirs)) {
        throw new ImportError(
          `${file} has a tensor ${shown(name)} that a ${architecture} of these dimensions does not have`
        )
      }
      const { shape, type } = tensor
      // The one input of each column's kernel is left out in files.
      const needed = wanted.holds[0]!.tensor === 'convKernel' ? wanted.shape.filter((_, i) => i !== 1) : wanted.shape
      if (shape.length !== needed.length || shape.some((size, i) => size !== needed[i])) {
        throw new ImportError(
          `${file}: tensor ${name} has the shape [${shape.join(', ')}], the metadata needs [${needed.join(', ')}]`
        )
      }
      if (shape.length === 1 && type.columns !== 1) {
        throw new ImportError(`${file}: tensor ${name} has the type ${type.name}, and vectors are F32, F16 or BF16`)
      }
      if (!isReadable(type)) {
        throw new ImportError(`${file}: tensor ${name} has the type ${type.name}, whose weights cannot be read here`)
      }
      const pairedHeads = terms.pairedHeads(name)
      for (const { tensor, layer, at, from, rows } of wanted.holds) {
        const key = keyOf(tensor, layer)
        pieces.set(key, [...(pieces.get(key) ?? []), { ...place, at, from, rows, pairedHeads }])
      }
    }
    const [first] = missing
    if (first !== undefined)
      throw new ImportError(`${this.header.file} has no tensor for ${first}, as Hugging Face calls it`)
    return pieces
  }

  async close(): Promise<void> {
    await Promise.all(this.#handles.splice(0).map(handle => handle.close()))
  }
}

/** A whole number of the metadata. */
class Numbered {
  readonly value: number

  constructor({ file, metadata }: GgufHeader, key: string, otherwise: number) {
    const value = metadata.get(key) ?? otherwise
    if (!Number.isInteger(value)) throw new ImportError(`${file}: ${key} must be a whole number`)
    this.value = value as number
  }
}

// ── Types ──────────────────────────────────────────────────────────────────────────────────────────

/**
 * The type of every matrix: what was chosen, else the one that holds what the file has; where a scale or minimum passes the
 * range of ours, one with float32 numbers.
 *
 * @throws {ImportError} when a type is one that ours do not hold, or a scale is not finite: both name the tensor
 */
async function typesOf(pieces: Pieces, config: ModelConfig, init: ImportInit): Promise<Weights> {
  const { signal, onNote, weights: choice = {} } = init
  const known = new Map<GgufTensor, WeightType>()
  const typeFor = async (name: WeightName, layer: number | null): Promise<WeightType> => {
    // A matrix is of one tensor, which may hold others as well; but each expert may have one of its own.
    const all = pieces.get(keyOf(name, layer))!
    const [first] = all as readonly [Piece]
    const other = all.find(({ tensor }) => tensor.type !== first.tensor.type)
    if (other !== undefined) {
      throw new ImportError(
        `${other.file}: tensor ${other.tensor.name} has the type ${other.tensor.type.name}, and ${first.tensor.name} has ${first.tensor.type.name}: those of all experts of a layer must be the same, or be converted to a dtype (q8, q4 or f32)`
      )
    }
    let widest: WeightType | undefined
    for (const place of new Map(all.map(each => [each.tensor, each])).values()) {
      const type = known.get(place.tensor) ?? (await typeOfTensor(place))
      known.set(place.tensor, type)
      if (widest === undefined || type !== keptAs(first.tensor.type)) widest = type
    }
    return widest!
  }
  const typeOfTensor = async ({ file, tensor, handle }: Place): Promise<WeightType> => {
    const type = keptAs(tensor.type)
    if (type === undefined) {
      throw new ImportError(
        `${file}: tensor ${tensor.name} has the type ${tensor.type.name}, which is not held as it is: choose a dtype (q8, q4 or f32) to convert it to`
      )
    }
    if (type === 'f32') return type
    const odd = await oddNumberOf({ file, tensor, handle }, signal)
    if (odd === undefined) return type
    const wider = type === 'q8-f16' ? 'q8' : type === 'q4-f16' ? 'q4' : 'f32'
    onNote?.(`${tensor.name} has a scale or minimum of ${odd.value}, too large for 16 bits: it is stored as ${wider}`)
    return wider
  }
  return chosenWeights(choice, config, typeFor)
}

/** A scale or minimum that our type does not hold. @throws {ImportError} when one is not finite */
async function oddNumberOf({ file, tensor, handle }: Place, signal: AbortSignal): Promise<OddNumber | undefined> {
  const { type, offset, bytes, shape } = tensor
  const part = new Uint8Array(Math.min(bytes, Math.floor(ggufSurveyBytes / type.bytes) * type.bytes))
  let odd: OddNumber | undefined
  for (let at = 0; at < bytes; at += part.length) {
    signal.throwIfAborted()
    const blocks = part.subarray(0, Math.min(part.length, bytes - at))
    await readAt(handle, blocks, offset + at, file)
    const found = oddNumber(type, blocks)
    if (found !== undefined && !Number.isFinite(found.value)) {
      const weight = (at / type.bytes + found.index) * type.columns
      const inputs = shape.at(-1)!
      throw new ImportError(
        `${file}: tensor ${tensor.name} has a scale of ${found.value} at [${Math.floor(weight / inputs)}, ${weight % inputs}]: the file is damaged`
      )
    }
    odd ??= found
  }
  return odd
}

// ── Rows ───────────────────────────────────────────────────────────────────────────────────────────

/** Rows of a model's tensors in Hugging Face's order. */
class GgufSource implements TensorSource {
  readonly #pieces: Pieces
  readonly #signal: AbortSignal
  readonly keeps: (tensor: SourceTensor) => boolean
  #raw = new Uint8Array(0)
  #heads = new Uint8Array(0)

  /** @param keeps whether quantised rows of a matrix are copied as they are */
  constructor(
    pieces: Pieces,
    { keeps, signal }: { readonly keeps: (name: WeightName) => boolean; readonly signal: AbortSignal }
  ) {
    this.#pieces = pieces
    this.#signal = signal
    this.keeps = tensor => keeps(tensor as WeightName)
  }

  async readBlocks(tensor: SourceTensor, layer: number | null, { from, count }: RowRange, into: Blocks): Promise<void> {
    await this.#each(tensor, layer, from, count, async (bytes, { tensor: { type } }, rows) => {
      readBlocks(type, bytes, rowsOf(into, count, rows))
    })
  }

  async read(tensor: SourceTensor, layer: number | null, row: number, into: Float32Array): Promise<void> {
    const { shape } = this.#pieces.get(keyOf(tensor, layer))![0]!.tensor
    // Of a vector, each number is a row.
    const inputs = shape.length === 1 ? 1 : shape.at(-1)!
    await this.#each(tensor, layer, row, into.length / inputs, async (bytes, place, { from, count }) => {
      dequantise(place.tensor.type, bytes, into.subarray(from * inputs, (from + count) * inputs))
    })
  }

  fileOf(tensor: SourceTensor, layer: number | null, row: number, at: number): string | undefined {
    const pieces = this.#pieces.get(keyOf(tensor, layer))!
    const { shape } = pieces[0]!.tensor
    const wanted = row + Math.floor(at / (shape.length === 1 ? 1 : shape.at(-1)!))
    return pieces.find(each => each.at <= wanted && wanted < each.at + each.rows)?.file
  }

  /** Bytes of rows [from, from + count), piece by piece. @param use is told which of the `count` rows they are */
  async #each(
    tensor: string,
    layer: number | null,
    from: number,
    count: number,
    use: (bytes: Uint8Array, piece: Piece, rows: RowRange) => Promise<void>
  ): Promise<void> {
    for (const piece of this.#pieces.get(keyOf(tensor, layer))!) {
      const [first, last] = [Math.max(from, piece.at), Math.min(from + count, piece.at + piece.rows)]
      if (first >= last) continue
      const bytes = await this.#rows(piece, piece.from + first - piece.at, last - first)
      await use(bytes, piece, { from: first - from, count: last - first })
    }
  }

  /** Bytes of rows [from, from + count) in Hugging Face's order. */
  async #rows({ file, handle, tensor, pairedHeads }: Piece, from: number, count: number): Promise<Uint8Array> {
    this.#signal.throwIfAborted()
    const { shape, offset, bytes } = tensor
    // Numbers of a vector; rows of all experts, where the tensor holds these.
    const rows = shape.length === 1 ? shape[0]! : shape.slice(0, -1).reduce((a, b) => a * b, 1)
    const size = bytes / rows
    if (pairedHeads === undefined) {
      if (this.#raw.length < count * size) this.#raw = new Uint8Array(count * size)
      const raw = this.#raw.subarray(0, count * size)
      await readAt(handle, raw, offset + from * size, file)
      return raw
    }
    // Row 2i + j of a head is row i of its half j.
    const [head, width] = [rows / pairedHeads, rows / pairedHeads / 2]
    const first = Math.floor(from / head) * head
    const last = Math.ceil((from + count) / head) * head
    if (this.#heads.length < (last - first) * size) this.#heads = new Uint8Array((last - first) * size)
    const whole = this.#heads.subarray(0, (last - first) * size)
    await readAt(handle, whole, offset + first * size, file)
    if (this.#raw.length < count * size) this.#raw = new Uint8Array(count * size)
    const raw = this.#raw.subarray(0, count * size)
    for (let i = 0; i < count; i++) {
      const row = from + i
      const inHead = row % head
      const at = row - inHead - first + 2 * (inHead % width) + Math.floor(inHead / width)
      raw.set(whole.subarray(at * size, (at + 1) * size), i * size)
    }
    return raw
  }
}

/** Tensors as they travel: heads first, then their bytes in pieces. Pure. */
import { ProtocolError } from '../errors.ts'
import { bytesOfTensor, tensorBytes, tensorOfBytes, type Tensors } from '../model/tensors.ts'
import { inferPieceBytes } from './limits.ts'
import type { PieceFrame, TensorHead } from './message.ts'

/** Bytes of all tensors together. */
export function bytesOfHeads(heads: readonly TensorHead[]): number {
  return heads.reduce((sum, head) => sum + tensorBytes(head), 0)
}

export function headsOf(tensors: Tensors): TensorHead[] {
  return Object.entries(tensors).map(([name, { type, dims }]) => ({ name, type, dims }))
}

/** The bytes of tensors in the order of their heads, cut into frames. */
export function* piecesOf(tensors: Tensors): Generator<PieceFrame, void, void> {
  for (const tensor of Object.values(tensors)) {
    const bytes = bytesOfTensor(tensor)
    for (let at = 0; at < bytes.byteLength; at += inferPieceBytes) {
      yield { kind: 'piece', data: bytes.subarray(at, at + inferPieceBytes) }
    }
  }
}

/** Tensors that come in pieces. */
export class Assembly {
  readonly #heads: readonly TensorHead[]
  readonly #bytes: Uint8Array
  #filled = 0

  /** @param heads that were checked: their bytes are taken at once */
  constructor(heads: readonly TensorHead[]) {
    this.#heads = heads
    this.#bytes = new Uint8Array(bytesOfHeads(heads))
  }

  get isWhole(): boolean {
    return this.#filled === this.#bytes.byteLength
  }

  /** @throws {ProtocolError} when more comes than the heads say */
  push({ data }: PieceFrame): void {
    if (this.#filled + data.byteLength > this.#bytes.byteLength) {
      throw new ProtocolError('more bytes come than the tensors have')
    }
    this.#bytes.set(data, this.#filled)
    this.#filled += data.byteLength
  }

  /** Views of what has come, once it is whole. */
  tensors(): Tensors {
    let at = 0
    return Object.fromEntries(
      this.#heads.map(({ name, type, dims }) => {
        const bytes = this.#bytes.subarray(at, at + tensorBytes({ type, dims }))
        at += bytes.byteLength
        return [name, tensorOfBytes(type, dims, bytes)]
      })
    )
  }
}

/** What an ONNX file says of itself, read on whichever thread or process asks: a window moves along with what is read. */
import { assert } from '../base/assert.ts'
import { type FileOpening, type OpenFileSync, openFileSync } from '../disk/files-sync.ts'
import { type GraphFacts, type OnnxSource, readOnnx } from './formats/onnx.ts'
import { graphWindowBytes } from './limits.ts'

/**
 * Reads what a graph's file says, and nothing of its weights.
 *
 * @param name what sentences call it
 * @param opens as with {@link openFileSync}
 * @throws what {@link readOnnx} throws, and the system's error where the file cannot be read
 */
export function readOnnxFile(file: string, name: string, opens?: FileOpening): GraphFacts {
  const handle = openFileSync(file, opens)
  try {
    return readOnnx(windowed(handle), name)
  } finally {
    handle.close()
  }
}

/** Nearly all reads are of ten bytes, one after the other. */
function windowed(handle: OpenFileSync): OnnxSource {
  const window = new Uint8Array(graphWindowBytes)
  let from = 0
  let length = 0
  const fill = (at: number): void => {
    from = at
    length = handle.read(window, at)
  }
  return {
    bytes: handle.size,
    read(at, bytes) {
      assert(bytes <= window.length, 'more is read at once than the window holds')
      if (at < from || at + bytes > from + length) fill(at)
      return window.subarray(at - from, Math.min(at - from + bytes, length))
    }
  }
}

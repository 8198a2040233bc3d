/** Texts of a grammar: whether one fits, and random ones that do. */
import type { Rng } from '../../src/base/rng.ts'
import { grammarOf } from '../../src/model/grammar.ts'
import type { GrammarSpec } from '../../src/model/grammar-spec.ts'
import { grammarPlacesMax, grammarStatesMax } from '../../src/model/limits.ts'
import { type ReadState, Recogniser } from '../../src/model/recogniser.ts'

export function recogniserOf(spec: GrammarSpec): Recogniser {
  return new Recogniser(grammarOf(spec), { placesMax: grammarPlacesMax, statesMax: grammarStatesMax })
}

/** How a text stands in a grammar: as a whole one, as one that may go on, or not at all. */
export function reads(recogniser: Recogniser, text: string): 'whole' | 'part' | 'no' {
  let state: ReadState | null = recogniser.start
  for (const byte of new TextEncoder().encode(text)) {
    state = recogniser.after(state, byte)
    if (state === null) return 'no'
  }
  return state.isWhole ? 'whole' : 'part'
}

/** Bytes that bring a text nearer to its end, where they may come. */
const closing = new Set([...'"}]0'].map(each => each.charCodeAt(0)))

export interface WalkInit {
  /** Texts that come as a whole, where they may, for two steps of three: of these one is as likely as another. */
  readonly pieces?: readonly string[]
  readonly bytesMax?: number
}

/** A text that fits: of what may follow each byte is as likely, but for those that end something, which come twice as often as all others. */
export function walk(recogniser: Recogniser, rng: Rng, { pieces = [], bytesMax = 100_000 }: WalkInit = {}): string {
  const bytes: number[] = []
  let state = recogniser.start
  const pick = <T>(from: readonly T[]): T => from[Math.floor(rng() * from.length)]!
  for (;;) {
    if (state.isLast || (state.isWhole && rng() < 0.2))
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Uint8Array.from(bytes))
    if (bytes.length > bytesMax) throw new Error(`it does not end: …${String.fromCharCode(...bytes.slice(-100))}`)
    if (pieces.length > 0 && rng() < 0.67) {
      const piece = new TextEncoder().encode(pick(pieces))
      const end = piece.reduce<ReadState | null>((at, byte) => at && recogniser.after(at, byte), state)
      if (end !== null) {
        bytes.push(...piece)
        state = end
      }
      continue
    }
    const next: [number, ReadState][] = []
    for (let byte = 0; byte < 256; byte++) {
      const after = recogniser.after(state, byte)
      if (after !== null) next.push([byte, after])
    }
    if (next.length === 0) throw new Error(`nothing may follow ${String.fromCharCode(...bytes)}`)
    const ends = next.filter(([byte]) => closing.has(byte))
    const [byte, after] = pick(ends.length > 0 && rng() < 0.6 ? ends : next)
    bytes.push(byte)
    state = after
  }
}

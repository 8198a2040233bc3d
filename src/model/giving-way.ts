/**
 * Which files of a store give way when its disk budget is too small for what is to come. What is needed here and what a person
 * imported never does. The rest goes by what losing it would cost, and within that the one whose last use is longest ago goes
 * first. Pure.
 */

/** A file of the store. */
export interface DiskFile {
  /** Its name in the folder of shards. */
  readonly name: string
  /** Digest of what it is, or becomes; undefined of one that is being written or lists others. */
  readonly sha256: string | undefined
  /** Bytes of the disk that it takes, or will once it is whole. */
  readonly bytes: number
  /** Grows with every use; of two the lesser was used longer ago. */
  readonly used: number
}

/**
 * Whether a file may go, the first ones first: `spare`, nothing here needs it; `served`, it is of a model that is served here,
 * and the next plan may ask for it; `rare`, nobody else in the swarm is known to hold it. `kept` never goes: a person imported
 * it, or nobody can tell whether one did. `needed` does not go as long as it is.
 */
export type Standing = (typeof order)[number] | 'kept' | 'needed'

const order = ['spare', 'served', 'rare'] as const

export interface MadeRoom {
  /** What has to go, in this order. */
  readonly remove: readonly DiskFile[]
  /** Bytes that are lacking however much goes: then nothing is worth removing. */
  readonly lackBytes: number
}

/**
 * What has to go so that the budget holds what is there and `wantedBytes` more.
 *
 * @param standing of each file
 */
export function makeRoom(
  files: readonly DiskFile[],
  { wantedBytes, limitBytes, standing }: DiskRoom & { readonly standing: (file: DiskFile) => Standing }
): MadeRoom {
  const usedBytes = sum(files)
  const excessBytes = usedBytes + wantedBytes - limitBytes
  if (excessBytes <= 0) return { remove: [], lackBytes: 0 }
  const candidates = files
    .flatMap(file => {
      const rank = order.indexOf(standing(file) as (typeof order)[number])
      return rank < 0 ? [] : [{ file, rank }]
    })
    .sort((a, b) => a.rank - b.rank || a.file.used - b.file.used || (a.file.name < b.file.name ? -1 : 1))
    .map(({ file }) => file)
  const remove: DiskFile[] = []
  let freedBytes = 0
  for (const file of candidates) {
    if (freedBytes >= excessBytes) break
    if (file.bytes === 0) continue
    remove.push(file)
    freedBytes += file.bytes
  }
  if (freedBytes < excessBytes) return { remove, lackBytes: excessBytes - freedBytes }
  // A large one at the end may have made some of the earlier ones unnecessary: what would go last stays first.
  const spared = new Set<DiskFile>()
  for (const file of remove.toReversed()) {
    if (freedBytes - file.bytes < excessBytes) continue
    spared.add(file)
    freedBytes -= file.bytes
  }
  return { remove: remove.filter(file => !spared.has(file)), lackBytes: 0 }
}

/** How much there is to be room for. */
export interface DiskRoom {
  readonly wantedBytes: number
  readonly limitBytes: number
}

/** Bytes of the disk that files take together. */
export function sum(files: readonly DiskFile[]): number {
  return files.reduce((total, { bytes }) => total + bytes, 0)
}

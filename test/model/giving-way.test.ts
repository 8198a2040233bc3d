/** Which files give way: by what losing them costs, then by how long ago they were used, and no more than must. */
import { describe, expect, test } from 'vitest'
import { type DiskFile, makeRoom, type Standing } from '../../src/model/giving-way.ts'

const file = (name: string, bytes: number, used: number): DiskFile => ({ name, sha256: name, bytes, used })
const named = ({ remove, lackBytes }: ReturnType<typeof makeRoom>): unknown => [
  remove.map(({ name }) => name),
  lackBytes
]

function room(
  files: DiskFile[],
  wantedBytes: number,
  limitBytes: number,
  standing: Record<string, Standing> = {}
): unknown {
  return named(makeRoom(files, { wantedBytes, limitBytes, standing: ({ name }) => standing[name] ?? 'spare' }))
}

describe('what gives way', () => {
  test('is nothing where there is room, to the byte', () => {
    expect(room([file('a', 60, 1)], 40, 100)).toEqual([[], 0])
    expect(room([file('a', 60, 1)], 41, 100)).toEqual([['a'], 0])
  })

  test('is what was used longest ago, in whatever order the files are', () => {
    const files = [file('new', 10, 9), file('old', 10, 1), file('mid', 10, 5)]
    expect(room(files, 15, 35)).toEqual([['old'], 0])
    expect(room(files.toReversed(), 25, 35)).toEqual([['old', 'mid'], 0])
  })

  test('is what nobody here needs, then what the next plan may ask for, then the last copy in the swarm', () => {
    const files = [file('rare', 10, 1), file('served', 10, 2), file('spare', 10, 3)]
    const standing: Record<string, Standing> = { rare: 'rare', served: 'served' }
    expect(room(files, 10, 30, standing)).toEqual([['spare'], 0])
    expect(room(files, 20, 30, standing)).toEqual([['spare', 'served'], 0])
    expect(room(files, 30, 30, standing)).toEqual([['spare', 'served', 'rare'], 0])
  })

  test('is never what is needed or kept; what is lacking then is said', () => {
    const files = [file('needed', 40, 1), file('kept', 30, 1), file('spare', 10, 1)]
    const standing: Record<string, Standing> = { needed: 'needed', kept: 'kept' }
    expect(room(files, 30, 100, standing)).toEqual([['spare'], 0])
    expect(room(files, 45, 100, standing)).toEqual([['spare'], 15])
  })

  test('is no more than must: a large one that has to go spares the small ones before it', () => {
    expect(room([file('small', 5, 1), file('large', 50, 2)], 45, 55)).toEqual([['large'], 0])
    expect(room([file('small', 5, 1), file('large', 50, 2)], 55, 55)).toEqual([['small', 'large'], 0])
    // A link to another folder's file takes nothing, so removing it gains nothing.
    expect(room([file('link', 0, 1), file('a', 10, 2)], 5, 10)).toEqual([['a'], 0])
  })
})

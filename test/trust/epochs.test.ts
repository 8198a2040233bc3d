import { describe, expect, it } from 'vitest'
import { Epochs } from '../../src/trust/epochs.ts'
import { epochGraceMs } from '../../src/trust/limits.ts'

const secret = (byte: number): Uint8Array => new Uint8Array(32).fill(byte)

describe('epochs', () => {
  it('open with the newest secret, and for a moment with the one before it', () => {
    const epochs = new Epochs()
    expect(epochs.open(0)).toEqual([])
    epochs.add({ epoch: 1, secret: secret(1) }, 0)
    expect(epochs.open(0)).toEqual([secret(1)])
    expect(epochs.add({ epoch: 2, secret: secret(2) }, 1_000)).toBe(true)
    expect(epochs.open(1_000)).toEqual([secret(2), secret(1)])
    expect(epochs.open(1_000 + epochGraceMs)).toEqual([secret(2)])
    expect(epochs.add({ epoch: 1, secret: secret(9) }, 2_000), 'an older one').toBe(false)
    expect(epochs.number).toBe(2)
  })

  it('of one number make one secret, in whatever order they came, which neither of them is', () => {
    const [left, right] = [new Epochs(), new Epochs()]
    for (const byte of [1, 2]) left.add({ epoch: 3, secret: secret(byte) }, 0)
    for (const byte of [2, 1]) right.add({ epoch: 3, secret: secret(byte) }, 0)
    expect(left.current).toEqual(right.current)
    expect([secret(1), secret(2)]).not.toContainEqual(left.current)
    // Who has heard of one only is heard meanwhile.
    for (const byte of [1, 2]) expect(left.open(1)).toContainEqual(secret(byte))
    expect(left.open(epochGraceMs)).toEqual([left.current])
    expect(left.secrets()).toHaveLength(2)
  })
})

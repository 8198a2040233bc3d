/** What a quote is judged by, field by field: each that is wrong has its sentence, and no bytes do anything but that. */
import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { TpmEvidence } from '../../protocols/attest.ts'
import { registerSet } from '../../src/trust/attestation.ts'
import { verifyP256 } from '../../src/trust/signing-key.ts'
import { encodeTpmEvidence, readQuote, readTpmKey, tpmJudge } from '../../src/trust/tpm-quote.ts'
import { SoftMachine, usualAttributes } from './soft-quote.ts'

const judge = tpmJudge(verifyP256)
const machine = new SoftMachine()
const qualifying = new Uint8Array(32).fill(9)
const expected = { qualifying, key: machine.key, sets: [] }
const digestOf = (...registers: number[]): string =>
  createHash('sha256')
    .update(Buffer.concat(registers.map(register => Buffer.alloc(32, register))))
    .digest('hex')

const bytesOf = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, 'hex'))

/** A quote that swtpm 0.7.1 made, over 32 bytes of 0xab and registers 0 and 7 as they are at its start. */
const real = bytesOf(
  'ff54434780180022000bf05354e6972f8b4cf5497760cd2874fcad6f092bee76731d2b62b9a72a266ae30020abababababababababababababababababababababababababababababababab00000000000004d2000000020000000001201910230016363600000001000b038100000020f5a5fd42d16a20302798ef6ed309979b43003d2320d9f0e8ea9831a92759fb4b'
)
const realKey = bytesOf(
  '0023000b00050472000000100018000b0003001000209b83f393088e70924cdcf04b7603af73a82ff1366bc9eff873697cf6dec3da600020dcca80f5269789d21047b650dfc4ef6d9a19a702a603f25bcaa9217d9c74170f'
)
const realSignature = bytesOf(
  '304502205957eb113fe113ff8579636acb483ae537cb4b97a6b5517f1d4c951c4c68f59d022100ca179b0dd77db4ed141ecf8b3b5f9712846547ee1fdae576c57308bb2f823b34'
)

describe('a quote', () => {
  it('of a TPM is read as it was made, and its signature is right (E5)', () => {
    expect(readQuote(real)).toEqual({
      qualifying: new Uint8Array(32).fill(0xab),
      registers: [0, 7],
      digest: new Uint8Array(createHash('sha256').update(Buffer.alloc(64)).digest())
    })
    expect(verifyP256(readTpmKey(realKey), real, realSignature)).toBe(true)
    const key = createHash('sha256').update(realKey).digest('hex')
    const statement = encodeTpmEvidence({
      key: realKey,
      quote: real,
      signature: realSignature,
      values: Buffer.alloc(64)
    })
    const asked = { qualifying: new Uint8Array(32).fill(0xab), key, sets: [] }
    expect(judge.judge(statement, asked)).toBeUndefined()
    expect(judge.judge(statement, { ...asked, qualifying })).toContain('answers another challenge')
  })

  it('is right where key, signature, challenge and registers are', () => {
    expect(judge.judge(machine.evidence(qualifying), expected)).toBeUndefined()
    const sets = [registerSet(`sha256:0,7=${digestOf(0, 7)}`)]
    expect(judge.judge(machine.evidence(qualifying), { ...expected, sets })).toBeUndefined()
    // More registers than were asked for are there where somebody else asked for them, too.
    expect(
      judge.judge(machine.evidence(qualifying, { registers: [0, 4, 7, 16] }), { ...expected, sets })
    ).toBeUndefined()
    const others = [registerSet(`sha256:4=${digestOf(5)}`), registerSet(`sha256:0=${digestOf(0)}`)]
    expect(
      judge.judge(machine.evidence(qualifying, { registers: [0, 4] }), { ...expected, sets: others })
    ).toBeUndefined()
  })

  const thief = new SoftMachine()
  const cases: [string, string, Uint8Array, object?][] = [
    ['another key', "that is another machine's TPM", thief.evidence(qualifying)],
    ['another challenge', 'answers another challenge', machine.evidence(new Uint8Array(32))],
    [
      'registers of other software',
      'registers 0,7 give',
      machine.evidence(qualifying, { values: Buffer.alloc(64, 1) }),
      { sets: [registerSet(`sha256:0,7=${digestOf(0, 7)}`)] }
    ],
    [
      'no register that was asked for',
      'leaves out register 4',
      machine.evidence(qualifying),
      { sets: [registerSet(`sha256:4=${digestOf(4)}`)] }
    ],
    [
      'values that were not quoted',
      'are not those that were quoted',
      machine.evidence(qualifying, { digest: Buffer.alloc(32, 3) })
    ],
    ['no digest', 'a digest of 20 bytes', machine.evidence(qualifying, { digest: Buffer.alloc(20) })],
    ['bytes of somebody else', 'magic', machine.evidence(qualifying, { magic: 0x12345678 })],
    ['another statement of the TPM', 'type', machine.evidence(qualifying, { type: 0x8017 })],
    ['a bank of SHA-1', 'bank', machine.evidence(qualifying, { bank: 4 })],
    [
      'values of one register for two',
      '32 bytes of values',
      machine.evidence(qualifying, { values: Buffer.alloc(32) })
    ],
    ['nothing', 'malformed', new Uint8Array(), { key: createHash('sha256').update('').digest('hex') }]
  ]
  it.each(cases)('of %s is refused by its sentence', (_, sentence, statement, more = {}) => {
    expect(judge.judge(statement, { ...expected, ...more })).toContain(sentence)
  })

  it('that was changed has a wrong signature, whatever was changed', () => {
    const evidence = TpmEvidence.decode(machine.evidence(qualifying))
    for (let at = 0; at < evidence.quote.byteLength; at += 7) {
      const quote = evidence.quote.slice()
      quote[at]! ^= 1
      expect(judge.judge(TpmEvidence.encode({ ...evidence, quote }), expected)).toContain('signature')
    }
    const signature = thief.sign(evidence.quote)
    expect(judge.judge(encodeTpmEvidence({ ...evidence, signature }), expected)).toContain('signature')
    expect(judge.judge(encodeTpmEvidence({ ...evidence, signature: new Uint8Array() }), expected)).toContain(
      'signature'
    )
    expect(judge.judge(encodeTpmEvidence({ ...evidence, signature: Buffer.alloc(81) }), expected)).toContain('81 bytes')
  })

  it.each([
    ['restricted', 16],
    ['fixedTPM', 1],
    ['fixedParent', 4],
    ['sensitiveDataOrigin', 5],
    ['decrypt', 17]
  ])('of a key that is wrong in %s is none, whoever has certified it (E5)', (name, bit) => {
    const other = new SoftMachine(usualAttributes ^ (1 << bit))
    expect(judge.judge(other.evidence(qualifying), { ...expected, key: other.key })).toContain(name)
  })

  it('of any bytes is refused with a sentence and nothing else', () => {
    const bytes = fc.uint8Array({ maxLength: 600 })
    const parts = fc.record({ key: bytes, quote: bytes, signature: bytes, values: bytes })
    fc.assert(fc.property(bytes, statement => judge.judge(statement, expected) !== undefined))
    fc.assert(
      fc.property(parts, fields => {
        const key = createHash('sha256').update(fields.key).digest('hex')
        return judge.judge(encodeTpmEvidence(fields), { ...expected, key }) !== undefined
      })
    )
    // Of real structures cut, grown and changed: each is read as what it is, or refused.
    const whole = fc.constantFrom(real, realKey)
    fc.assert(
      fc.property(whole, fc.nat(200), fc.nat(255), bytes, (structure, at, value, more) => {
        const changed = Buffer.concat([structure.subarray(0, at), Buffer.of(value), structure.subarray(at + 1), more])
        for (const read of [readQuote, readTpmKey]) {
          try {
            read(changed)
          } catch (error) {
            expect((error as Error).name).toBe('ProtocolError')
          }
        }
      })
    )
  })
})

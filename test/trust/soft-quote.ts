/** Evidence as a TPM makes it, by a key of our own: each field of it can be another one. */
import { createHash, generateKeyPairSync, sign } from 'node:crypto'
import { encodeTpmEvidence } from '../../src/trust/tpm-quote.ts'

export const number = (value: number, size: 1 | 2 | 4): Buffer => {
  const bytes = Buffer.alloc(size)
  bytes.writeUIntBE(value, 0, size)
  return bytes
}
export const sized = (bytes: Uint8Array): Buffer => Buffer.concat([number(bytes.length, 2), bytes])
const sha256 = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest()

/** fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, noDA, restricted, sign. */
export const usualAttributes = 0x00050472

export interface SoftQuote {
  readonly attributes?: number
  readonly magic?: number
  readonly type?: number
  readonly bank?: number
  readonly registers?: readonly number[]
  /** 32 bytes for each register. */
  readonly values?: Uint8Array
  readonly digest?: Uint8Array
}

/** A machine with a key; it quotes whatever it is told. */
export class SoftMachine {
  readonly #keys = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  readonly publicArea: Buffer

  constructor(attributes = usualAttributes) {
    const { x, y } = this.#keys.publicKey.export({ format: 'jwk' })
    const [xBytes, yBytes] = [x!, y!].map(text => Buffer.from(text, 'base64url')) as [Buffer, Buffer]
    const fixed = Buffer.concat([
      number(0, 2),
      number(0x10, 2),
      number(0x18, 2),
      number(0xb, 2),
      number(3, 2),
      number(0x10, 2)
    ])
    this.publicArea = Buffer.concat([
      number(0x23, 2),
      number(0xb, 2),
      number(attributes, 4),
      fixed,
      sized(xBytes),
      sized(yBytes)
    ])
  }

  get key(): string {
    return sha256(this.publicArea).toString('hex')
  }

  quote(qualifying: Uint8Array, quote: SoftQuote = {}): Buffer {
    const { magic = 0xff544347, type = 0x8018, bank = 0xb, registers = [0, 7] } = quote
    const selected = Buffer.alloc(3)
    for (const register of registers) selected[register >> 3]! |= 1 << (register & 7)
    return Buffer.concat([
      number(magic, 4),
      number(type, 2),
      sized(Buffer.alloc(34, 1)),
      sized(qualifying),
      Buffer.alloc(25),
      number(1, 4),
      number(bank, 2),
      number(3, 1),
      selected,
      sized(quote.digest ?? sha256(valuesOf(quote)))
    ])
  }

  sign(bytes: Uint8Array): Buffer {
    return sign('sha256', bytes, { key: this.#keys.privateKey, dsaEncoding: 'der' })
  }

  evidence(qualifying: Uint8Array, quote: SoftQuote = {}): Uint8Array {
    const message = this.quote(qualifying, quote)
    return encodeTpmEvidence({
      key: this.publicArea,
      quote: message,
      signature: this.sign(message),
      values: valuesOf(quote)
    })
  }
}

function valuesOf({ registers = [0, 7], values }: SoftQuote): Uint8Array {
  return values ?? Buffer.concat(registers.map(register => Buffer.alloc(32, register)))
}

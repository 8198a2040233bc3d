/**
 * Bytes and names as they lie in a sealed directory: AES-256-GCM in chunks, each of which opens by itself. `protocols/sealed.md`
 * has the format. Nothing here touches a file.
 */
import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createSecretKey,
  hkdfSync,
  type KeyObject,
  randomFillSync,
  timingSafeEqual
} from 'node:crypto'
import { DamagedFileError } from '../errors.ts'
import { sealedChunkBytes, sealedNameBytesMax } from './limits.ts'

/**
 * `whole`: written in one go, and bound to its place and length, so that one that was cut, or is another file under its name, does
 * not open. `pieces`: written at any offset, and grown; who reads it checks the content (shards have their digests).
 */
export type SealedKind = 'whole' | 'pieces'

const magic = new TextEncoder().encode('SKNSEAL1')
const idBytes = 32
const nonceBytes = 12
const tagBytes = 16
const kinds: readonly SealedKind[] = ['whole', 'pieces']

/** Bytes before the first chunk: the magic, the kind, seven zeros, a random id. */
export const headerBytes = magic.length + 8 + idBytes
/** What a seal adds to a chunk. */
export const sealBytes = nonceBytes + tagBytes
/** A chunk as it lies on the disk. */
export const slotBytes = sealedChunkBytes + sealBytes

/** Bytes that a file holds, by those that it has on the disk. */
export function sizeWithin(fileBytes: number): number {
  const body = Math.max(0, fileBytes - headerBytes)
  const slots = Math.floor(body / slotBytes)
  return slots * sealedChunkBytes + Math.max(0, body - slots * slotBytes - sealBytes)
}

/** Where a chunk begins on the disk. */
export function slotAt(index: number): number {
  return headerBytes + index * slotBytes
}

/** Bytes on the disk of a file in pieces that holds so many. */
export function sizeOnDisk(bytes: number): number {
  const chunks = Math.ceil(bytes / sealedChunkBytes)
  return headerBytes + bytes + chunks * sealBytes
}

/** What opens the files of one directory and their names. */
export class FolderKeys {
  readonly #key: Uint8Array
  readonly #nameMac: Uint8Array
  readonly #nameKey: Uint8Array

  /** @param key 32 bytes */
  constructor(key: Uint8Array) {
    this.#key = key
    this.#nameMac = derived(key, '', 'skein sealed names: digest')
    this.#nameKey = derived(key, '', 'skein sealed names: cipher')
  }

  /** The key of one file, which opens no other one. @throws {DamagedFileError} when the header is none */
  file(header: Uint8Array): FileKey {
    const kind = kindOf(header)
    return new FileKey(derived(this.#key, header.subarray(magic.length + 8, headerBytes), `skein sealed ${kind}`), kind)
  }

  /** A new file. */
  begin(kind: SealedKind): { readonly header: Uint8Array; readonly key: FileKey } {
    const header = new Uint8Array(headerBytes)
    header.set(magic)
    header[magic.length] = kinds.indexOf(kind) + 1
    randomFillSync(header, magic.length + 8)
    return { header, key: this.file(header) }
  }

  /** The key of a file of lines, each of which is sealed by itself. */
  lines(place: string): FileKey {
    return new FileKey(derived(this.#key, '', `skein sealed lines: ${place}`), 'whole')
  }

  /** A file's or folder's name as it lies on the disk: the same one for the same name, and nothing of it without the key. */
  sealName(name: string): string {
    const bytes = Buffer.from(name)
    if (bytes.length > sealedNameBytesMax) {
      throw Object.assign(new Error(`the name ${name} is too long for a sealed directory`), { code: 'ENAMETOOLONG' })
    }
    const iv = this.#digest(bytes)
    const cipher = createCipheriv('aes-256-ctr', this.#nameKey, iv)
    return Buffer.concat([iv, cipher.update(bytes)]).toString('base64url')
  }

  /** The name; undefined where this key has not sealed it. */
  openName(sealed: string): string | undefined {
    if (!/^[\w-]{22,255}$/.test(sealed)) return undefined
    const bytes = Buffer.from(sealed, 'base64url')
    const iv = bytes.subarray(0, 16)
    const name = createDecipheriv('aes-256-ctr', this.#nameKey, iv).update(bytes.subarray(16))
    return timingSafeEqual(this.#digest(name), iv) ? name.toString() : undefined
  }

  #digest(name: Uint8Array): Buffer {
    return createHmac('sha256', this.#nameMac).update(name).digest().subarray(0, 16)
  }
}

/** Seals and opens the chunks of one file. */
export class FileKey {
  readonly kind: SealedKind
  readonly bytes: Uint8Array
  readonly #key: KeyObject

  constructor(bytes: Uint8Array, kind: SealedKind) {
    this.kind = kind
    this.bytes = bytes
    this.#key = createSecretKey(bytes)
  }

  /** A chunk as it lies on the disk, under a nonce that was never used before. */
  seal(index: number, chunk: Uint8Array, bound: Bound = inPieces): Uint8Array {
    const slot = Buffer.allocUnsafe(chunk.length + sealBytes)
    randomFillSync(slot, 0, nonceBytes)
    const cipher = createCipheriv('aes-256-gcm', this.#key, slot.subarray(0, nonceBytes), { authTagLength: tagBytes })
    cipher.setAAD(aad(index, bound))
    slot.set(cipher.update(chunk), nonceBytes)
    cipher.final()
    slot.set(cipher.getAuthTag(), nonceBytes + chunk.length)
    return slot
  }

  /**
   * Opens a chunk into `into`. One of a file in pieces that was never written, a hole of zeros, has zeros.
   *
   * @throws {DamagedFileError}
   */
  open(index: number, slot: Uint8Array, into: Uint8Array, bound: Bound = inPieces): void {
    const end = slot.length - tagBytes
    const [nonce, tag] = [slot.subarray(0, nonceBytes), slot.subarray(end)]
    if (this.kind === 'pieces' && isZero(nonce) && isZero(tag)) {
      into.fill(0)
      return
    }
    try {
      const cipher = createDecipheriv('aes-256-gcm', this.#key, nonce, { authTagLength: tagBytes })
      cipher.setAAD(aad(index, bound))
      cipher.setAuthTag(tag)
      const bytes = cipher.update(slot.subarray(nonceBytes, end))
      cipher.final()
      into.set(bytes)
    } catch {
      throw new DamagedFileError(
        `its seal is broken in chunk ${index} (${sealedChunkBytes} bytes each): it was changed, cut, exchanged or not written whole`
      )
    }
  }
}

/** What a chunk is sealed together with, so that it opens nowhere else. */
export interface Bound {
  /** Whether it is the last one of its file. */
  readonly last: boolean
  /** Where the file lies in its directory, parts joined by `/`. */
  readonly place: string
}

/** Chunks of a file in pieces are bound to it and to their index alone: it grows, and is renamed. */
const inPieces: Bound = { last: false, place: '' }

function aad(index: number, { last, place }: Bound): Uint8Array {
  const name = Buffer.from(place)
  const bytes = Buffer.alloc(9 + name.length)
  bytes.writeBigUInt64BE(BigInt(index))
  bytes[8] = last ? 1 : 0
  bytes.set(name, 9)
  return bytes
}

/** A whole file as it lies on the disk. One of 0 bytes has a chunk as well: that it is empty is sealed, too. */
export function sealWhole(keys: FolderKeys, bytes: Uint8Array, place: string): Uint8Array {
  const { header, key } = keys.begin('whole')
  const chunks = Math.max(1, Math.ceil(bytes.length / sealedChunkBytes))
  const parts: Uint8Array[] = [header]
  for (let index = 0; index < chunks; index++) {
    const chunk = bytes.subarray(index * sealedChunkBytes, (index + 1) * sealedChunkBytes)
    parts.push(key.seal(index, chunk, { last: index === chunks - 1, place }))
  }
  return Buffer.concat(parts)
}

/** What a file holds, of either kind. A file of no bytes holds none: it was never written. @throws {DamagedFileError} */
export function openWhole(keys: FolderKeys, file: Uint8Array, place: string): Uint8Array {
  if (file.length === 0) return file
  const key = keys.file(file)
  const bytes = new Uint8Array(sizeWithin(file.length))
  const slots = Math.ceil((file.length - headerBytes) / slotBytes)
  if (slots === 0 && key.kind === 'whole') throw new DamagedFileError('it was cut')
  for (let index = 0; index < slots; index++) {
    const slot = file.subarray(slotAt(index), slotAt(index + 1))
    if (slot.length < sealBytes) throw new DamagedFileError('it was cut within a seal')
    const into = bytes.subarray(index * sealedChunkBytes, (index + 1) * sealedChunkBytes)
    key.open(index, slot, into, boundOf(key.kind, index === slots - 1, place))
  }
  return bytes
}

/** What chunks of a file of that kind are sealed together with. */
export function boundOf(kind: SealedKind, last: boolean, place: string): Bound {
  return kind === 'whole' ? { last, place } : inPieces
}

/** Whether a file that begins so is sealed, by whatever key. */
export function isSealedHeader(header: Uint8Array): boolean {
  return header.length >= headerBytes && magic.every((byte, i) => header[i] === byte)
}

/** @throws {DamagedFileError} */
function kindOf(header: Uint8Array): SealedKind {
  const kind = kinds[(header[magic.length] ?? 0) - 1]
  if (kind === undefined || !isSealedHeader(header)) {
    throw new DamagedFileError('it is not sealed, in a directory whose files are')
  }
  return kind
}

function derived(key: Uint8Array, salt: Uint8Array | string, purpose: string): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', key, salt, purpose, 32))
}

function isZero(bytes: Uint8Array): boolean {
  return bytes.every(byte => byte === 0)
}

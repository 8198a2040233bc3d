/**
 * A model's files as OpenSSF model-signing v1.0 signs them, with a key: a Sigstore bundle (v0.3) that holds a DSSE envelope of an in-toto
 * statement, which lists each file with its SHA-256. Other tools read what this writes, and the other way round. Signatures themselves
 * are made and checked outside. Pure.
 */
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, concatBytes, hexToBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import { z } from 'zod'
import { shown } from '../base/shown.ts'
import { ModelSignatureError } from '../errors.ts'
import { bundleFilesMax } from './limits.ts'

/** A file of a model: its path in the folder with `/` between its parts, or `.` for a model that is one file. */
export interface SignedFile {
  readonly name: string
  /** 64 hex digits. */
  readonly sha256: string
}

export interface ModelStatement {
  /** Of the folder or file. */
  readonly name: string
  readonly files: readonly SignedFile[]
  /** What the folder may have beside them, with all that is below. */
  readonly ignored: readonly string[]
  /** Whether links to files were followed. */
  readonly followsLinks: boolean
}

/** What a bundle holds, of which nothing has been checked yet. */
export interface Bundle {
  readonly payload: Uint8Array
  readonly signature: Uint8Array
  /** SHA-256 of the signer's public key in PEM, in hex; '' where it does not say. */
  readonly hint: string
}

const mediaType = 'application/vnd.dev.sigstore.bundle.v0.3+json'
const payloadType = 'application/vnd.in-toto+json'
const statementType = 'https://in-toto.io/Statement/v1'
const predicateType = 'https://model_signing/signature/v1.0'

/** The bytes that a signature is of (DSSE v1, pre-authentication encoding). */
export function signedPart(payload: Uint8Array): Uint8Array {
  return concatBytes(utf8ToBytes(`DSSEv1 ${payloadType.length} ${payloadType} ${payload.byteLength} `), payload)
}

/** The payload for some files. */
export function statementPayload({ name, files, ignored, followsLinks }: ModelStatement): Uint8Array {
  const sorted = [...files].sort((a, b) => (a.name < b.name ? -1 : 1))
  const statement = {
    _type: statementType,
    subject: [{ name, digest: { sha256: rootOf(sorted) } }],
    predicateType,
    predicate: {
      serialization: { method: 'files', hash_type: 'sha256', allow_symlinks: followsLinks, ignore_paths: ignored },
      resources: sorted.map(file => ({ name: file.name, algorithm: 'sha256', digest: file.sha256 }))
    }
  }
  return utf8ToBytes(JSON.stringify(statement))
}

export function bundleText({ payload, signature, hint }: Bundle): string {
  return `${JSON.stringify({
    mediaType,
    verificationMaterial: { publicKey: { hint }, tlogEntries: [] },
    dsseEnvelope: { payload: base64(payload), payloadType, signatures: [{ sig: base64(signature), keyid: '' }] }
  })}\n`
}

const bundleSchema = z.object({
  mediaType: z.literal(mediaType, `must be ${mediaType}`),
  verificationMaterial: z.object({
    publicKey: z.object({ hint: z.string().nullish() }, 'must be there: it is not signed with a key')
  }),
  dsseEnvelope: z.object({
    payload: z.base64(),
    payloadType: z.literal(payloadType, `must be ${payloadType}`),
    signatures: z.array(z.object({ sig: z.base64() })).length(1, 'must be one')
  })
})

const statementSchema = z.object({
  _type: z.literal(statementType, `must be ${statementType}`),
  subject: z.array(z.object({ name: z.string(), digest: z.object({ sha256: z.string() }) })).length(1, 'must be one'),
  predicateType: z.literal(predicateType, `must be ${predicateType}`),
  predicate: z.object({
    serialization: z.object({
      method: z.literal('files', 'must be files: parts of files are not checked here'),
      hash_type: z.literal('sha256', 'must be sha256'),
      allow_symlinks: z.boolean(),
      ignore_paths: z.array(z.string()).optional()
    }),
    resources: z
      .array(
        z.object({
          name: z.string(),
          algorithm: z.literal('sha256', 'must be sha256'),
          digest: z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 hex digits')
        })
      )
      .min(1, 'must be one or more')
      .max(bundleFilesMax, `must be at most ${bundleFilesMax}`)
  })
})

/** @param from what it is, for the message: a path. @throws {ModelSignatureError} */
export function readBundle(text: string, from: string): Bundle {
  const { dsseEnvelope, verificationMaterial } = parse(bundleSchema, text, `${from} is no bundle of model-signing v1.0`)
  return {
    payload: bytesOf(dsseEnvelope.payload),
    signature: bytesOf(dsseEnvelope.signatures[0]!.sig),
    hint: verificationMaterial.publicKey.hint ?? ''
  }
}

/** What a payload says whose signature is right. @throws {ModelSignatureError} */
export function readStatement(payload: Uint8Array, from: string): ModelStatement {
  const statement = parse(statementSchema, new TextDecoder().decode(payload), `what ${from} signs cannot be used`)
  const { serialization, resources } = statement.predicate
  const [subject] = statement.subject
  const files = resources.map(({ name, digest }) => ({ name, sha256: digest }))
  if (new Set(files.map(({ name }) => name)).size < files.length || rootOf(files) !== subject!.digest.sha256) {
    throw new ModelSignatureError(
      `what ${from} signs cannot be used: its list of files is not the one that its digest is of`
    )
  }
  return {
    name: subject!.name,
    files,
    ignored: serialization.ignore_paths ?? [],
    followsLinks: serialization.allow_symlinks
  }
}

/** How files differ from those that were signed, for a sentence; undefined where they do not. */
export function differences(signed: readonly SignedFile[], here: readonly SignedFile[]): string | undefined {
  const wanted = new Map(signed.map(file => [file.name, file.sha256]))
  const found = new Map(here.map(file => [file.name, file.sha256]))
  const all = [
    ...signed.filter(({ name }) => !found.has(name)).map(({ name }) => `${shown(name)} is missing`),
    ...signed
      .filter(file => found.has(file.name) && found.get(file.name) !== file.sha256)
      .map(file => `${shown(file.name)} has another digest`),
    ...here.filter(({ name }) => !wanted.has(name)).map(({ name }) => `${shown(name)} was not signed`)
  ]
  if (all.length === 0) return undefined
  return all.length <= 3 ? all.join(', ') : `${all.slice(0, 3).join(', ')} and ${all.length - 3} more`
}

/** Whether a path is one that is left out, or below one. */
export function isIgnored(name: string, ignored: readonly string[]): boolean {
  return ignored.some(each => {
    const path = each.replace(/\/+$/, '')
    return name === path || name.startsWith(`${path}/`)
  })
}

function rootOf(files: readonly SignedFile[]): string {
  return bytesToHex(sha256(concatBytes(...files.map(file => hexToBytes(file.sha256)))))
}

function parse<T>(schema: z.ZodType<T>, text: string, what: string): T {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    throw new ModelSignatureError(`${what}: it is not JSON`)
  }
  const parsed = schema.safeParse(json)
  if (parsed.success) return parsed.data
  const { path, message } = parsed.error.issues[0]!
  const reason = message.startsWith('must') ? message : 'is missing or wrong'
  throw new ModelSignatureError(`${what}: ${path.join('.') || 'it'} ${reason}`)
}

function base64(bytes: Uint8Array): string {
  let text = ''
  for (const byte of bytes) text += String.fromCharCode(byte)
  return btoa(text)
}

function bytesOf(text: string): Uint8Array {
  return Uint8Array.from(atob(text), letter => letter.charCodeAt(0))
}

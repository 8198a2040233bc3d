/** Signing the models of a data directory, and asking who signed them. A peer may run on it. */
import { reasonOf } from '../base/reason.ts'
import type { Keeper } from '../disk/keeping.ts'
import { DataDirectoryError, ModelSignatureError } from '../errors.ts'
import { findModel, openLibrary, verifyModel } from '../model/library.ts'
import { changeSignatures, readSignatures } from '../model/signatures.ts'
import type { ModelStore } from '../model/store.ts'
import type { AnyModel } from '../model/stored.ts'
import type { KnownSignatures } from '../supply/service.ts'
import { readSignerKey, readSigningKeyFile } from '../swarm/signing-file.ts'
import type { KeyText } from '../trust/keys.ts'
import { modelSignersMax } from '../trust/limits.ts'
import {
  type ModelSigner,
  type ModelSigners,
  modelSignature,
  modelSignaturesBytesMax,
  modelSigners,
  rightSignatures,
  withSignature
} from '../trust/model-signature.ts'
import { verifyKey } from '../trust/signing-key.ts'
import type { TrustedSigners } from './trusted-signers.ts'

/** What is signed, and by which key. */
export interface SignModelInit {
  /** Of the peer that has the model. */
  readonly dataDir: string
  /** Name, id, or beginning of an id. */
  readonly model: string
  /** A key that `makeSigningKeyFile` made, another Ed25519 key in PEM, or the key file of an authority. */
  readonly keyFile: string
  /** Ends the reading of the model. */
  readonly signal: AbortSignal
  /** When it is signed, in ms since 1970. @default now */
  readonly nowMs?: number
}

/**
 * Signs a model, once every byte of it has been read: nobody vouches for what is not whole. A second signature by the same key takes the
 * place of the first.
 *
 * @throws {InvalidKeyError} {InvalidAuthorityError} when the key is none
 * @throws {UnknownModelError} {AmbiguousModelError} {CorruptShardError} as `verifyModel`
 * @throws {ModelSignatureError} when it has as many signers as are kept
 * @throws {DataDirectoryError} when it cannot be written
 */
export async function signModel(
  init: SignModelInit
): Promise<{ readonly model: AnyModel; readonly signer: ModelSigner }> {
  const { dataDir, keyFile, signal, nowMs = Date.now() } = init
  const key = await readSigningKeyFile(keyFile)
  const model = await verifyModel(dataDir, init.model, { signal })
  const { own } = await openLibrary(dataDir)
  const signature = modelSignature(model.id, key, nowMs)
  await within(dataDir, () =>
    changeSignatures(own, model.id, {
      bytesMax: modelSignaturesBytesMax,
      change: signatures => {
        const all = withSignature(signatures, signature)
        if (all !== undefined) return all
        throw new ModelSignatureError(
          `${model.manifest.name} has ${modelSignersMax} signers, and no more are kept: importing it anew drops them`
        )
      }
    })
  )
  return { model, signer: { key: key.key, signedMs: Math.floor(nowMs) } }
}

/** Who signed a model that is here. @throws {DataDirectoryError} when its signatures cannot be read */
export async function signersOf(dataDir: string, { id }: Pick<AnyModel, 'id'>): Promise<ModelSigners> {
  return modelSigners(id, await signaturesOf(dataDir, { id }), verifyKey)
}

/** Public keys of signers, as people give them: hex, base64url, or a file. @throws {InvalidKeyError} */
export async function readSigners(given: readonly string[]): Promise<KeyText[]> {
  return Promise.all(given.map(readSignerKey))
}

/**
 * As `verifyModel`, of a model that one who is believed has signed. That is looked at first: reading all bytes takes longer.
 *
 * @throws {ModelSignatureError} when none of them did
 * @throws what `verifyModel` throws
 */
export async function verifySignedModel(
  dataDir: string,
  nameOrId: string,
  { signers, signal }: { readonly signers: TrustedSigners; readonly signal: AbortSignal }
): Promise<{ readonly model: AnyModel; readonly signer: ModelSigner }> {
  const found = await findModel(dataDir, nameOrId)
  const signer = signers.signerOf(found, await signaturesOf(dataDir, found))
  return { model: await verifyModel(dataDir, found.id, { signal }), signer }
}

/** Why a model that is here counts as not signed; undefined where one who is believed has signed it. @param own the store's own folder */
export async function whyUnsigned(
  model: AnyModel,
  own: string,
  signers: TrustedSigners
): Promise<ModelSignatureError | undefined> {
  return refusalOf(async () =>
    signers.signerOf(model, await within(own, () => readSignatures(own, model.id, modelSignaturesBytesMax)))
  )
}

async function refusalOf(look: () => Promise<unknown>): Promise<ModelSignatureError | undefined> {
  try {
    await look()
    return undefined
  } catch (error) {
    if (!(error instanceof ModelSignatureError)) throw error
    return error
  }
}

async function signaturesOf(dataDir: string, { id }: Pick<AnyModel, 'id'>): Promise<Uint8Array> {
  const { own } = await openLibrary(dataDir)
  return within(dataDir, () => readSignatures(own, id, modelSignaturesBytesMax))
}

/**
 * What a peer that runs tells others of who signed its models, and keeps of what they tell.
 *
 * @param required whose signature a model needs. @default nobody's
 */
export function knownSignatures(
  { own }: Pick<ModelStore, 'own'>,
  keeping: Keeper,
  required?: TrustedSigners
): KnownSignatures {
  return {
    refusal: async (model, sent) => {
      if (required === undefined) return undefined
      const here = await readSignatures(own, model.id, modelSignaturesBytesMax).catch(() => new Uint8Array())
      return refusalOf(async () => required.signerOf(model, rightSignatures(model.id, here, sent, verifyKey)))
    },
    of: id => readSignatures(own, id, modelSignaturesBytesMax).catch(() => new Uint8Array()),
    learn: async (id, sent) => {
      const here = await readSignatures(own, id, modelSignaturesBytesMax).catch(() => undefined)
      // Those that lie here and cannot be read are not written over.
      if (here === undefined || rightSignatures(id, here, sent, verifyKey).length === here.length) return
      await keeping.try('who signed a model', () =>
        changeSignatures(own, id, {
          bytesMax: modelSignaturesBytesMax,
          change: signatures => rightSignatures(id, signatures, sent, verifyKey)
        })
      )
    }
  }
}

async function within<T>(dataDir: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof ModelSignatureError) throw error
    throw new DataDirectoryError(`the signatures of models in ${dataDir} cannot be used: ${reasonOf(error)}`)
  }
}

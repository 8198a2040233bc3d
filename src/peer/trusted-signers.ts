/**
 * Whose signature on a model is believed: of keys that a person names, and, where that person says `swarm`, of the authority of a swarm with
 * members and of keys that it has certified to sign models.
 */
import { InvalidMembershipError, InvalidOptionError, ModelSignatureError } from '../errors.ts'
import { nameWithId } from '../model/names.ts'
import type { AnyModel } from '../model/stored.ts'
import { readMemberFile } from '../swarm/member-file.ts'
import { readSignerKey } from '../swarm/signing-file.ts'
import type { KeyText } from '../trust/keys.ts'
import type { Ledger } from '../trust/ledger.ts'
import { type ModelSigner, modelSigners, trustedSigner } from '../trust/model-signature.ts'
import { verifyKey } from '../trust/signing-key.ts'
import { openLedger } from './known-members.ts'

/** Stands for the swarm's authority and whom it has certified. */
const bySwarm = 'swarm'

/** What is known of members, and what time it is. */
interface KnownTime {
  readonly ledger: Ledger
  /** In ms since 1970. */
  nowMs(): number
}

/** Made by {@link trustedSigners}. */
export class TrustedSigners {
  readonly #keys: readonly KeyText[]
  #members: KnownTime | undefined

  constructor(keys: readonly KeyText[], members: KnownTime | undefined) {
    this.#keys = keys
    this.#members = members
  }

  /** From now on what this peer hears counts, too: who is certified, who is revoked, what time it is. */
  follow(members: KnownTime | undefined): void {
    if (this.#members !== undefined && members !== undefined) this.#members = members
  }

  /**
   * The signer of a model that is believed.
   *
   * @param signatures as they lie beside its manifest, or came with it
   * @throws {ModelSignatureError} where there is none, with the model's name and the reason
   */
  signerOf({ id, manifest }: Pick<AnyModel, 'id' | 'manifest'>, signatures: Uint8Array): ModelSigner {
    const signer = trustedSigner(modelSigners(id, signatures, verifyKey), this.#trusted(), key => this.#whyNot(key))
    if (typeof signer !== 'string') return signer
    throw new ModelSignatureError(`${nameWithId({ id, name: manifest.name })} ${signer}`)
  }

  #trusted(): KeyText[] {
    if (this.#members === undefined) return [...this.#keys]
    const { ledger } = this.#members
    const nowMs = this.#members.nowMs()
    const certified = ledger.modelKeys().filter(certificate => ledger.refusalOf(certificate, nowMs) === undefined)
    return [...new Set([...this.#keys, ...ledger.authorities, ...certified.map(({ last }) => last.subject)])]
  }

  /** Why a key is believed no more, or not yet: a sentence. */
  #whyNot(key: KeyText): string | undefined {
    if (this.#members === undefined) return undefined
    const { ledger } = this.#members
    const certificate = ledger.modelKeys().find(({ last }) => last.subject === key)
    return certificate && ledger.refusalOf(certificate, this.#members.nowMs())
  }
}

/**
 * Reads whose signatures are believed.
 *
 * @param given public keys, each as 64 hex digits, 43 letters of base64url or the file of one; or `swarm` for the authority of the swarm with
 *   members that `dataDir` has joined, and for the keys that it has certified
 * @throws {InvalidOptionError} where none is given, or there is no such swarm. @throws {InvalidKeyError}
 */
export async function trustedSigners(given: readonly string[], dataDir: string): Promise<TrustedSigners> {
  if (given.length === 0)
    throw new InvalidOptionError('of whom a signature is believed has to be said: give a public key')
  const named = given.filter(each => each !== bySwarm)
  const keys = await Promise.all(named.map(readSignerKey))
  return new TrustedSigners(keys, named.length < given.length ? await membersIn(dataDir) : undefined)
}

async function membersIn(dataDir: string): Promise<KnownTime> {
  try {
    const [{ ledger }, file] = await Promise.all([openLedger(dataDir, Date.now()), readMemberFile(dataDir)])
    // It is no earlier than anybody has signed, and than the peer ran last.
    return { ledger, nowMs: () => Math.max(Date.now(), ledger.signedMs, file?.timeMs ?? 0) }
  } catch (error) {
    if (!(error instanceof InvalidMembershipError)) throw error
    throw new InvalidOptionError(`the swarm's own signers cannot be known: ${error.message}; name a key instead`)
  }
}

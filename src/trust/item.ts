/** What travels and is kept of a ledger: certificates and statements as bytes. Pure. */
import { Certificate as CertificateBytes, Item as ItemBytes, Signed as SignedBytes } from '../../protocols/trust.ts'
import { ProtocolError } from '../errors.ts'
import { type Signed, signedGrants } from './grant.ts'
import { grantsMax } from './limits.ts'

/** A statement with the certificate of the deputy that made it, or a certificate alone. */
export interface ItemParts {
  readonly certificate: Uint8Array | undefined
  readonly statement: Uint8Array | undefined
}

/** @throws {ProtocolError} when the bytes are no item */
export function readItem(bytes: Uint8Array): ItemParts {
  let fields: ItemBytes
  try {
    fields = ItemBytes.decode(bytes, { limits: { certificate: { grants: grantsMax } } })
  } catch (error) {
    throw new ProtocolError(`an item of the ledger cannot be read: ${(error as Error).message}`)
  }
  const { certificate, statement } = fields
  if (certificate === undefined && statement === undefined) throw new ProtocolError('an item of the ledger is empty')
  return {
    certificate: certificate === undefined ? undefined : CertificateBytes.encode(certificate),
    statement: statement === undefined ? undefined : SignedBytes.encode(statement)
  }
}

/** An item that is a certificate alone. @throws {ProtocolError} when it is none */
export function itemOfCertificate(certificate: Uint8Array): Uint8Array {
  return ItemBytes.encode({ certificate: { grants: signedGrants(certificate) } })
}

/** An item that is a statement; one of a deputy shows by its certificate that it may make it. */
export function itemOfStatement(statement: Uint8Array, deputy: Uint8Array | undefined): Uint8Array {
  return ItemBytes.encode({
    statement: signedOf(statement),
    ...(deputy === undefined ? {} : { certificate: { grants: signedGrants(deputy) } })
  })
}

/** @throws {ProtocolError} when the bytes are nothing signed */
export function signedOf(bytes: Uint8Array): Signed {
  try {
    return SignedBytes.decode(bytes)
  } catch (error) {
    throw new ProtocolError(`a statement cannot be read: ${(error as Error).message}`)
  }
}

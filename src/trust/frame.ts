/** Frames of admissions and of `/skein/trust` channels: bytes in, checked frames out. Pure. */
import { Certificate as CertificateBytes, Item as ItemBytes, TrustFrame } from '../../protocols/trust.ts'
import { ProtocolError } from '../errors.ts'
import type { EpochSecret } from './epochs.ts'
import { owned } from './grant.ts'
import { certificatesMax, frameItemBytesMax, grantsMax, secretsMax, statementsMax } from './limits.ts'

/** @throws {ProtocolError} when the bytes are no frame, or cross a limit */
export function readFrame(bytes: Uint8Array): TrustFrame {
  let frame: TrustFrame
  try {
    frame = TrustFrame.decode(bytes, {
      limits: {
        items: certificatesMax + statementsMax,
        items$: { certificate: { grants: grantsMax } },
        secrets: secretsMax,
        hello: { certificate: { grants: grantsMax } }
      }
    })
  } catch (error) {
    throw new ProtocolError(`a frame about members cannot be read: ${(error as Error).message}`)
  }
  const wrong = frame.secrets.find(({ secret }) => secret.byteLength !== 32)
  if (wrong !== undefined) throw new ProtocolError(`a secret has ${wrong.secret.byteLength} bytes, not 32`)
  return frame
}

/** The first of these items that a frame has room for. */
export function itemsWithin(items: readonly Uint8Array[]): TrustFrame['items'] {
  const fitting: TrustFrame['items'] = []
  let bytes = 0
  for (const item of items) {
    bytes += item.byteLength
    if (bytes > frameItemBytesMax) break
    fitting.push(ItemBytes.decode(item))
  }
  return fitting
}

export function itemBytes(item: TrustFrame['items'][number]): Uint8Array {
  return ItemBytes.encode(item)
}

export function certificateBytes(
  certificate: NonNullable<NonNullable<TrustFrame['hello']>['certificate']>
): Uint8Array {
  return CertificateBytes.encode(certificate)
}

/** @param frame what it has; everything else is left out */
export function encodeFrame(frame: {
  readonly known?: { readonly digests: Uint8Array }
  readonly items?: TrustFrame['items']
  readonly secrets?: readonly EpochSecret[]
  readonly timeMs?: number
}): Uint8Array {
  return TrustFrame.encode({
    items: frame.items ?? [],
    secrets: (frame.secrets ?? []).map(({ epoch, secret }) => ({ epoch, secret: owned(secret) })),
    ...(frame.timeMs === undefined ? {} : { timeMs: Math.floor(frame.timeMs) }),
    ...(frame.known === undefined ? {} : { known: { digests: owned(frame.known.digests) } })
  })
}

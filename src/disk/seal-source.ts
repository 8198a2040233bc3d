/**
 * What opens a sealed directory: a key file that the operator brings, the same key in the kernel's keyring, or a secret that a TPM
 * gives to this machine alone.
 */
import { realpathSync } from 'node:fs'
import { resolve, sep } from 'node:path'
import { z } from 'zod'
import { assert } from '../base/assert.ts'
import { readPlainFile } from '../base/plain-file.ts'
import { reasonOf } from '../base/reason.ts'
import { SealError } from '../errors.ts'
import { makeTpmSecret, readKeyring, readTpmSecret } from './key-tools-service.ts'
import { sealKeyBytesMax, sealKeyBytesMin } from './limits.ts'

/** What `skein.json` says of it. */
export const sealSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('key') }),
  z.strictObject({
    kind: z.literal('tpm2'),
    public: z.base64().max(sealKeyBytesMax),
    private: z.base64().max(sealKeyBytesMax),
    pcrs: z
      .string()
      .regex(/^\d{1,2}(,\d{1,2})*$/)
      .nullable()
  })
])
export type SealRecord = z.infer<typeof sealSchema>

export interface Seal {
  /** As it was given. */
  readonly given: string
  /** As sentences call it. */
  readonly label: string
  fits(by: SealRecord): boolean
  /** For a new directory. @throws {SealError} */
  make(): Promise<{ readonly by: SealRecord; readonly secret: Uint8Array }>
  /** @throws {SealError} */
  read(by: SealRecord): Promise<Uint8Array>
}

/**
 * `keyring`, `keyring:NAME`, `tpm2`, `tpm2:0,7` (bound to these registers when a directory is sealed), or the path of a key file; a file
 * of such a name is given as `./keyring`.
 *
 * @throws {SealError}
 */
export function sealOf(given: string, dataDir: string): Seal {
  const [, place, rest] = /^(keyring|tpm2)(?::(.*))?$/s.exec(given) ?? []
  if (place === 'keyring') {
    const name = rest ?? keyringName
    if (!/^[\w.:-]{1,64}$/.test(name)) {
      throw new SealError(`--seal keyring:NAME takes a name of 1 to 64 letters, digits and . : _ -, not '${name}'`)
    }
    const label = `the key ${name} in the kernel's keyring`
    return keyed(given, label, async () => checkedKey(await readKeyring(name), label))
  }
  if (place === 'tpm2') return byTpm(given, rest ?? null)
  if (real(given).startsWith(real(dataDir) + sep)) {
    throw new SealError(`the key ${given} lies in ${dataDir}, which it seals: keep it elsewhere, on what does not fly`)
  }
  return keyed(given, given, () => readSealKey(given))
}

/** As the kernel's keyring has it, where no other name is given. */
const keyringName = 'skein'

function byTpm(given: string, pcrs: string | null): Seal {
  if (pcrs !== null && !/^([0-9]|1[0-9]|2[0-3])(,([0-9]|1[0-9]|2[0-3]))*$/.test(pcrs)) {
    throw new SealError(`--seal tpm2:REGISTERS takes numbers from 0 to 23 such as tpm2:0,7, not '${pcrs}'`)
  }
  return {
    given,
    label: "what this machine's TPM gives",
    fits: ({ kind }) => kind === 'tpm2',
    async make() {
      const { blobs, secret } = await makeTpmSecret(pcrs)
      return { by: { kind: 'tpm2', ...blobs }, secret }
    },
    async read(by) {
      assert(by.kind === 'tpm2', 'it was asked whether it fits')
      return readTpmSecret(by)
    }
  }
}

export function describeSeal({ kind }: SealRecord): string {
  return { key: 'a key', tpm2: "its machine's TPM" }[kind]
}

/** A key of bytes, wherever it comes from: the same ones open the same directory. */
function keyed(given: string, label: string, read: () => Promise<Uint8Array>): Seal {
  return {
    given,
    label,
    fits: ({ kind }) => kind === 'key',
    make: async () => ({ by: { kind: 'key' }, secret: await read() }),
    read
  }
}

async function readSealKey(file: string): Promise<Uint8Array> {
  let bytes: Uint8Array
  try {
    bytes = await readPlainFile(file, sealKeyBytesMax)
  } catch (error) {
    const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT'
    throw new SealError(
      isMissing
        ? `there is no key file ${file}: make one with skein key ${file} --seal`
        : `the key file ${file} cannot be read: ${reasonOf(error)}`
    )
  }
  return checkedKey(bytes, `the key file ${file}`)
}

/** @throws {SealError} with a sentence that never holds a byte of it */
export function checkedKey(bytes: Uint8Array, label: string): Uint8Array {
  if (bytes.length >= sealKeyBytesMin) return bytes
  throw new SealError(
    `${label} has ${bytes.length} bytes, and at least ${sealKeyBytesMin} random ones are needed: skein key FILE --seal makes them`
  )
}

function real(path: string): string {
  try {
    return realpathSync(path)
  } catch {
    return resolve(path)
  }
}

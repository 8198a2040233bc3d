/**
 * Evidence by this machine's TPM, through tpm2-tools. The attestation key is a primary key of the endorsement hierarchy, made anew from the TPM's seed
 * whenever it is used: it is the same after each start and each installation, nothing of it lies on the disk, and it takes none of the TPM's few
 * places for keys that stay. Another one comes with another TPM, or where the endorsement seed was changed (`tpm2_changeeps`).
 */
import { join } from 'node:path'
import { inFolder, ProgramMissing, readWritten, runProgram, tpmHelp, wordsOf } from '../disk/programs.ts'
import { AttestationError } from '../errors.ts'
import type { Attester } from '../trust/attestation.ts'
import { encodeTpmEvidence, tpmKeyDigest, tpmKeyForm, tpmKind } from '../trust/tpm-quote.ts'

/** Which TPM. */
export interface TpmInit {
  /** How tpm2-tools reach the TPM, as in their `TPM2TOOLS_TCTI`. @default what that says, else `/dev/tpmrm0` */
  readonly tcti?: string
}

/**
 * This machine's TPM as an attester.
 * @throws {AttestationError} when there is none, or tpm2-tools are not here
 */
export async function tpmAttester({ tcti }: TpmInit = {}): Promise<Attester> {
  const tpm = new Tpm(tcti)
  const publicArea = await inFolder('skein-attest-', async folder => {
    const context = await tpm.makeKey(folder, undefined)
    const file = join(folder, 'public')
    await tpm.run('tpm2_readpublic', ['-c', context, '-f', 'tpmt', '-o', file], undefined)
    return readWritten(file)
  })
  return {
    kind: tpmKind,
    key: tpmKeyDigest(publicArea),
    evidence: ({ qualifying, registers }, { signal }) =>
      inFolder('skein-attest-', async folder => {
        const context = await tpm.makeKey(folder, signal)
        const [quote, signature, values] = ['quote', 'signature', 'values'].map(name => join(folder, name)) as [
          string,
          string,
          string
        ]
        // A quote of no register at all is not what all TPMs make.
        const list = `sha256:${(registers.length === 0 ? [0] : registers).join(',')}`
        const formats = ['-g', 'sha256', '-f', 'plain', '-F', 'values']
        const files = ['-m', quote, '-s', signature, '-o', values]
        const hex = Buffer.from(qualifying).toString('hex')
        await tpm.run('tpm2_quote', ['-c', context, '-l', list, '-q', hex, ...formats, ...files], signal)
        return encodeTpmEvidence({
          key: publicArea,
          quote: await readWritten(quote),
          signature: await readWritten(signature),
          values: await readWritten(values)
        })
      })
  }
}

class Tpm {
  readonly #env: Readonly<Record<string, string>> | undefined

  constructor(tcti: string | undefined) {
    this.#env = tcti === undefined ? undefined : { TPM2TOOLS_TCTI: tcti }
  }

  /** @returns the file by which the TPM finds the key again, until it starts anew */
  async makeKey(folder: string, signal: AbortSignal | undefined): Promise<string> {
    const context = join(folder, 'key')
    const form = ['-G', tpmKeyForm.algorithm, '-g', 'sha256', '-a', tpmKeyForm.attributes]
    await this.run('tpm2_createprimary', ['-C', 'e', ...form, '-c', context], signal)
    return context
  }

  /** @throws {AttestationError} @throws the signal's reason */
  async run(command: string, args: readonly string[], signal: AbortSignal | undefined): Promise<void> {
    try {
      await runProgram(command, args, { env: this.#env, signal })
    } catch (error) {
      signal?.throwIfAborted()
      throw new AttestationError(
        error instanceof ProgramMissing
          ? `${command} is not here, which --attest needs: install tpm2-tools`
          : `the TPM does not do ${command} (${wordsOf(error)}): ${tpmHelp}`
      )
    } finally {
      // A TPM has room for three keys; where a resource manager stands before it, there is nothing to let go of.
      await runProgram('tpm2_flushcontext', ['-t'], { env: this.#env }).catch(() => {})
    }
  }
}

/** Keys that others hold: the kernel's keyring by `keyctl`, a TPM by tpm2-tools. What opens is in memory alone, never in a file or an argument. */
import { randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { SealError } from '../errors.ts'
import { inFolder, ProgramMissing, runProgram, tpmHelp, wordsOf } from './programs.ts'

/** What a TPM needs to give the secret again: it opens nothing elsewhere. */
export interface TpmBlobs {
  /** In base64, both. */
  readonly public: string
  readonly private: string
  /** Registers of SHA-256 that must be as they were, such as `0,7`; null where none counts. */
  readonly pcrs: string | null
}

/** A key of type `user` in a keyring that this process may search. @throws {SealError} */
export async function readKeyring(name: string): Promise<Uint8Array> {
  const add = `keyctl padd user ${name} @u < FILE puts one there until the machine is switched off`
  const found = await tool('keyctl', ['request', 'user', name]).catch(async error => {
    if (error instanceof ToolMissing) throw error
    return tool('keyctl', ['search', '@u', 'user', name]).catch(() => {
      throw new SealError(`the kernel's keyring has no key ${name} for this user: ${add}`)
    })
  })
  try {
    return await tool('keyctl', ['pipe', Buffer.from(found).toString().trim()])
  } catch (error) {
    throw new SealError(
      `the key ${name} is in the kernel's keyring and cannot be read (${wordsOf(error)}): keyctl link @u @s lets this session read it`
    )
  }
}

/**
 * Has this machine's TPM keep a new secret of 32 bytes.
 *
 * @param pcrs as in {@link TpmBlobs}
 * @throws {SealError}
 */
export async function makeTpmSecret(
  pcrs: string | null
): Promise<{ readonly blobs: TpmBlobs; readonly secret: Uint8Array }> {
  const secret = new Uint8Array(randomBytes(32))
  return inFolder('skein-tpm-', async folder => {
    const [primary, policy, pub, priv] = ['primary', 'policy', 'public', 'private'].map(name => join(folder, name)) as [
      string,
      string,
      string,
      string
    ]
    await tpm('tpm2_createprimary', ['-C', 'o', '-G', 'ecc', '-c', primary])
    if (pcrs !== null) {
      const session = join(folder, 'session')
      await tpm('tpm2_startauthsession', ['-S', session])
      await tpm('tpm2_policypcr', ['-S', session, '-l', `sha256:${pcrs}`, '-L', policy])
      await tpm('tpm2_flushcontext', [session])
    }
    const bound = pcrs === null ? [] : ['-L', policy]
    await tpm('tpm2_create', ['-C', primary, ...bound, '-i', '-', '-u', pub, '-r', priv], secret)
    const [publicBytes, privateBytes] = await Promise.all([readFile(pub), readFile(priv)])
    return {
      secret,
      blobs: { public: publicBytes.toString('base64'), private: privateBytes.toString('base64'), pcrs }
    }
  })
}

/** @throws {SealError} where another machine has sealed it, or a register has changed */
export async function readTpmSecret(blobs: TpmBlobs): Promise<Uint8Array> {
  return inFolder('skein-tpm-', async folder => {
    const [primary, key, pub, priv] = ['primary', 'key', 'public', 'private'].map(name => join(folder, name)) as [
      string,
      string,
      string,
      string
    ]
    await Promise.all([
      writeFile(pub, Buffer.from(blobs.public, 'base64')),
      writeFile(priv, Buffer.from(blobs.private, 'base64'))
    ])
    await tpm('tpm2_createprimary', ['-C', 'o', '-G', 'ecc', '-c', primary])
    await tpm('tpm2_load', ['-C', primary, '-u', pub, '-r', priv, '-c', key])
    return tpm('tpm2_unseal', ['-c', key, ...(blobs.pcrs === null ? [] : ['-p', `pcr:sha256:${blobs.pcrs}`])])
  })
}

async function tpm(command: string, args: readonly string[], input?: Uint8Array): Promise<Uint8Array> {
  try {
    return await tool(command, args, input)
  } catch (error) {
    if (error instanceof ToolMissing) throw error
    throw new SealError(`the TPM does not do ${command} (${wordsOf(error)}): ${whatHelps(command)}`)
  } finally {
    // A TPM has room for three; where a resource manager stands before it, there is nothing to let go of.
    await tool('tpm2_flushcontext', ['-t']).catch(() => {})
  }
}

function whatHelps(command: string): string {
  if (command === 'tpm2_load') return 'the TPM of another machine has sealed this'
  if (command === 'tpm2_unseal') return 'a register that the key is bound to is not as it was when it was sealed'
  return tpmHelp
}

class ToolMissing extends SealError {}

/** Runs a program; what it prints. @throws an Error with what it said of its failure */
async function tool(command: string, args: readonly string[], input?: Uint8Array): Promise<Uint8Array> {
  try {
    return await runProgram(command, args, { input })
  } catch (error) {
    if (!(error instanceof ProgramMissing)) throw error
    const from = command === 'keyctl' ? 'keyutils' : 'tpm2-tools'
    throw new ToolMissing(`${command} is not here, which --seal needs: install ${from}`)
  }
}

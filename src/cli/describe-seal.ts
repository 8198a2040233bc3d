/** `skein seal` and `skein unseal`. */
import type { Command } from 'commander'
import type { CommandContext } from './context.ts'
import { command, json, sealGiven } from './describe.ts'
import { dataDirectory, words } from './flags.ts'
import { InvalidOptionError } from '../index.ts'

export function describeSeal(program: Command, context: CommandContext): void {
  command(
    program,
    'seal [dir]',
    'Seal the files of a data directory where they lie, as up --seal has them; no peer may run on it. One that was cut short goes on.'
  )
    .option('--seal <file>', 'as with up: a key file, keyring, or tpm2 (default: SKEIN_SEAL)', words('--seal'))
    .option(
      '--from <file>',
      'what opens it now: everything is sealed anew, by --seal and nothing else',
      words('--from')
    )
    .addOption(json('print one JSON object'))
    .action(async (dir: string | undefined, options) => {
      const seal = sealGiven(options)
      if (seal === undefined) {
        throw new InvalidOptionError('skein seal takes --seal FILE, keyring or tpm2: skein key FILE --seal makes a key')
      }
      const { sealData } = await import('./seal.ts')
      await sealData(dataDirectory(dir, process.env), seal, options, context)
    })
  command(
    program,
    'unseal [dir]',
    'Take the seal off a data directory: its files lie there as they are. No peer may run on it. One that was cut short goes on.'
  )
    .option('--seal <file>', 'what opens it: a key file, keyring, or tpm2 (default: SKEIN_SEAL)', words('--seal'))
    .addOption(json('print one JSON object'))
    .action(async (dir: string | undefined, options) => {
      const seal = sealGiven(options)
      if (seal === undefined) throw new InvalidOptionError('skein unseal takes --seal with what opens the directory')
      const { unsealData } = await import('./seal.ts')
      await unsealData(dataDirectory(dir, process.env), seal, options, context)
    })
}

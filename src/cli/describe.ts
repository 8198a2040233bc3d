/** What all commands are described with, and `skein model`. */
import { type Command, Option } from 'commander'
import type { CommandContext } from './context.ts'
import { dataDirectory, dtypes, oneOf, size, words, duration, repeated } from './flags.ts'
import { InvalidOptionError, weightKinds } from '../index.ts'
import { grantLifeMaxMs, grantLifeMinMs, misuseCharsMax, waitMaxMs } from './limits.ts'
import { shellWord } from './output.ts'

export function command(parent: Command, line: string, text: string): Command {
  const made: Command = parent.command(line).description(text)
  return made.configureOutput({ outputError: (error, print) => print(describeMisuse(error, made)) })
}

export const data = (): Option =>
  new Option('--data <dir>', "directory of one peer (default: SKEIN_DATA, or skein in the user's data directory)")
export const scrub = (): Option =>
  new Option(
    '--scrub',
    'replace personal data before anybody makes tokens of it: e-mail, telephone, cards, coordinates, IP addresses become [email-1] and the like, and it is told how many'
  )
export const json = (text: string): Option => new Option('--json', text)
export const seal = (): Option =>
  new Option(
    '--seal <file>',
    'what opens a sealed directory: the path of its key file, keyring, or tpm2 (default: SKEIN_SEAL)'
  ).argParser(words('--seal'))
export const sealGiven = (options: { seal?: string }): string | undefined =>
  options.seal ?? (process.env.SKEIN_SEAL || undefined)
export const dataOf = (options: { data?: string }): string => dataDirectory(options.data, process.env)

/**
 * The data directory, open until this process ends where it is sealed.
 *
 * @param options.make whether one that is not there is made, and sealed
 * @throws {SealError}
 */
export async function openedData(
  options: { readonly data?: string; readonly seal?: string },
  { make = false }: { readonly make?: boolean } = {}
): Promise<string> {
  const [folder, given] = [dataOf(options), sealGiven(options)]
  if (given !== undefined) await (await import('../index.ts')).openSealed(folder, given, { make })
  return folder
}

/** The commands of `skein model`. */
export function describeModelCommands(model: Command, context: CommandContext): void {
  describeImports(model, context)
  command(model, 'ls', 'List the models that are here.')
    .addOption(data())
    .addOption(seal())
    .addOption(json('print JSON objects, one a line'))
    .action(async options => {
      const { modelLs } = await import('./model.ts')
      await modelLs({ ...options, data: await openedData(options) })
    })
  command(
    model,
    'show <name>',
    'Show a model: what it is, how its weights are stored, what it takes of how many peers, and every shard with its digest. One on a hub by OWNER/NAME: what it would be, from its description alone.'
  )
    .addOption(data())
    .addOption(seal())
    .option('--memory <size>', 'what each peer gives, to say how many are needed', size('--memory'), 512e6)
    .option('--dtype <types>', 'as with pull, of a model on a hub', dtypes('--dtype'))
    .option('--file <file>', 'as with pull', words('--file'))
    .option('--revision <revision>', 'as with pull', words('--revision'))
    .addOption(json('print one JSON object, with the manifest'))
    .action(async (name: string, options) => {
      const { modelShow } = await import('./model-show.ts')
      await modelShow(name, { ...options, data: await openedData(options) }, context)
    })
  describeSigning(model, context)
  command(
    model,
    'rm <name>',
    'Remove a model, by name or id: its manifest, and the files that no other model here has.'
  )
    .addOption(data())
    .addOption(seal())
    .addOption(json('print one JSON object'))
    .action(async (name: string, options) => {
      const { modelRm } = await import('./model.ts')
      await modelRm(name, { ...options, data: await openedData(options) }, context)
    })
}

/** Who vouches for a model. */
function describeSigning(model: Command, context: CommandContext): void {
  command(
    model,
    'sign <name>',
    'Sign a model that is here, once every byte of it has been read; with --oms a folder or file somewhere.'
  )
    .requiredOption(
      '--sign-key <file>',
      'what it is signed with: a key of skein key --signing, or the key of an authority',
      words('--sign-key')
    )
    .option(
      '--oms <file>',
      'sign the folder or file <name>, and write an OpenSSF model-signing v1.0 bundle there; the key is one of P-256, P-384 or P-521 in PEM',
      words('--oms')
    )
    .addOption(data())
    .addOption(seal())
    .addOption(json('print one JSON object'))
    .action(async (name: string, options) => {
      const { folderSign, modelSign } = await import('./model-sign.ts')
      if (options.oms !== undefined) return folderSign(name, options, context)
      await modelSign(name, { ...options, data: await openedData(options, { make: true }) }, context)
    })
  command(
    model,
    'certify <key>',
    'Certify a public key, or its .pub file: for a time, what it signs counts in the swarm as what the authority signs.'
  )
    .requiredOption('--authority <key>', 'key file of the authority', words('--authority'))
    .requiredOption('--for <time>', 'for how long, such as 90d', duration('--for', grantLifeMinMs, grantLifeMaxMs))
    .addOption(data())
    .addOption(seal())
    .addOption(json('print one JSON object'))
    .action(async (key: string, options) => {
      const { certify } = await import('./members.ts')
      await certify(key, { ...options, data: await openedData(options) }, context)
    })
  command(model, 'verify [name]', 'Read a model whole and compare every digest; without a name, every model.')
    .option(
      '--signer <key>',
      'a public key, or its .pub file, or swarm for the authority of the swarm that has been joined and the keys that it has certified: of those given, one must have signed the model; may be repeated',
      repeated(words('--signer'))
    )
    .option(
      '--oms <file>',
      'verify the folder or file <name> by this OpenSSF model-signing v1.0 bundle; --signer is a public key in PEM',
      words('--oms')
    )
    .addOption(data())
    .addOption(seal())
    .addOption(json('print JSON objects, one a line'))
    .action(async (name: string | undefined, options) => {
      if (options.oms !== undefined) {
        const { folderVerify } = await import('./model-sign.ts')
        return folderVerify(name, options, context)
      }
      const { modelVerify } = await import('./model.ts')
      await modelVerify(name, { ...options, data: await openedData(options) }, context)
    })
}

/** `skein infer`. */
export function describeInfer(program: Command, context: CommandContext): void {
  command(
    program,
    'infer <name>',
    'Run a graph (an embedding, a classifier, a vision network) through the running peer, wherever it is served.'
  )
    .addOption(data())
    .option(
      '--input <name=file>',
      'an input: nested lists as JSON, or a .npy file; - reads all of them as one JSON object from stdin; may be repeated',
      repeated(words('--input'))
    )
    .option(
      '--text <text>',
      'a text, for graphs with a tokenizer: prints a vector, the mean over its tokens, of length 1; may be repeated',
      repeated(words('--text'))
    )
    .option(
      '--output <name=file>',
      'write an output to a .npy file instead of printing it; may be repeated',
      repeated(words('--output'))
    )
    .option(
      '--wait <time>',
      'how long to wait for a peer that serves it (default: a minute where one is loading it)',
      duration('--wait', 0, waitMaxMs)
    )
    .addOption(json('print one JSON object'))
    .action(async (name: string, options) => {
      const { infer } = await import('./infer.ts')
      await infer(name, { ...options, data: dataOf(options) }, context)
    })
}

/** What brings models in. */
function describeImports(model: Command, context: CommandContext): void {
  withImportOptions(
    command(
      model,
      'import <source>',
      'Import a GGUF file, a Hugging Face directory (config.json, *.safetensors, tokenizer.json), or as a graph an ONNX file (.onnx).'
    )
  )
    .option(
      '--tokenizer <file>',
      'tokenizer.json of a graph that takes text (default: that beside the ONNX file, if there is one)',
      words('--tokenizer')
    )
    .action(async (source: string, options, command: Command) => {
      const { isGraphFile } = await import('../index.ts')
      const flags = { ...options, data: await openedData(options, { make: true }) }
      if (isGraphFile(source)) {
        const { graphImport } = await import('./model-graph.ts')
        const given = (flag: string): boolean => command.getOptionValueSource(flag) === 'cli'
        await graphImport(source, flags, given, context)
        return
      }
      if (options.tokenizer !== undefined) {
        throw new InvalidOptionError('--tokenizer goes with a graph, an ONNX file: other models have their own')
      }
      const { modelImport } = await import('./model.ts')
      await modelImport(source, flags, context)
    })
  withImportOptions(
    command(
      model,
      'pull <owner/name>',
      'Fetch a model from a Hugging Face hub and import it. What broke off goes on where it ended. HF_TOKEN is sent to the hub alone; HF_ENDPOINT names another hub.'
    )
  )
    .option('--revision <revision>', 'branch, tag or commit (default: main, pinned to its commit)', words('--revision'))
    .option(
      '--file <file>',
      'the GGUF file of the repository that is meant, by path, name or glob such as *Q8_0.gguf (default: the safetensors, else the only GGUF file)',
      words('--file')
    )
    .action(async (repo: string, options) => {
      const { modelPull } = await import('./model-pull.ts')
      await modelPull(repo, { ...options, data: await openedData(options, { make: true }) }, context)
    })
}

function withImportOptions(made: Command): Command {
  return made
    .addOption(data())
    .addOption(seal())
    .requiredOption('--name <name>', 'name of the model here', words('--name'))
    .option(
      '--dtype <types>',
      `what weights are converted to: f32, q8, q4, or q4-min, which has a minimum for each block, as GGUF's Q4_1; for some kinds another one, such as q4,attention=q8; kinds are ${weightKinds.join(', ')} (default: q8; of a GGUF file, what they are)`,
      dtypes('--dtype')
    )
    .option(
      '--edge <type>',
      'precision between layers: f16, bf16 or f32; auto computes a few texts and takes f16 where that holds them',
      oneOf('--edge', ['auto', 'f16', 'bf16', 'f32']),
      'auto'
    )
    .option(
      '--no-check',
      'do not measure what it costs to convert weights to q4, which takes some seconds for a hundred million of them'
    )
    .option(
      '--licence <text>',
      'licence of the model, as its manifest should give it (default: what its files say, else unknown)',
      words('--licence')
    )
    .option('--gives-way', 'let its files be removed where a disk budget needs room; others keep what was imported')
    .option(
      '--disk <size>',
      'what models here may take of the disk; where a peer runs here, its own --disk counts (default: no limit)',
      size('--disk')
    )
    .addOption(json('print progress and result as JSON objects, one a line'))
}

/**
 * What Commander says of a wrong command line, as we say it. What it takes for an option may be a prompt, a name or a
 * path that begins with a dash.
 */
export function describeMisuse(text: string, command: Command): string {
  const message = text.replace(/^error: /, 'skein: ')
  const [, given] = /^skein: unknown option '([\s\S]*)'\n$/.exec(message) ?? []
  const argument = command.registeredArguments[0]?.name()
  if (given === undefined || argument === undefined) return message
  const isLong = given.length > misuseCharsMax
  const shown = isLong ? `${given.slice(0, misuseCharsMax)}…` : given
  const names: string[] = []
  for (let each: Command | null = command; each !== null; each = each.parent) names.unshift(each.name())
  const example = isLong ? '' : `: ${names.join(' ')} -- ${shellWord(given)}`
  return `skein: unknown option '${shown}'; a ${argument} that begins with a dash goes after --${example}\n`
}

/** `skein`: reads the command line, runs one command, and turns its failure into a sentence and an exit code. */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Command, CommanderError, Option } from 'commander'
import { InvalidOptionError } from '../index.ts'
import type { CommandContext } from './context.ts'
import {
  command,
  data,
  dataOf,
  describeInfer,
  describeMisuse,
  describeModelCommands,
  json,
  openedData,
  scrub,
  seal
} from './describe.ts'
import { describeLooking } from './describe-looking.ts'
import { describeMembers } from './describe-members.ts'
import { describeSeal } from './describe-seal.ts'
import { describeUp } from './describe-up.ts'
import { describeFailure, exitCodes, InterruptedError, OutputClosedError } from './failure.ts'
import { duration, layerRange, oneOf, promptAndTrace, wholeNumber, words } from './flags.ts'
import { demoPeersMax, lingerMs, sessionTtlMaxMs, sessionTtlMinMs, waitMaxMs } from './limits.ts'
import { note } from './output.ts'
import { takesSampling } from './sampling.ts'
import { takesGrammar } from './grammar.ts'
import { takesTemplate } from './template.ts'

/** Runs the command line and ends the process with its exit code. `args` are without node and script. */
export async function run(args: readonly string[]): Promise<void> {
  process.env.ORT_DISABLE_TELEMETRY = '1'
  const interrupted = new AbortController()
  const closed = new AbortController()
  let taken: (() => void) | undefined
  const interrupt = (name: 'SIGINT' | 'SIGTERM' | 'SIGHUP') => (): void => {
    if (name === 'SIGINT' && taken !== undefined) {
      taken()
      return
    }
    const interruption = new InterruptedError(name)
    // The second one means it: no clean-up.
    if (interrupted.signal.aborted) process.exit(interruption.exitCode)
    interrupted.abort(interruption)
  }
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, interrupt(name))
  process.stdout.on('error', () => closed.abort(new OutputClosedError('nobody reads the output')))
  process.stderr.on('error', () => {})
  const signal = AbortSignal.any([interrupted.signal, closed.signal])
  const onInterrupt = (by: () => void): (() => void) => {
    taken = by
    return () => {
      taken = undefined
    }
  }
  process.exitCode = await main(args, { signal, interrupted: interrupted.signal, onInterrupt })
  // What is still open now (a socket in its last handshake) does not keep the shell waiting.
  setTimeout(() => process.exit(), lingerMs).unref()
}

/** Runs one command and returns its exit code. */
export async function main(args: readonly string[], context: CommandContext): Promise<number> {
  let code = 0
  const program = describeProgram(context, result => {
    code = result
  })
  try {
    await program.parseAsync(args, { from: 'user' })
    return code
  } catch (err) {
    // Commander has said it already; help and version are no failure.
    if (err instanceof CommanderError) return err.exitCode === 0 ? 0 : 2
    if (context.signal.aborted && err !== context.signal.reason) return describeFailure(context.signal.reason).exitCode
    const { message, exitCode } = describeFailure(err)
    if (err instanceof InterruptedError || err instanceof OutputClosedError) return exitCode
    // A defect shows where it is; an expected failure is one sentence.
    note(`skein: ${message}`)
    if (exitCode === 1 && err instanceof Error && err.stack !== undefined) note(err.stack)
    return exitCode
  }
}

/** The command line of Skein. Commands are loaded when they are run, so that `--help` is quick. */
function describeProgram(context: CommandContext, end: (code: number) => void): Command {
  const program = new Command('skein')
    .description('Runs language models across a private swarm of peers: no cloud, no leader.')
    .version(packageVersion())
    .showSuggestionAfterError()
    .configureOutput({ outputError: (text, print) => print(describeMisuse(text, program)) })
    .exitOverride()
    .addHelpText('after', `\n${exitCodes}`)
  const key = (): Option =>
    new Option(
      '--key <file>',
      'key of the session, made by skein key; whoever has it can resume (default: one that only the asked peer has, from its identity)'
    ).argParser(words('--key'))

  command(
    program,
    'init <file>',
    'Make a new private swarm: a secret in a file to copy to every peer, or with --authority one that has members.'
  )
    .option('--name <name>', 'name of the swarm', words('--name'))
    .option('--authority <key>', 'make a swarm with members, whose key goes into this file', words('--authority'))
    .option('--recovery <key>', 'where the key goes that replaces it (default: beside it)', words('--recovery'))
    .addOption(json('print one JSON object'))
    .action(async (file: string, options) => {
      const { init } = await import('./init.ts')
      await init(file, options)
    })

  describeMembers(program, context)
  describeUp(program, context)

  const asks = command(
    program,
    'ask [prompt]',
    'Answer a prompt through the running peer; - reads the prompt from stdin.'
  )
    .addOption(data())
    .option('--model <name>', 'model to ask, by name or id (default: the one that the peer serves)', words('--model'))
    .option('--max-tokens <n>', 'tokens to generate at most', wholeNumber('--max-tokens', 1, 1 << 24), 60)
  takesGrammar(takesTemplate(takesSampling(asks)))
    .option(
      '--chat',
      "answer it as a message in a conversation, by the model's chat template; without, its text is continued"
    )
    .option(
      '--session <name>',
      'keep prompt and answer under this name, sealed, on two other peers, to resume them if this one dies',
      words('--session')
    )
    .option(
      '--resume <name>',
      'go on with a session where it stopped, without a prompt; with --max-tokens the whole answer may have so many',
      words('--resume')
    )
    .addOption(key())
    .option(
      '--ttl <time>',
      'how long the session is kept after its last token, such as 90s, 30m or 1h (default: 1h)',
      duration('--ttl', sessionTtlMinMs, sessionTtlMaxMs)
    )
    .option(
      '--wait <time>',
      'how long to wait for peers while nobody serves some layers, such as 90s or 10m (default: 30s after a loss)',
      duration('--wait', 0, waitMaxMs)
    )
    .addOption(scrub())
    .option('--special', 'take control tokens that the prompt spells, such as </s>, for those tokens, not for text')
    .option('--cache <type>', 'in what peers hold keys and values: f32 or i8', oneOf('--cache', ['f32', 'i8']), 'f32')
    .option('--no-drafts', 'verify one token at a time; the answer is the same, and no faster')
    .option(
      '--trace [file.json]',
      'say where the time of each token went: a waterfall on stderr, or a file of trace events for ui.perfetto.dev'
    )
    .option(
      '--logprobs <n>',
      'tell how likely each token was, and so many of the likeliest',
      wholeNumber('--logprobs', 0, 20)
    )
    .addOption(json('print events as JSON objects, one a line'))
    .action(async (first: string | undefined, flags, command: Command) => {
      const { ask, resume } = await import('./ask.ts')
      const { prompt, trace } = promptAndTrace(first, flags.trace)
      const options = { ...flags, ...(trace === undefined ? {} : { trace }) }
      const given = (name: string): boolean => command.getOptionValueSource(name) === 'cli'
      if (options.resume === undefined) {
        if (prompt === undefined) command.error("error: missing required argument 'prompt'")
        if (options.chat && options.special) {
          throw new InvalidOptionError(
            '--special goes without --chat: what a message spells is text, and the template has its own'
          )
        }
        const extra = ['tools', 'template-var'].find(name => given(name === 'tools' ? name : 'templateVar'))
        if (extra !== undefined && !options.chat) {
          throw new InvalidOptionError(`--${extra} goes with --chat: a text that is continued has no template`)
        }
        const unused = ['key', 'ttl'].find(name => given(name) && options.session === undefined)
        if (unused !== undefined) throw new InvalidOptionError(`--${unused} goes with --session or --resume`)
        await ask(prompt, { ...options, data: dataOf(options) }, context)
        return
      }
      if (prompt !== undefined) throw new InvalidOptionError('--resume takes no prompt: the session has its own')
      const own = {
        session: 'session',
        model: 'model',
        temperature: 'temperature',
        topP: 'top-p',
        topK: 'top-k',
        seed: 'seed',
        presencePenalty: 'presence-penalty',
        frequencyPenalty: 'frequency-penalty',
        repetitionPenalty: 'repetition-penalty',
        minP: 'min-p',
        logitBias: 'logit-bias',
        special: 'special',
        scrub: 'scrub',
        chat: 'chat',
        tools: 'tools',
        jsonObject: 'json-object',
        jsonSchema: 'json-schema',
        templateVar: 'template-var',
        drafts: 'no-drafts',
        cache: 'cache',
        trace: 'trace'
      }
      const clash = Object.entries(own).find(([name]) => given(name))?.[1]
      if (clash !== undefined) {
        throw new InvalidOptionError(`--resume takes no --${clash}: a session goes on as it began`)
      }
      const { maxTokens, ...rest } = options
      const more = given('maxTokens') ? { maxTokens } : {}
      await resume(options.resume, { ...rest, ...more, data: dataOf(options) }, context)
    })

  describeChat(program, context)
  describeInfer(program, context)

  command(program, 'key <file>', 'Make a session key: 32 random bytes, in a file to copy to whoever may resume.')
    .option('--seal', 'make a key that seals data directories, to keep apart from them')
    .option('--signing', 'make a key that signs models, with its public part in <file>.pub')
    .addOption(json('print one JSON object'))
    .action(async (file: string, options) => {
      const { makeKey } = await import('./key.ts')
      await makeKey(file, options)
    })

  command(program, 'forget <name>', 'Have the peers that keep a session remove it, as far as they are reachable.')
    .addOption(data())
    .addOption(key())
    .addOption(json('print one JSON object'))
    .action(async (name: string, options) => {
      const { forget } = await import('./key.ts')
      await forget(name, { ...options, data: dataOf(options) }, context)
    })

  describeLooking(program, context, end)

  command(
    program,
    'drain',
    'Have the running peer go: others take over its layers while it serves, sessions move on, then it stops.'
  )
    .addOption(data())
    .addOption(json('print one JSON object'))
    .action(async options => {
      const { drain } = await import('./drain.ts')
      await drain({ ...options, data: dataOf(options) }, context)
    })

  command(
    program,
    'serve <name>',
    'Have the running peer serve a model, too; one that is not here is fetched from peers.'
  )
    .addOption(data())
    .option('--layers <start-end>', 'serve exactly these layers; the end is not included', layerRange('--layers'))
    .addOption(json('print one JSON object'))
    .action(async (name: string, options) => {
      const { serve } = await import('./serve.ts')
      await serve(name, { ...options, data: dataOf(options) }, context)
    })
  command(program, 'unserve <name>', 'Have the running peer serve a model no longer; its files stay.')
    .addOption(data())
    .addOption(json('print one JSON object'))
    .action(async (name: string, options) => {
      const { unserve } = await import('./serve.ts')
      await unserve(name, { ...options, data: dataOf(options) }, context)
    })

  describeSeal(program, context)
  describeModelCommands(command(program, 'model', 'Import, list, show, sign, verify and remove models.'), context)

  command(program, 'demo', 'Show it all on this machine: several peers, one model that none of them holds, one story.')
    .option('--peers <n>', 'peers to start', wholeNumber('--peers', 1, demoPeersMax), 3)
    .option('--model <name>', 'an imported model, by name or id (default: the one that ships)', words('--model'))
    .addOption(data())
    .addOption(seal())
    .option('--prompt <text>', 'how the story begins', 'Once upon a time')
    .option('--max-tokens <n>', 'tokens to generate at most', wholeNumber('--max-tokens', 1, 1 << 24), 160)
    .option('--kill', 'kill a peer in mid-story: another one goes on in its place')
    .addOption(json('print JSON objects, one a line; the last one has event "demo"'))
    .action(async options => {
      const { demo } = await import('./demo.ts')
      end(await demo({ ...options, data: await openedData(options) }, context))
    })
  return program
}

function describeChat(program: Command, context: CommandContext): void {
  const chats = command(
    program,
    'chat',
    'Converse with a model through the running peer, by its chat template: typed, or piped, a line a message.'
  )
    .addOption(data())
    .option(
      '--model <name>',
      'model to talk to, by name or id (default: the one that the peer serves)',
      words('--model')
    )
    .option('--system <text>', 'what the system says first', words('--system'))
    .option(
      '--keep <n>',
      'where the conversation does not fit the context or the 1 MiB that a peer takes, leave out its oldest turns, but for the last n (default: say so)',
      wholeNumber('--keep', 1, 1 << 20)
    )
    .option('--max-tokens <n>', 'tokens of an answer at most (default: 256)', wholeNumber('--max-tokens', 1, 1 << 24))
    .addOption(scrub())
    .option('--wait <time>', 'as with ask', duration('--wait', 0, waitMaxMs))
    .option('--cache <type>', 'as with ask: f32 or i8', oneOf('--cache', ['f32', 'i8']), 'f32')
    .addOption(json('print events as JSON objects, one a line, as ask does'))
  takesTemplate(takesSampling(chats)).action(async options => {
    const { chat } = await import('./chat.ts')
    await chat({ ...options, data: dataOf(options) }, context)
  })
}

/** The version in package.json, which lies above this file both in `src` and in `dist`. */
function packageVersion(): string {
  const file = fileURLToPath(import.meta.resolve('skein/package.json'))
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version
}

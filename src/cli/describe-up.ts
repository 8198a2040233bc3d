/** `skein up`, with all that a peer is told at its start. */
import { type Command, Option } from 'commander'
import type { CommandContext } from './context.ts'
import { command, data, dataOf, json, scrub, sealGiven } from './describe.ts'
import { attestableRoles } from '../index.ts'
import { listOf, modelLayers, oneOf, registerValues, repeated, size, tcpAddress, wholeNumber, words } from './flags.ts'
import { takesHttp } from './http.ts'
import type { UpFlags } from './up.ts'

export function describeUp(program: Command, context: CommandContext): void {
  const made = command(
    program,
    'up',
    'Start a peer and keep it running until Ctrl-C or skein drain; it hands over what it serves before it goes.'
  )
    .addOption(data())
    .option(
      '--seal <file>',
      "have everything in the directory lie there sealed, so that a copy of the disk is worth nothing: the path of a key file (skein key FILE --seal), keyring or keyring:NAME for the kernel's keyring, tpm2 or tpm2:REGISTERS for this machine's TPM (default: SKEIN_SEAL, else files lie as they are)",
      words('--seal')
    )
    .option(
      '--config <file>',
      'take flags from this JSON file, too: { "swarm": "swarm.json", "memory": "2GB" }',
      words('--config')
    )
    .option(
      '--swarm <file>',
      'the swarm to be in: a file made by skein init (default: the one that the data directory has joined)',
      words('--swarm')
    )
    .option(
      '--model <name>',
      'model to serve, by name or id; may be repeated; fetched from peers if it is not here (default: the only one here, or the shipped one)',
      repeated(words('--model'))
    )
    .option(
      '--draft <name>',
      'hold this small model whole, too: it proposes what comes next in answers of this peer, which then come sooner, with the same tokens; by name or id, within the budget, with the vocabulary of what is asked',
      words('--draft')
    )
    .option(
      '--memory <size>',
      'budget for weights and caches, such as 64MB; 0 for a peer that holds no layers (default: half of the memory)',
      size('--memory', { zero: true })
    )
    .option(
      '--disk <size>',
      'what models may take of the disk, such as 10GB: what is not needed here gives way, but for what was imported (default: no limit)',
      size('--disk')
    )
    .option(
      '--layers <range>',
      'serve exactly these layers; 0-2 is layers 0 and 1: the end is not included; NAME:0-2 with several models',
      repeated(modelLayers('--layers'))
    )
    .addOption(requireSigned())
    .option(
      '--audit',
      'keep a log of the requests that this peer drives, chained and signed: who asked which model, over whom, and a digest of the answer; skein audit reads it (default: none)'
    )
    .option('--no-check-work', 'have no work of others checked, and sign none that is done here (default: some is)')
    .addOption(scrub())
    .option(
      '--scrub-country <code>',
      "country of telephone numbers without a country's code, by its two letters such as DE (default: they are known by how they are written)",
      words('--scrub-country')
    )
  takesHttp(takesNetwork(takesEvidence(made)))
    // For the demo: a peer whose parent is gone, however it went, must not stay behind.
    .addOption(new Option('--stop-with-stdin').hideHelp())
    .action(async (_, command: Command) => {
      const { config } = command.opts()
      if (config !== undefined) {
        const { applyConfig } = await import('./config.ts')
        await applyConfig(command, config)
      }
      const options = command.opts()
      const { up } = await import('./up.ts')
      await up({ ...options, data: dataOf(options), seal: sealGiven(options) } as UpFlags, context)
    })
}

/** Evidence of machines. */
function takesEvidence(made: Command): Command {
  return made
    .option(
      '--attest <kind>',
      "give members evidence of this machine: by tpm2, this machine's TPM through tpm2-tools, whose key its certificate names (default: none)",
      oneOf('--attest', ['tpm2'])
    )
    .option(
      '--require-attested <roles>',
      `some of ${attestableRoles.join(', ')}: of others these count only with evidence of their machines (default: none)`,
      listOf('--require-attested', attestableRoles)
    )
    .option(
      '--attest-pcrs <set>',
      'what registers of their TPMs may hold, as skein attest show prints it there; may be repeated: one of them has to be right (default: whatever they hold)',
      repeated(registerValues('--attest-pcrs'))
    )
}

/** Where a peer listens and looks for others, and how it computes. */
function takesNetwork(made: Command): Command {
  return made
    .option(
      '--listen <multiaddr>',
      'listen here; may be repeated (default: all addresses, /ip4/0.0.0.0/tcp/0 and /ip6/::/tcp/0)',
      repeated(tcpAddress('--listen', 'listen'))
    )
    .option(
      '--bootstrap <multiaddr>',
      'dial this peer too; may be repeated',
      repeated(tcpAddress('--bootstrap', 'dial'))
    )
    .option(
      '--wait',
      'wait for the model as long as it takes, if neither this peer nor another has it yet (default: 20 s, and longer while a neighbour that has just started may offer it)'
    )
    .option('--no-mdns', 'do not look for peers by multicast DNS')
    .option('--threads <n>', 'threads per engine', wholeNumber('--threads', 1, 256))
    .option(
      '--trace-every <n>',
      'trace one of so many answers span by span, for metrics and skein trace (default: 16 with --http, else only those that are asked with --trace)',
      wholeNumber('--trace-every', 1)
    )
    .option(
      '--engine <name>',
      'compute with this engine alone: wasm, or onnx, which needs the optional package onnxruntime-node (default: wasm, and onnx for models that it cannot compute)',
      oneOf('--engine', ['wasm', 'onnx'])
    )
    .addOption(json('print JSON objects, one a line'))
}

function requireSigned(): Option {
  return new Option(
    '--require-signed <key>',
    'work only with models that this key has signed, here and from others: a public key, or its .pub file, or swarm for the authority of a swarm with members and the keys that it has certified; may be repeated (default: no model needs a signature)'
  ).argParser(repeated(words('--require-signed')))
}

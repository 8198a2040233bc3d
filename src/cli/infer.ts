/** `skein infer`: a run of a graph through the running peer. */
import { Buffer } from 'node:buffer'
import { writeFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { addAbortSignal } from 'node:stream'
import {
  describePort,
  type GraphPort,
  InvalidOptionError,
  reasonOf,
  readStored,
  type Tensor,
  type Tensors
} from '../index.ts'
import type { CommandContext } from './context.ts'
import { askEmbed, askGraph, askInfer } from './control-client.ts'
import { inferFileBytesMax } from './limits.ts'
import { readNpy, writeNpy } from './npy.ts'
import { formatMs, note, say, sayJson, shortPeer } from './output.ts'
import { jsonOfTensor, tensorOfJson } from './tensor-json.ts'

export interface InferFlags {
  readonly data: string
  /** `NAME=FILE`, or `-` for all of them as JSON on stdin. */
  readonly input?: readonly string[]
  readonly text?: readonly string[]
  /** `NAME=FILE.npy`, or `FILE.npy` where there is one output. */
  readonly output?: readonly string[]
  /** In ms. */
  readonly wait?: number
  readonly json?: boolean
}

/**
 * Prints outputs as JSON, or vectors of texts, one a line; those that are to go to files are written there.
 *
 * @throws {InvalidOptionError}, what {@link askInfer} throws, and the signal's reason
 */
export async function infer(name: string, flags: InferFlags, context: CommandContext): Promise<void> {
  const { input = [], text = [] } = flags
  if ((input.length === 0) === (text.length === 0)) {
    throw new InvalidOptionError(
      input.length === 0
        ? 'there is nothing to run it with: give --text TEXT, or --input NAME=FILE for each input'
        : '--text makes the inputs itself: leave --input out'
    )
  }
  if (text.length > 0) await embed(name, text, flags, context)
  else await run(name, input, flags, context)
}

async function embed(
  name: string,
  texts: readonly string[],
  flags: InferFlags,
  { signal }: CommandContext
): Promise<void> {
  if (flags.output !== undefined)
    throw new InvalidOptionError('--output goes with --input: vectors of texts are printed')
  const { vectors, tokens, cut } = await askEmbed(flags.data, { model: name, texts, ...waiting(flags) }, { signal })
  for (const [i, count] of cut.entries()) {
    if (count === 0) continue
    note(
      `skein: warning: text ${i + 1} has ${tokens[i]} tokens, and its last ${count} were left out: its tokenizer says how many a text may have`
    )
  }
  if (flags.json) sayJson({ event: 'embedded', vectors, tokens, cut })
  else for (const vector of vectors) say(JSON.stringify(vector))
}

async function run(
  name: string,
  given: readonly string[],
  flags: InferFlags,
  { signal }: CommandContext
): Promise<void> {
  const { inputs: ports, outputs: gives } = await askGraph(flags.data, name, { signal })
  const targets = targetsOf(flags.output ?? [], gives, name)
  const inputs = await inputsOf(name, ports, given, signal)
  const { outputs, computeMs, peer } = await askInfer(
    flags.data,
    { model: name, inputs, ...waiting(flags) },
    { signal }
  )
  for (const [output, file] of targets) {
    try {
      await writeFile(file, writeNpy(outputs[output]!))
    } catch (err) {
      throw new InvalidOptionError(`--output cannot write ${file}: ${reasonOf(err)}`)
    }
  }
  const printed = Object.entries(outputs).filter(
    ([output]) => targets.length === 0 || !targets.some(([each]) => each === output)
  )
  const values = Object.fromEntries(printed.map(([output, tensor]) => [output, jsonOfTensor(tensor)]))
  if (flags.json) {
    const shapes = Object.fromEntries(
      Object.entries(outputs).map(([output, { type, dims }]) => [output, { type, dims }])
    )
    sayJson({ event: 'inferred', peer, computeMs, shapes, outputs: values })
    return
  }
  if (printed.length > 0) say(JSON.stringify(values))
  if (process.stderr.isTTY) note(`${formatMs(computeMs)} at ${shortPeer(peer)}`)
}

function waiting({ wait }: InferFlags): { readonly waitMs?: number } {
  return wait === undefined ? {} : { waitMs: wait }
}

/** Where outputs go, by name. @throws {InvalidOptionError} */
function targetsOf(given: readonly string[], ports: readonly GraphPort[], model: string): [string, string][] {
  const names = ports.map(({ name }) => name)
  const targets = given.map((each): [string, string] => {
    const at = each.indexOf('=')
    if (at < 0 && names.length === 1) return [names[0]!, each]
    const name = each.slice(0, Math.max(0, at))
    if (names.includes(name) && at + 1 < each.length) return [name, each.slice(at + 1)]
    throw new InvalidOptionError(`--output takes NAME=FILE.npy, and ${model} gives ${names.join(', ')}, not '${each}'`)
  })
  const files = targets.map(([, file]) => resolve(file))
  const twice = files.findIndex((file, at) => files.indexOf(file) !== at)
  if (twice >= 0)
    throw new InvalidOptionError(`--output writes ${targets[twice]![1]} twice: give each output a file of its own`)
  return targets
}

async function inputsOf(
  model: string,
  ports: readonly GraphPort[],
  given: readonly string[],
  signal: AbortSignal
): Promise<Tensors> {
  const inputs: Record<string, Tensor> = {}
  const list = ports.map(port => `${port.name} (${describePort(port)})`).join(', ')
  const portOf = (name: string): GraphPort => {
    const port = ports.find(each => each.name === name)
    if (port === undefined) throw new InvalidOptionError(`${model} has no input '${name}': it takes ${list}`)
    return port
  }
  const put = (name: string, tensor: Tensor): void => {
    // Which one was meant is for whoever wrote them to say.
    if (Object.hasOwn(inputs, name)) throw new InvalidOptionError(`--input gives '${name}' twice: give each input once`)
    inputs[name] = tensor
  }
  if (given.filter(each => each === '-').length > 1)
    throw new InvalidOptionError('--input - is given twice: stdin is read once')
  for (const each of given) {
    if (each === '-') {
      const all = parsed(await readStdin(signal), 'stdin')
      if (all === null || typeof all !== 'object' || Array.isArray(all)) {
        throw new InvalidOptionError(
          `on stdin an object of inputs is expected, as in {"${ports[0]?.name ?? 'x'}": [[1, 2]]}`
        )
      }
      for (const [name, value] of Object.entries(all)) put(name, tensorOfJson(portOf(name), value))
      continue
    }
    const at = each.indexOf('=')
    if (at <= 0)
      throw new InvalidOptionError(`--input takes NAME=FILE, or - for stdin, not '${each}': it takes ${list}`)
    const [port, file] = [portOf(each.slice(0, at)), each.slice(at + 1)]
    put(port.name, await tensorOfFile(port, file))
  }
  return inputs
}

async function tensorOfFile(port: GraphPort, file: string): Promise<Tensor> {
  const bytes = await readStored(file, inferFileBytesMax).catch((err: unknown) => {
    throw new InvalidOptionError(`${file} cannot be read: ${reasonOf(err)}`)
  })
  if (/\.npy$/i.test(file)) return readNpy(bytes, file)
  return tensorOfJson(port, parsed(new TextDecoder().decode(bytes), file))
}

function parsed(text: string, from: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    throw new InvalidOptionError(`${from} is not JSON: lists of numbers are, and files of NumPy end in .npy`)
  }
}

async function readStdin(signal: AbortSignal): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  addAbortSignal(signal, process.stdin)
  for await (const chunk of process.stdin) {
    chunks.push(chunk as Buffer)
    bytes += (chunk as Buffer).length
    if (bytes > inferFileBytesMax) throw new InvalidOptionError(`stdin has more than ${inferFileBytesMax} bytes`)
  }
  return Buffer.concat(chunks).toString('utf8')
}

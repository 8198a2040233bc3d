/** Flags that say what a model's chat template is given beside the messages. */
import type { Command } from 'commander'
import { InvalidOptionError, readStoredText, reasonOf } from '../index.ts'
import { words } from './flags.ts'
import { controlRequestBytesMax } from './limits.ts'

export interface TemplateFlags {
  /** A JSON file. */
  readonly tools?: string
  readonly templateVar?: Readonly<Record<string, unknown>>
}

/** Adds them to a command. */
export function takesTemplate(command: Command): Command {
  return command
    .option(
      '--template-var <name=value>',
      'a variable of the chat template, such as enable_thinking=false; JSON, else text; may be repeated',
      variable
    )
    .option('--tools <file.json>', 'functions that the model may call: a JSON list of their schemas', words('--tools'))
}

/** One more variable. */
function variable(text: string, before: Readonly<Record<string, unknown>> = {}): Readonly<Record<string, unknown>> {
  const [, name, value] = /^([A-Za-z_][A-Za-z0-9_]*)=(.*)$/s.exec(text) ?? []
  if (name === undefined || value === undefined) {
    throw new InvalidOptionError(`--template-var takes name=value, such as enable_thinking=false, not '${text}'`)
  }
  if (Object.hasOwn(before, name)) throw new InvalidOptionError(`--template-var has two values of ${name}`)
  return { ...before, [name]: json(value) ?? value }
}

/** Undefined where it is none. */
function json(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}

/** What of them the peer is told. @throws {InvalidOptionError} when the file is none, or holds no list of objects */
export async function templateOptions({ tools, templateVar }: TemplateFlags): Promise<{
  readonly tools?: Record<string, never>[]
  readonly variables?: Record<string, never>
}> {
  return {
    ...(tools === undefined ? {} : { tools: await readTools(tools) }),
    ...(templateVar === undefined ? {} : { variables: templateVar as Record<string, never> })
  }
}

async function readTools(file: string): Promise<Record<string, never>[]> {
  const refuse = (what: string): never => {
    throw new InvalidOptionError(`--tools takes a JSON file with a list of functions' schemas: ${file} ${what}`)
  }
  let text = ''
  try {
    text = await readStoredText(file, controlRequestBytesMax)
  } catch (err) {
    return refuse(`cannot be read: ${reasonOf(err)}`)
  }
  const list = json(text)
  if (list === undefined) return refuse('is not JSON')
  const isObject = (each: unknown): boolean => typeof each === 'object' && each !== null && !Array.isArray(each)
  if (!Array.isArray(list) || !list.every(isObject)) return refuse('holds something else')
  return list as Record<string, never>[]
}

/** Flags that say what an answer must be. */
import type { Command } from 'commander'
import { checkGrammar, type GrammarSpec, InvalidOptionError, readStoredText, reasonOf } from '../index.ts'
import { words } from './flags.ts'
import { controlRequestBytesMax } from './limits.ts'

export interface GrammarFlags {
  readonly jsonObject?: boolean
  /** A JSON file. */
  readonly jsonSchema?: string
}

/** Adds them to a command. */
export function takesGrammar(command: Command): Command {
  return command
    .option('--json-object', 'the answer is a JSON object: no other token is drawn')
    .option('--json-schema <file.json>', 'the answer is JSON that this JSON Schema allows', words('--json-schema'))
}

/** What of them the peer is told. @throws {InvalidOptionError} when both are given, or the file holds no schema that an answer can be held to */
export async function grammarOptions({
  jsonObject,
  jsonSchema
}: GrammarFlags): Promise<{ readonly grammar?: GrammarSpec }> {
  if (jsonSchema === undefined) return jsonObject === true ? { grammar: { kind: 'json' } } : {}
  if (jsonObject === true) throw new InvalidOptionError('--json-object and --json-schema both say what the answer is')
  let schema: unknown
  try {
    schema = JSON.parse(await readStoredText(jsonSchema, controlRequestBytesMax))
  } catch (err) {
    throw new InvalidOptionError(
      `--json-schema takes a file with a JSON Schema: ${jsonSchema} cannot be read: ${reasonOf(err)}`
    )
  }
  if (typeof schema !== 'object' || schema === null || Array.isArray(schema)) {
    throw new InvalidOptionError(
      `--json-schema takes a file with a JSON Schema, an object: ${jsonSchema} holds something else`
    )
  }
  const grammar: GrammarSpec = { kind: 'json-schema', schema }
  await checkGrammar(grammar)
  return { grammar }
}

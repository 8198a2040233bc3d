/**
 * An object of a JSON Schema, written with marks around its properties and with texts that have no quotes: whatever fits is read by
 * `plain-values.ts` as an object that the schema allows. Properties come in the order of the schema; others than it names come only where it
 * names none. Pure.
 */
import type { PlainMarks } from './grammar-spec.ts'
import { schemaDepthMax } from './limits.ts'
import { asItIs } from './pattern-syntax.ts'
import { isMixed, plainKinds, plainValue } from './plain-values.ts'
import { countsOf, namedSchemas, requiredNames, restSchema } from './schema-parts.ts'
import { type SchemaOptions, SchemaReader } from './schema-syntax.ts'
import type { Schema } from './schema-types.ts'
import {
  character,
  codePointMax,
  either,
  nothing,
  oneOf,
  optional,
  others,
  type Rules,
  type Syntax,
  sequence,
  text,
  times,
  united,
  without
} from './syntax.ts'

type Keywords = Readonly<Record<string, unknown>>

const anyCharacter = character([[0, codePointMax]])
const anyText = times(anyCharacter, 0, Number.POSITIVE_INFINITY)
/** A character with which no JSON begins, but for its words. */
const safeStart = character(others(united([...' \t\n\r"-[{0123456789'].map(each => [codeOf(each), codeOf(each)]))))
/** Names of properties that no schema gives. */
const anyName = sequence(oneOf('az', 'AZ', '_'), times(oneOf('az', 'AZ', '09', '_', '-'), 0, 63))

/**
 * @param schema whose size and depth were checked
 * @throws {InvalidOptionError} when it has what is not supported, or no object fits it: says where
 */
export function plainSyntax(
  schema: Schema,
  rules: Rules,
  { marks, ...options }: SchemaOptions & { readonly marks: PlainMarks }
): Syntax {
  const reader = new SchemaReader(schema, rules, options)
  const syntax = new PlainReader(reader, schema, marks).object(options.path ?? 'schema')
  reader.finish()
  return syntax
}

/** What a value may be: its schema has one type, or it is one of some that are named. */
type Way =
  | { readonly type: string; readonly schema: Keywords; readonly path: string }
  | { readonly literal: unknown; readonly path: string }

class PlainReader {
  readonly #reader: SchemaReader
  readonly #root: Schema
  readonly #marks: PlainMarks

  constructor(reader: SchemaReader, root: Schema, marks: PlainMarks) {
    this.#reader = reader
    this.#root = root
    this.#marks = marks
  }

  object(path: string): Syntax {
    const reader: SchemaReader = this.#reader
    const { schema, at } = this.#top(path)
    const named = namedSchemas(reader, schema, at)
    const required = requiredNames(reader, schema, at)
    // That none are named, where it is said, is meant: models would go on and on.
    const isClosed = named.size === 0 && schema.properties !== undefined && schema.additionalProperties === undefined
    const rest = isClosed ? undefined : restSchema(reader, schema, named, at)
    for (const name of required) {
      if (named.has(name)) continue
      if (rest === undefined)
        reader.refuse(`${at}.required`, `has ${JSON.stringify(name)}, which the schema does not allow`)
      named.set(name, rest)
    }
    const sizes = { named: named.size, required: required.size, isOpen: rest !== undefined }
    const counts = countsOf(reader, schema, sizes, at)
    if (schema.propertyNames !== undefined)
      reader.refuse(`${at}.propertyNames`, 'is not supported in calls of this form')
    if (named.size === 0) {
      if (rest === undefined) return nothing
      const member = this.#member(anyName, rest, `${at}.additionalProperties`)
      return times(reader.shared(member), counts.min, counts.max)
    }
    return sequence(
      ...[...named].map(([name, each]) => {
        if (!/^[^\s<>](?:[^<>\r\n]*[^\s<>])?$/.test(name)) {
          reader.refuse(`${at}.properties`, `has ${JSON.stringify(name)}, a name that calls of this form cannot have`)
        }
        const member = this.#member(text(name), each, `${at}.properties.${name}`)
        return required.has(name) ? member : optional(member)
      })
    )
  }

  /** The schema of the object, behind what leads to it. */
  #top(path: string): { readonly schema: Keywords; readonly at: string } {
    let [found, at] = [this.#root, path]
    for (let level = 0; level < schemaDepthMax; level++) {
      if (found === true) return { schema: {}, at }
      const { keywords, choice } = this.#reader.checked(found, at)
      if (choice === '$ref') found = this.#reader.referred(keywords.$ref, `${at}.$ref`)
      else if (choice === 'allOf') [[found, at]] = this.#reader.branches(choice, keywords, at) as [[Schema, string]]
      else if (choice !== undefined) this.#reader.refuse(`${at}.${choice}`, 'is not supported in calls of this form')
      else {
        const types = this.#reader.types(keywords, at)
        if (types.length === 0 || types.includes('object')) return { schema: keywords, at }
        this.#reader.refuse(`${at}.type`, "must be 'object'")
      }
    }
    return this.#reader.refuse(path, 'refers to itself, with nothing before that')
  }

  #member(name: Syntax, schema: Schema, path: string): Syntax {
    const { beforeName, beforeValue, afterValue, never } = this.#marks
    const mark = (texts: readonly string[]): Syntax => either(...texts.map(text))
    const value = this.#reader.shared(without(this.#value(schema, path), never))
    return sequence(mark(beforeName), name, mark(beforeValue), value, mark(afterValue))
  }

  #value(schema: Schema, path: string): Syntax {
    const kinds = plainKinds(schema, this.#root)
    const ways = this.#ways(schema, path, 0)
    if (ways === undefined) return anyText
    if (kinds === undefined) this.#reader.refuse(path, 'is nested too deeply for calls of this form')
    const hasText = ways.some(way => 'type' in way && way.type === 'string')
    const syntaxes = ways.flatMap((way): Syntax[] => {
      if ('literal' in way) return this.#literal(way, kinds, hasText)
      if (way.type !== 'string') return this.#json(way)
      if (!isMixed(kinds)) return [this.#reader.characters(way.schema, way.path, anyCharacter, asItIs)]
      return [this.#reader.ofOneType('string', way.schema, way.path), ...this.#safeText(way.schema, way.path)]
    })
    if (syntaxes.length === 0) this.#reader.refuse(path, 'has no value that calls of this form can have')
    return either(...new Set(syntaxes))
  }

  /** Undefined where it may be anything. */
  #ways(schema: Schema, path: string, level: number): Way[] | undefined {
    const reader: SchemaReader = this.#reader
    if (schema === true) return undefined
    const { keywords, choice } = reader.checked(schema, path)
    if (level > schemaDepthMax) reader.refuse(path, 'refers to itself, with nothing before that')
    if (choice === '$ref') {
      return this.#ways(reader.referred(keywords.$ref, `${path}.$ref`), path, level + 1)
    }
    if (choice === 'const' || choice === 'enum') {
      return reader.literals(choice, keywords, path).map(literal => ({ literal, path: `${path}.${choice}` }))
    }
    if (choice !== undefined) {
      const branches = reader.branches(choice, keywords, path)
      const ways = branches.map(([each, at]) => this.#ways(each, at, level + 1))
      return ways.includes(undefined) ? undefined : ways.flatMap(each => each!)
    }
    const types = reader.types(keywords, path)
    return types.length === 0 ? undefined : types.map(type => ({ type, schema: keywords, path }))
  }

  /** Without quotes where it is read as the text that it is. */
  #literal(
    { literal, path }: { readonly literal: unknown; readonly path: string },
    kinds: NonNullable<ReturnType<typeof plainKinds>>,
    hasText: boolean
  ): Syntax[] {
    const json = JSON.stringify(literal)
    const isText = typeof literal === 'string'
    // Any text beside it could be read as the other one.
    if (typeof literal === 'boolean' && hasText)
      this.#reader.refuse(path, 'has true or false, which is not supported beside any text')
    const spelt = [...(isText ? [literal] : []), json].find(each => JSON.stringify(plainValue(each, kinds)) === json)
    const isSayable = spelt !== undefined && !this.#marks.never.some(each => spelt.includes(each))
    return isSayable ? [text(spelt)] : []
  }

  #json({ type, schema, path }: { readonly type: string; readonly schema: Keywords; readonly path: string }): Syntax[] {
    const json = this.#reader.ofOneType(type, schema, path)
    if (type === 'boolean') return [json, text('True'), text('False')]
    return type === 'null' ? [json, text('None')] : [json]
  }

  /** A text that is taken for nothing else, where it has no form. */
  #safeText(schema: Keywords, path: string): Syntax[] {
    if (schema.pattern !== undefined || schema.format !== undefined) return []
    const min = this.#reader.count(schema, 'minLength', path) ?? 0
    const max = this.#reader.count(schema, 'maxLength', path) ?? Number.POSITIVE_INFINITY
    if (max === 0) return [nothing]
    const some = sequence(safeStart, times(anyCharacter, Math.max(0, min - 1), max - 1))
    return [min === 0 ? optional(some) : some]
  }
}

function codeOf(character: string): number {
  return character.codePointAt(0)!
}

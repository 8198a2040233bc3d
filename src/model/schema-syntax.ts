/**
 * A JSON Schema as a grammar: whatever text fits the grammar parses as JSON that the schema allows. It gives some of what a schema
 * allows, where that keeps answers in order: properties come in the order of the schema, numbers have so many digits. What it cannot hold
 * to is refused with its path, never passed over. Pure.
 */
import { InvalidOptionError } from '../errors.ts'
import { asPattern } from './formats.ts'
import {
  anyArray,
  anyBoolean,
  anyNull,
  anyNumber,
  anyObject,
  anyString,
  anyValue,
  quoted,
  stringCharacter
} from './json-syntax.ts'
import { branchesApartMax } from './limits.ts'
import { numberBetween, wholeBetween } from './number-syntax.ts'
import { inJson, patternSyntax, type Spelling, wholePatternSyntax } from './pattern-syntax.ts'
import { arraySyntax, objectSyntax } from './schema-parts.ts'
import { areApart, atPointer, byType, type JsonType, type Schema, typesOf } from './schema-types.ts'
import { either, type Rules, type Syntax, text, times } from './syntax.ts'

export type { Schema } from './schema-types.ts'

/** Keywords that say nothing about a value. */
const annotations = new Set(
  ['title', 'description', 'default', 'examples', 'example', '$schema', '$id', '$comment', 'deprecated'].concat([
    'readOnly',
    'writeOnly',
    '$defs',
    'definitions',
    'discriminator'
  ])
)
/** Keywords beside which none of the others may stand. */
const choices = ['$ref', 'allOf', 'anyOf', 'oneOf', 'const', 'enum'] as const
const types: readonly string[] = ['object', 'array', 'string', 'number', 'integer', 'boolean', 'null']

const characters = inJson(times(stringCharacter, 0, Number.POSITIVE_INFINITY))

type Keywords = Readonly<Record<string, unknown>>
export type Choice = (typeof choices)[number]

export interface SchemaOptions {
  /** Objects whose properties are named have no others, unless the schema says `additionalProperties`. @default false */
  readonly strict?: boolean | undefined
  /** What messages call the schema. @default 'schema' */
  readonly path?: string | undefined
}

/**
 * @param schema whose size and depth were checked
 * @param rules to which its own are added
 * @throws {InvalidOptionError} when it has what is not supported, or no value fits it: says where
 */
export function schemaSyntax(schema: Schema, rules: Rules, options: SchemaOptions = {}): Syntax {
  return new SchemaReader(schema, rules, options).whole()
}

export class SchemaReader {
  readonly strict: boolean
  readonly #root: Schema
  readonly #path: string
  readonly #rules: Rules
  /** Rules by the reference that leads to them. */
  readonly #known = new Map<string, Syntax>()
  /** Reads what was referred to, one after the other: references may lead far. */
  readonly #unread: (() => void)[] = []

  constructor(root: Schema, rules: Rules, { strict = false, path = 'schema' }: SchemaOptions) {
    this.strict = strict
    this.#root = root
    this.#path = path
    this.#rules = rules
  }

  whole(): Syntax {
    const syntax = this.read(this.#root, this.#path)
    this.finish()
    return syntax
  }

  /** Reads what was referred to. */
  finish(): void {
    for (let next = this.#unread.pop(); next !== undefined; next = this.#unread.pop()) next()
  }

  read(schema: Schema, path: string): Syntax {
    if (schema === true) return anyValue
    const { keywords, choice } = this.checked(schema, path)
    if (choice === undefined) return this.#typed(keywords, path)
    const value = keywords[choice]
    const at = `${path}.${choice}`
    if (choice === '$ref') return this.#referred(value, at)
    if (choice === 'const' || choice === 'enum') {
      return either(...this.literals(choice, keywords, path).map(each => text(JSON.stringify(each))))
    }
    return either(...this.branches(choice, keywords, path).map(([each, where]) => this.read(each, where)))
  }

  /** The keywords of a schema, none of which is passed over later on, and the one beside which no other may stand. */
  checked(schema: Schema, path: string): { readonly keywords: Keywords; readonly choice: Choice | undefined } {
    if (schema === false) this.refuse(path, 'is false, which no value fits')
    if (typeof schema !== 'object' || schema === null || Array.isArray(schema)) {
      this.refuse(path, 'must be an object, or true')
    }
    const given = givenIn(schema)
    const choice = choices.find(key => given.includes(key))
    for (const key of given) {
      const isKnown = key === 'type' || key === choice || Object.hasOwn(byType, key)
      if (!isKnown)
        this.refuse(
          `${path}.${key}`,
          choices.some(each => each === key) ? `is not supported beside ${choice}` : 'is not supported'
        )
      if (choice === undefined || key === choice) continue
      if (key !== 'type' || choice === '$ref' || choice === 'allOf') {
        this.refuse(`${path}.${key}`, `is not supported beside ${choice}`)
      }
    }
    return { keywords: schema, choice }
  }

  /** A rule that may be used at several places. */
  shared(syntax: Syntax): Syntax {
    return this.#rules.add(syntax)
  }

  refuse(path: string, why: string): never {
    throw new InvalidOptionError(`${path} ${why}`)
  }

  /** A number of things, if it is given. */
  count(schema: Keywords, key: string, path: string): number | undefined {
    const value = schema[key]
    if (value === undefined) return undefined
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value
    return this.refuse(`${path}.${key}`, 'must be a whole number of 0 or more')
  }

  /** The schemas of which a value is to fit one, each with its path. */
  branches(choice: 'allOf' | 'anyOf' | 'oneOf', schema: Keywords, path: string): (readonly [Schema, string])[] {
    const value = schema[choice]
    const at = `${path}.${choice}`
    if (!Array.isArray(value) || value.length === 0) this.refuse(at, 'must be an array that is not empty')
    if (choice === 'allOf') {
      if (value.length > 1) this.refuse(at, 'is supported with one schema in it, and has more')
      return [[value[0] as Schema, `${at}.0`]]
    }
    const branches = value.map((each: Schema, i) => this.#ofType(each, schema.type, `${at}.${i}`))
    if (choice === 'oneOf') this.#checkApart(branches, at)
    return branches.map((each, i) => [each, `${at}.${i}`])
  }

  /** The values that a schema names. */
  literals(choice: 'const' | 'enum', schema: Keywords, path: string): unknown[] {
    const at = `${path}.${choice}`
    const values = choice === 'const' ? [schema.const] : schema.enum
    if (!Array.isArray(values) || values.length === 0) this.refuse(at, 'must be an array that is not empty')
    const allowed = schema.type === undefined ? undefined : this.#types(schema.type, path)
    const fitting = values.filter(value => {
      if (allowed === undefined) return true
      const [type] = typesOf({ const: value })
      return allowed.includes(type!) || (allowed.includes('integer') && Number.isInteger(value))
    })
    if (fitting.length === 0) this.refuse(at, 'has no value of the type beside it')
    return fitting
  }

  /** One of several schemas, beside which a type stands. */
  #ofType(schema: Schema, type: unknown, path: string): Schema {
    if (type === undefined || typeof schema !== 'object' || schema === null) return schema
    if (schema.type === undefined && !choices.some(key => key in schema)) return { ...schema, type }
    if (schema.type === type) return schema
    return this.refuse(path, 'must give the type itself that stands beside it')
  }

  #checkApart(branches: readonly Schema[], path: string): void {
    if (branches.length > branchesApartMax) {
      this.refuse(path, `is supported with ${branchesApartMax} schemas, and has ${branches.length}: use anyOf, or enum`)
    }
    const resolve = (schema: Schema): Schema => this.#resolved(schema)
    for (const [i, one] of branches.entries()) {
      for (let other = 0; other < i; other++) {
        if (areApart(resolve(branches[other]!), resolve(one), resolve)) continue
        this.refuse(
          path,
          `is supported where no value fits two of its schemas, which ${other} and ${i} do not show: use anyOf, ` +
            'or give both a required property with another const'
        )
      }
    }
  }

  #types(type: unknown, path: string): readonly string[] {
    const list = Array.isArray(type) ? type : [type]
    for (const each of list) {
      if (!types.includes(each)) this.refuse(`${path}.type`, `must be one of ${types.join(', ')}, or several of them`)
    }
    if (list.length === 0) this.refuse(`${path}.type`, 'must not be empty')
    return list
  }

  #typed(schema: Keywords, path: string): Syntax {
    const list = this.types(schema, path)
    if (list.length === 0) return anyValue
    return either(...new Set(list.map(type => this.ofOneType(type, schema, path))))
  }

  /** Of which types a value may be; empty where of all. */
  types(schema: Keywords, path: string): readonly string[] {
    if (schema.type !== undefined) return this.#types(schema.type, path)
    // Keywords say something about values of their type alone; without a type beside them those are what is meant.
    return [...new Set(givenIn(schema).map(key => byType[key]!))]
  }

  ofOneType(type: string, schema: Keywords, path: string): Syntax {
    const has = (of: JsonType): boolean =>
      Object.keys(schema).some(key => Object.hasOwn(byType, key) && byType[key] === of)
    if (type === 'null') return anyNull
    if (type === 'boolean') return anyBoolean
    if (type === 'string') {
      return has('string') ? quoted(this.characters(schema, path, stringCharacter, characters)) : anyString
    }
    if (type === 'object') return has('object') ? objectSyntax(this, schema, path) : anyObject
    if (type === 'array') return has('array') ? arraySyntax(this, schema, path) : anyArray
    if (type === 'number' && !has('number')) return anyNumber
    return this.#number(type === 'integer', schema, path)
  }

  /** What a text may be, however it is spelt. @param any one character of those that it may have */
  characters(schema: Keywords, path: string, any: Syntax, spelling: Spelling): Syntax {
    const min = this.count(schema, 'minLength', path) ?? 0
    const max = this.count(schema, 'maxLength', path)
    const { pattern, format } = schema
    if (pattern === undefined && format === undefined) {
      if (max !== undefined && max < min) this.refuse(`${path}.maxLength`, 'is below minLength: no text fits')
      return times(any, min, max ?? Number.POSITIVE_INFINITY)
    }
    const [key, value] = pattern === undefined ? ['format', format] : ['pattern', pattern]
    for (const other of ['format', 'minLength', 'maxLength']) {
      if (other === key || schema[other] === undefined || (other === 'minLength' && min === 0)) continue
      this.refuse(`${path}.${other}`, `is not supported beside ${key}`)
    }
    const at = `${path}.${key}`
    if (typeof value !== 'string') this.refuse(at, 'must be a string')
    if (key === 'format') return wholePatternSyntax(asPattern(value, at), at, spelling)
    return patternSyntax(value, at, spelling)
  }

  #number(isWhole: boolean, schema: Keywords, path: string): Syntax {
    const bound = (key: string): number | undefined => {
      const value = schema[key]
      if (value === undefined || (typeof value === 'number' && Number.isFinite(value))) return value
      return this.refuse(`${path}.${key}`, 'must be a number')
    }
    let [min, max] = [bound('minimum'), bound('maximum')]
    const [above, below] = [bound('exclusiveMinimum'), bound('exclusiveMaximum')]
    const open = {
      min: above !== undefined && above >= (min ?? above),
      max: below !== undefined && below <= (max ?? below)
    }
    if (open.min) min = above
    if (open.max) max = below
    if (isWhole) {
      if (min !== undefined) min = open.min ? Math.floor(min) + 1 : Math.ceil(min)
      if (max !== undefined) max = open.max ? Math.ceil(max) - 1 : Math.floor(max)
    }
    // No number that is written has so many digits.
    if (min !== undefined && min < -wholeMax) min = undefined
    if (max !== undefined && max > wholeMax) max = undefined
    for (const [value, keys] of [
      [min, ['minimum', 'exclusiveMinimum']],
      [max, ['maximum', 'exclusiveMaximum']]
    ] as const) {
      if (value === undefined || Number.isSafeInteger(value)) continue
      const key = keys.find(each => schema[each] === value) ?? keys[0]
      this.refuse(`${path}.${key}`, `is supported for numbers where it is whole and at most ${wholeMax}`)
    }
    const found = isWhole ? wholeBetween({ min, max }) : numberBetween({ min, max, open })
    if (min !== undefined && max !== undefined && (min > max || (min === max && !isWhole && (open.min || open.max)))) {
      this.refuse(path, 'has bounds between which there is no number')
    }
    return found
  }

  /** What a reference leads to. */
  #referred(value: unknown, path: string): Syntax {
    const target = this.referred(value, path)
    const pointer = value as string
    const known = this.#known.get(pointer)
    if (known !== undefined) return known
    const [referred, set] = this.#rules.reserve(`${this.#path}${pointer.slice(1).replaceAll('/', '.')}`)
    this.#known.set(pointer, referred)
    this.#unread.push(() => set(this.read(target, referred.name)))
    return referred
  }

  /** The schema to which a reference leads. */
  referred(value: unknown, path: string): Schema {
    if (typeof value !== 'string' || !/^#(\/|$)/.test(value)) {
      this.refuse(path, "must lead to a place within the schema, as '#/$defs/name' does")
    }
    const found = atPointer(this.#root, value)
    if (found === undefined) this.refuse(path, `leads to nothing: the schema has no ${JSON.stringify(value)}`)
    return found as Schema
  }

  /** A schema behind its references. */
  #resolved(schema: Schema): Schema {
    let found = schema
    for (let i = 0; i < 16 && typeof found === 'object' && found !== null && '$ref' in found; i++) {
      found = this.referred(found.$ref, this.#path)
    }
    return found
  }
}

/** Keywords of a schema that say something about a value. */
function givenIn(schema: Keywords): string[] {
  return Object.keys(schema).filter(key => !annotations.has(key) && !key.startsWith('x-'))
}

const wholeMax = Number.MAX_SAFE_INTEGER

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
import { inJson, patternSyntax, wholePatternSyntax } from './pattern-syntax.ts'
import { arraySyntax, objectSyntax } from './schema-parts.ts'
import { areApart, type JsonType, type Schema, typesOf } from './schema-types.ts'
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
/** Keywords that say something about values of one type. */
const byType: Readonly<Record<string, JsonType>> = {
  ...{ properties: 'object', required: 'object', additionalProperties: 'object', propertyNames: 'object' },
  ...{ minProperties: 'object', maxProperties: 'object' },
  ...{ items: 'array', prefixItems: 'array', minItems: 'array', maxItems: 'array' },
  ...{ minLength: 'string', maxLength: 'string', pattern: 'string', format: 'string' },
  ...{ minimum: 'number', maximum: 'number', exclusiveMinimum: 'number', exclusiveMaximum: 'number' }
}
const types: readonly string[] = ['object', 'array', 'string', 'number', 'integer', 'boolean', 'null']

const characters = inJson(times(stringCharacter, 0, Number.POSITIVE_INFINITY))

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
    for (let next = this.#unread.pop(); next !== undefined; next = this.#unread.pop()) next()
    return syntax
  }

  read(schema: Schema, path: string): Syntax {
    if (schema === true) return anyValue
    if (schema === false) this.refuse(path, 'is false, which no value fits')
    if (typeof schema !== 'object' || schema === null || Array.isArray(schema)) {
      this.refuse(path, 'must be an object, or true')
    }
    const given = Object.keys(schema).filter(key => !annotations.has(key) && !key.startsWith('x-'))
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
    return choice === undefined ? this.#typed(schema, given, path) : this.#chosen(choice, schema, path)
  }

  /** A rule that may be used at several places. */
  shared(syntax: Syntax): Syntax {
    return this.#rules.add(syntax)
  }

  refuse(path: string, why: string): never {
    throw new InvalidOptionError(`${path} ${why}`)
  }

  /** A number of things, if it is given. */
  count(schema: Readonly<Record<string, unknown>>, key: string, path: string): number | undefined {
    const value = schema[key]
    if (value === undefined) return undefined
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value
    return this.refuse(`${path}.${key}`, 'must be a whole number of 0 or more')
  }

  #chosen(choice: (typeof choices)[number], schema: Readonly<Record<string, unknown>>, path: string): Syntax {
    const value = schema[choice]
    const at = `${path}.${choice}`
    if (choice === '$ref') return this.#referred(value, at)
    if (choice === 'const') return this.#literals([value], schema, at, path)
    if (!Array.isArray(value) || value.length === 0) this.refuse(at, 'must be an array that is not empty')
    if (choice === 'enum') return this.#literals(value, schema, at, path)
    if (choice === 'allOf') {
      if (value.length > 1) this.refuse(at, 'is supported with one schema in it, and has more')
      return this.read(value[0] as Schema, `${at}.0`)
    }
    const branches = value.map((each: Schema, i) => this.#ofType(each, schema.type, `${at}.${i}`))
    if (choice === 'oneOf') this.#checkApart(branches, at)
    return either(...branches.map((each, i) => this.read(each, `${at}.${i}`)))
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

  #literals(values: readonly unknown[], schema: Readonly<Record<string, unknown>>, at: string, path: string): Syntax {
    const allowed = schema.type === undefined ? undefined : this.#types(schema.type, path)
    const fitting = values.filter(value => {
      if (allowed === undefined) return true
      const [type] = typesOf({ const: value })
      return allowed.includes(type!) || (allowed.includes('integer') && Number.isInteger(value))
    })
    if (fitting.length === 0) this.refuse(at, 'has no value of the type beside it')
    return either(...fitting.map(value => text(JSON.stringify(value))))
  }

  #types(type: unknown, path: string): readonly string[] {
    const list = Array.isArray(type) ? type : [type]
    for (const each of list) {
      if (!types.includes(each)) this.refuse(`${path}.type`, `must be one of ${types.join(', ')}, or several of them`)
    }
    if (list.length === 0) this.refuse(`${path}.type`, 'must not be empty')
    return list
  }

  #typed(schema: Readonly<Record<string, unknown>>, given: readonly string[], path: string): Syntax {
    // Keywords say something about values of their type alone; without a type beside them those are what is meant.
    const meant = given.filter(key => key !== 'type').map(key => byType[key]!)
    const list = schema.type === undefined ? [...new Set<string>(meant)] : this.#types(schema.type, path)
    if (list.length === 0) return anyValue
    return either(...new Set(list.map(type => this.#ofOneType(type, schema, path))))
  }

  #ofOneType(type: string, schema: Readonly<Record<string, unknown>>, path: string): Syntax {
    const has = (of: JsonType): boolean =>
      Object.keys(schema).some(key => Object.hasOwn(byType, key) && byType[key] === of)
    if (type === 'null') return anyNull
    if (type === 'boolean') return anyBoolean
    if (type === 'string') return has('string') ? this.#string(schema, path) : anyString
    if (type === 'object') return has('object') ? objectSyntax(this, schema, path) : anyObject
    if (type === 'array') return has('array') ? arraySyntax(this, schema, path) : anyArray
    if (type === 'number' && !has('number')) return anyNumber
    return this.#number(type === 'integer', schema, path)
  }

  #string(schema: Readonly<Record<string, unknown>>, path: string): Syntax {
    const min = this.count(schema, 'minLength', path) ?? 0
    const max = this.count(schema, 'maxLength', path)
    const { pattern, format } = schema
    if (pattern === undefined && format === undefined) {
      if (max !== undefined && max < min) this.refuse(`${path}.maxLength`, 'is below minLength: no text fits')
      return quoted(times(stringCharacter, min, max ?? Number.POSITIVE_INFINITY))
    }
    const [key, value] = pattern === undefined ? ['format', format] : ['pattern', pattern]
    for (const other of ['format', 'minLength', 'maxLength']) {
      if (other === key || schema[other] === undefined || (other === 'minLength' && min === 0)) continue
      this.refuse(`${path}.${other}`, `is not supported beside ${key}`)
    }
    const at = `${path}.${key}`
    if (typeof value !== 'string') this.refuse(at, 'must be a string')
    if (key === 'format') return quoted(wholePatternSyntax(asPattern(value, at), at, characters))
    return quoted(patternSyntax(value, at, characters))
  }

  #number(isWhole: boolean, schema: Readonly<Record<string, unknown>>, path: string): Syntax {
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

  /** Where a reference leads. */
  #referred(value: unknown, path: string): Syntax {
    const target = this.#find(value, path)
    const pointer = value as string
    const known = this.#known.get(pointer)
    if (known !== undefined) return known
    const [referred, set] = this.#rules.reserve(`${this.#path}${pointer.slice(1).replaceAll('/', '.')}`)
    this.#known.set(pointer, referred)
    this.#unread.push(() => set(this.read(target, referred.name)))
    return referred
  }

  #find(value: unknown, path: string): Schema {
    if (typeof value !== 'string' || !/^#(\/|$)/.test(value)) {
      this.refuse(path, "must lead to a place within the schema, as '#/$defs/name' does")
    }
    let found: unknown = this.#root
    for (const part of value.split('/').slice(1)) {
      let key: string
      try {
        key = decodeURIComponent(part).replaceAll('~1', '/').replaceAll('~0', '~')
      } catch {
        return this.refuse(path, 'must lead to a place within the schema, and is written wrongly')
      }
      if (typeof found !== 'object' || found === null || !Object.hasOwn(found, key)) {
        this.refuse(path, `leads to nothing: the schema has no ${JSON.stringify(value)}`)
      }
      found = (found as Record<string, unknown>)[key]
    }
    return found as Schema
  }

  /** A schema behind its references. */
  #resolved(schema: Schema): Schema {
    let found = schema
    for (let i = 0; i < 16 && typeof found === 'object' && found !== null && '$ref' in found; i++) {
      found = this.#find(found.$ref, this.#path)
    }
    return found
  }
}

const wholeMax = Number.MAX_SAFE_INTEGER

/** Of which types the values of a JSON Schema are, and whether two schemas share one. Pure. */

export type JsonType = 'object' | 'array' | 'string' | 'number' | 'boolean' | 'null'

/** A JSON Schema, which nobody has checked. */
export type Schema = boolean | { readonly [keyword: string]: unknown }

/** Keywords that say something about values of one type. */
export const byType: Readonly<Record<string, JsonType>> = {
  ...{ properties: 'object', required: 'object', additionalProperties: 'object', propertyNames: 'object' },
  ...{ minProperties: 'object', maxProperties: 'object' },
  ...{ items: 'array', prefixItems: 'array', minItems: 'array', maxItems: 'array' },
  ...{ minLength: 'string', maxLength: 'string', pattern: 'string', format: 'string' },
  ...{ minimum: 'number', maximum: 'number', exclusiveMinimum: 'number', exclusiveMaximum: 'number' }
}

const all: readonly JsonType[] = ['object', 'array', 'string', 'number', 'boolean', 'null']

/** What a reference such as `#/$defs/name` leads to; undefined where to nothing. */
export function atPointer(root: unknown, reference: string): unknown {
  let found = root
  for (const part of reference.split('/').slice(1)) {
    let key: string
    try {
      key = decodeURIComponent(part).replaceAll('~1', '/').replaceAll('~0', '~')
    } catch {
      return undefined
    }
    if (typeof found !== 'object' || found === null || !Object.hasOwn(found, key)) return undefined
    found = (found as Record<string, unknown>)[key]
  }
  return found
}

/** Types of the values that fit; all of them where it cannot be told. @param schema that is no reference */
export function typesOf(schema: Schema): readonly JsonType[] {
  if (typeof schema !== 'object' || schema === null) return all
  if ('const' in schema) return [typeOf(schema.const)]
  if (Array.isArray(schema.enum)) return [...new Set(schema.enum.map(typeOf))]
  if (schema.type === undefined) return all
  return [schema.type].flat().map(type => (type === 'integer' ? 'number' : (type as JsonType)))
}

export function typeOf(value: unknown): JsonType {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'array'
  return typeof value as JsonType
}

/**
 * Whether it is plain that no value fits both: they are of different types, of different constants, or objects that require a property
 * for which that holds.
 *
 * @param resolve the schema behind a reference
 */
export function areApart(a: Schema, b: Schema, resolve: (schema: Schema) => Schema): boolean {
  if (typeof a !== 'object' || typeof b !== 'object') return false
  const types = typesOf(b)
  const shared = typesOf(a).filter(type => types.includes(type))
  if (shared.length === 0) return true
  const [ones, others] = [constantsOf(a), constantsOf(b)]
  if (ones !== undefined && others !== undefined) return areDisjoint(ones, others)
  if (shared.length > 1 || shared[0] !== 'object') return false
  return requiredOf(a).some(name => {
    if (!requiredOf(b).includes(name)) return false
    const [one, other] = [constantsOf(propertyOf(a, name, resolve)), constantsOf(propertyOf(b, name, resolve))]
    return one !== undefined && other !== undefined && areDisjoint(one, other)
  })
}

function areDisjoint(a: readonly unknown[], b: readonly unknown[]): boolean {
  const others = new Set(b)
  return a.every(each => !others.has(each))
}

/** The values that fit, where they are named and none of them has parts. */
function constantsOf(schema: Schema): readonly unknown[] | undefined {
  if (typeof schema !== 'object' || schema === null) return undefined
  const values = 'const' in schema ? [schema.const] : schema.enum
  if (!Array.isArray(values) || values.some(value => typeof value === 'object' && value !== null)) return undefined
  return values
}

function requiredOf(schema: Schema): readonly string[] {
  const required = typeof schema === 'object' ? schema.required : undefined
  return Array.isArray(required) ? required : []
}

function propertyOf(schema: Schema, name: string, resolve: (schema: Schema) => Schema): Schema {
  const properties = typeof schema === 'object' ? schema.properties : undefined
  if (typeof properties !== 'object' || properties === null || !Object.hasOwn(properties, name)) return true
  return resolve((properties as Record<string, Schema>)[name]!)
}

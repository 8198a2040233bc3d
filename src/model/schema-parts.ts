/** Objects and arrays of a JSON Schema as syntax. Pure. */
import { bracketed, comma, listOf, memberOf, nameCharacter, quoted } from './json-syntax.ts'
import { propertyNameCharsMax } from './limits.ts'
import type { SchemaReader } from './schema-syntax.ts'
import type { Schema } from './schema-types.ts'
import { character, either, nothing, optional, others, type Syntax, sequence, text, times, united } from './syntax.ts'

type Keywords = Readonly<Record<string, unknown>>

interface Property {
  readonly member: Syntax
  readonly isRequired: boolean
}

/** Properties in the order of the schema, and then, where it allows them, others. */
export function objectSyntax(reader: SchemaReader, schema: Keywords, path: string): Syntax {
  const named = namedSchemas(reader, schema, path)
  const required = requiredNames(reader, schema, path)
  const rest = restSchema(reader, schema, named, path)
  const names = [...named.keys()]
  for (const name of required) {
    if (named.has(name)) continue
    if (rest === undefined)
      reader.refuse(`${path}.required`, `has ${JSON.stringify(name)}, which the schema does not allow`)
    names.push(name)
    named.set(name, rest)
  }
  const counts = countsOf(
    reader,
    schema,
    { named: names.length, required: required.size, isOpen: rest !== undefined },
    path
  )
  if (names.length === 0) {
    if (rest === undefined || counts.max === 0) return text('{}')
    const member = memberOf(nameSyntax(reader, schema, path), reader.read(rest, `${path}.additionalProperties`))
    const some = bracketed('{', listOf(reader.shared(member), Math.max(1, counts.min), counts.max), '}')
    return counts.min === 0 ? either(text('{}'), some) : some
  }
  const properties = names.map((name): Property => {
    const at =
      schema.properties !== undefined && Object.hasOwn(schema.properties as object, name) ? 'properties' : 'required'
    const value = reader.read(named.get(name)!, `${path}.${at}.${name}`)
    return { member: reader.shared(memberOf(text(JSON.stringify(name)), value)), isRequired: required.has(name) }
  })
  const other =
    rest === undefined
      ? undefined
      : reader.shared(memberOf(otherName(reader, names, path), reader.read(rest, `${path}.additionalProperties`)))
  const some = bracketed('{', membersSyntax(reader, properties, other), '}')
  return required.size === 0 ? either(text('{}'), some) : some
}

/** At least one of the properties: which comma is due is known by whether another one stands before. */
function membersSyntax(reader: SchemaReader, properties: readonly Property[], other: Syntax | undefined): Syntax {
  const others = Number.POSITIVE_INFINITY
  let after: Syntax = other === undefined ? nothing : times(sequence(comma, other), 0, others)
  let first: Syntax | undefined = other === undefined ? undefined : listOf(other, 1, others)
  for (const { member, isRequired } of properties.toReversed()) {
    const [next, skipped] = [reader.shared(after), first]
    const with_ = sequence(member, next)
    first = isRequired || skipped === undefined ? with_ : either(with_, reader.shared(skipped))
    after = isRequired ? sequence(comma, with_) : either(sequence(comma, with_), next)
  }
  return first!
}

export function namedSchemas(reader: SchemaReader, schema: Keywords, path: string): Map<string, Schema> {
  const { properties = {} } = schema
  if (typeof properties !== 'object' || properties === null || Array.isArray(properties)) {
    reader.refuse(`${path}.properties`, 'must be an object')
  }
  return new Map(Object.entries(properties as Record<string, Schema>))
}

export function requiredNames(reader: SchemaReader, schema: Keywords, path: string): Set<string> {
  const { required = [] } = schema
  if (!Array.isArray(required) || !required.every(name => typeof name === 'string')) {
    reader.refuse(`${path}.required`, 'must be an array of strings')
  }
  return new Set(required)
}

/** What properties without a name in the schema may be; undefined where there are none. */
export function restSchema(
  reader: SchemaReader,
  schema: Keywords,
  named: ReadonlyMap<string, Schema>,
  path: string
): Schema | undefined {
  const { additionalProperties = !reader.strict || named.size === 0, propertyNames } = schema
  if (additionalProperties === false) return undefined
  if (propertyNames !== undefined && named.size > 0) {
    reader.refuse(`${path}.propertyNames`, 'is supported where there are no properties and none is required')
  }
  return additionalProperties as Schema
}

export function countsOf(
  reader: SchemaReader,
  schema: Keywords,
  object: { readonly named: number; readonly required: number; readonly isOpen: boolean },
  path: string
): { readonly min: number; readonly max: number } {
  const min = reader.count(schema, 'minProperties', path) ?? 0
  const max = reader.count(schema, 'maxProperties', path) ?? Number.POSITIVE_INFINITY
  if (max < min) reader.refuse(`${path}.maxProperties`, 'is below minProperties: no object fits')
  // The same name may come twice among those that no schema gives, and counts once.
  if (min > Math.max(object.required, object.named === 0 && object.isOpen ? 1 : 0)) {
    reader.refuse(
      `${path}.minProperties`,
      'is supported up to the number of required properties, and 1 where none is named'
    )
  }
  if (object.named > 0 && max < (object.isOpen ? Number.POSITIVE_INFINITY : object.named)) {
    reader.refuse(`${path}.maxProperties`, 'is supported where no properties are named')
  }
  return { min, max }
}

/** Names where the schema has none by name. */
function nameSyntax(reader: SchemaReader, schema: Keywords, path: string): Syntax {
  const { propertyNames } = schema
  const at = `${path}.propertyNames`
  if (propertyNames === undefined || propertyNames === true)
    return quoted(times(nameCharacter, 1, Number.POSITIVE_INFINITY))
  if (typeof propertyNames !== 'object' || propertyNames === null) reader.refuse(at, 'must be an object')
  const { type = 'string' } = propertyNames as Keywords
  if (type !== 'string') reader.refuse(`${at}.type`, "must be 'string'")
  if ('$ref' in propertyNames) reader.refuse(`${at}.$ref`, 'is not supported')
  return reader.read({ type, ...propertyNames }, at)
}

interface Branch {
  isEnd: boolean
  readonly next: Map<string, Branch>
}

/** A name that is none of these, with the quotes around it; the names are told apart character by character. */
function otherName(reader: SchemaReader, names: readonly string[], path: string): Syntax {
  const tree: Branch = { isEnd: false, next: new Map() }
  for (const name of names) {
    if (name.length > propertyNameCharsMax) {
      const most = `are supported up to ${propertyNameCharsMax} characters where others are allowed, too`
      reader.refuse(`${path}.properties`, `${most}: one has ${name.length}`)
    }
    // Other names have no escapes: those that need one are none of them.
    if (JSON.stringify(name) !== `"${name}"`) continue
    let at = tree
    for (const each of name) {
      if (!at.next.has(each)) at.next.set(each, { isEnd: false, next: new Map() })
      at = at.next.get(each)!
    }
    at.isEnd = true
  }
  const rest = reader.shared(sequence(times(nameCharacter, 0, Number.POSITIVE_INFINITY), text('"')))
  const beyond = ({ isEnd, next }: Branch, isStart: boolean): Syntax => {
    const codes = [...next.keys()].map(each => each.codePointAt(0)!)
    const other = character(others(united([...codes.map(one), ...needingEscape])))
    const ways = [
      sequence(other, rest),
      ...[...next].map(([each, branch]) => sequence(text(each), beyond(branch, false)))
    ]
    return isEnd || isStart ? either(...ways) : either(text('"'), ...ways)
  }
  return sequence(text('"'), beyond(tree, true))
}

const needingEscape = [
  [0, 0x1f],
  [0x22, 0x22],
  [0x5c, 0x5c]
] as const

function one(code: number): readonly [number, number] {
  return [code, code]
}

export function arraySyntax(reader: SchemaReader, schema: Keywords, path: string): Syntax {
  const min = reader.count(schema, 'minItems', path) ?? 0
  const max = reader.count(schema, 'maxItems', path) ?? Number.POSITIVE_INFINITY
  const { prefixItems = [], items = true } = schema
  if (!Array.isArray(prefixItems)) reader.refuse(`${path}.prefixItems`, 'must be an array')
  if (Array.isArray(items)) reader.refuse(`${path}.items`, 'must be a schema: several of them are prefixItems')
  const most = items === false ? Math.min(max, prefixItems.length) : max
  if (most < min) reader.refuse(`${path}.${max < min ? 'maxItems' : 'minItems'}`, 'leaves no array that fits')
  if (most === 0) return text('[]')
  const first = prefixItems.map((each: Schema, i) => reader.shared(reader.read(each, `${path}.prefixItems.${i}`)))
  const other = items === false ? undefined : reader.shared(reader.read(items as Schema, `${path}.items`))
  const kept = first.slice(0, most)
  let after: Syntax = nothing
  if (other !== undefined && most > kept.length) {
    after = times(sequence(comma, other), Math.max(0, min - Math.max(kept.length, 1)), most - Math.max(kept.length, 1))
  }
  for (let i = kept.length - 1; i > 0; i--) {
    const more = sequence(comma, kept[i]!, reader.shared(after))
    after = i < min ? more : optional(more)
  }
  const some = bracketed('[', sequence(kept[0] ?? other!, after), ']')
  return min === 0 ? either(text('[]'), some) : some
}

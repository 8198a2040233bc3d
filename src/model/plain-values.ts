/**
 * Values that are written as plain text, a string without its quotes, as some models write the arguments of calls: what such a text means,
 * the schema of its value says. `plain-syntax.ts` has what may be written, so that this reads it. Pure.
 */
import { atPointer, byType, type JsonType, typeOf } from './schema-types.ts'

type Kind = JsonType | 'integer'

/** References and alternatives within one another that are followed. */
const levelsMax = 16

/**
 * The arguments of a call whose values are written as plain text.
 *
 * @param pairs names and texts; the last of a name counts
 * @param schema JSON Schema of the object that they make, which need not have been checked
 */
export function plainArguments(
  pairs: readonly (readonly [name: string, text: string])[],
  schema: unknown
): Record<string, unknown> {
  const { properties, additionalProperties } = (behind(schema, schema) ?? {}) as Record<string, unknown>
  return Object.fromEntries(
    pairs.map(([name, text]) => {
      const isNamed = typeof properties === 'object' && properties !== null && Object.hasOwn(properties, name)
      const own = isNamed ? (properties as Record<string, unknown>)[name] : additionalProperties
      return [name, plainValue(text, plainKinds(own, schema))]
    })
  )
}

/**
 * What a text means: a number, true, a list and so on where its value may be one and the text is that as JSON, or as Python writes it,
 * and else itself.
 *
 * @param kinds undefined where the value may be anything
 */
export function plainValue(text: string, kinds: ReadonlySet<Kind> | undefined): unknown {
  const value = parsed(text)
  if (value === undefined) return text
  if (kinds === undefined) return value
  const kind = typeOf(value)
  if (kind === 'string') return isMixed(kinds) ? value : text
  return kinds.has(kind) || (kinds.has('integer') && Number.isInteger(value)) ? value : text
}

/** Texts of these kinds may have quotes around them: else some could be taken for what they are not, such as a number. */
export function isMixed(kinds: ReadonlySet<Kind>): boolean {
  return kinds.has('string') && (['object', 'array', 'number', 'integer'] as const).some(kind => kinds.has(kind))
}

/** Of which kinds the values of a schema are, as far as that is plain; undefined where of all. @param root in which its references lead */
export function plainKinds(schema: unknown, root: unknown, level = 0): ReadonlySet<Kind> | undefined {
  const own = behind(schema, root)
  if (own === undefined || level > levelsMax) return undefined
  if (own.type !== undefined) return new Set([own.type].flat() as Kind[])
  if (own.const !== undefined) return new Set([typeOf(own.const)])
  if (Array.isArray(own.enum)) return new Set(own.enum.map(typeOf))
  const several = own.anyOf ?? own.oneOf
  if (Array.isArray(several)) {
    const kinds = several.map(each => plainKinds(each, root, level + 1))
    return kinds.includes(undefined) ? undefined : new Set(kinds.flatMap(each => [...each!]))
  }
  const meant = Object.keys(own).flatMap(key => (Object.hasOwn(byType, key) ? [byType[key]!] : []))
  return meant.length === 0 ? undefined : new Set(meant)
}

/** A schema behind its references, and behind an `allOf` of one. */
function behind(schema: unknown, root: unknown): Record<string, unknown> | undefined {
  let found = schema
  for (let level = 0; level <= levelsMax; level++) {
    if (typeof found !== 'object' || found === null) return undefined
    const { $ref, allOf } = found as Record<string, unknown>
    if (typeof $ref === 'string') found = atPointer(root, $ref)
    else if (Array.isArray(allOf) && allOf.length === 1) found = allOf[0]
    else return found as Record<string, unknown>
  }
  return undefined
}

/** JSON, or one of Python's words; undefined where it is neither, or no number of JSON. */
function parsed(text: string): unknown {
  const word = text.trim()
  if (word === 'None') return null
  try {
    const value = JSON.parse(word === 'True' || word === 'False' ? word.toLowerCase() : text)
    return typeof value === 'number' && !Number.isFinite(value) ? undefined : value
  } catch {
    return undefined
  }
}

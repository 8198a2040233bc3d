/** The texts in values that people and programs send: messages, results of functions, their arguments. Pure. */

/** Fields whose text says what something is, and nothing of anybody. */
const names = new Set(['role', 'type', 'id', 'tool_call_id', 'index'])

/** All texts in a value, in order; numbers as texts with their name, which may say what they are (`lat: 48.2`). */
export function textsIn(value: unknown): string[] {
  const texts: string[] = []
  mapTexts(value, text => {
    texts.push(text)
    return text
  })
  return texts
}

/** The same value with other texts, which come in the order of {@link textsIn}. */
export function withTexts<T>(value: T, texts: readonly string[]): T {
  let next = 0
  return mapTexts(value, () => texts[next++]!) as T
}

function mapTexts(value: unknown, map: (text: string) => string, name = ''): unknown {
  if (names.has(name)) return value
  if (typeof value === 'string') return name === 'arguments' ? mapArguments(value, map) : map(value)
  if (typeof value === 'number') {
    const before = `${name}: ${value}`
    const after = map(before)
    return after === before ? value : after.replace(/^[^[]*(?=\[)/, '')
  }
  if (Array.isArray(value)) return value.map(each => mapTexts(each, map, name))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, mapTexts(each, map, key)]))
}

/** Arguments of a function are JSON in a text, and stay so. */
function mapArguments(text: string, map: (text: string) => string): string {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return map(text)
  }
  const before = JSON.stringify(value)
  const after = JSON.stringify(mapTexts(value, map))
  return after === before ? text : after
}

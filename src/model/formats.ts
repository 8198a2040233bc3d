/** The formats of strings that JSON Schema names, as expressions. Pure. */
import { InvalidOptionError } from '../errors.ts'

const dayOfMonth = '(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)'
/** 29 February where a year has one. */
const leapDay = '(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29'
const date = `(?:[0-9]{4}-${dayOfMonth}|${leapDay})`
const time = '(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\\.[0-9]{1,9})?(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])'
const label = '[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?'
const host = `${label}(?:\\.${label}){0,3}`
const word = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,64}"
const byte = '(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])'
const uriCharacter = "(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})"

/** Some of what each allows, where that keeps texts in order: names of four labels, and URIs that have a host. */
const formats: Readonly<Record<string, string>> = {
  date,
  time,
  'date-time': `${date}T${time}`,
  email: `${word}(?:\\.${word}){0,3}@(?:${label}\\.){1,3}${label}`,
  hostname: host,
  ipv4: `${byte}(?:\\.${byte}){3}`,
  uri: `[A-Za-z][A-Za-z0-9+.-]{0,15}://${host}(?::[0-9]{1,5})?(?:/${uriCharacter}*)*(?:\\?(?:${uriCharacter}|[/?])*)?(?:#(?:${uriCharacter}|[/?])*)?`,
  uuid: '[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}'
}

/** @param path of the format, for messages. @throws {InvalidOptionError} when it is not known */
export function asPattern(format: string, path: string): string {
  if (Object.hasOwn(formats, format)) return formats[format]!
  throw new InvalidOptionError(`${path} is supported as one of ${Object.keys(formats).join(', ')}`)
}

/** `skein serve` and `skein unserve`: the models that the running peer serves. */
import type { Range } from '../index.ts'
import type { CommandContext } from './context.ts'
import { askServe, askUnserve } from './control-client.ts'
import { say, sayJson } from './output.ts'

export interface ServeFlags {
  readonly data: string
  readonly layers?: Range
  readonly json?: boolean
}

/** Has the running peer serve a model beside those that it serves. @throws what {@link askServe} throws. */
export async function serve(name: string, flags: ServeFlags, { signal }: CommandContext): Promise<void> {
  const isHere = await askServe(flags.data, { model: name, layers: flags.layers }, { signal })
  if (flags.json) sayJson({ event: 'served', model: name, here: isHere })
  else say(isHere ? `${name} is served here from now on` : `${name} is not here: it is served once a peer offers it`)
}

/** Has the running peer serve a model no longer. @throws what {@link askUnserve} throws. */
export async function unserve(name: string, flags: ServeFlags, { signal }: CommandContext): Promise<void> {
  await askUnserve(flags.data, name, { signal })
  if (flags.json) sayJson({ event: 'unserved', model: name })
  else say(`${name} is served here no longer; what is on disk of it stays: skein model rm ${name} removes it`)
}

/** `skein init`: a new private swarm. */
import { initSwarm } from '../index.ts'
import { say, sayJson } from './output.ts'

/**
 * Makes a swarm file that only its owner can read. Its secret is never shown: whoever has it can join.
 *
 * @throws {InvalidOptionError} when the file exists: overwriting it would lock out every peer that has it.
 */
export async function init(file: string, { name, json }: { name?: string; json?: boolean }): Promise<void> {
  const config = await initSwarm(file, name)
  if (json) sayJson({ event: 'initialised', file, name: config.name })
  else say(`made a new swarm in ${file}: copy it to every peer over a channel that you trust, whoever has it can join`)
}

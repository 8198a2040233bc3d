/** `skein init`: a new private swarm. */
import { initSwarm } from '../index.ts'
import { say } from './output.ts'

/**
 * Makes a swarm file that only its owner can read. Its secret is never shown: whoever has it can join.
 *
 * @throws {InvalidOptionError} when the file exists: overwriting it would lock out every peer that has it.
 */
export async function init(file: string, { name }: { name?: string }): Promise<void> {
  await initSwarm(file, name)
  say(`made a new swarm in ${file}: copy it to every peer over a channel that you trust, whoever has it can join`)
}

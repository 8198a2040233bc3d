/** `skein init`: a new private swarm, by a secret that friends share or with members. */
import { initMembers, initSwarm, InvalidOptionError } from '../index.ts'
import { say, sayJson } from './output.ts'

export interface InitFlags {
  readonly name?: string
  readonly authority?: string
  readonly recovery?: string
  readonly json?: boolean
}

/**
 * Makes a swarm. Without an authority it is a secret in a file that only its owner can read, and is never shown: whoever has it can join.
 *
 * @throws {InvalidSwarmError} {InvalidAuthorityError} when a file exists: overwriting it would lock out every peer that has it.
 */
export async function init(file: string, { name, authority, recovery, json }: InitFlags): Promise<void> {
  if (authority === undefined) {
    if (recovery !== undefined)
      throw new InvalidOptionError('--recovery goes with --authority: a shared secret has no authority to recover')
    const config = await initSwarm(file, name)
    if (json) sayJson({ event: 'initialised', file, name: config.name, members: false })
    else
      say(
        `made a new swarm in ${file}, a secret shared by friends: copy it to every peer over a channel that you trust, whoever has it can join, for ever`
      )
    return
  }
  const made = await initMembers({
    file,
    authority,
    ...(recovery === undefined ? {} : { recovery }),
    ...(name === undefined ? {} : { name })
  })
  if (json) {
    sayJson({ event: 'initialised', file, name: made.name, members: true, authority, recovery: made.recoveryFile })
    return
  }
  say(`made a new swarm with members: ${file} is its public part, which every machine may have`)
  say(`${authority} names members: keep it offline, and on no machine that flies`)
  say(`${made.recoveryFile} replaces that key when it is lost or stolen: keep it in another place`)
  say(`next: skein invite --authority ${authority} --role stage,driver --for 12h`)
}

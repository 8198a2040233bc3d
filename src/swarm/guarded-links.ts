/** Links on which each may do what its certificate says: channels of whoever lacks a role are refused and named, in both directions. */
import { unlessAborted } from '../base/abort.ts'
import type { PeerId } from '../base/ids.ts'
import type { Protocol } from '../base/protocol.ts'
import { NotAdmittedError, ProtocolError } from '../errors.ts'
import type { Role } from '../trust/roles.ts'
import type { Channel, HandleOptions, Links } from './links.ts'
import { lackingRole } from './member-roles.ts'

export interface GuardedLinksInit {
  readonly links: Links
  /** The roles of a peer now; none of who is no member. */
  readonly rolesOf: (peer: PeerId) => ReadonlySet<Role>
  /** Of roles that need evidence. @default all count that a certificate gives */
  readonly evidence?: {
    /** Resolves once it is known what counts; undefined where it is. */
    settled(peer: PeerId): Promise<void> | undefined
    /** Why some do not: the part of a sentence. */
    refusalOf(peer: PeerId): string | undefined
  }
  readonly onViolation: (peer: PeerId, kind: string, message: string) => void
}

export class GuardedLinks implements Links {
  readonly self: PeerId
  readonly #init: GuardedLinksInit

  constructor(init: GuardedLinksInit) {
    this.#init = init
    this.self = init.links.self
  }

  async open(peer: PeerId, protocol: Protocol, options: { signal: AbortSignal }): Promise<Channel> {
    const { links, rolesOf, evidence } = this.#init
    const own = lackingRole(protocol.name, 'opens', rolesOf(this.self))
    if (own !== undefined)
      throw new NotAdmittedError(`this peer's certificate does not have the role ${own}, which ${protocol.name} takes`)
    if (lackingRole(protocol.name, 'serves', rolesOf(peer)) !== undefined) {
      const settled = evidence?.settled(peer)
      if (settled !== undefined) await unlessAborted(settled, options.signal)
    }
    const theirs = lackingRole(protocol.name, 'serves', rolesOf(peer))
    if (theirs !== undefined)
      throw new NotAdmittedError(
        `${peer} does not have the role ${theirs}, which ${protocol.name} takes${this.#because(peer)}`
      )
    return links.open(peer, protocol, options)
  }

  handle(protocol: Protocol, options: HandleOptions, handler: (channel: Channel) => void): Promise<void> {
    const { onFull } = options
    const guarded = { ...options, ...(onFull === undefined ? {} : { onFull: this.#guard(protocol, onFull) }) }
    return this.#init.links.handle(protocol, guarded, this.#guard(protocol, handler))
  }

  unhandle(protocol: Protocol): Promise<void> {
    return this.#init.links.unhandle(protocol)
  }

  watch(peer: PeerId): () => void {
    return this.#init.links.watch?.(peer) ?? (() => {})
  }

  #guard({ name }: Protocol, handler: (channel: Channel) => void): (channel: Channel) => void {
    const lackingOf = (channel: Channel): string | undefined =>
      lackingRole(name, 'opens', this.#init.rolesOf(channel.remote))
    const takeOrRefuse = (channel: Channel): void => {
      const lacking = lackingOf(channel)
      if (lacking === undefined) {
        handler(channel)
        return
      }
      const why = this.#because(channel.remote)
      const message = `${channel.remote} opened a channel of ${name} without the role ${lacking}${why}`
      channel.abort(new ProtocolError(message))
      this.#init.onViolation(channel.remote, 'wrong role', message)
    }
    return channel => {
      const settled = lackingOf(channel) === undefined ? undefined : this.#init.evidence?.settled(channel.remote)
      if (settled === undefined) takeOrRefuse(channel)
      // What comes on it meanwhile waits in the channel, within its limits.
      else settled.then(() => takeOrRefuse(channel)).catch(error => channel.abort(error as Error))
    }
  }

  #because(peer: PeerId): string {
    const why = this.#init.evidence?.refusalOf(peer)
    return why === undefined ? '' : `: ${why}`
  }
}

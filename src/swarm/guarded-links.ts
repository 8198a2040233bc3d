/** Links on which each may do what its certificate says: channels of whoever lacks a role are refused and named, in both directions. */
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
    const { links, rolesOf } = this.#init
    const own = lackingRole(protocol.name, 'opens', rolesOf(this.self))
    if (own !== undefined)
      throw new NotAdmittedError(`this peer's certificate does not have the role ${own}, which ${protocol.name} takes`)
    const theirs = lackingRole(protocol.name, 'serves', rolesOf(peer))
    if (theirs !== undefined)
      throw new NotAdmittedError(`${peer} does not have the role ${theirs}, which ${protocol.name} takes`)
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
    return channel => {
      const lacking = lackingRole(name, 'opens', this.#init.rolesOf(channel.remote))
      if (lacking === undefined) {
        handler(channel)
        return
      }
      const message = `${channel.remote} opened a channel of ${name} without the role ${lacking}`
      channel.abort(new ProtocolError(message))
      this.#init.onViolation(channel.remote, 'wrong role', message)
    }
  }
}

/** What the doctor has gathered before anything is decided: plain data. */
import type { PeerId } from '../base/ids.ts'
import type { SelfTest } from '../engine/factory.ts'
import type { OwnAddress } from '../swarm/reachable.ts'

export interface MachineFacts {
  /** Node's version: `24.21.0`. */
  readonly node: string
  /** What the engine says of itself, or why it cannot run. */
  readonly engine: SelfTest | { readonly problem: string }
  readonly memory: {
    readonly totalBytes: number
    /** What could be taken now without anything else going; undefined where the system does not say. */
    readonly availableBytes: number | undefined
    /** What control groups allow; undefined where they set no limit. */
    readonly limitBytes: number | undefined
  }
  /** Files that this process may have open; undefined where the system does not say or sets no limit. */
  readonly descriptors: number | undefined
}

export interface ClockFacts {
  /** ms since 1970, as this machine believes. */
  readonly wallMs: number
  /** So much further than monotonic time it went while the doctor looked, in ms. */
  readonly jumpMs: number
  /** The newest change of a file in the data directory, in ms since 1970; undefined where there is none. */
  readonly newestFileMs: number | undefined
}

/** What stands in the way of reading or using something, in words. */
export interface Problem {
  readonly problem: string
}

export interface FilesFacts {
  readonly dataDir: string
  /** `absent`: it is made when a peer starts. */
  readonly data: 'there' | 'absent' | Problem
  /** Process that has locked the directory and does not answer; undefined where there is none. */
  readonly owner: number | undefined
  /** The peer's id; undefined where it has none yet. */
  readonly identity: PeerId | Problem | undefined
  readonly freeBytes: number | undefined
  /** Why nothing can be written there; undefined where something was. */
  readonly unwritable: string | undefined
  /** Undefined where no swarm file was named. */
  readonly swarm: { readonly file: string; readonly name: string } | Problem | undefined
  /** What is open to everybody on this machine, a sentence each. */
  readonly open: readonly string[]
}

/** One address to listen at. */
export interface PortFacts {
  readonly address: string
  /** The system's code, or undefined where it can be listened at. */
  readonly problem: string | undefined
  /** Who has it: `process 1234 (nginx)`; undefined where that is not known. */
  readonly owner: string | undefined
}

/** Multicast on one interface and family. */
export interface MulticastFacts {
  /** `eth0 (IPv4)`. */
  readonly link: string
  readonly problem: string | undefined
  /** What this machine sent there came back to it. */
  readonly heard: boolean
}

/** A peer that answered by multicast DNS. */
export interface MetFacts {
  readonly peer: PeerId
  /** Its answer carries the code of a member of the swarm. */
  readonly isVouched: boolean
  /** Of its addresses that were tried, with the system's code where none could be connected to. */
  readonly tried: readonly { readonly address: string; readonly problem: string | undefined }[]
}

export interface NetworkFacts {
  readonly addresses: readonly OwnAddress[]
  /** Why interfaces cannot be listed, or undefined. */
  readonly listing: string | undefined
  /** Interfaces for which the system has a route of IPv4; undefined where it does not say. */
  readonly routed: readonly string[] | undefined
  readonly ports: readonly PortFacts[]
  /** Own addresses, loopback included, to which this machine cannot connect, with the system's code. */
  readonly unreachable: readonly { readonly address: string; readonly problem: string }[]
  readonly multicast: readonly MulticastFacts[]
  /** Who has UDP port 5353 for itself, where it cannot be shared. */
  readonly multicastOwner: string | undefined
  /** Peers of the swarm that answered; undefined where no swarm was named. */
  readonly met: readonly MetFacts[] | undefined
  /** How many other swarms asked for their own peers while the doctor listened. */
  readonly otherSwarms: number
}

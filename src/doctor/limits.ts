/** The bounds of the doctor: each has its unit in its name and its reason beside it. */

/** The oldest Node that Skein runs on, as `engines` in package.json says it. */
export const nodeMin = [22, 12] as const
/** A peer takes some 130 MB, its threads and a small stage as much again: with less than this left it will not start. */
export const memoryFailBytes = 128e6
/** With less than this left hardly any model has room. */
export const memoryWarnBytes = 512e6
/** A peer has some 60 descriptors open before it meets anybody. */
export const descriptorsFail = 128
/** 32 neighbours, sessions, files of models and commands, each with one or more. */
export const descriptorsWarn = 1024
/** No clock that is right shows a time before this version was made: 1 November 2026. */
export const wallMinMs = Date.UTC(2026, 10, 1)
/** Files of the peer that are newer than the clock by this: it was set back. An hour is a time zone that somebody took for the time. */
export const clockBackMs = 60_000
/** How far the clock may go another way than time does while the doctor looks, which takes seconds. */
export const clockJumpMs = 500
/** Clocks of two machines that are right differ by less: what records show of others' is half a minute late at most. */
export const clockApartMs = 60_000
/** Less room than this, and what a peer keeps of itself may not fit. */
export const diskFailBytes = 16e6
/** Less than this, and few models fit. */
export const diskWarnBytes = 1e9
/** How long packets that this machine sends to itself, and peers nearby, have to come. */
export const listenMs = 2_500
/** The same where no peer of the swarm has answered: by then whoever has another secret has asked for its own, as peers do every 10 s. */
export const strangersMs = 11_500
/** How often it is asked meanwhile: a packet may be lost. */
export const askEveryMs = 800
/** Peers whose addresses are tried, and addresses of each: enough to see a firewall. */
export const dialPeersMax = 16
export const dialAddressesMax = 6
/** A connection on a LAN takes a few ms; a firewall that drops packets says nothing for ever. */
export const dialMs = 2_000
/** Tags of other swarms that are told apart. */
export const strangersMax = 16
/** Tables of the kernel that are read: a thousand connections have 150 kB. */
export const procBytesMax = 4 << 20
/** Processes that are looked through for whoever has a port. */
export const processesMax = 4_096
/** Peers that a sentence names. */
export const namedMax = 3
/** How far a clock may be behind what members have signed before that is told of: those of members may be apart by as much. */
export const clockBehindMs = 10 * 60_000

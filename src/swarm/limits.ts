/** The bounds of the swarm: each has its unit in its name and its reason beside it. */
import { recordsMax } from '../limits.ts'

// ── Channels ───────────────────────────────────────────────────────────────────────────────────────

/** Memory that the length prefix of a frame alone can reserve; longer frames grow by doubling as they arrive. */
export const frameReserveBytes = 1 << 20
/**
 * Memory for frames that have begun to arrive, for one peer and for all: four and sixteen of the largest. Frames up to the
 * first of these are not counted: a thousand streams of them are 16 MiB, and single tokens never wait. One member can keep
 * out nobody but itself, and it takes four to keep out all.
 */
export const unfinishedFreeBytes = 16 << 10
export const unfinishedPeerBytesMax = 32 << 20
export const unfinishedHostBytesMax = 128 << 20
/** Channels of one peer that wait for such memory, each with a window of up to 2 MiB unread; one more ends the oldest. */
export const unfinishedWaitingMax = 32
/** A frame on a protocol that this peer opens but does not itself handle. */
export const frameBytesDefaultMax = 16 << 20
/** Messages of Noise that WebAssembly enciphers: above this Node's cipher is faster even where it is cold. */
export const compactCipherBytesMax = 3_072
/** Bytes queued in a channel above which `send` says to wait: some round trips at 1 Gbit/s, few enough to hold per hop. */
export const channelHighWaterBytes = 1 << 20
/** Bytes of whole frames kept while a channel has no receiver yet; above it reading pauses. */
export const channelPendingBytesMax = 1 << 20
/**
 * Window per Yamux stream. It must stay below libp2p's read buffer (4 MiB): with its default of 16 MiB a paused
 * stream under a fast sender is reset.
 */
export const streamWindowBytesMax = 2 << 20
/** Time for what is queued to leave when a channel closes; after it the channel is aborted. */
export const channelCloseMs = 5_000
/**
 * Channels that one peer may open here, at once and per second, all protocols together: each costs some 0.3 ms. A driver that loses a peer opens two for
 * each of its sessions at once, of which a hop has 512 at most; runs of a small graph have one each.
 */
export const channelsInBurstMax = 1_024
export const channelsInPerSecondMax = 256
/**
 * Part of the loop's time that what one peer sends may take while sessions of others run here, beyond what its own sessions need; so much at once; and what is
 * remembered of more than that. It is 400 frames a second at 60 µs each, or 30 channels opened, and where four drivers share a head with one
 * that floods it leaves them nine tenths of their speed.
 */
export const loopShareRatio = 0.025
export const loopBurstMs = 300
export const loopDebtMaxMs = 1_000
/** Sessions of others run where a frame was of use to one within this time. */
export const loopOthersMs = 1_000
/** Whoever has to wait is read again after this at the latest: it is not silent (`aliveLateMs`), nor unseen where it hangs up. */
export const loopPauseMaxMs = 300
/**
 * What a session needs is worth so many times the time in which its frames were acted upon, for what came before that (deciphering, opening its stream) and
 * promises after it, and the time in which its bytes are deciphered, of which a Raspberry Pi has 100 to 200 MB a second.
 */
export const loopWantedFactor = 3
export const loopWantedBytesPerMs = 50_000
/**
 * Bytes that cost what a ms of the loop does, beside the time in which they are read: the memory that they pass through is collected by other threads.
 * Under 4 MiB entries for a shelf without end those took 0.3 of a processor of each stage, at 12 MB/s.
 */
export const loopBytesPerMs = 100_000
/** Peers of which that is known: all that are connected, and those that were. */
export const loopPeersMax = 1_024
/** Outbound channels per protocol and connection: as many as sessions may pass one hop, with room. */
export const channelsOutMax = 1024

// ── Host ───────────────────────────────────────────────────────────────────────────────────────────

/** Connections that libp2p holds before it prunes: a full mesh of 32 peers twice over, for duplicates in passing. */
export const connectionsMax = 64
/** Connections with one peer: one, duplicates in passing, and one that the other end has not yet seen the end of. */
export const connectionsPerPeerMax = 4
/**
 * Time of an inbound handshake: it takes 4 round trips and some ms of either processor. Whoever is slower tries again; whoever
 * opens connections and says nothing holds each of them for no longer.
 */
export const handshakeMs = 2_000
/**
 * Handshakes at once, and of one address. Peers that share an address (a host, a NAT) start at once: a full mesh of 32 on one host
 * has 31 with one of them, twice where both ends dial. At 12 kB each all of them are 3 MB.
 */
export const handshakesMax = 256
export const handshakesPerAddressMax = 64
/**
 * Connections that one address may begin, at once and per second; others are not counted with it. At this rate the places of one
 * address last each connection 125 ms, and a handshake takes some 15, so members that share the address still get in; above it they
 * are refused as often as whoever hurries. With 128 a second two of three were, beside a stranger's 750.
 */
export const inboundBurstMax = 1_024
export const inboundPerSecondMax = 512
/**
 * The same while sessions run: a handshake takes some 3 ms of the loop, and 60 a second took two fifths of the speed of four answers. All peers of a host may
 * come at once; of those that share an address with somebody who hurries each tries again until it is one of these.
 */
export const inboundBusyBurstMax = 32
export const inboundBusyPerSecondMax = 8
/** Addresses whose bursts are remembered. One without a handshake that is forgotten has a full burst again. */
export const doorwayAddressesMax = 1_024
/** Addresses of one peer that an attempt has time for when all of them are silent. */
export const silentAddressesMax = 5
/** Of these, addresses that nobody signed, where there are signed ones. */
export const silentUnsignedMax = 2
/** One dial with its handshake. A LAN answers in ms; silent addresses must not hold up the next attempt. */
export const dialTimeoutMs = 3_000
/** Time after which the less preferred of two connections to one peer is closed: both ends see both by then. */
export const duplicateGraceMs = 1_000
/** Kademlia's k. With 8, lookups missed while tables had not converged; with 20 none did. */
export const dhtBucketSize = 20
export const dhtAlpha = 3
export const dhtDisjointPaths = 2
/**
 * How often those are asked for that are closest to this peer's own id: soon after its start, then half as often each time. Whoever
 * connects enters the table at once, so this is only done in a swarm that is larger than a neighbourhood. Every 30 s it was a third
 * of what 24 peers with 5 links each spent while idle.
 */
export const closestFirstMs = 15_000
export const closestMaxMs = 300_000
/** A peer that vanished costs a query one dial: kad-dht's default of 5 s is far above a LAN's needs. */
export const dhtDialMinMs = 800
export const dhtDialMaxMs = 1_500
/**
 * Lifetime of provider records; every peer of a swarm must use the same. Who departed is known by its record, so a
 * short life would only cost bytes: every repetition is a query per shard.
 */
export const providerTtlMs = 3_600_000
/** Remaining lifetime at which this peer provides its shards again. */
export const providerRepublishMs = 1_800_000
/**
 * Provider records that this peer keeps for others: of one peer (every shard of two models of the largest kind), of one
 * shard (a query is content with 20), and of all. An entry takes some 0.4 kB.
 */
export const providersPerPeerMax = 2_100
export const providersPerShardMax = 32
export const providersMax = 8_192
/**
 * Of the providers that one query names, so many without a known record are looked up and dialled, each for so long: a look-up
 * and a dial. Any member may name any peer as a provider.
 */
export const providersTriedMax = 8
export const providerReachMs = 6_000
/** A provider that could not be reached is tried again after this, doubled each time, as far as it is remembered. */
export const providerAgainMinMs = 5_000
export const providerAgainMaxMs = 120_000
export const providersRememberedMax = 256
/** How often providers are swept; reads do not filter, so it adds to their lifetime. */
export const providerSweepMs = 60_000
/**
 * What libp2p's peer store keeps: peers, addresses that a peer certified, and others of it. Any member may name any peer in the DHT.
 */
export const storedPeersMax = 1_024
export const storedCertifiedMax = 16
export const storedHearsayMax = 4
/** Addresses of peers are kept this long across restarts (libp2p's default of an hour forgets a parked drone). */
export const rememberedMs = 30 * 24 * 3_600_000

// ── Neighbours and contacts ────────────────────────────────────────────────────────────────────────

/**
 * Peers with which there is a records channel: each costs some 0.2 kB/s of beats, and every record once. A peer looks for so many
 * that 32 are a full mesh (`meshMax`); the rest is for those that look for it, who else would be refused by all of a full mesh.
 */
export const neighboursMax = 40
/** How many a peer looks for, where it is told how many it may have: of 8 it leaves two to those that look for it. */
export const neighboursSoughtRatio = 0.75
/**
 * Whoever has fewer is taken in by who has enough, in place of who has most: a random graph of 4 links each is in one piece, and
 * some of 8 may be gone at any time. At most half of what is allowed, or those that are full would push each other out.
 */
export const neighboursEnough = 8
/** So many stay that nobody needs for anything but records, and a fourth of all at most: the swarm is in one piece by them. */
export const neighboursKept = 2
/** Who has enough neighbours is asked again after this: others go, and come. The first by one that needs it, or has less than half of what it seeks. */
export const fullAgainSoonMs = 1_500
export const fullAgainMs = 30_000
/**
 * Connections that nothing needs, as queries of the DHT make them: a query asks three at a time. With {@link neighboursMax} they are
 * fewer than {@link connectionsMax}, from which libp2p closes such. One that is idle for this long ends: a query lasts seconds.
 */
export const contactsMax = 16
export const contactIdleMs = 10_000
export const contactLookMs = 1_000
/** Contacts that a peer keeps for its sessions at most: a route has some 10 hops, each with a stand-in for one or the other. */
export const contactsKeptMax = 16
/** Time for a connection to close in good order. */
export const contactCloseMs = 1_000

/**
 * How often the DHT is asked who else serves a model, in a swarm that is larger than a neighbourhood: soon while nobody is found,
 * then half as often each time.
 */
export const gatherAgainMinMs = 2_000
export const gatherAgainMaxMs = 60_000
/** Whoever was found keeps its place so long beyond the next question, or after the last one: another answer may follow. */
export const gatherHoldMs = 10_000

/** The same kind of violation is told of a peer again after this, with how often it was seen meanwhile: one that never ends would fill a disk. */
export const violationAgainMs = 10_000
/** Peers, each with a kind, of which that is remembered. */
export const violationsToldMax = 1_024

// ── Records ────────────────────────────────────────────────────────────────────────────────────────

/** A signed record: a peer with two models and a few stages needs some 500 bytes. */
export const recordBytesMax = 16 << 10
export const recordAddressesMax = 16
/** Binary multiaddr of an IPv6 address and a TCP port: 20 bytes; names of hosts are longer. */
export const recordAddressBytesMax = 128
/** Protocols that a record names: each of ours in a few revisions, and those of times to come. */
export const recordProtocolsMax = 32
/** Models, and stages, in one record. */
export const recordOffersMax = 32
/** Runs of held layers per model. */
export const recordRangesMax = 64
/** Characters of a name or a processor's description. */
export const recordTextMax = 96
export const recordNeighboursMax = 256
/** How long a record counts after it arrived. A vanished peer is seen by its silence long before. */
export const recordTtlMs = 30_000
/** Nobody may claim a longer life for a record: every peer says 30 s today, and what is invented lives as long. */
export const recordTtlMaxMs = 60_000
/** The scale of announced round trips: its shortest, the ratio of its steps, and how many there are: up to a minute. */
export const rttStepLeastMs = 0.25
export const rttStepRatio = 1.25
export const rttStepsMax = 56
/**
 * A link is announced anew when it was beyond its step by this ratio at so many looks in a row. Round trips under the load of
 * an answer vary by a third, and each change is a record of some 400 bytes to everybody.
 */
export const rttHoldRatio = 1.5
export const rttHoldLooks = 2
/** How often round trips are looked at for the record; each link is measured as often (`alivePingMs`). */
export const rttLookMs = 5_000
/**
 * Live peers among them that are neither connected nor named by a peer that is, and how many of these one neighbour may
 * have passed on. Identities cost nothing to invent; a swarm of a hundred peers whose members have 8 links each has some
 * 40 to 60 such.
 */
export const recordsHearsayMax = 256
export const recordsHearsayShareMax = 128
/** New ones of them that one neighbour may pass on in a second, beyond as many at once as its share. */
export const recordsHearsayPerSecondMax = 8
/**
 * Two processes with one identity that have not found out in this time which of them is the younger go by their runs: they
 * started within the time that a record takes, which is up to 5 s where both are connected with the same peers.
 */
export const twinTieMs = 5_000
/** From finding out that it yields to its stop: the other one's channels come back within a second. */
export const yieldMs = 3_000
/** Two that nobody else connects are connected for so long: until a tie between them is over, and the younger has stopped. */
export const twinRelayMs = twinTieMs + yieldMs + 7_000
/** An address at which the own id is said to be is looked at this often, and so many of them in that time. */
export const twinLookMs = 30_000
export const twinsMax = 16
/** After this a status does not speak of a second machine any more that was not heard again. */
export const twinForgetMs = 60_000
/** Highest seqs remembered of peers that left, so that a replayed record does not bring them back. */
export const recordMarksMax = 4096
/** A frame of /skein/records; what is known goes to a newcomer in as many as it takes. */
export const recordsFrameBytesMax = 64 << 10
/** Records per second that one neighbour may send, and in one go when it connects. A signature check takes 0.1 ms. */
export const recordsPerSecondMax = 256
export const recordsBurstMax = 2048
/**
 * Records of one peer that are believed and passed on, at once and per second; of more the newest follows. What changes with a session (its load) changes for
 * placement only over seconds, and each record costs everybody a signature check, a look at placement and a frame to each neighbour.
 */
export const recordChangesBurstMax = 8
export const recordChangesPerSecondMax = 4
/** The records decider looks at the time this often. */
export const recordsTickMs = 250
/** A record with other addresses goes to the DHT at most this often: pushes are what makes records fast. */
export const publishMs = 10_000
/**
 * One with the same addresses is put again this often, for peers that joined and holders that left, of which there are 20. Each time
 * takes some 40 requests.
 */
export const publishRefreshMs = 120_000
/** One DHT query or one attempt to open a records channel. */
export const dhtQueryMs = 5_000
/**
 * Telling the DHT one thing, for which nobody waits: some 40 requests, each of which may take 1.5 s. With 5 s all of them failed
 * where 48 hosts started on two cores.
 */
export const dhtTellMs = 30_000
/** What too few peers were told is told again after this, doubled each time up to the second; looked at this often. */
export const provideAgainMinMs = 5_000
export const provideAgainMaxMs = 120_000
export const provideLookMs = 5_000
/**
 * What was told in a swarm of so many, or of as many as a query asks, is told again in one that is so many times as large: of the 20
 * that a query asks by then a third was told.
 */
export const provideGrowth = 3
/** A records channel that takes nothing for this long is ended. */
export const congestedMs = 10_000
/** How often the battery is read. */
export const batteryMs = 30_000
/** Charge (0..1) below which a peer hands over what it serves, and from which it serves again. */
export const batteryLeaveRatio = 0.07
export const batteryReturnRatio = 0.12
/** Readings in a row that it takes to believe either. */
export const batteryLeaveReadings = 2
/** Time that a stopping peer gives its goodbye. */
export const goodbyeMs = 500
/** From the first connection until the DHT has the new peer in its table. */
export const provideSettleMs = 1_500
/** Changes of the own record within this time become one. */
export const announceDebounceMs = 30

// ── Discovery ──────────────────────────────────────────────────────────────────────────────────────

/** Peers that the dialer keeps addresses of, and addresses per peer and way. */
export const candidatesMax = 512
export const candidateAddressesMax = 16
/** The same of what the peer itself did not sign: a host seldom has more than a few links. */
export const unsignedAddressesMax = 8
/** Peers of which there is only hearsay: how many, dials to them at once, and attempts until they are forgotten. */
export const hearsayCandidatesMax = 64
export const hearsayDialsMax = 2
export const hearsayFailuresMax = 3
/** Dials at once, over all peers. */
export const dialsMax = 8
/** The larger of two ids waits this long before it dials, so that seldom both dial at once. */
export const dialTieBreakMs = 300
/** First and longest wait between attempts to dial one peer; it doubles in between. */
export const redialMinMs = 500
export const redialMaxMs = 30_000
/** A peer that closes its records channel closes its connection within this, if it goes: dialled before, it would end a handshake. */
export const unlinkedMs = 2_000
/** How often the folder of neighbours on this machine is read; changes are usually told at once. */
export const neighboursPollMs = 1_000
/** How often a peer says in that folder that it is alive, and how old its file may be. */
export const neighboursRefreshMs = 10_000
export const neighboursStaleMs = 35_000
export const neighbourFileBytesMax = 4096
export const neighbourFilesMax = 256
/** Names that are looked at in the folder: anybody may put files there. */
export const neighbourNamesMax = 4_096
/** How long a listing of this machine's interfaces counts: it takes 0.1 ms, and addresses are asked for often. */
export const interfacesFreshMs = 500
/** Links on which an IPv6 link-local address that names none is tried. */
export const linkLocalZonesMax = 4
/** How often mDNS asks again: it matters for lost packets only, a newcomer asks at once. */
export const mdnsIntervalMs = 10_000
/** A link is answered at most this often, any number of questions at once (RFC 6762 would have a second). */
export const mdnsAnswerMs = 250
/** A packet: what RFC 6762 allows. An answer with 16 addresses has 3 kB. */
export const mdnsPacketBytesMax = 9_000
/**
 * Packets of this swarm's service that are read, at once and per second: of one address, where a host of 32 peers sends some 100 a
 * second at most, and of all. Reading one takes some 50 µs.
 */
export const mdnsSourceBurstMax = 256
export const mdnsSourcePerSecondMax = 128
export const mdnsBurstMax = 1_024
export const mdnsPerSecondMax = 512
/** Addresses whose packets are counted. */
export const mdnsSourcesMax = 256
/** A vouched answer that differs from the last one of that peer counts at most this often: it may be an old one, repeated. */
export const mdnsNewsMs = 1_000
/** How long an answer that nobody vouched for waits for a better one, and how long it is then the last of that peer. */
export const mdnsDoubtMs = 2_000
export const mdnsRumourMs = 30_000
/** Peers of whom there are such answers. */
export const mdnsRumoursMax = 32
/** Interfaces on each of which there is a socket per family: Linux lets a socket join 20 groups. */
export const mdnsLinksMax = 16
/** How often mDNS looks for interfaces that came or went, and tries those again that failed. */
export const mdnsLookMs = 1_000

// ── Files ──────────────────────────────────────────────────────────────────────────────────────────

/** Peers of which libp2p's peer store keeps an entry: as many as can be known. One has addresses, protocols and a key: 1 kB. */
export const peerEntriesMax = recordsMax
export const peerEntryBytesMax = 16 << 10
/** The file of peers that were met: each takes 1 kB there, and the newest are worth most. */
export const peersFileBytesMax = 2 << 20
/** A new peer is in that file within this; what else changes, at every stream, within the second, since flash wears. */
export const peersSaveNewMs = 2_000
export const peersSaveMs = 60_000

/** `/proc/self/mountinfo` has a line of some 150 bytes per mount; container hosts have thousands. */
export const memoryLimitFileBytesMax = 4 << 20
/** A file of the data directory that holds one thing: a key, a format, a number. */
export const ownFileBytesMax = 4096
/** A swarm file has three short fields. */
export const swarmFileBytesMax = 4096

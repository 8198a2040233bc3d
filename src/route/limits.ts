/** The bounds of placement and routing: each has its unit in its name and its reason beside it. */

// ── Stage ──────────────────────────────────────────────────────────────────────────────────────────

/**
 * Ways to one stage, by as many hops, that a search for a route keeps because they differ in who may not come again: peers
 * that move serve two stages for a while, a few at a time. A way that is not kept costs a route only if all kept ones fail.
 */
export const routeVariantsMax = 8

// ── Cost ───────────────────────────────────────────────────────────────────────────────────────────

/** Round trip of a link nobody has measured: a quiet Wi-Fi LAN (wired is below 1 ms, mesh radios 5-30 ms per hop). */
export const linkRttDefaultMs = 4
/** Rate of a link nobody has measured, in bytes per ms: 20 Mbit/s, the middle of what mesh radios give. */
export const linkBytesPerMsDefault = 2_500
/** What one token's step carries when the model does not say: 4,096 wide in float16, and a header. */
export const stepBytesDefault = 8_256
/**
 * What two peers must win in predicted time over one that can answer alone, as a share: one peer needs no network, loses
 * less often, and predictions are no better than that. Each further hop must win a fifth of the one before it.
 */
export const hopMarginRatio = 0.04
/** All hops together: whatever they save, a route is never predicted to be slower than the fastest by more than this. */
export const hopsMarginRatio = 0.05
/**
 * What each session that shares a peer adds to the time of a step there, as a share of the step's own: a further row of a pass reads
 * no weights. Measured from 0.2 to 0.4 (`bench/results`), by processor and by type of weights.
 */
export const sessionShare = 0.35
/**
 * How much slower than the fastest a plan or a route may be predicted to be so that the first battery to be flat lasts
 * longer.
 */
export const flightSlackRatio = 0.1
/** A longer flight is looked for in steps of this ratio: gauges of batteries are no better. */
export const flightStepRatio = 1.05
/** What a plan must lengthen the flight by, as a factor, before it moves serving peers. */
export const flightMoveRatio = 1.3
/** Watts of a board that waits, and what computing and the radio add (Orin Nano class: 1.5 W idle, 9 to 25 W busy). */
export const flightIdleWatts = 3
export const flightComputeWatts = 12
export const flightRadioWatts = 2

// ── Peer ───────────────────────────────────────────────────────────────────────────────────────────

/** What a session takes has been announced by then: a look of its peer's, and a second for the record to come. */
export const roomHeardMs = 2_000

// ── Service ────────────────────────────────────────────────────────────────────────────────────────

/**
 * A peer looks at what records and connections have changed this long after the first of them: those of one burst count as
 * one change.
 */
export const lookMs = 5
/** After a look it waits for so many times what that took, up to the second: records may come faster than they are weighed. */
export const lookShare = 4
export const lookMaxMs = 1_000
/** A route that is waited for is looked for again this often, besides at every change: batteries and loads drift. */
export const routePollMs = 500
/**
 * A peer whose connection closed stays in the plans this long: the first reconnect takes less, and moving stages costs more.
 * With 2 s placement rested 5.4 s after the silent loss of an idle peer, of which its silence is 1.9 s.
 */
export const disconnectedGraceMs = 1_500
/** A peer that fell out of the plans this often within this time comes back only after it has stayed this long. */
export const flapsMax = 3
export const flapMemoryMs = 60_000
export const flapHoldMs = 10_000
/** A session without a way around a peer that failed it asks that peer again after this, if it is still connected. */
export const excludedGraceMs = 1_000
/** Time that an answer waits for more peers where the present budgets cannot cover the model. */
export const missingGraceMs = 2_500
/**
 * While this peer is younger than this, or has met or lost another one more lately, it does not say that the budgets of the
 * swarm cannot cover a model: more peers may be coming. Finding one another takes some 100 ms, and took over 3 s where
 * two cores were shared by thirteen busy processes.
 */
export const gatheringMs = 10_000

// ── Placement ──────────────────────────────────────────────────────────────────────────────────────

/**
 * What a plan that makes serving peers reload must win in predicted time per token. Measured speeds of one
 * machine vary by 10-15 % between runs, and Petals needs 25 % to move.
 */
export const moveMarginRatio = 0.22
/** Charge (0..1) below which a battery counts as weak: its peer is the last choice. */
export const batteryWeakRatio = 0.15
/** A peer without a stage is weak below this: one that recharges must not flap around the bound above. */
export const batteryWeakIdleRatio = 0.2
/** Peers that one search for a tiling weighs at most; more are first sorted by what they can hold. Two 24-bit sets. */
export const tilingPeersMax = 48
/** Partial tilings extended in one search, some 10-20 ms: exact to about 8 peers, a beam search above. */
export const tilingWorkMax = 300_000
/** Partial tilings kept for one border of layers, however small the swarm: every set of 9 peers. */
export const tilingBeamMax = 512
/** Ways that the search for the fastest tiling looks on from at one border; it knows which ones are promising. */
export const fastestBeamMax = 128
/** Steps of that search, some 20 ns each. */
export const fastestWorkMax = 120_000
/** Sets of peers per hop count in the search for the fewest hops: every set of 16 (at most 12,870). */
export const hopSetsMax = 13_000
/** The same for more than 16 peers, where only a sample of the sets can be looked at. */
export const hopSetsLargeMax = 400

// ── Swarm: records ─────────────────────────────────────────────────────────────────────────────────

/** A byte that must be fetched counts so much more than one that is read from disk: links are slower than disks. */
export const fetchWeight = 8
/** Copies of each layer that placement aims at before idle peers simply copy stages: one loss leaves a stand-in. */
export const placementCopies = 2

// ── What stages have shown ─────────────────────────────────────────────────────────────────────────

/** A stage is asked for a probe step within this after its record: not by everybody at the same moment. */
export const probeJitterMs = 1_000
/**
 * A probe step fails after this, and so many steps at the speed that its peer announces for each session and step that wait
 * there; after the last at the latest, whatever it announces.
 */
export const probeMs = 3_000
export const probeStepsMax = 4
export const probeMaxMs = 15_000
/** Probes in a row that fail before a peer is in doubt: one may be lost with its connection. */
export const probeFailuresMax = 2
/** From a failed probe to the next, doubled with every failure in a row up to the second. */
export const probeRetryMs = 1_000
export const probeRetryMaxMs = 30_000
/** Probes of one peer under way: a swarm of 32 that starts is asked within seconds, and few steps are computed at once. */
export const probesAtOnceMax = 4
/** Who failed is remembered for so long after it went: it may come back at once. */
export const doubtMemoryMs = 60_000

// ── View ───────────────────────────────────────────────────────────────────────────────────────────

/** Footprints of one model that are kept as shapes: engines and their versions in one swarm. Any can be made again. */
export const shapesMax = 64

// ── Stages under load ──────────────────────────────────────────────────────────────────────────────

/** Time over which the steps at a stage are averaged: a prompt of some seconds is no load, a minute of answers is. */
export const loadSmoothMs = 30_000
/** Steps at a time per copy of a stage from which another copy is worth a move: one is computed, and one always waits. */
export const hotSteps = 2
/** A copy that load has brought stays while the others would have so many steps at a time each without it. */
export const coolSteps = 1
/**
 * A copy stays for so long after its load has gone: load that comes and goes within minutes moves nothing but the first time. A
 * move loads gigabytes; a copy that stays costs nothing but what another stage would gain by it.
 */
export const coolWindowMs = 300_000
/** The most is kept for stretches of so long, a few dozen of them. */
export const coolPeakMs = 15_000

// ── Stages that do not come ────────────────────────────────────────────────────────────────────────

/**
 * A stage that a peer loads, or is to load, is overdue after this, and so much more per byte that it reads, and per byte that it
 * fetches: a peer settles and measures itself within seconds, and tries a load that failed again after a minute at most. Cards
 * read twice (for the digest, for the engine) give 5 MB/s, a link of which sessions take most gives 4 Mbit/s.
 */
export const overdueMs = 90_000
export const overdueLoadBytesPerMs = 5_000
export const overdueFetchBytesPerMs = 500
/** Who was overdue and has given up is asked for more after this, doubled each time up to the second. */
export const overdueHoldMs = 60_000
export const overdueHoldMaxMs = 900_000

// ── Planner ────────────────────────────────────────────────────────────────────────────────────────

/**
 * While what placement reads goes on changing, a plan that somebody can wait for is searched for this often: a search over
 * hundreds of peers takes 100 ms.
 */
export const planSearchMs = 500
/** Plans that are remembered, with the views that they follow from: what the planner sees, and what a few sessions do. */
export const searchesMax = 8
/** Tilings that are kept, each with the question that it answers, some 5 kB: a plan takes up to six. */
export const tilingsMax = 12
/** Quiet time of the view before a peer acts on a plan: records cross a LAN in tens of ms, peers start at once. */
export const planSettleMs = 400
/** Where the view never gets quiet, a peer acts after this all the same. */
export const planSettleMaxMs = 2_000
/** A peer that sees nobody waits this long after its start for others: discovery on one host or LAN takes below 1 s. */
export const planAloneMs = 1_500
/** Running sessions hold up the unloading of a surplus stage for this long; then they move on by replay. */
export const planDrainMs = 30_000
/** After a failed load: first wait, doubled with every failure in a row up to the second. */
export const planRetryMs = 1_000
export const planRetryMaxMs = 60_000

/** The bounds of finding out who lives: each has its unit in its name and its reason beside it. */

/**
 * A peer that has sent nothing to another for this long sends a beat: between peers that share a session or a
 * transfer, and between all others. Measured with 8 peers on two busy cores (`test/bench/alive.ts`), everything that
 * idle peers do included: 0.2 kB/s of TCP's payload and 0.6 ms/s of a processor per link end, 0.9 kB/s and 1.4 ms/s
 * when watched. So a full mesh of 32 idle peers costs each of them 6 kB/s and 2 % of a core.
 */
export const beatFastMs = 150
export const beatSlowMs = 1_000
/** To a contact: by being heard again sooner than every second, it knows that something may come to depend on it. */
export const beatKeptMs = 500
/** How often silence is looked at while any link beats fast or is in doubt, and while none is. */
export const aliveTickMs = 50
export const aliveTickSlowMs = 250
/**
 * A beat that is late by this much puts its peer in doubt: it is asked, and asked again this often, so that TCP sees
 * what got lost by what came after it and need not wait for its timeout.
 */
export const aliveDoubtMs = 50
/**
 * A question that is unanswered for so much longer than its round trip makes a peer suspect: a session that needs a way
 * around somebody else goes around this one, too, where it can. It is asked for twice in that time.
 */
export const aliveSuspectMs = 100
/**
 * A peer whose next byte is late by this much is silent, on a link that has never been late by a fourth of it. On two
 * cores under eight spinning processes beats 250 ms apart came 292 ms apart at most.
 */
export const aliveLateMs = 500
/** The same before a link has shown anything: eight round trips. */
export const aliveLateFirstMs = 1_000
export const aliveSamplesMin = 8
/**
 * A link is given so many times the third longest delay it has shown, which is forgotten by half in this time. With three and
 * a minute there was one false alarm in 15 modelled hours at 5 % loss and 200 ms jitter; with these none in 60.
 */
export const aliveLateFactor = 4
export const aliveMemoryMs = 120_000
/**
 * A link is also given so many times its round trip and four deviations: that many segments in a row may be lost, or late.
 * With three, one healthy peer in an hour was given up over a link with 5 % loss and 200 ms of jitter that reorders
 * (`npm run churn:hour`); at a round trip of 20 ms five are still less than the half second that every link has.
 */
export const aliveRttFactor = 5
/**
 * Before its first round trip nothing is known of a link. Most are measured within milliseconds of the connection. Once, over
 * 200 ms of jitter and 5 % loss and at a load of 29, a healthy one was quiet for 1.9 s; but with 3 s here a tenth of all silent
 * losses in `npm run churn` cost 3.3 s, so this is what a silent loss may cost.
 */
export const aliveUnmeasuredMs = 1_500
/** No link is given longer, whatever it has shown. */
export const silenceMaxMs = 10_000
/** An alive channel that this end does not want stays so long: the other end is yet to say whether it does. */
export const aliveUnwantedMs = 1_000
/** Until the first frame of a peer: it may still be starting. */
export const aliveOpeningMs = 4_000
/** How often a round trip is measured where nothing is in doubt: on watched links, and on all others. */
export const alivePingFastMs = 1_000
export const alivePingMs = 5_000
/** Whoever is said not to be heard counts as that for at least so long: each change is a new record. */
export const aliveUnheardMs = 1_000
/** One dial to a peer that fell silent and has not been heard since, when something is to be opened to it. */
export const silentDialMs = 500
/** Peers that are asked as well when one is in doubt, to tell its silence from the own isolation. */
export const aliveWitnessesMax = 3
/** An alive frame: three numbers. */
export const aliveFrameBytesMax = 64

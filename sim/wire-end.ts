/** The ends of connections over the radio, and what is on its way between them. */
import type { Appointment } from './agenda.ts'
import type { Station } from './station.ts'
import type { ChannelEnd, WireChannel } from './wire-channel.ts'

/** Something on its way. */
export interface Parcel {
  readonly bytes: number
  readonly task: () => void
  /** `held`: it found no way. `here`: it has arrived and waits for those before it. */
  state: 'flying' | 'held' | 'here'
  /** While it flies: when it arrives. */
  arrival: Appointment | undefined
  /** Some of it has to be sent again. */
  isLost: boolean
}

/** One end of a connection. */
export interface End extends ChannelEnd {
  readonly station: Station
  readonly life: number
  other: End
  open: boolean
  readonly channels: Set<WireChannel>
  /** When what was sent last arrives: nothing overtakes. */
  lastMs: number
  /** Until when packets of it come in at the other end. */
  flowsUntilMs: number
  /** What has not been handed over at the other end, in order. */
  readonly parcels: Parcel[]
  /** How many of them are held, and since when. */
  held: number
  heldSinceMs: number
  isFlushing: boolean
  /** Bytes that came and went. */
  bytesIn: number
  bytesOut: number
}

/**
 * An end closes: what found no way is lost, and with it all that was sent later, since nobody sends the gap again. What is on its way before
 * that arrives all the same, and in order.
 */
export function dropHeld(end: End): void {
  const gap = end.parcels.findIndex(({ state }) => state === 'held')
  for (const { arrival } of gap < 0 ? [] : end.parcels.splice(gap)) if (arrival !== undefined) arrival.act = undefined
  end.held = 0
}

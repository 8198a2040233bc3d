/**
 * Answers those who ask this machine for evidence of itself (protocols/attest.md). One quote answers all who wait for one, and there is a pause between two: no
 * number of questions occupies a TPM.
 */
import { PeerBudgets } from '../base/budget.ts'
import type { Clock } from '../base/clock.ts'
import type { PeerId } from '../base/ids.ts'
import type { Protocol } from '../base/protocol.ts'
import { ProtocolError } from '../errors.ts'
import { type AttestAnswer, encodeAnswer, readChallenge } from '../trust/attest-frame.ts'
import { type Attester, bindingOf, qualifyingOf } from '../trust/attestation.ts'
import {
  attestChannelsMax,
  attestFrameBytesMax,
  attestMs,
  challengeBudget,
  challengesWaitingMax,
  quoteEveryMs
} from '../trust/limits.ts'
import type { Channel, Links } from './links.ts'

export const attestProtocol: Protocol = { name: '/skein/attest', revisions: ['1.0.0'] }

export interface ProvingInit {
  readonly self: PeerId
  /** @default none: whoever asks is told so */
  readonly attester?: Attester | undefined
  readonly links: Links
  readonly clock: Clock
  readonly onViolation: (peer: PeerId, kind: string, message: string) => void
  readonly onWarning: (message: string) => void
}

interface Waiting {
  readonly channel: Channel
  readonly binding: Uint8Array
  readonly registers: readonly number[]
}

export class ProvingService {
  readonly #init: ProvingInit
  readonly #budgets = new PeerBudgets(challengeBudget)
  readonly #ended = new AbortController()
  #waiting: Waiting[] = []
  #isQuoting = false
  #said = ''

  constructor(init: ProvingInit) {
    this.#init = init
  }

  async start(): Promise<void> {
    await this.#init.links.handle(
      attestProtocol,
      { inboundMax: attestChannelsMax, frameBytesMax: attestFrameBytesMax, background: true },
      channel => this.#take(channel)
    )
  }

  stop(): void {
    this.#ended.abort(new Error('this peer is stopping'))
  }

  #take(channel: Channel): void {
    let isAsked = false
    const late = this.#init.clock.after(attestMs, () => {
      if (!isAsked) channel.abort(new ProtocolError(`it has asked nothing within ${attestMs} ms`))
    })
    late.unref()
    channel.receive({
      onFrame: bytes => {
        // One channel is one question.
        if (isAsked) return
        isAsked = true
        try {
          this.#ask(channel, bytes)
        } catch (error) {
          if (!(error instanceof ProtocolError)) throw error
          this.#init.onViolation(channel.remote, 'bad attest frame', `${channel.remote}: ${error.message}`)
          answer(channel, { refusal: error.message })
        }
      },
      onClose: () => {
        late.stop()
        this.#waiting = this.#waiting.filter(each => each.channel !== channel)
      }
    })
  }

  /** @throws {ProtocolError} for what is no challenge */
  #ask(channel: Channel, bytes: Uint8Array): void {
    const { nonce, kinds, registers } = readChallenge(bytes)
    const { attester, self, clock } = this.#init
    const refusal =
      attester === undefined
        ? 'it was started without --attest'
        : !kinds.includes(attester.kind)
          ? `its evidence is of the kind ${attester.kind}, which was not asked for`
          : !this.#budgets.take(channel.remote, clock.nowMs())
            ? 'it is asked too often'
            : this.#waiting.length >= challengesWaitingMax
              ? 'too many ask it at once'
              : undefined
    if (refusal !== undefined) {
      answer(channel, { refusal })
      return
    }
    this.#waiting.push({ channel, binding: bindingOf({ nonce, prover: self, verifier: channel.remote }), registers })
    void this.#quote(attester!)
  }

  async #quote(attester: Attester): Promise<void> {
    if (this.#isQuoting) return
    this.#isQuoting = true
    while (this.#waiting.length > 0 && !this.#ended.signal.aborted) {
      const asking = this.#waiting.splice(0)
      const told = await this.#evidence(attester, asking)
      for (const { channel } of asking) answer(channel, told)
      await this.#init.clock.sleep(quoteEveryMs, { signal: this.#ended.signal, ref: false })
    }
    this.#isQuoting = false
  }

  /** One statement for all of them. */
  async #evidence(attester: Attester, asking: readonly Waiting[]): Promise<AttestAnswer> {
    const bindings = Buffer.concat(asking.map(({ binding }) => binding))
    const registers = [...new Set(asking.flatMap(each => each.registers))].sort((a, b) => a - b)
    const signal = AbortSignal.any([this.#ended.signal, this.#init.clock.deadline(attestMs)])
    try {
      const statement = await attester.evidence({ qualifying: qualifyingOf(bindings), registers }, { signal })
      this.#said = ''
      return { evidence: { kind: attester.kind, bindings: new Uint8Array(bindings), statement } }
    } catch (error) {
      const why = signal.aborted ? `its ${attester.kind} did not answer in time` : (error as Error).message
      if (why !== this.#said && !this.#ended.signal.aborted)
        this.#init.onWarning(`this machine gives no evidence of itself: ${why}`)
      this.#said = why
      return { refusal: why }
    }
  }
}

function answer(channel: Channel, told: AttestAnswer): void {
  channel.send(encodeAnswer(told))
  void channel.close()
}

/** Who asks whom for evidence and when, over links in memory, on a clock that a test moves; signatures are real ones, by keys in software. */
import { readFileSync } from 'node:fs'
import { beforeEach, describe, expect, it } from 'vitest'
import { MemoryWorld } from '../../sim/memory-links.ts'
import type { PeerId } from '../../src/base/ids.ts'
import { AttestationService } from '../../src/swarm/attestation-service.ts'
import { attestProtocol } from '../../src/swarm/proving-service.ts'
import { encodeChallenge } from '../../src/trust/attest-frame.ts'
import { attestationPolicy, type Attester, registerSet } from '../../src/trust/attestation.ts'
import { peerOfKey } from '../../src/trust/keys.ts'
import type { Standing } from '../../src/trust/ledger.ts'
import * as limits from '../../src/trust/limits.ts'
import type { Role } from '../../src/trust/roles.ts'
import { verifyP256 } from '../../src/trust/signing-key.ts'
import { setOf, tpmJudge, tpmKind } from '../../src/trust/tpm-quote.ts'
import { SoftMachine } from '../trust/soft-quote.ts'
import { MovedClock } from './moved-clock.ts'

const peer = (n: number): PeerId => peerOfKey(new Uint8Array(32).fill(n))
const [asker, prover, third] = [peer(1), peer(2), peer(3)]
const machine = new SoftMachine()
const allOf = (...roles: Role[]): ReadonlySet<Role> => new Set(roles)

describe('evidence over time', () => {
  let clock: MovedClock
  let world: MemoryWorld
  /** What the registers of the machine hold, and whether its TPM answers. */
  let state: { value: number; isDead: boolean; quotes: number[] }
  let told: { attested: PeerId[]; refused: string[]; warnings: string[]; violations: string[] }
  let asks: AttestationService
  let nonce = 0

  const attester: Attester = {
    kind: tpmKind,
    key: machine.key,
    async evidence({ qualifying, registers }) {
      state.quotes.push(clock.nowMs())
      if (state.isDead) throw new Error('the TPM does not answer')
      const values = Buffer.alloc(32 * registers.length, state.value)
      return machine.evidence(qualifying, { registers, values })
    }
  }

  async function service(self: PeerId, isAsker: boolean): Promise<AttestationService> {
    const values = new Map([0, 7].map(register => [register, new Uint8Array(32).fill(1)]))
    const { registers, digest } = setOf(values, [0, 7])
    const set = registerSet(`sha256:${registers.join(',')}=${digest}`)
    const made = new AttestationService({
      self,
      clock,
      random: bytes => new Uint8Array(bytes).fill(++nonce),
      standingOf: () =>
        ({
          isMember: true,
          certificate: { last: { roles: ['stage', 'driver'], attestKey: machine.key } }
        }) as unknown as Standing,
      onWarning: message => told.warnings.push(message),
      ...(isAsker ? { policy: attestationPolicy(['stage'], [set], [tpmJudge(verifyP256)]) } : { attester })
    })
    await made.start({
      links: world.join(self),
      onChange: () => {},
      onRoles: other => told.attested.push(other),
      onRefused: (other, refusal) => {
        told.refused.push(refusal)
        // As a swarm does it.
        made.disconnected(other)
      },
      onViolation: (_, kind) => told.violations.push(kind)
    })
    return made
  }

  const counts = (): boolean => asks.counting(prover, allOf('stage', 'driver')).has('stage')

  beforeEach(async () => {
    clock = new MovedClock()
    world = new MemoryWorld()
    state = { value: 1, isDead: false, quotes: [] }
    told = { attested: [], refused: [], warnings: [], violations: [] }
    asks = await service(asker, true)
    await service(prover, false)
  })

  it('is asked for when a peer connects, and again before it ends (E1, E7)', async () => {
    expect(asks.counting(prover, allOf('stage', 'driver'))).toEqual(allOf('driver'))
    expect(asks.counting(asker, allOf('stage')), 'of itself it asks nothing').toEqual(allOf('stage'))
    asks.connected(prover)
    await clock.pass(1_000)
    expect(counts()).toBe(true)
    expect(told.attested).toEqual([prover])
    for (let minute = 0; minute < 31; minute++) {
      await clock.pass(60_000)
      expect(counts()).toBe(true)
    }
    expect(state.quotes).toHaveLength(7)
    expect(told).toEqual({ attested: [prover], refused: [], warnings: [], violations: [] })
    // Another process in its place begins with nothing.
    state.isDead = true
    asks.connected(prover)
    expect(counts()).toBe(false)
    await clock.pass(1_000)
    expect(counts()).toBe(false)
    expect(asks.refusalOf(prover)).toContain('it gives no evidence: the TPM does not answer')
  })

  it('that is wrong when it is asked for again ends the role at once, and what runs through the peer (E7)', async () => {
    asks.connected(prover)
    await clock.pass(1_000)
    state.value = 2
    await clock.pass(limits.attestAgainMs - 10_000)
    expect(counts()).toBe(true)
    await clock.pass(15_000)
    expect(counts()).toBe(false)
    expect(told.refused).toEqual([expect.stringMatching(/^it is attested no more: its registers 0,7 give/)])
    // It comes again, as a member without that role, and is not put out a second time.
    asks.connected(prover)
    await clock.pass(60_000)
    expect(told.refused).toHaveLength(1)
    expect(told.warnings).toEqual([
      expect.stringContaining(`${prover} does without the role stage here: its registers`)
    ])
    state.value = 1
    await clock.pass(limits.attestRetryMs + 1_000)
    expect(counts()).toBe(true)
    expect(told.attested).toEqual([prover, prover])
  })

  it('that does not come again counts until its end, and no longer (E7, E8)', async () => {
    asks.connected(prover)
    await clock.pass(1_000)
    state.isDead = true
    await clock.pass(limits.attestedMs - 5_000)
    expect(counts(), 'a TPM may be slow for a while').toBe(true)
    expect(told.refused).toEqual([])
    await clock.pass(10_000)
    expect(counts()).toBe(false)
    expect(told.refused).toEqual(['it is attested no more: it gives no evidence: the TPM does not answer'])
  })

  it('is waited for by who needs it, once, and nobody waits for one that has just failed (E10)', async () => {
    let isSettled = false
    void asks.settled(prover)!.then(() => {
      isSettled = true
    })
    await clock.pass(1_000)
    expect(isSettled).toBe(true)
    expect(counts(), 'it was connected for it').toBe(true)
    expect(asks.settled(prover)).toBeUndefined()
    state.value = 3
    asks.connected(prover)
    await clock.pass(1_000)
    expect(asks.settled(prover), 'it has failed a moment ago').toBeUndefined()
    await clock.pass(limits.attestRetryMs)
    expect(asks.refusalOf(prover)).toContain('registers 0,7')
  })

  it('of a peer that says nothing is given up, and asked for again (E8)', async () => {
    const wake = world.stall(prover)
    asks.connected(prover)
    await clock.pass(limits.attestMs + 1_000)
    expect(asks.refusalOf(prover)).toBe(`it gave no evidence within ${limits.attestMs} ms`)
    wake()
    await clock.pass(limits.attestRetryMs + 1_000)
    expect(counts()).toBe(true)
  })

  it('that is no frame is wrong, and counted', async () => {
    const rogue = world.join(third)
    await rogue.handle(attestProtocol, { inboundMax: 2, frameBytesMax: 1_024 }, channel => {
      channel.receive({ onFrame: () => channel.send(new Uint8Array([255, 1, 2])), onClose: () => {} })
    })
    asks.connected(third)
    await clock.pass(1_000)
    expect(asks.refusalOf(third)).toContain('its evidence is malformed')
    expect(told.violations).toEqual(['bad attest frame'])
    expect(asks.facts().peers).toEqual([{ peer: third, untilMs: null, refusal: expect.stringContaining('malformed') }])
  })

  it('that another machine answers for, or an older answer, is no evidence (E3)', async () => {
    const relayed: Uint8Array[] = []
    const rogue = world.join(third)
    // It has what the real machine said to this very asker, and says it again.
    await rogue.handle(attestProtocol, { inboundMax: 2, frameBytesMax: 8_192 }, channel => {
      channel.receive({ onFrame: () => channel.send(relayed[0]!), onClose: () => {} })
    })
    const real = world.join(peer(9))
    const channel = await real.open(prover, attestProtocol, { signal: AbortSignal.timeout(5_000) })
    channel.receive({ onFrame: frame => relayed.push(frame), onClose: () => {} })
    channel.send(encodeChallenge({ nonce: new Uint8Array(32).fill(1), kinds: [tpmKind], registers: [0, 7] }))
    await clock.pass(1_000)
    expect(relayed).toHaveLength(1)
    asks.connected(third)
    await clock.pass(1_000)
    expect(asks.refusalOf(third)).toContain('its evidence answers another challenge')
    expect(counts()).toBe(false)
  })

  it('costs a TPM one quote a second at most, however many ask (E9)', async () => {
    const frame = encodeChallenge({ nonce: new Uint8Array(32).fill(1), kinds: [tpmKind], registers: [] })
    const crowd = Array.from({ length: 20 }, (_, i) => world.join(peer(20 + i)))
    const answers: number[] = []
    for (let round = 0; round < 5; round++) {
      for (const links of crowd) {
        const channel = await links.open(prover, attestProtocol, { signal: AbortSignal.timeout(5_000) })
        channel.receive({ onFrame: bytes => answers.push(bytes.byteLength), onClose: () => {} })
        channel.send(frame)
      }
      await clock.pass(1_100)
    }
    await clock.pass(5_000)
    expect(answers, 'each has an answer to each').toHaveLength(100)
    expect(state.quotes.length).toBeLessThan(8)
    for (const [i, at] of state.quotes.entries()) {
      if (i > 0) expect(at - state.quotes[i - 1]!).toBeGreaterThanOrEqual(limits.quoteEveryMs)
    }
  })
})

it('attest.md shows the limits that the code has', () => {
  const doc = readFileSync(new URL('../../protocols/attest.md', import.meta.url), 'utf8')
  expect(doc).toContain(`| frame | ${limits.attestFrameBytesMax / 1024} KiB |`)
  expect(doc).toContain(`| streams per remote peer | ${limits.attestChannelsMax} |`)
  expect(doc).toContain(`evidence | ${limits.attestMs / 1000} s |`)
  expect(doc).toContain(`| challenges that wait for one quote | ${limits.challengesWaitingMax} |`)
  expect(doc).toContain(`| ${limits.evidenceKindsMax}; ${limits.registersMax} |`)
  expect(doc).toContain(`| ${limits.tpmStructureBytesMax} bytes each, a signature ${limits.tpmSignatureBytesMax} |`)
  expect(doc).toContain(`| sets of registers in a policy | ${limits.registerSetsMax} |`)
  expect(doc).toContain(`counts for ${limits.attestedMs / 60_000} minutes`)
  expect(doc).toContain(`asked again after ${limits.attestRetryMs / 1000} s`)
  expect(doc).toContain(
    `one more every ${limits.challengeEveryMs / 1000} s, and makes no two quotes within ${limits.quoteEveryMs / 1000} s`
  )
})

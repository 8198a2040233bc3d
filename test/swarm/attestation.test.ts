/**
 * Evidence of machines by TPMs in software, each of which is another machine's: what they sign is judged as anybody's would be. And members on loopback of whom
 * one asks the others for it.
 */
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { PeerId } from '../../src/base/ids.ts'
import { showEvidence } from '../../src/peer/attesting.ts'
import { initMembers, inviteMember, joinSwarm, renewMember } from '../../src/peer/enrolment.ts'
import { membersOf } from '../../src/peer/known-members.ts'
import type { AttestationOptions } from '../../src/swarm/attestation-service.ts'
import { tpmAttester } from '../../src/swarm/attester-service.ts'
import { attestProtocol } from '../../src/swarm/proving-service.ts'
import { createSwarm } from '../../src/swarm/service.ts'
import type { Swarm } from '../../src/swarm/swarm.ts'
import { type AttestAnswer, encodeChallenge, readAnswer } from '../../src/trust/attest-frame.ts'
import { attestationPolicy, type Attester, qualifyingOf, registerSet } from '../../src/trust/attestation.ts'
import { challengeBurst } from '../../src/trust/limits.ts'
import type { Role } from '../../src/trust/roles.ts'
import { verifyP256 } from '../../src/trust/signing-key.ts'
import { tpmJudge } from '../../src/trust/tpm-quote.ts'
import { needs } from '../needs.ts'
import { scratchFolders } from '../scratch.ts'
import { type SoftTpm, startTpm, whyNoTpm } from '../swtpm.ts'

const hour = 3_600_000
const judge = tpmJudge(verifyP256)
const signal = AbortSignal.timeout(600_000)
const stageProtocol = { name: '/skein/stage', revisions: ['1.0.0'] }
const inferProtocol = { name: '/skein/infer', revisions: ['1.0.0'] }

describe('evidence of machines', needs(whyNoTpm), () => {
  const homes = scratchFolders(afterAll)
  let own: SoftTpm
  let thief: SoftTpm
  let attester: Attester
  let thiefs: Attester

  beforeAll(async () => {
    // One after the other: what has started is stopped, whatever becomes of the next.
    own = await startTpm(await homes())
    thief = await startTpm(await homes())
    attester = await tpmAttester(own)
    thiefs = await tpmAttester(thief)
  }, 60_000)
  afterAll(() => {
    own?.stop()
    thief?.stop()
  })

  describe('a TPM', () => {
    const qualifying = new Uint8Array(randomBytes(32))

    it('has one key, whenever it is asked, and another one has another', async () => {
      expect((await tpmAttester(own)).key).toBe(attester.key)
      expect(attester.key).toMatch(/^[0-9a-f]{64}$/)
      expect(thiefs.key).not.toBe(attester.key)
      // An owner that takes it anew changes nothing, another endorsement seed does.
      thief.run('tpm2_clear', '-c', 'l')
      expect((await tpmAttester(thief)).key).toBe(thiefs.key)
      thief.run('tpm2_changeeps')
      expect((await tpmAttester(thief)).key).not.toBe(thiefs.key)
      thiefs = await tpmAttester(thief)
    }, 30_000)

    it('gives evidence that is right, for its key, its challenge and its registers alone (E5, E6)', async () => {
      const before = await showEvidence([0, 16], own)
      expect(before.key).toBe(attester.key)
      expect(before.registers).toHaveLength(24)
      const expected = { qualifying, key: attester.key, sets: [registerSet(before.set)] }
      const statement = await attester.evidence({ qualifying, registers: [0, 16] }, { signal })
      expect(judge.judge(statement, expected)).toBeUndefined()
      expect(judge.judge(statement, { ...expected, qualifying: randomBytes(32) })).toContain(
        'answers another challenge'
      )
      expect(judge.judge(statement, { ...expected, key: thiefs.key })).toContain("another machine's TPM")
      expect(judge.judge(await thiefs.evidence({ qualifying, registers: [0, 16] }, { signal }), expected)).toContain(
        "another machine's TPM"
      )
      own.run('tpm2_pcrextend', `16:sha256=${'ab'.repeat(32)}`)
      const after = await attester.evidence({ qualifying, registers: [0, 16] }, { signal })
      expect(judge.judge(after, expected)).toContain('registers 0,16 give')
      const set = registerSet((await showEvidence([0, 16], own)).set)
      expect(judge.judge(after, { ...expected, sets: [expected.sets[0]!, set] })).toBeUndefined()
      own.run('tpm2_pcrreset', '16')
    }, 30_000)

    it('that is not there is named in a sentence', async () => {
      await expect(tpmAttester({ tcti: 'swtpm:host=127.0.0.1,port=1' })).rejects.toMatchObject({
        name: 'AttestationError',
        exitCode: 3,
        message: expect.stringMatching(/the TPM does not do tpm2_createprimary .*TPM2TOOLS_TCTI/)
      })
    }, 30_000)
  })

  describe('members', () => {
    const scratch = scratchFolders()
    let root = ''
    let authority = ''
    const running: Swarm[] = []
    const warnings = new Map<PeerId, string[]>()
    beforeEach(async () => {
      root = await scratch()
      authority = join(root, 'authority.key')
      await initMembers({ file: join(root, 'swarm.json'), authority })
    })
    afterEach(async () => {
      await Promise.all(running.splice(0).map(swarm => swarm.stop()))
      warnings.clear()
    })

    async function start(
      name: string,
      { key, roles = ['driver', 'stage'], ...attestation }: AttestationOptions & { key?: string; roles?: Role[] }
    ): Promise<Swarm> {
      const dataDir = join(root, name)
      const known = await membersOf(dataDir).catch(() => undefined)
      if (known === undefined) {
        await joinSwarm(await inviteMember(authority, { roles, lifeMs: hour, attestKey: key }), dataDir)
      }
      const told: string[] = []
      const swarm = await createSwarm({
        dataDir,
        listen: ['/ip4/127.0.0.1/tcp/0'],
        mdns: false,
        neighbours: false,
        bootstrap: running[0]?.addresses ?? [],
        attestation,
        onWarning: message => told.push(message)
      })
      warnings.set(swarm.id, told)
      running.push(swarm)
      return swarm
    }

    const policyOf = (roles: Role[], ...sets: string[]): AttestationOptions => ({
      policy: attestationPolicy(roles, sets.map(registerSet), [judge])
    })
    const factsOf = (at: Swarm, of: Swarm) =>
      at.membership!.attestation.facts().peers.find(({ peer }) => peer === of.id)

    async function until(what: () => boolean, message: string): Promise<void> {
      const limit = performance.now() + 30_000
      while (!what()) {
        if (performance.now() > limit) throw new Error(`${message}: ${JSON.stringify([...warnings])}`)
        await new Promise(resolve => setTimeout(resolve, 20))
      }
    }

    it('have a role where they are attested, and are refused and named where they are not (E1, E8)', async () => {
      const asker = await start('asker', policyOf(['stage']))
      const good = await start('good', { key: attester.key, attester })
      const none = await start('none', {})
      const silent = await start('silent', { key: attester.key })
      // A disk that was put into another machine: the identity is there, and the TPM is not.
      const stolen = await start('stolen', { key: attester.key, attester: thiefs })
      await until(() => asker.membership!.may(good.id, 'stage'), 'evidence is not taken')
      const reasons: [Swarm, string][] = [
        [none, 'its certificate names no attestation key'],
        [silent, 'it was started without --attest'],
        [stolen, "that is another machine's TPM"]
      ]
      for (const [swarm, reason] of reasons) {
        await until(() => (factsOf(asker, swarm)?.refusal ?? '').includes(reason), `not refused: ${reason}`)
        expect(asker.membership!.may(swarm.id, 'stage')).toBe(false)
        expect(asker.membership!.may(swarm.id, 'driver'), 'a role that needs none').toBe(true)
        expect(asker.membership!.refusalOf(swarm.id), 'it stays a member').toBeUndefined()
        await expect(asker.links.open(swarm.id, inferProtocol, { signal })).rejects.toMatchObject({
          name: 'NotAdmittedError',
          message: expect.stringMatching(`does not have the role stage.*${reason}`)
        })
        const told = warnings
          .get(asker.id)!
          .filter(text => text.includes(`${swarm.id} does without the role stage here`))
        expect(told).toEqual([expect.stringContaining(reason)])
      }
      expect(factsOf(asker, good)).toMatchObject({ refusal: null })
      expect(factsOf(asker, good)!.untilMs).toBeGreaterThan(Date.now() + 500_000)
      expect(warnings.get(stolen.id)!.join()).toContain('others do not take its evidence')
      expect(asker.violations()).toEqual({})
      // Records of those others say what they would do; nobody plans with it here.
      const budgetOf = (swarm: Swarm): number | undefined => asker.recordOf(swarm.id)?.budgetBytes
      for (const swarm of [good, silent]) swarm.announce({ budgetBytes: 1e6 })
      await until(() => budgetOf(good) === 1e6, 'the record of who is attested does not count')
      expect(budgetOf(silent)).toBe(0)
      // The others ask for nothing.
      expect(good.membership!.may(none.id, 'stage')).toBe(true)
    }, 60_000)

    it('that are renewed with the key of their TPM have the role without a new start', async () => {
      const asker = await start('asker', policyOf(['stage']))
      const late = await start('late', { attester })
      await until(() => factsOf(asker, late)?.refusal !== undefined, 'it is not looked at')
      expect(warnings.get(late.id)!.join()).toContain(`skein renew with --attest ${attester.key}`)
      const { item } = await renewMember(authority, late.id, {
        roles: ['driver', 'stage'],
        lifeMs: 2 * hour,
        attestKey: attester.key
      })
      asker.membership!.give([item])
      await until(() => asker.membership!.may(late.id, 'stage'), 'it is not asked again')
      expect((await membersOf(join(root, 'late')).catch(() => undefined))?.self?.peer).toBe(late.id)
    }, 60_000)

    it('are waited for where they open a channel before they are judged, and refused where evidence is wrong (E10)', async () => {
      const taken: PeerId[] = []
      const asker = await start('asker', policyOf(['driver', 'stage']))
      await asker.links.handle(stageProtocol, { inboundMax: 8, frameBytesMax: 1_024 }, ({ remote }) =>
        taken.push(remote)
      )
      const good = await start('good', { key: attester.key, attester })
      const stolen = await start('stolen', { key: attester.key, attester: thiefs })
      // At once, which is before any quote is there.
      for (const swarm of [good, stolen]) {
        await until(() => swarm.hears(asker.id), 'they do not meet')
        const channel = await swarm.links.open(asker.id, stageProtocol, { signal })
        channel.receive({ onFrame: () => {}, onClose: () => {} })
      }
      await until(() => taken.length + (asker.violations()['wrong role'] ?? 0) === 2, 'not both are judged')
      expect(taken).toEqual([good.id])
      expect(asker.violations()['wrong role']).toBe(1)
      // And this end opens none to who lacks both roles.
      await expect(asker.links.open(stolen.id, stageProtocol, { signal })).rejects.toMatchObject({
        name: 'NotAdmittedError',
        message: expect.stringMatching(/does not have the role driver or stage.*another machine's TPM/)
      })
    }, 60_000)

    it('lose the role when their registers are others (E6)', async () => {
      const { set } = await showEvidence([0, 23], own)
      const asker = await start('asker', policyOf(['stage'], set))
      const good = await start('good', { key: attester.key, attester })
      await until(() => asker.membership!.may(good.id, 'stage'), 'evidence is not taken')
      own.run('tpm2_pcrextend', `23:sha256=${'cd'.repeat(32)}`)
      try {
        await good.stop()
        await until(() => !asker.hears(good.id), 'it does not go')
        expect(asker.membership!.may(good.id, 'stage'), 'evidence is of a connection').toBe(false)
        running.splice(running.indexOf(good), 1)
        const again = await start('good', { attester })
        await until(() => (factsOf(asker, again)?.refusal ?? '').includes('registers 0,23 give'), 'not refused')
        expect(asker.membership!.may(again.id, 'stage')).toBe(false)
      } finally {
        own.run('tpm2_pcrreset', '23')
      }
    }, 60_000)

    it('answer many with few quotes, one of them now and then only, and what is no challenge not at all (E4, E9)', async () => {
      let quotes = 0
      const gate = Promise.withResolvers<void>()
      const counting: Attester = {
        ...attester,
        async evidence(...asked) {
          quotes++
          await gate.promise
          return attester.evidence(...asked)
        }
      }
      const good = await start('good', { key: attester.key, attester: counting })
      const others = [await start('b', {}), await start('c', {}), await start('d', {})]
      for (const other of others) await until(() => other.hears(good.id), 'they do not meet')
      const ask = async (from: Swarm, frame: Uint8Array): Promise<AttestAnswer> => {
        const channel = await from.links.open(good.id, attestProtocol, { signal })
        return new Promise((resolve, reject) => {
          channel.receive({
            onFrame: bytes => resolve(readAnswer(bytes)),
            onClose: error => reject(error ?? new Error('no answer'))
          })
          channel.send(frame)
        })
      }
      const challenge = { nonce: randomBytes(32), kinds: ['tpm2'], registers: [0] }
      const frame = encodeChallenge(challenge)
      const asking = others.map(other => ask(other, frame))
      // What comes after a challenge on the same connection is answered at once: by then the challenge is there, too.
      const otherKind = encodeChallenge({ ...challenge, kinds: ['sgx'] })
      for (const other of others) {
        expect(await ask(other, otherKind)).toEqual({
          refusal: 'its evidence is of the kind tpm2, which was not asked for'
        })
      }
      gate.resolve()
      const answers = await Promise.all(asking)
      for (const answer of answers) {
        const { evidence } = answer as Extract<AttestAnswer, { evidence: unknown }>
        const qualifying = qualifyingOf(evidence.bindings)
        expect(judge.judge(evidence.statement, { qualifying, key: attester.key, sets: [] })).toBeUndefined()
      }
      expect(quotes, 'one for the first, and one for those who came meanwhile').toBe(2)
      let answer: AttestAnswer | undefined
      for (let n = 0; n < 10 * challengeBurst && !(answer !== undefined && 'refusal' in answer); n++) {
        answer = await ask(others[0]!, frame)
      }
      expect(answer).toEqual({ refusal: 'it is asked too often' })
      const short = await ask(others[1]!, encodeChallenge({ ...challenge, nonce: randomBytes(16) }))
      expect(short).toEqual({ refusal: 'the nonce of a challenge has 16 bytes, not 32' })
      expect(good.violations()).toEqual({ 'bad attest frame': 1 })
    }, 60_000)

    it('are asked by a peer that replays what another one was told, and it gains nothing (E3)', async () => {
      // One that has the disk, and passes on what the real machine says to it.
      const asker = await start('asker', policyOf(['stage']))
      const good = await start('good', { key: attester.key, attester })
      let relay: Swarm | undefined
      const relayed: Attester = {
        ...attester,
        async evidence() {
          await until(() => relay?.hears(good.id) === true, 'the relay does not reach the real one')
          const channel = await relay!.links.open(good.id, attestProtocol, { signal })
          const nonce = randomBytes(32)
          const answer = await new Promise<AttestAnswer>((resolve, reject) => {
            channel.receive({ onFrame: bytes => resolve(readAnswer(bytes)), onClose: error => reject(error) })
            channel.send(encodeChallenge({ nonce, kinds: ['tpm2'], registers: [] }))
          })
          if ('refusal' in answer) throw new Error(answer.refusal)
          return answer.evidence.statement
        }
      }
      const started = await start('relay', { key: attester.key, attester: relayed })
      relay = started
      await until(
        () => (factsOf(asker, started)?.refusal ?? '').includes('answers another challenge'),
        'a relayed quote is not refused'
      )
      expect(asker.membership!.may(started.id, 'stage')).toBe(false)
      await until(() => asker.membership!.may(good.id, 'stage'), 'the real one is not attested')
    }, 60_000)
  })
})

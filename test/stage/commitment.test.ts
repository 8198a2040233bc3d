/** What hops commit to at the end of a session (rule S41): over real stage services, with losses, drafts and rollbacks on the way. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { PeerId } from '../../src/base/ids.ts'
import { ProtocolError } from '../../src/errors.ts'
import type { Committed } from '../../src/session/committed.ts'
import {
  type Commitment,
  drawnRows,
  isCommittedBy,
  nothingDrawn,
  readCommitment,
  RowChain,
  rowsOfIds,
  signCommitment,
  withIds,
  withoutIds
} from '../../src/stage/commitment.ts'
import { decodeFrame, encodeFrame } from '../../src/stage/codec.ts'
import { sha256 } from '../../src/stage/committing-service.ts'
import { commitEveryTokens } from '../../src/session/limits.ts'
import { commitmentBytesMax } from '../../src/stage/limits.ts'
import { signerOf, verify } from '../../sim/cast.ts'
import { peerId, prompt, type TestPeer, TestWorld } from '../session/world.ts'

const hex = (bytes: Uint8Array | undefined): string | undefined => bytes && Buffer.from(bytes).toString('hex')

function chainOf(rows: Uint8Array, tokens: number): string | undefined {
  const chain = new RowChain(sha256)
  chain.push(0, rows, tokens)
  return hex(chain.at(tokens))
}

describe('a chain of rows', () => {
  const rowBytes = 6
  const steps = fc.array(
    fc.record({ back: fc.nat({ max: 5 }), rows: fc.uint8Array({ minLength: rowBytes, maxLength: 8 * rowBytes }) }),
    { minLength: 1, maxLength: 12 }
  )

  it('says the same of the same rows, in whatever steps, and after whatever was cut', () => {
    fc.assert(
      fc.property(steps, all => {
        const chain = new RowChain(sha256)
        let plain: number[] = []
        for (const { back, rows } of all) {
          const whole = rows.subarray(0, rows.length - (rows.length % rowBytes))
          const position = Math.max(0, plain.length / rowBytes - back)
          plain = [...plain.slice(0, position * rowBytes), ...whole]
          chain.push(position, whole, whole.length / rowBytes)
        }
        const tokens = plain.length / rowBytes
        expect(hex(chain.at(tokens))).toBe(chainOf(Uint8Array.from(plain), tokens))
        const first = Uint8Array.from(plain.slice(0, rowBytes))
        expect(hex(chain.at(1))).toBe(hex(sha256(Uint8Array.from([...new Uint8Array(32), ...first]))))
      })
    )
  })

  it('says something else where a bit differs, or rows are exchanged', () => {
    const rows = Uint8Array.from({ length: 12 }, (_, i) => i)
    const other = rows.slice()
    other[3]! ^= 1
    const exchanged = Uint8Array.from([...rows.subarray(6), ...rows.subarray(0, 6)])
    expect(new Set([rows, other, exchanged].map(each => chainOf(each, 2))).size).toBe(3)
  })

  it('says nothing of rows after a gap, and of none', () => {
    const chain = new RowChain(sha256)
    chain.push(0, new Uint8Array(4), 1)
    expect(chain.at(0)).toBeUndefined()
    expect(chain.at(2)).toBeUndefined()
    chain.push(2, new Uint8Array(4), 1)
    expect(chain.at(1)).toBeUndefined()
  })

  it('has ids behind rows, and takes them apart again', () => {
    const [rows, ids] = [Uint8Array.of(1, 2, 3, 4, 5, 6), rowsOfIds([9, 258])]
    const joined = withIds(rows, ids)
    expect(joined).toEqual(Uint8Array.of(1, 2, 3, 9, 0, 0, 0, 4, 5, 6, 2, 1, 0, 0))
    expect(withoutIds(joined, 2)).toEqual({ rows, ids })
  })

  it('has for a tail what was drawn after each row', () => {
    expect(rowsOfIds([1, 258])).toEqual(Uint8Array.of(1, 0, 0, 0, 2, 1, 0, 0))
    expect(drawnRows(3, 0, undefined)).toEqual(rowsOfIds([nothingDrawn, nothingDrawn, nothingDrawn]))
    expect(drawnRows(3, 0, [7])).toEqual(rowsOfIds([nothingDrawn, nothingDrawn, 7]))
    // Two drafts, of which the first was right: nothing is drawn after the last row.
    expect(drawnRows(3, 2, [7, 8])).toEqual(rowsOfIds([7, 8, nothingDrawn]))
  })
})

describe('a commitment', () => {
  const self = peerId('A')
  const content: Commitment = {
    terms: new Uint8Array(32).fill(1),
    hop: 2,
    tokens: 40,
    input: new Uint8Array(32).fill(2),
    output: new Uint8Array(32).fill(3),
    numericClass: 'abcd'
  }

  it('travels with Closed, and is its own', () => {
    const signed = signCommitment(content, signerOf(self))
    const back = decodeFrame(encodeFrame({ kind: 'closed', hops: [], commitments: [signed] }))
    expect(back).toEqual({ kind: 'closed', hops: [], commitments: [signed] })
    expect(isCommittedBy(self, signed, verify)).toBe(true)
    expect(isCommittedBy(peerId('B'), signed, verify)).toBe(false)
    const changed = signCommitment({ ...content, tokens: 41 }, signerOf(self))
    expect(isCommittedBy(self, { ...changed, signature: signed.signature }, verify)).toBe(false)
  })

  it.each([
    ['a short digest', { input: new Uint8Array(31) }],
    ['a hop beyond all routes', { hop: 64 }],
    ['no tokens', { tokens: 0 }],
    ['a class that is a novel', { numericClass: 'x'.repeat(65) }],
    ['more bytes than it may have', { output: new Uint8Array(commitmentBytesMax) }]
  ])('is none with %s', (_, change) => {
    const { payload, signature } = signCommitment({ ...content, ...change }, signerOf(self))
    expect(() => readCommitment(payload, signature)).toThrow(ProtocolError)
  })

  it('is none of bytes that are noise', () => {
    expect(() => readCommitment(Uint8Array.of(255, 255, 1), new Uint8Array(64))).toThrow(ProtocolError)
  })
})

describe('S41: hops commit when a session ends', () => {
  /** A session over these peers, and what its hops have committed to. */
  async function run(
    world: TestWorld,
    driver: TestPeer,
    options: { maxTokens: number; eosIds?: number[]; onToken?: (count: number) => void }
  ): Promise<{ ids: number[]; committed: Committed | undefined }> {
    let committed: Committed | undefined
    const { onToken, ...rest } = options
    const generation = world.generate(driver, prompt(150), {
      ...rest,
      parts: {
        check: async found => {
          committed = found
          return undefined
        }
      }
    })
    const ids: number[] = []
    for await (const event of generation.events()) {
      if (event.event === 'token') ids.push(event.id)
      if (event.event === 'token') onToken?.(ids.length)
    }
    return { ids, committed }
  }

  /** Each output is the next input, the head's input is the text, and the tail's output what came. */
  function agrees({ terms, ids, given, commitments }: Committed): void {
    const tokens = ids.length - 1
    expect(commitments.map(({ hop }) => hop)).toEqual(terms.route.map((_, hop) => hop))
    for (const [hop, each] of commitments.entries()) {
      expect(each.tokens).toBe(tokens)
      expect(hex(each.terms)).toBe(hex(sha256(terms.payload)))
      expect(isCommittedBy(terms.route[hop]!.peer, each, verify)).toBe(true)
      const next = commitments[hop + 1]
      if (next !== undefined) expect(hex(each.output)).toBe(hex(next.input))
    }
    expect(hex(commitments[0]!.input)).toBe(chainOf(rowsOfIds(ids.slice(0, tokens)), tokens))
    if (terms.epoch > 0) return
    expect(hex(commitments.at(-1)!.output)).toBe(chainOf(drawnRows(tokens, tokens - given, ids.slice(given)), tokens))
  }

  const ranges = [
    { start: 0, end: 2 },
    { start: 2, end: 4 },
    { start: 4, end: 6 }
  ]

  it('to the same rows at both ends of each link, drafts included', async () => {
    const w = new TestWorld({ commits: true })
    for (const [i, range] of ranges.entries()) await w.add(`Q${i + 1}`, [range])
    const driver = await w.add('D', [])
    const { ids, committed } = await run(w, driver, { maxTokens: 60 })
    expect(ids).toEqual(w.expected(prompt(150), 60))
    agrees(committed!)
    await w.stop()
  })

  it('after a loss, too, and a stand-in for what others sent before it came', async () => {
    const w = new TestWorld({ commits: true })
    for (const [i, range] of ranges.entries()) await w.add(`Q${i + 1}`, [range])
    await w.add('S', [ranges[1]!])
    const driver = await w.add('D', [])
    let lost: PeerId | undefined
    const { ids, committed } = await run(w, driver, {
      maxTokens: 40,
      onToken: count => {
        if (count !== 12) return
        lost = w.routes[0]![1]!.peer
        w.kill(lost)
      }
    })
    expect(ids).toEqual(w.expected(prompt(150), 40))
    expect(committed!.terms.route.map(({ peer }) => peer)).not.toContain(lost)
    agrees(committed!)
    await w.stop()
  })

  it('where they are asked: not where a hop before them commits to nothing', async () => {
    const w = new TestWorld({ commits: true })
    const old = new TestWorld()
    await w.add('Q1', [ranges[0]!])
    // One that knows nothing of commitments, and answers as ever.
    const silent = await old.add('Q2', [ranges[1]!], { links: w.links.join(peerId('Q2')) })
    w.peers.set(silent.id, silent)
    await w.add('Q3', [ranges[2]!])
    const driver = await w.add('D', [])
    const { ids, committed } = await run(w, driver, { maxTokens: 10 })
    expect(ids).toEqual(w.expected(prompt(150), 10))
    expect(committed!.commitments.map(({ hop }) => hop)).toEqual([0, 2])
    await w.stop()
  })

  it('while it goes on, too, and who has gone has said what it did until then: S42', async () => {
    const w = new TestWorld({ commits: true })
    for (const [i, range] of ranges.entries()) await w.add(`Q${i + 1}`, [range])
    await w.add('S', [ranges[1]!])
    const driver = await w.add('D', [])
    let lost: PeerId | undefined
    const { ids, committed } = await run(w, driver, {
      maxTokens: commitEveryTokens + 20,
      onToken: count => {
        if (count !== commitEveryTokens + 10) return
        lost = w.routes[0]![1]!.peer
        w.kill(lost)
      }
    })
    expect(ids).toEqual(w.expected(prompt(150), commitEveryTokens + 20))
    const [before] = committed!.before
    expect(before!.terms.route[1]!.peer).toBe(lost)
    const tokens = 150 + commitEveryTokens
    for (const each of before!.commitments) {
      expect(each.tokens).toBeGreaterThanOrEqual(tokens)
      expect(each.tokens).toBeLessThan(tokens + 8)
    }
    const some = before!.commitments[0]!.tokens
    agrees({ ...committed!, ...before!, ids: committed!.ids.slice(0, some + 1) })
    agrees(committed!)
    await w.stop()
  })

  it('before a planned departure: what the leaving hop computed is signed, all but the last few tokens', async () => {
    const w = new TestWorld({ commits: true })
    for (const [i, range] of ranges.entries()) await w.add(`Q${i + 1}`, [range])
    await w.add('S', [ranges[1]!])
    const driver = await w.add('D', [])
    // Long enough to be gone around.
    for (const { probes } of w.peers.values())
      for (const probe of probes) probe.beforeRun = () => new Promise(resolve => setTimeout(resolve, 4))
    let gone: PeerId | undefined
    const { committed } = await run(w, driver, {
      maxTokens: 60,
      onToken: count => {
        if (count !== 12) return
        gone = w.routes[0]![1]!.peer
        w.leaving.add(gone)
      }
    })
    expect(committed!.terms.route.map(({ peer }) => peer)).not.toContain(gone)
    const said = committed!.before.flatMap(({ terms, commitments }) =>
      commitments.filter(({ hop }) => terms.route[hop]!.peer === gone)
    )
    expect(said).toHaveLength(1)
    expect(isCommittedBy(gone!, said[0]!, verify)).toBe(true)
    expect(said[0]!.tokens).toBeGreaterThanOrEqual(150 + 12 - 1)
    await w.stop()
  })

  it('keeps what it sent for its driver, for a while', async () => {
    const w = new TestWorld({ commits: true })
    const peers = []
    for (const [i, range] of ranges.entries()) peers.push(await w.add(`Q${i + 1}`, [range]))
    const driver = await w.add('D', [])
    const { committed } = await run(w, driver, { maxTokens: 10 })
    const { terms, commitments } = committed!
    const kept = peers[0]!.stages.committing!.keptRows(driver.id, terms.session, ranges[0]!)
    const tokens = committed!.ids.length - 1
    expect(chainOf(kept!.states.copy(tokens), tokens)).toBe(hex(commitments[0]!.output))
    // Nobody else's session, and nothing of a tail, which sent no rows.
    expect(peers[0]!.stages.committing!.keptRows(peers[1]!.id, terms.session, ranges[0]!)).toBeUndefined()
    expect(peers[2]!.stages.committing!.keptRows(driver.id, terms.session, ranges[2]!)).toBeUndefined()
    await w.stop()
  })
})

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { PeerRecord, SignedRecord } from '../../protocols/records.ts'
import type { ModelId, PeerId } from '../../src/base/ids.ts'
import { bytesOfPeer } from '../../src/base/peer-bytes.ts'
import type { Sign } from '../../src/base/signature.ts'
import { recordsMax } from '../../src/limits.ts'
import {
  publishMs,
  publishRefreshMs,
  recordBytesMax,
  recordChangesBurstMax,
  recordChangesPerSecondMax,
  recordMarksMax,
  connectionsMax,
  recordsBurstMax,
  recordsHearsayMax,
  recordsHearsayPerSecondMax,
  recordsPerSecondMax,
  recordsHearsayShareMax,
  recordsTickMs,
  recordTtlMaxMs,
  recordTtlMs,
  twinTieMs
} from '../../src/swarm/limits.ts'
import {
  encodePayload,
  encodeRecord,
  peerFromBytes,
  peerHint,
  type RecordContent,
  readRecord,
  type SwarmRecord
} from '../../src/swarm/record.ts'
import { rttOfStep } from '../../src/swarm/round-trips.ts'
import { Records } from '../../src/swarm/records.ts'
import type { RecordsEffect } from '../../src/swarm/records-event.ts'
import { encodeRecordsFrame } from '../../src/swarm/records-frame.ts'

/** Peer ids with keys that are numbers: what they sign is checked by `verify` without any cryptography. */
function peer(n: number): PeerId {
  const bytes = new Uint8Array(38)
  bytes.set([0x00, 0x24, 0x08, 0x01, 0x12, 0x20])
  new DataView(bytes.buffer).setUint32(34, n)
  return peerFromBytes(bytes)!
}

/** A toy signature: 64 bytes that depend on signer and data. */
function toySignature(signer: PeerId, data: Uint8Array): Uint8Array {
  let hash = 2166136261
  for (const byte of [...bytesOfPeer(signer), ...data]) hash = Math.imul(hash ^ byte, 16777619) >>> 0
  const signature = new Uint8Array(64)
  for (let i = 0; i < 64; i++) signature[i] = (hash >>> (8 * (i % 4))) & 0xff
  return signature
}
const signAs =
  (signer: PeerId): Sign =>
  data =>
    toySignature(signer, data)
const verify = (signer: PeerId, data: Uint8Array, signature: Uint8Array): boolean =>
  Buffer.compare(toySignature(signer, data), signature) === 0

const model = 'ab'.repeat(32) as SwarmRecord['models'][number]['model']

const content: RecordContent = {
  addresses: [Uint8Array.of(4, 127, 0, 0, 1, 6, 0x10, 0x01)],
  agent: 'test',
  hardware: { cores: 4, memoryBytes: 8e9, architecture: 'arm64', platform: 'linux', cpu: 'Cortex-A76' },
  budgetBytes: 64e6,
  models: [
    {
      model,
      name: 'stories',
      layers: 6,
      held: [
        { start: 0, end: 2 },
        { start: 3, end: 6 }
      ],
      embedding: true,
      head: false,
      visitMs: 0.5,
      layerMs: 0.25,
      numericClass: 'q8-0123',
      pinned: { start: 0, end: 2 },
      budgetBytes: 32e6,
      demand: 4
    }
  ],
  stages: [{ model, start: 0, end: 2, serving: true, cacheBytesFree: 1e6, sessions: 1 }],
  load: { sessions: 1, queuedSteps: 2 },
  battery: { level: 0.5, charging: false },
  leaving: true,
  protocols: ['/skein/stage/1.0.0', '/skein/alive/1.0.0']
}

function record(of: PeerId, seq: number, change: Partial<SwarmRecord> = {}): SwarmRecord {
  return { ...content, peer: of, seq, ttlMs: recordTtlMs, neighbours: new Set(), ...change }
}

function signed(of: PeerId, seq: number, change: Partial<SwarmRecord> = {}): Uint8Array {
  return encodeRecord(record(of, seq, change), signAs(of))
}

const self = peer(1)
const [b, c, d] = [peer(2), peer(3), peer(4)]

function decider(seq = 0): Records {
  return new Records({ self, sign: signAs(self), verify, seq })
}

const kindsOf = (effects: readonly RecordsEffect[]): string[] => effects.map(({ kind }) => kind)
const sentTo = (effects: readonly RecordsEffect[]): PeerId[] =>
  effects.flatMap(effect => (effect.kind === 'send' ? [effect.peer] : []))
const frame = (...values: Uint8Array[]): Uint8Array => encodeRecordsFrame(values)
const others = (records: Records): PeerId[] =>
  records
    .known()
    .map(known => known.record.peer)
    .filter(id => id !== self)

describe('records of one peer that never end', () => {
  it('R27: are passed on a few times a second, and the newest always is', () => {
    const records = decider()
    for (const each of [b, c]) records.handle({ kind: 'opened', peer: each }, 0)
    let [passed, last] = [0, -1]
    const note = (effects: readonly RecordsEffect[]): void => {
      passed += sentTo(effects).filter(to => to === c).length
    }
    for (let ms = 0; ms < 10_000; ms += 10) {
      note(records.handle({ kind: 'frame', peer: b, frame: frame(signed(b, 1 + ms)) }, ms))
      last = 1 + ms
      if (ms % recordsTickMs === 0) note(records.handle({ kind: 'tick', wallMs: ms }, ms))
    }
    expect(passed).toBeLessThanOrEqual(recordChangesBurstMax + 10 * recordChangesPerSecondMax)
    records.handle({ kind: 'tick', wallMs: 10_250 }, 10_250)
    expect(records.get(b)?.seq).toBe(last)
  })

  it('R27: end with a goodbye that never waits, and nothing that waited comes after it', () => {
    const records = decider()
    for (const each of [b, c]) records.handle({ kind: 'opened', peer: each }, 0)
    for (let seq = 1; seq <= 20; seq++) records.handle({ kind: 'frame', peer: b, frame: frame(signed(b, seq)) }, 0)
    const effects = records.handle({ kind: 'frame', peer: b, frame: frame(signed(b, 21, { ttlMs: 0 })) }, 0)
    expect(kindsOf(effects)).toContain('leave')
    expect(sentTo(effects)).toContain(c)
    for (let ms = recordsTickMs; ms < 5_000; ms += recordsTickMs) {
      expect(kindsOf(records.handle({ kind: 'tick', wallMs: ms }, ms))).not.toContain('join')
    }
    expect(others(records)).toEqual([])
  })
})

describe('a record', () => {
  it('R16: says round trips to neighbours in steps, and none where there are none', () => {
    const hints = [peerHint(c), peerHint(d), 9]
    const rtts = new Map([
      [peerHint(c), rttOfStep(3)!],
      [9, rttOfStep(56)!],
      // No neighbour any more.
      [77, rttOfStep(4)!]
    ])
    const value = encodeRecord(record(b, 7, { neighbours: new Set(hints), rtts }), signAs(b))
    const before = readRecord(value).verified(verify)
    expect(before.rtts).toEqual(new Map([...rtts].slice(0, 2)))
    const bare = encodeRecord(record(b, 7, { neighbours: new Set(hints) }), signAs(b))
    expect(value.byteLength - bare.byteLength).toBe(2 + hints.length)
    expect(readRecord(bare).verified(verify).rtts).toBeUndefined()
  })

  it('R16: with another number of round trips than of neighbours is dropped', () => {
    const { payload } = SignedRecord.decode(signed(b, 7, { neighbours: new Set([1, 2]) }))
    const fields = PeerRecord.decode(payload)
    for (const count of [1, 3]) {
      const bad = PeerRecord.encode({ ...fields, roundTrips: new Uint8Array(count) })
      const value = SignedRecord.encode({
        payload: bad,
        signature: toySignature(b, Buffer.concat([Buffer.from('skein-record:'), bad])) as never
      })
      expect(() => readRecord(value).verified(verify)).toThrow(`roundTrips has ${count} steps for 2 neighbours`)
    }
  })

  it('R18: says what its engine takes of memory, or nothing of it', () => {
    const footprint = { layerBytes: 3e9, embeddingBytes: 0, headBytes: 7, cacheBytesPerLayer: 2 ** 40 }
    const [offer] = content.models
    const said = encodeRecord(record(b, 7, { models: [{ ...offer!, footprint }] }), signAs(b))
    expect(readRecord(said).verified(verify).models[0]!.footprint).toEqual(footprint)
    const bytes = {
      ...footprint,
      i8CacheBytesPerLayer: 12,
      cachePageTokens: 128,
      i8CachePageTokens: 384,
      givesBackWindows: true
    }
    const more = encodeRecord(record(b, 7, { models: [{ ...offer!, footprint: bytes }] }), signAs(b))
    expect(readRecord(more).verified(verify).models[0]!.footprint).toEqual(bytes)
    expect(readRecord(encodeRecord(record(b, 7), signAs(b))).verified(verify).models[0]).not.toHaveProperty('footprint')
  })

  it('R26: says what its origin is about to offer, that it is nothing, or nothing of it', () => {
    const said = (coming?: RecordContent['coming']): SwarmRecord =>
      readRecord(encodeRecord(record(b, 7, coming === undefined ? {} : { coming }), signAs(b))).verified(verify)
    const fox = { model: 'ab'.repeat(32) as ModelId, name: 'fox' }
    expect(said([fox]).coming).toEqual([fox])
    expect(said([]).coming).toEqual([])
    expect(said()).not.toHaveProperty('coming')
    expect(() => said([{ ...fox, name: 'a\u001b[2J' }])).toThrow('name is over 96 characters or has control characters')
    expect(() => said(new Array<typeof fox>(33).fill(fox))).toThrow('a record cannot be read')
  })

  it('R23: says how busy a stage has been, none at all included, or nothing of it', () => {
    const [stage] = content.stages
    const said = (more: object): object => {
      const value = encodeRecord(record(b, 7, { stages: [{ ...stage!, ...more }] }), signAs(b))
      return readRecord(value).verified(verify).stages[0]!
    }
    expect(said({ load: 0, peak: 12 })).toMatchObject({ load: 0, peak: 12 })
    expect(said({ load: 3 })).not.toHaveProperty('peak')
    expect(said({})).not.toHaveProperty('load')
  })

  it('comes back as it was', () => {
    const life = { run: '0123456789abcdef', upMs: 2 ** 40, heard: 'fedcba9876543210', yields: true }
    const before = record(b, 7, { neighbours: new Set([peerHint(c), 0, 0xffffffff]), life })
    expect(readRecord(encodeRecord(before, signAs(b))).verified(verify)).toEqual(before)
    const bare = record(b, 8, { battery: null, models: [], stages: [], addresses: [] })
    expect(readRecord(encodeRecord(bare, signAs(b))).verified(verify)).toEqual(bare)
  })

  it('R14: says whether its peer is leaving, and a later one may take it back', () => {
    const records = decider()
    records.handle({ kind: 'opened', peer: b }, 0)
    const leaving = (): boolean | undefined => records.get(b)?.leaving
    records.handle({ kind: 'frame', peer: b, frame: frame(signed(b, 1, { leaving: true })) }, 0)
    expect(leaving()).toBe(true)
    records.handle({ kind: 'frame', peer: b, frame: frame(signed(b, 2, { leaving: false })) }, 1)
    expect(leaving()).toBe(false)
  })

  it('R4: is signed under its own domain: a signature over the bare payload does not count', () => {
    const payload = encodePayload(record(b, 7)) as Uint8Array<ArrayBuffer>
    const bare = SignedRecord.encode({ payload, signature: toySignature(b, payload) as Uint8Array<ArrayBuffer> })
    expect(() => readRecord(bare).verified(verify)).toThrow('signature')
  })

  it('R4: one flipped bit anywhere is refused, or was in nothing that counts', () => {
    const value = signed(b, 7)
    fc.assert(
      fc.property(fc.nat(value.byteLength - 1), fc.nat(7), (at, bit) => {
        const bad = value.slice()
        bad[at]! ^= 1 << bit
        let read: SwarmRecord
        try {
          read = readRecord(bad).verified(verify)
        } catch (error) {
          expect((error as Error).name).toBe('ProtocolError')
          return
        }
        expect(read).toEqual(record(b, 7))
      })
    )
  })

  it('P10: any bytes at all are a record or a ProtocolError', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), bytes => {
        try {
          readRecord(bytes).verified(() => true)
        } catch (error) {
          expect((error as Error).name).toBe('ProtocolError')
        }
      })
    )
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), payload => {
        const value = SignedRecord.encode({ payload: new Uint8Array(payload), signature: new Uint8Array(64) })
        try {
          readRecord(value).verified(() => true)
        } catch (error) {
          expect((error as Error).name).toBe('ProtocolError')
        }
      })
    )
  })

  it.each<[string, Partial<SwarmRecord>]>([
    ['a ttl over the limit', { ttlMs: recordTtlMaxMs + 1 }],
    ['control characters', { agent: 'evil\u001b[2J' }],
    ['a text that is too long', { agent: 'x'.repeat(97) }],
    ['a battery of 200 %', { battery: { level: 2, charging: false } }],
    ['a battery that is no number', { battery: { level: Number.NaN, charging: false } }],
    ['an empty stage', { stages: [{ model, start: 3, end: 3, serving: true, cacheBytesFree: 0, sessions: 0 }] }],
    [
      'a stage beyond any model',
      { stages: [{ model, start: 0, end: 5000, serving: true, cacheBytesFree: 0, sessions: 0 }] }
    ],
    ['negative times', { models: [{ ...content.models[0]!, layerMs: -1 }] }],
    ['times that are no numbers', { models: [{ ...content.models[0]!, visitMs: Number.NaN }] }],
    ['layers beyond the model', { models: [{ ...content.models[0]!, held: [{ start: 0, end: 7 }] }] }],
    [
      'held ranges that overlap',
      {
        models: [
          {
            ...content.models[0]!,
            held: [
              { start: 0, end: 3 },
              { start: 2, end: 4 }
            ]
          }
        ]
      }
    ],
    ['no layers', { models: [{ ...content.models[0]!, layers: 0, held: [], pinned: null }] }],
    ['too many addresses', { addresses: Array.from({ length: 17 }, () => Uint8Array.of(4)) }],
    ['an address that is too long', { addresses: [new Uint8Array(129)] }],
    ['a run that is too short', { life: { run: '00', upMs: 1, heard: undefined, yields: false } }],
    [
      'a run that was heard and is too long',
      { life: { run: '00'.repeat(8), upMs: 1, heard: '00'.repeat(9), yields: false } }
    ],
    ['too many stages', { stages: Array.from({ length: 33 }, () => content.stages[0]!) }],
    ['too many neighbours', { neighbours: new Set(Array.from({ length: 257 }, (_, i) => i)) }]
  ])('R5: is refused with %s, although its signature holds', (_name, change) => {
    expect(() => readRecord(signed(b, 7, change)).verified(verify)).toThrow(
      expect.objectContaining({ name: 'ProtocolError' })
    )
  })

  it('travels with sizes of any magnitude', () => {
    // protons-runtime 7.1.2 writes bigints from 2^31 to 2^32 as one byte and leaves the others as they were in memory.
    for (let bits = 0; bits <= 52; bits++) {
      for (const budgetBytes of [2 ** bits - 1, 2 ** bits, 2 ** bits + 12_345]) {
        const hardware = { ...content.hardware, memoryBytes: budgetBytes }
        const read = readRecord(signed(b, 7, { budgetBytes, hardware })).verified(verify)
        expect([read.budgetBytes, read.hardware.memoryBytes]).toEqual([budgetBytes, budgetBytes])
      }
    }
  })

  it('R5: is refused when a digest is short, a size is over 2^53 or it is too long', () => {
    const seal = (fields: Partial<PeerRecord>, more: readonly number[] = []): Uint8Array => {
      const own = PeerRecord.encode({ ...fields, peer: bytesOfPeer(b) })
      const payload = Uint8Array.from([...own, ...more])
      const data = Buffer.concat([Buffer.from('skein-record:'), payload])
      return SignedRecord.encode({ payload, signature: toySignature(b, data) as Uint8Array<ArrayBuffer> })
    }
    const stage = { model: new Uint8Array(31), start: 0, end: 1, serving: true, cacheBytesFree: 0, sessions: 0 }
    expect(readRecord(seal({ seq: 1 })).verified(verify).seq).toBe(1)
    expect(() => readRecord(seal({ seq: 1, stages: [stage] })).verified(verify)).toThrow('32')
    // Fields 7 and 2 once more, as the varint of 2^60.
    const huge = [...new Array<number>(8).fill(0x80), 0x10]
    const isRefused = expect.objectContaining({ name: 'ProtocolError' })
    expect(() => readRecord(seal({ seq: 1 }, [7 << 3, ...huge])).verified(verify)).toThrow(isRefused)
    expect(() => readRecord(seal({}, [2 << 3, ...huge]))).toThrow(isRefused)
    expect(() => readRecord(new Uint8Array(recordBytesMax + 1))).toThrow('limit')
    expect(() => readRecord(SignedRecord.encode({ payload: PeerRecord.encode({ peer: new Uint8Array(37) }) }))).toThrow(
      'peer id'
    )
  })
})

describe('the records decider', () => {
  it('R3: every announcement has a higher seq, also when the clock goes back or a restart loses nothing', () => {
    const records = decider(5000)
    const seqs: number[] = []
    for (const [i, wallMs] of [100, 9000, 50, 9001].entries()) {
      const effects = records.handle({ kind: 'announce', content: { ...content, budgetBytes: i }, wallMs }, i)
      for (const effect of effects) if (effect.kind === 'persist') seqs.push(effect.seq)
    }
    expect(seqs).toEqual([5001, 9000, 9001, 9002])
  })

  it('announces nothing new when nothing changed', () => {
    const records = decider()
    expect(kindsOf(records.handle({ kind: 'announce', content, wallMs: 1 }, 0))).toEqual([
      'persist',
      'join',
      'record',
      'publish'
    ])
    expect(records.handle({ kind: 'announce', content: { ...content }, wallMs: 2 }, 1)).toEqual([])
  })

  it('does not put its record together again at every tick', () => {
    const records = decider()
    let reads = 0
    const watched = {
      ...content,
      get agent() {
        reads++
        return content.agent
      }
    }
    records.handle({ kind: 'announce', content: watched, wallMs: 1000 }, 0)
    const before = reads
    for (let at = 1; at <= 10; at++) records.handle({ kind: 'tick', wallMs: 1000 + at }, at * recordsTickMs)
    expect(reads).toBe(before)
    records.handle({ kind: 'opened', peer: b }, 11 * recordsTickMs)
    expect(sentTo(records.handle({ kind: 'tick', wallMs: 1100 }, 12 * recordsTickMs))).toEqual([b])
    expect(reads).toBeGreaterThan(before)
  })

  it('R3: a peer that hears a seq of its own that it forgot goes on above it', () => {
    const records = decider()
    records.handle({ kind: 'announce', content, wallMs: 10 }, 0)
    records.handle({ kind: 'opened', peer: b }, 0)
    records.handle({ kind: 'frame', peer: b, frame: frame(signed(self, 500)) }, 1)
    const effects = records.handle({ kind: 'tick', wallMs: 20 }, recordsTickMs)
    expect(effects.find(effect => effect.kind === 'persist')).toEqual({ kind: 'persist', seq: 501 })
    expect(sentTo(effects)).toEqual([b])
  })

  it('R6: a newcomer is told everything that is known, but not its own record', () => {
    const records = decider()
    records.handle({ kind: 'announce', content, wallMs: 1 }, 0)
    records.handle({ kind: 'opened', peer: b }, 0)
    records.handle({ kind: 'frame', peer: b, frame: frame(signed(b, 1), signed(c, 1)) }, 1)
    const effects = records.handle({ kind: 'opened', peer: c }, 2)
    expect(kindsOf(effects)).toEqual(['linked', 'send'])
    const values = (effects[1] as { frame: Uint8Array }).frame
    expect(Buffer.compare(values, frame(encodeKnown(records, self), signed(b, 1)))).toBe(0)
  })

  /** The exact bytes that the decider announced of itself. */
  function encodeKnown(records: Records, of: PeerId): Uint8Array {
    return encodeRecord(records.get(of)!, signAs(of))
  }

  it('R7: a new record goes once to all who do not have it from its origin', () => {
    const records = decider()
    for (const neighbour of [b, c, d]) records.handle({ kind: 'opened', peer: neighbour }, 0)
    const direct = signed(b, 1, { neighbours: new Set([peerHint(self), peerHint(c)]) })
    const effects = records.handle({ kind: 'frame', peer: b, frame: frame(direct) }, 1)
    expect(kindsOf(effects)).toEqual(['join', 'record', 'linked', 'send'])
    // Not to b, who said it; not to c, whom b reaches itself.
    expect(sentTo(effects)).toEqual([d])
    expect(records.handle({ kind: 'frame', peer: c, frame: frame(direct) }, 2)).toEqual([])
  })

  it('R8: an older or equal seq never wins, pushed or from the DHT', () => {
    const records = decider()
    records.handle({ kind: 'opened', peer: b }, 0)
    records.handle({ kind: 'frame', peer: b, frame: frame(signed(b, 5)) }, 0)
    for (const seq of [5, 4, 1]) {
      const old = signed(b, seq, { budgetBytes: 1 })
      expect(records.handle({ kind: 'frame', peer: b, frame: frame(old) }, 1)).toEqual([])
      expect(records.handle({ kind: 'value', value: old }, 1)).toEqual([])
    }
    expect(records.get(b)?.budgetBytes).toBe(content.budgetBytes)
    expect(records.refusal(b, signed(b, 4))).toContain('older')
    expect(records.refusal(b, signed(b, 5))).toBeUndefined()
    expect(records.refusal(b, signed(b, 6))).toBeUndefined()
  })

  it('R8: a replayed record does not bring back who left or expired', () => {
    const records = decider()
    records.handle({ kind: 'opened', peer: b }, 0)
    records.handle({ kind: 'frame', peer: b, frame: frame(signed(c, 1)) }, 0)
    records.handle({ kind: 'frame', peer: b, frame: frame(signed(c, 2, { ttlMs: 0 })) }, 1)
    expect(others(records)).toEqual([])
    expect(records.handle({ kind: 'frame', peer: b, frame: frame(signed(c, 1)) }, 2)).toEqual([])
    records.handle({ kind: 'frame', peer: b, frame: frame(signed(d, 1)) }, 3)
    let nowMs = 3
    while (others(records).length > 0) {
      nowMs += recordsTickMs
      records.handle({ kind: 'tick', wallMs: nowMs }, nowMs)
    }
    expect(nowMs).toBeGreaterThan(recordTtlMs)
    expect(records.handle({ kind: 'frame', peer: b, frame: frame(signed(d, 1)) }, nowMs)).toEqual([])
    expect(others(records)).toEqual([])
    // Alive after all: its next record counts.
    expect(kindsOf(records.handle({ kind: 'frame', peer: b, frame: frame(signed(d, 2)) }, nowMs))).toContain('join')
  })

  it('R8: whatever order records arrive in, the highest seq is what remains', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ seq: fc.integer({ min: 1, max: 12 }), from: fc.constantFrom(b, c), dht: fc.boolean() }), {
          minLength: 1,
          maxLength: 30
        }),
        arrivals => {
          const records = decider()
          records.handle({ kind: 'opened', peer: b }, 0)
          records.handle({ kind: 'opened', peer: c }, 0)
          for (const { seq, from, dht } of arrivals) {
            const value = signed(d, seq, { budgetBytes: seq })
            if (dht) records.handle({ kind: 'value', value }, 1)
            else records.handle({ kind: 'frame', peer: from, frame: frame(value) }, 1)
          }
          const highest = Math.max(...arrivals.map(({ seq }) => seq))
          expect(records.get(d)?.seq).toBe(highest)
          expect(records.get(d)?.budgetBytes).toBe(highest)
        }
      )
    )
  })

  it('R9: a record counts for its ttl from its arrival, whatever the clocks say', () => {
    const records = decider()
    records.handle({ kind: 'opened', peer: b }, 1e9)
    records.handle({ kind: 'frame', peer: b, frame: frame(signed(c, 1, { ttlMs: 1000 })) }, 1e9)
    records.handle({ kind: 'tick', wallMs: 0 }, 1e9 + 1000)
    expect(others(records)).toEqual([c])
    expect(records.handle({ kind: 'tick', wallMs: 0 }, 1e9 + 1001)).toContainEqual({ kind: 'leave', peer: c })
    expect(others(records)).toEqual([])
  })

  it('R9: announces itself again every third of the ttl', () => {
    const records = decider()
    records.handle({ kind: 'announce', content, wallMs: 1 }, 0)
    const seqs = new Set([records.get(self)!.seq])
    for (let nowMs = 0; nowMs <= recordTtlMs; nowMs += recordsTickMs) {
      records.handle({ kind: 'tick', wallMs: nowMs }, nowMs)
      seqs.add(records.get(self)!.seq)
    }
    expect(seqs.size).toBe(4)
  })

  it('R10: a goodbye is pushed and published, ends this peer and outlives older records', () => {
    const records = decider()
    records.handle({ kind: 'announce', content, wallMs: 1 }, 0)
    records.handle({ kind: 'opened', peer: b }, 0)
    const effects = records.handle({ kind: 'leave', wallMs: 2 }, 1)
    expect(kindsOf(effects)).toEqual(['persist', 'send', 'publish', 'leave'])
    expect(records.known()).toEqual([])
    expect(records.handle({ kind: 'announce', content: { ...content, budgetBytes: 1 }, wallMs: 3 }, 2)).toEqual([])
    expect(records.handle({ kind: 'leave', wallMs: 4 }, 3)).toEqual([])

    const other = new Records({ self: b, sign: signAs(b), verify, seq: 0 })
    other.handle({ kind: 'opened', peer: self }, 0)
    const goodbye = effects.find(effect => effect.kind === 'send')!
    other.handle({ kind: 'frame', peer: self, frame: frame(signed(self, 1)) }, 0)
    expect(kindsOf(other.handle({ kind: 'frame', peer: self, frame: goodbye.frame }, 1))).toEqual(['leave'])
    expect(other.handle({ kind: 'frame', peer: self, frame: frame(signed(self, 1)) }, 2)).toEqual([])
  })

  it('R11: an empty frame says nothing, and who is no longer a neighbour is known until its record expires', () => {
    const records = decider()
    records.handle({ kind: 'opened', peer: b }, 0)
    records.handle({ kind: 'frame', peer: b, frame: frame(signed(b, 1)) }, 0)
    expect(records.handle({ kind: 'frame', peer: b, frame: new Uint8Array() }, 1)).toEqual([])
    expect(records.known()).toMatchObject([{ record: { peer: b }, connected: true }])
    records.handle({ kind: 'closed', peer: b }, 2)
    records.handle({ kind: 'tick', wallMs: 0 }, recordTtlMs)
    expect(records.known()).toMatchObject([{ record: { peer: b }, connected: false }])
    records.handle({ kind: 'tick', wallMs: 0 }, recordTtlMs + 1)
    expect(records.known()).toEqual([])
  })

  it('R12: what a neighbour may not send is counted against it, dropped, and the rest goes on', () => {
    const records = decider()
    records.handle({ kind: 'opened', peer: b }, 0)
    const garbage = records.handle({ kind: 'frame', peer: b, frame: Uint8Array.of(0xff, 0xff, 0xff) }, 0)
    expect(garbage).toMatchObject([{ kind: 'violation', peer: b, violation: 'bad records frame' }])
    const forged = encodeRecord(record(c, 9), signAs(b))
    const effects = records.handle({ kind: 'frame', peer: b, frame: frame(forged, signed(d, 1)) }, 1)
    expect(effects).toMatchObject([
      { kind: 'violation', peer: b, violation: 'bad record' },
      { kind: 'join', peer: d },
      { kind: 'record', peer: d }
    ])
    // The forged seq left no mark: the true record of c still counts.
    expect(kindsOf(records.handle({ kind: 'frame', peer: b, frame: frame(signed(c, 1)) }, 2))).toContain('join')
  })

  it('R12: a neighbour that sends too fast is cut to the rate, and forgiven with time', () => {
    const records = decider()
    records.handle({ kind: 'opened', peer: b }, 0)
    const one = frame(signed(c, 1))
    let violations = 0
    for (let i = 0; i < recordsBurstMax + 10; i++) {
      violations += records.handle({ kind: 'frame', peer: b, frame: one }, 0).filter(e => e.kind === 'violation').length
    }
    expect(violations).toBe(10)
    expect(records.handle({ kind: 'frame', peer: b, frame: one }, 1000)).toEqual([])
  })

  it('a frame from someone without a channel does nothing', () => {
    expect(decider().handle({ kind: 'frame', peer: b, frame: frame(signed(b, 1)) }, 0)).toEqual([])
  })

  it('a closed channel leaves the record, but not as connected', () => {
    const records = decider()
    records.handle({ kind: 'opened', peer: b }, 0)
    records.handle({ kind: 'frame', peer: b, frame: frame(signed(b, 1)) }, 0)
    expect(records.known()).toMatchObject([{ record: { peer: b }, connected: true }])
    records.handle({ kind: 'closed', peer: b }, 1)
    expect(records.known()).toMatchObject([{ record: { peer: b }, connected: false }])
  })

  it('a change of neighbours is announced with the next tick', () => {
    const records = decider()
    records.handle({ kind: 'announce', content, wallMs: 1 }, 0)
    records.handle({ kind: 'opened', peer: b }, 1)
    expect(kindsOf(records.handle({ kind: 'tick', wallMs: 2 }, recordsTickMs))).toContain('persist')
    expect(records.get(self)?.neighbours).toEqual(new Set([peerHint(b)]))
    expect(kindsOf(records.handle({ kind: 'tick', wallMs: 3 }, 2 * recordsTickMs))).toEqual([])
  })

  it('R13: the DHT gets the own record when its addresses changed, seldom, but always the last one', () => {
    const records = decider()
    const published: { atMs: number; value: Uint8Array }[] = []
    const passed = (untilMs: number, change: (ms: number) => Partial<typeof content>, fromMs = 0): void => {
      for (let nowMs = fromMs; nowMs < untilMs; nowMs += 100) {
        const event = { kind: 'announce' as const, content: { ...content, ...change(nowMs) }, wallMs: nowMs }
        const effects = [...records.handle(event, nowMs), ...records.handle({ kind: 'tick', wallMs: nowMs }, nowMs)]
        for (const effect of effects)
          if (effect.kind === 'publish') published.push({ atMs: nowMs, value: effect.value })
      }
    }
    const addressesAt = (ms: number) => ({ addresses: [Uint8Array.of(ms / 1000)] })
    passed(1.5 * publishMs, addressesAt)
    passed(2.2 * publishMs, () => addressesAt(0), 1.5 * publishMs)
    expect(published.map(({ atMs }) => atMs)).toEqual([0, publishMs, 2 * publishMs])
    expect(readRecord(published.at(-1)!.value).seq).toBe(records.get(self)!.seq)
    // What else it says is for those who know it already.
    passed(4 * publishMs, ms => ({ ...addressesAt(0), budgetBytes: ms }), 2.2 * publishMs)
    expect(published.length).toBe(3)
    passed(2 * publishMs + publishRefreshMs + 100, () => addressesAt(0), 4 * publishMs)
    expect(published.length).toBe(4)
  })

  it('P10: marks of those who left are bounded, those of the living are kept', () => {
    const records = decider()
    records.handle({ kind: 'opened', peer: b }, 0)
    records.handle({ kind: 'frame', peer: b, frame: frame(signed(c, 5)) }, 0)
    let nowMs = 0
    for (let n = 0; n < recordMarksMax + 10; n++) {
      // As many strangers as a neighbour may bring.
      nowMs += 1000 / recordsHearsayPerSecondMax
      if (n % 20 === 0) records.handle({ kind: 'frame', peer: b, frame: frame(signed(c, 5 + n)) }, nowMs)
      const goodbye = signed(peer(1000 + n), 1, { ttlMs: 0, models: [], stages: [] })
      records.handle({ kind: 'frame', peer: b, frame: frame(goodbye) }, nowMs)
    }
    expect(records.handle({ kind: 'frame', peer: b, frame: frame(signed(c, 4)) }, nowMs)).toEqual([])
    // The very first of the departed has been forgotten.
    expect(records.refusal(peer(1000), signed(peer(1000), 0))).toBeUndefined()
    expect(records.refusal(peer(1000 + recordMarksMax), signed(peer(1000 + recordMarksMax), 0))).toContain('older')
  })

  /** So many records of peers that nobody has heard of, each in a frame of its own, as fast as a neighbour may. */
  function flood(records: Records, from: PeerId, first: number, count: number, nowMs: number): number {
    for (let n = first; n < first + count; n++) {
      nowMs += 4
      records.handle({ kind: 'frame', peer: from, frame: frame(signed(peer(n), 1, { models: [], stages: [] })) }, nowMs)
    }
    return nowMs
  }

  it('R15: peers that no connected peer names are counted apart, and by the neighbour that passed them on', () => {
    const records = decider()
    for (const neighbour of [b, c]) records.handle({ kind: 'opened', peer: neighbour }, 0)
    let nowMs = flood(records, b, 1000, 500, 0)
    expect(others(records).length).toBe(recordsHearsayShareMax)
    // What is dropped leaves no mark: it may come another way.
    expect(kindsOf(records.handle({ kind: 'frame', peer: c, frame: frame(signed(peer(1499), 1)) }, nowMs))).toContain(
      'join'
    )
    nowMs = flood(records, c, 5000, 500, nowMs)
    expect(others(records).length).toBeLessThanOrEqual(recordsHearsayMax)
    // A third one tells of somebody real, whom nobody here is connected with either.
    records.handle({ kind: 'opened', peer: d }, nowMs)
    expect(kindsOf(records.handle({ kind: 'frame', peer: d, frame: frame(signed(peer(7), 1)) }, nowMs))).toContain(
      'join'
    )
    expect(others(records).length).toBeLessThanOrEqual(recordsHearsayMax)
    expect(records.known().find(({ record }) => record.peer === peer(7))?.linked).toBe(false)
  })

  it('R15: a channel that is opened again brings no new credit for strangers', () => {
    const records = decider()
    let joins = 0
    for (let n = 0; n < 5; n++) {
      records.handle({ kind: 'opened', peer: b }, n)
      for (let i = 0; i < 200; i++) {
        const effects = records.handle({ kind: 'frame', peer: b, frame: frame(signed(peer(1000 + 200 * n + i), 1)) }, n)
        joins += effects.filter(({ kind }) => kind === 'join').length
      }
      records.handle({ kind: 'closed', peer: b }, n)
    }
    expect(joins).toBe(recordsHearsayShareMax)
  })

  it('a channel that is opened again brings no new credit for records either, and the old one fills with time', () => {
    const records = decider()
    const own = frame(signed(b, 5))
    const over = (nowMs: number): number => {
      let violations = 0
      records.handle({ kind: 'opened', peer: b }, nowMs)
      for (let i = 0; i < recordsBurstMax; i++) {
        const effects = records.handle({ kind: 'frame', peer: b, frame: own }, nowMs)
        violations += effects.filter(({ kind }) => kind === 'violation').length
      }
      records.handle({ kind: 'closed', peer: b }, nowMs)
      return violations
    }
    expect(over(0)).toBe(0)
    expect(over(1_000)).toBe(recordsBurstMax - recordsPerSecondMax)
    expect(over(1_000 + (1_000 * recordsBurstMax) / recordsPerSecondMax)).toBe(0)
  })

  it('R15: whoever connects is known, although members have filled every place with peers that they name', () => {
    const records = decider()
    let nowMs = 0
    for (let liar = 0; liar < 40; liar++) {
      const from = peer(100 + liar)
      records.handle({ kind: 'opened', peer: from }, nowMs)
      const invented = Array.from({ length: connectionsMax + 10 }, (_, i) => peer(10_000 + 100 * liar + i))
      const neighbours = new Set(invented.map(peerHint))
      records.handle({ kind: 'frame', peer: from, frame: frame(signed(from, 1, { neighbours })) }, nowMs)
      nowMs = flood(records, from, 10_000 + 100 * liar, invented.length, nowMs)
    }
    expect(others(records).length).toBe(recordsMax)
    records.handle({ kind: 'opened', peer: b }, nowMs)
    expect(kindsOf(records.handle({ kind: 'frame', peer: b, frame: frame(signed(b, 1)) }, nowMs))).toEqual(
      expect.arrayContaining(['leave', 'join', 'record', 'linked'])
    )
    expect(records.get(b)).toBeDefined()
    expect(others(records).length).toBe(recordsMax)
  })

  it('R15: who is named by a connected peer is told of, whichever of the two records comes first', () => {
    const records = decider()
    records.handle({ kind: 'opened', peer: b }, 0)
    const linked = (effects: readonly RecordsEffect[]): PeerId[] =>
      effects.flatMap(effect => (effect.kind === 'linked' ? [effect.peer] : []))
    expect(linked(records.handle({ kind: 'frame', peer: b, frame: frame(signed(c, 1)) }, 1))).toEqual([])
    const naming = signed(b, 1, { neighbours: new Set([peerHint(c), peerHint(d)]) })
    expect(linked(records.handle({ kind: 'frame', peer: b, frame: frame(naming) }, 2)).sort()).toEqual([b, c].sort())
    expect(linked(records.handle({ kind: 'frame', peer: b, frame: frame(signed(d, 1)) }, 3))).toEqual([d])
    // Whom this peer has met is no stranger once the connection is gone.
    records.handle({ kind: 'closed', peer: b }, 4)
    const state = records.known().map(({ record, linked }) => [record.peer, linked])
    expect(state).toEqual([
      [c, false],
      [b, true],
      [d, false]
    ])
  })

  it('L9: a neighbour that does not hear this peer is none for others, who pass its record on to it', () => {
    const records = decider()
    records.handle({ kind: 'announce', content, wallMs: 1000 }, 0)
    for (const peer of [b, c]) records.handle({ kind: 'opened', peer }, 0)
    records.handle({ kind: 'tick', wallMs: 1001 }, recordsTickMs)
    const named = (): boolean[] => [b, c].map(peer => records.get(self)!.neighbours.has(peerHint(peer)))
    expect(named()).toEqual([true, true])
    const said = records.handle({ kind: 'unheard', peer: b, isUnheard: true, wallMs: 1002 }, 300)
    // At once: it is to be heard elsewhere before it is given up.
    expect(sentTo(said).sort()).toEqual([b, c].sort())
    expect(named()).toEqual([false, true])
    // Another one that has both as neighbours passes it on, since it does not name the other.
    const other = new Records({ self: c, sign: signAs(c), verify, seq: 0 })
    for (const peer of [b, self]) other.handle({ kind: 'opened', peer }, 0)
    const value = said.flatMap(effect => (effect.kind === 'send' && effect.peer === c ? [effect.frame] : []))[0]!
    expect(sentTo(other.handle({ kind: 'frame', peer: self, frame: value }, 301))).toContain(b)
    records.handle({ kind: 'unheard', peer: b, isUnheard: false, wallMs: 1003 }, 400)
    expect(named()).toEqual([true, true])
  })

  describe('one identity on two machines', () => {
    /** Two processes with the identity of `self`, each connected with one of two neighbours that are connected with each other. */
    function copies(starts: readonly [number, number], runs: readonly [string, string]) {
      const make = (id: PeerId, life?: { run: string; startMs: number }): Records =>
        new Records({ self: id, sign: signAs(id), verify, seq: 0, ...(life === undefined ? {} : { life }) })
      const at: Record<string, Records> = {
        old: make(self, { run: runs[0], startMs: starts[0] }),
        young: make(self, { run: runs[1], startMs: starts[1] }),
        b: make(b),
        c: make(c)
      }
      const links: Record<string, Record<PeerId, string>> = {
        old: { [b]: 'b' },
        young: { [c]: 'c' },
        b: { [self]: 'old', [c]: 'c' },
        c: { [self]: 'young', [b]: 'b' }
      }
      const ids: Record<string, PeerId> = { old: self, young: self, b, c }
      const twins: { at: string; yields: boolean; addresses: readonly Uint8Array[] }[] = []
      let leaves = 0
      const underWay: { from: string; to: string; frame: Uint8Array }[] = []
      const handle = (name: string, event: Parameters<Records['handle']>[0], nowMs: number): void => {
        for (const effect of at[name]!.handle(event, nowMs)) {
          if (effect.kind === 'twin') twins.push({ at: name, yields: effect.yields, addresses: effect.addresses })
          if (effect.kind === 'leave') leaves++
          expect(effect.kind).not.toBe('violation')
          const to = effect.kind === 'send' ? links[name]![effect.peer] : undefined
          if (effect.kind === 'send' && to !== undefined) underWay.push({ from: name, to, frame: effect.frame })
        }
      }
      /** @param only who gets what is under way to it; all else is lost. @default everybody */
      const deliver = (nowMs: number, only?: string): void => {
        for (let next = underWay.shift(); next !== undefined; next = underWay.shift())
          if (only === undefined || next.to === only)
            handle(next.to, { kind: 'frame', peer: ids[next.from]!, frame: next.frame }, nowMs)
      }
      const run = (name: string, event: Parameters<Records['handle']>[0], nowMs: number): void => {
        handle(name, event, nowMs)
        deliver(nowMs)
      }
      const addressed = (n: number): RecordContent => ({
        ...content,
        addresses: [Uint8Array.of(4, 10, 0, 0, n, 6, 0, n)]
      })
      const start = (name: string, n: number, nowMs: number): void => {
        run(name, { kind: 'announce', content: addressed(n), wallMs: 1000 + nowMs }, nowMs)
        const other = Object.keys(links[name]!)[0] as PeerId
        handle(links[name]![other]!, { kind: 'opened', peer: self }, nowMs)
        handle(name, { kind: 'opened', peer: other }, nowMs)
        deliver(nowMs)
      }
      /** The only connection that `b` has with this identity is that of one of the two from now on. `isCut`: `b` hears nothing by it. */
      const hold = (name: 'old' | 'young', nowMs: number, isCut = false): void => {
        const before = links.b![self]
        if (before !== undefined) {
          links[before] = {}
          run(before, { kind: 'closed', peer: b }, nowMs)
          run('b', { kind: 'closed', peer: self }, nowMs)
        }
        links.b = { [self]: name }
        links[name] = { [b]: 'b' }
        handle('b', { kind: 'opened', peer: self }, nowMs)
        handle(name, { kind: 'opened', peer: b }, nowMs)
        deliver(nowMs, isCut ? name : undefined)
      }
      const tick = (nowMs: number): void => {
        for (const name of Object.keys(at)) run(name, { kind: 'tick', wallMs: 1000 + nowMs }, nowMs)
      }
      run('b', { kind: 'opened', peer: c }, 0)
      run('c', { kind: 'opened', peer: b }, 0)
      const stop = (name: string, nowMs: number): void => run(name, { kind: 'leave', wallMs: 1000 + nowMs }, nowMs)
      return { at, run, twins, start, stop, tick, hold, leaves: () => leaves }
    }

    it('R17: both know of each other, and the younger yields, without a goodbye', () => {
      const { at, twins, start, stop, tick, leaves } = copies([0, 5000], ['0000000000000001', '0000000000000000'])
      start('old', 1, 0)
      for (let nowMs = 0; nowMs < 5000; nowMs += recordsTickMs) tick(nowMs)
      expect(twins).toEqual([])
      start('young', 2, 5000)
      for (let nowMs = 5000; nowMs < 8000; nowMs += recordsTickMs) {
        tick(nowMs)
        if (nowMs === 6000) stop('young', nowMs)
      }
      expect(twins.filter(twin => twin.at === 'young')).toMatchObject([
        { yields: true, addresses: [Uint8Array.of(4, 10, 0, 0, 1, 6, 0, 1)] }
      ])
      const old = twins.filter(twin => twin.at === 'old')
      expect(old.length).toBeGreaterThan(0)
      expect(old.every(({ yields }) => !yields)).toBe(true)
      expect(old[0]!.addresses).toEqual([Uint8Array.of(4, 10, 0, 0, 2, 6, 0, 2)])
      // Everybody knows the one that stays, and at no time nobody.
      for (const name of ['b', 'c'])
        expect(at[name]!.get(self)?.addresses[0]).toEqual(Uint8Array.of(4, 10, 0, 0, 1, 6, 0, 1))
      expect(leaves()).toBe(0)
    })

    it('R17: the elder, which its only neighbour hears for a moment between two ticks, is heard of', () => {
      const { run, twins, start, hold } = copies([0, 5000], ['0000000000000001', '0000000000000000'])
      start('old', 1, 0)
      hold('old', 0)
      for (let nowMs = 5000; nowMs < 6000; nowMs += recordsTickMs) {
        hold('young', nowMs)
        run('old', { kind: 'tick', wallMs: 1000 + nowMs }, nowMs)
        // What the younger one says last wins over what the elder said meanwhile.
        const agent = `young at ${nowMs}`
        run('young', { kind: 'announce', content: { ...content, agent }, wallMs: 1005 + nowMs }, nowMs)
        // Its first word, which is said at once, is lost.
        hold('old', nowMs + 100, nowMs === 5000)
      }
      expect(twins.filter(({ yields }) => yields).map(twin => twin.at)).toEqual(['young'])
    })

    it('R17: where both started at once the one with the larger run yields', () => {
      const { twins, start, tick } = copies([0, 0], ['0000000000000002', '0000000000000001'])
      start('old', 1, 0)
      start('young', 2, 0)
      let nowMs = 0
      for (; nowMs <= twinTieMs + 15_000; nowMs += recordsTickMs) tick(nowMs)
      expect(twins.filter(({ yields }) => yields).map(twin => twin.at)).toEqual(['old'])
    })

    it('R17: whoever yields by its run is not followed by the younger one', () => {
      const { twins, start, tick } = copies([0, 1], ['0000000000000002', '0000000000000001'])
      start('old', 1, 0)
      start('young', 2, 1)
      for (let nowMs = 250; nowMs <= twinTieMs + 15_000; nowMs += recordsTickMs) tick(nowMs)
      expect(new Set(twins.filter(({ yields }) => yields).map(twin => twin.at)).size).toBe(1)
    })

    it('R17: old records of its own that somebody repeats do not make a peer announce again and again', () => {
      const life = { run: '00000000000000aa', startMs: 0 }
      const records = new Records({ self, sign: signAs(self), verify, seq: 0, life })
      records.handle({ kind: 'announce', content, wallMs: 1e6 }, 0)
      records.handle({ kind: 'opened', peer: b }, 0)
      let announced = 0
      let named = 0
      for (let i = 0; i < 40; i++) {
        const past = {
          run: i % 2 === 0 ? '00000000000000bb' : '00000000000000cc',
          upMs: 1,
          heard: undefined,
          yields: false
        }
        const old = frame(signed(self, 500 + i, { life: past }))
        const effects = records.handle({ kind: 'frame', peer: b, frame: old }, 1 + i)
        effects.push(...records.handle({ kind: 'tick', wallMs: 1e6 + i }, 100 + i))
        announced += effects.filter(({ kind }) => kind === 'persist').length
        named += effects.filter(({ kind }) => kind === 'namesake').length
      }
      // For the channel that was opened, and the first past life.
      expect(announced).toBe(1)
      expect(named).toBe(1)
    })

    it('R3, R17: a past life is none, however many of its records turn up', () => {
      const life = { run: '00000000000000aa', startMs: 0 }
      const records = new Records({ self, sign: signAs(self), verify, seq: 0, life })
      records.handle({ kind: 'announce', content, wallMs: 10 }, 0)
      records.handle({ kind: 'opened', peer: b }, 0)
      for (const [i, seq] of [500, 900, 1400].entries()) {
        const past = {
          run: '00000000000000bb',
          upMs: 1e9,
          heard: i === 2 ? '00000000000000cc' : undefined,
          yields: false
        }
        const effects = records.handle(
          { kind: 'frame', peer: b, frame: frame(signed(self, seq, { life: past })) },
          1 + i
        )
        effects.push(...records.handle({ kind: 'tick', wallMs: 20 }, recordsTickMs * (i + 1)))
        expect(kindsOf(effects)).toContain('persist')
        expect(kindsOf(effects)).not.toContain('twin')
        // The next even one, since its run is the smaller one.
        expect(records.get(self)!.seq).toBe(seq + 2)
      }
    })
  })

  it('three deciders that pass frames on agree, whichever frames are lost and however often channels break', () => {
    fc.assert(
      fc.property(fc.infiniteStream(fc.nat(99)), stream => {
        const ids = [self, b, c]
        const peers = new Map(ids.map(id => [id, new Records({ self: id, sign: signAs(id), verify, seq: 0 })]))
        const links = new Set<string>()
        const queue: { from: PeerId; to: PeerId; frame: Uint8Array }[] = []
        let nowMs = 0
        const run = (id: PeerId, event: Parameters<Records['handle']>[0]): void => {
          for (const effect of peers.get(id)!.handle(event, nowMs)) {
            if (effect.kind === 'send') queue.push({ from: id, to: effect.peer, frame: effect.frame })
            expect(effect.kind).not.toBe('violation')
          }
        }
        const flow = (): void => {
          for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
            if (links.has([next.from, next.to].sort().join())) {
              run(next.to, { kind: 'frame', peer: next.from, frame: next.frame })
            }
          }
        }
        const draw = (): number => stream.next().value as number
        for (let step = 0; step < 60; step++) {
          nowMs += recordsTickMs
          const x = ids[draw() % 3]!
          const y = ids[(ids.indexOf(x) + 1) % 3]!
          const key = [x, y].sort().join()
          if (draw() < 30) run(x, { kind: 'announce', content: { ...content, budgetBytes: step }, wallMs: nowMs })
          else if (draw() < 50 && !links.has(key)) {
            links.add(key)
            run(x, { kind: 'opened', peer: y })
            run(y, { kind: 'opened', peer: x })
          } else if (draw() < 40 && links.delete(key)) {
            run(x, { kind: 'closed', peer: y })
            run(y, { kind: 'closed', peer: x })
          }
          if (draw() < 60) flow()
          for (const id of ids) run(id, { kind: 'tick', wallMs: nowMs })
        }
        // Then a line a – b – c holds, and everyone says something once more.
        for (const [x, y] of [
          [self, b],
          [b, c]
        ] as const) {
          const key = [x, y].sort().join()
          if (links.has(key)) continue
          links.add(key)
          run(x, { kind: 'opened', peer: y })
          run(y, { kind: 'opened', peer: x })
        }
        flow()
        for (const [i, id] of ids.entries()) {
          run(id, { kind: 'announce', content: { ...content, budgetBytes: 1000 + i }, wallMs: nowMs })
        }
        flow()
        for (const viewer of peers.values()) {
          expect(ids.map(id => viewer.get(id)?.budgetBytes)).toEqual([1000, 1001, 1002])
        }
      }),
      { numRuns: 60 }
    )
  })
})

import { encode } from 'dns-packet'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { PeerId } from '../../src/base/ids.ts'
import { decodePacket, encodeAnswer, encodeQuestion, mdnsService } from '../../src/swarm/mdns-packet.ts'
import { Voucher } from '../../src/swarm/vouch.ts'

const peer = '12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X' as PeerId
const other = '12D3KooWD1kSe7NGkaX5W6Zkcy19PibgYbwQZQwoMEbRi6Bd6Smt' as PeerId
const service = mdnsService('0123456789abcdef')
const addresses = ['/ip4/10.0.0.7/tcp/4001', '/ip6/fe80::7/tcp/4002']

/** As @libp2p/mdns 12 lays it out. */
function older(texts: readonly string[], name = service): Uint8Array {
  const instance = `${'x'.repeat(63)}.${name}`
  return encode({
    type: 'response',
    flags: 1 << 10,
    answers: [
      { name, type: 'PTR', class: 'IN', ttl: 120, data: instance },
      ...texts.map(data => ({ name: instance, type: 'TXT' as const, class: 'IN' as const, ttl: 120, data }))
    ]
  })
}

describe('packets of multicast DNS', () => {
  it('say what was meant', () => {
    expect(decodePacket(encodeQuestion(service), service)).toEqual({ kind: 'question' })
    const bytes = encodeAnswer(service, 'abc', { peer, addresses, code: 'c' })
    expect(decodePacket(bytes, service)).toEqual({ kind: 'answer', peer, addresses, code: 'c' })
  })

  it('of older versions are understood, without a code', () => {
    expect(decodePacket(older(addresses.map(address => `dnsaddr=${address}/p2p/${peer}`)), service)).toEqual({
      kind: 'answer',
      peer,
      addresses,
      code: undefined
    })
  })

  it('of other services, of nobody and with other peers’ addresses say nothing of them', () => {
    const mine = addresses.map(address => `dnsaddr=${address}/p2p/${peer}`)
    const theirs = mdnsService('fedcba9876543210')
    expect(decodePacket(encodeQuestion(theirs), service)).toBeUndefined()
    expect(decodePacket(older(mine, theirs), service)).toBeUndefined()
    expect(decodePacket(older([]), service)).toBeUndefined()
    expect(decodePacket(older(['dnsaddr=/ip4/10.0.0.7/tcp/1', 'dnsaddr=x', 'x']), service)).toBeUndefined()
    expect(decodePacket(older([...mine, `dnsaddr=/ip4/10.0.0.8/tcp/1/p2p/${other}`]), service)).toMatchObject({
      peer,
      addresses
    })
  })

  it('of a stranger’s making never throw and hold no more addresses than are allowed', () => {
    const many = Array.from({ length: 40 }, (_, i) => `dnsaddr=/ip4/10.0.0.${i}/tcp/1/p2p/${peer}`)
    expect(decodePacket(older(many), service)).toMatchObject({ addresses: { length: 16 } })
    const whole = older(addresses.map(address => `dnsaddr=${address}/p2p/${peer}`))
    fc.assert(
      fc.property(fc.nat(whole.length - 1), fc.nat(255), fc.nat(whole.length), (at, value, length) => {
        const bytes = whole.slice(0, length)
        bytes[at] = value
        decodePacket(bytes, service)
      })
    )
    fc.assert(fc.property(fc.uint8Array({ maxLength: 600 }), bytes => void decodePacket(bytes, service)))
  })
})

describe('a member’s word', () => {
  const voucher = new Voucher(new Uint8Array(32).fill(1))

  it('holds for that peer at those addresses, in any order, and for nothing else', () => {
    const code = voucher.of(peer, addresses)
    expect(voucher.isValid(code, peer, addresses.toReversed())).toBe(true)
    expect(voucher.isValid(code, other, addresses)).toBe(false)
    expect(voucher.isValid(code, peer, addresses.slice(1))).toBe(false)
    expect(voucher.isValid(undefined, peer, addresses)).toBe(false)
    expect(new Voucher(new Uint8Array(32).fill(2)).isValid(code, peer, addresses)).toBe(false)
  })
})

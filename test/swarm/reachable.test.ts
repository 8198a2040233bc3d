import { describe, expect, it } from 'vitest'
import { announced, contains, multicastLinks, onLink, type OwnAddress, reachable } from '../../src/swarm/reachable.ts'

function entry(name: string, cidr: string): OwnAddress {
  const address = cidr.split('/')[0]!
  const family = address.includes(':') ? 6 : 4
  return { name, family, address, cidr, zone: name, internal: false, hardware: '02:00:00:00:00:01' }
}

describe('which addresses are dialled', () => {
  const own = [entry('eth0', '10.0.0.7/24'), entry('docker0', '172.17.0.1/16'), entry('eth0', 'fe80::7/64')]

  it('not another machine’s loopback, and the same subnet first', () => {
    expect(
      reachable(['/ip4/127.0.0.1/tcp/1', '/ip4/192.168.9.9/tcp/1', '/ip4/10.0.0.8/tcp/1', '/ip4/10.0.0.8/tcp/1'], own)
    ).toEqual(['/ip4/10.0.0.8/tcp/1', '/ip4/192.168.9.9/tcp/1'])
  })

  it('loopback first on the same machine, and where there is nothing else', () => {
    expect(reachable(['/ip4/10.0.0.7/tcp/1', '/ip4/127.0.0.1/tcp/1'], own)).toEqual([
      '/ip4/127.0.0.1/tcp/1',
      '/ip4/10.0.0.7/tcp/1'
    ])
    expect(reachable(['/ip4/127.0.0.1/tcp/1', '/ip6/::1/tcp/1'], own).length).toBe(2)
  })

  it('a bridge that every machine has comes after a true neighbour, and never an address of no host', () => {
    expect(reachable(['/ip4/0.0.0.0/tcp/1', '/ip4/172.17.0.1/tcp/1', '/ip4/10.0.0.8/tcp/1'], own)).toEqual([
      '/ip4/10.0.0.8/tcp/1',
      '/ip4/172.17.0.1/tcp/1'
    ])
  })

  it('the same subnet first over IPv6, too', () => {
    const here = [entry('eth0', 'fd00:0:0:1::7/64')]
    expect(reachable(['/ip6/fd00:0:0:2::8/tcp/1', '/ip6/::1/tcp/1', '/ip6/fd00:0:0:1::8/tcp/1'], here)).toEqual([
      '/ip6/fd00:0:0:1::8/tcp/1',
      '/ip6/fd00:0:0:2::8/tcp/1'
    ])
  })

  it('an IPv6 link-local address on every link that has one, and as it is where its link is known', () => {
    const here = [...own, entry('wlan0', 'fe80::9/64')]
    expect(reachable(['/ip6/fe80::8/tcp/1'], here)).toEqual([
      '/ip6zone/eth0/ip6/fe80::8/tcp/1',
      '/ip6zone/wlan0/ip6/fe80::8/tcp/1'
    ])
    expect(reachable([onLink('/ip6/fe80::8/tcp/1', 'wlan0')], here)).toEqual(['/ip6zone/wlan0/ip6/fe80::8/tcp/1'])
    expect(onLink('/ip6/fd00::8/tcp/1', 'wlan0')).toBe('/ip6/fd00::8/tcp/1')
  })
})

describe('which addresses are announced', () => {
  const lo = { ...entry('lo', '127.0.0.1/8'), internal: true }

  it('routable ones, then loopback', () => {
    const own = [lo, entry('eth0', '10.0.0.7/24'), entry('eth0', 'fe80::7/64'), entry('eth0', '2001:db8::7/64')]
    expect(announced(own, 4)).toEqual(['10.0.0.7', '127.0.0.1'])
    expect(announced(own, 6)).toEqual(['2001:db8::7'])
  })

  it('link-local ones of a link that has no others', () => {
    const own = [lo, entry('eth0', '10.0.0.7/24'), entry('eth0', 'fe80::7/64')]
    const cable = [entry('eth1', '169.254.10.1/16'), entry('eth1', 'fe80::1/64')]
    expect(announced([...own, ...cable], 4)).toEqual(['10.0.0.7', '169.254.10.1', '127.0.0.1'])
    expect(announced([...own, ...cable], 6)).toEqual(['fe80::1'])
  })
})

describe('which interfaces multicast goes to', () => {
  it('each, with one address per family', () => {
    const own = [
      { ...entry('lo', '127.0.0.1/8'), internal: true },
      entry('usb0', '169.254.10.1/16'),
      entry('eth0', '169.254.3.3/16'),
      entry('eth0', '10.0.0.7/24'),
      entry('eth0', 'fd00::7/64'),
      entry('eth0', 'fe80::7/64'),
      entry('wlan0', 'fd01::7/64')
    ]
    const said = (list: readonly OwnAddress[]): string[] => list.map(({ name, address }) => `${name} ${address}`)
    expect(said(multicastLinks(own, 9))).toEqual([
      'eth0 10.0.0.7',
      'eth0 fe80::7',
      'wlan0 fd01::7',
      'usb0 169.254.10.1'
    ])
    expect(said(multicastLinks(own.slice(0, 1), 9))).toEqual(['lo 127.0.0.1'])
  })
})

it('a subnet holds its addresses and no others', () => {
  expect(contains('10.0.0.7/24', '10.0.0.200')).toBe(true)
  expect(contains('10.0.0.7/24', '10.0.1.7')).toBe(false)
  expect(contains('fd00::7/64', 'fd00:0:0:0:1:2:3:4')).toBe(true)
  expect(contains('fd00::7/64', 'fd00:0:0:1::7')).toBe(false)
  expect(contains('fd00::7/64', '10.0.0.7')).toBe(false)
  for (const bad of ['', '10.0.0', '10.0.0.256', ':', ':::', '1::2::3', 'name.local']) {
    expect(contains('0.0.0.0/0', bad), bad).toBe(false)
    expect(contains('::/0', bad), bad).toBe(false)
  }
})

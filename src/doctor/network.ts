/** What the network lets through: interfaces, routes, ports, multicast, and peers that answer. Pure. */
import type { PeerId } from '../base/ids.ts'
import { contains } from '../swarm/reachable.ts'
import type { MetFacts, NetworkFacts, PortFacts } from './facts.ts'
import { fail, type Finding, ok, warn } from './finding.ts'
import { namedMax } from './limits.ts'

/** @param ownPorts TCP ports at which the running peer of this data directory listens */
export function networkFindings(facts: NetworkFacts, ownPorts: readonly number[]): Finding[] {
  return [
    loopbackFinding(facts),
    interfacesFinding(facts),
    ...routesFindings(facts),
    ...facts.ports.map(port => portFinding(port, ownPorts)),
    ...firewallFindings(facts),
    ...multicastFindings(facts),
    ...discoveryFindings(facts),
    ...reachFindings(facts.met ?? [])
  ]
}

function loopbackFinding({ addresses, listing, unreachable }: NetworkFacts): Finding {
  const problem = unreachable.find(({ address }) => address === '127.0.0.1')?.problem
  if (problem === undefined && (listing !== undefined || addresses.some(({ internal }) => internal))) {
    return ok('loopback', 'This machine can connect to itself')
  }
  const why = problem === undefined ? 'it has no address' : problem
  return fail('loopback', `The loopback interface does not work: ${why}`, 'Bring it up: ip link set lo up.')
}

function interfacesFinding({ addresses, listing }: NetworkFacts): Finding {
  const outer = addresses.filter(({ internal }) => !internal)
  if (listing !== undefined) {
    return warn(
      'interfaces',
      `Interfaces cannot be listed (${listing}): addresses are guessed from routes`,
      'Let the process open netlink sockets: RestrictAddressFamilies needs AF_NETLINK, and Android lets no app do so.'
    )
  }
  if (outer.length === 0) {
    return warn(
      'interfaces',
      'No interface but loopback has an address: peers on other machines are out of reach',
      'Connect the machine to a network, or bring its interface up: ip link set NAME up.'
    )
  }
  const twice = sameNetwork(addresses)
  if (twice !== undefined) {
    return warn(
      'interfaces',
      `${twice[0]} and ${twice[1]} are on one network (${twice[2]}): answers may leave by the wrong one`,
      'Take one of them down, or give it a network of its own.'
    )
  }
  const names = [...new Set(outer.map(({ name }) => name))]
  const list = names.map(name => {
    const families = new Set(outer.filter(each => each.name === name).map(({ family }) => `IPv${family}`))
    return `${name} (${[...families].sort().join(', ')})`
  })
  return ok('interfaces', `Interfaces with addresses: ${list.join(', ')}`)
}

/** Two interfaces whose IPv4 networks overlap, and the network. */
function sameNetwork(addresses: NetworkFacts['addresses']): [string, string, string] | undefined {
  const wide = addresses.filter(({ family, internal, cidr, address }) => {
    return family === 4 && !internal && cidr !== null && !address.startsWith('169.254.') && !cidr.endsWith('/32')
  })
  for (const [i, one] of wide.entries()) {
    const other = wide.slice(i + 1).find(({ name, address }) => name !== one.name && contains(one.cidr!, address))
    if (other !== undefined) return [one.name, other.name, one.cidr!]
  }
  return undefined
}

function routesFindings({ addresses, routed }: NetworkFacts): Finding[] {
  if (routed === undefined) return []
  const outer = addresses.filter(({ family, internal }) => family === 4 && !internal)
  const without = [...new Set(outer.map(({ name }) => name))].filter(name => !routed.includes(name))
  if (without.length === 0)
    return outer.length === 0 ? [] : [ok('routes', 'Every interface has a route to its network')]
  const { cidr } = outer.find(({ name }) => name === without[0])!
  return [
    warn(
      'routes',
      `No route leads out by ${without.join(', ')}: nobody there can be connected to over IPv4`,
      `Give the address the length of its network, such as /24 instead of /${cidr?.split('/')[1] ?? '32'}, or add a route: ip route add NETWORK dev ${without[0]}.`
    )
  ]
}

function portFinding({ address, problem, owner }: PortFacts, ownPorts: readonly number[]): Finding {
  if (problem === undefined) return ok('ports', `A peer can listen at ${address}`)
  const port = Number(address.split('/')[4])
  if (problem === 'EADDRINUSE') {
    if (ownPorts.includes(port)) return ok('ports', `The running peer listens at ${address}`)
    const who = owner === undefined ? 'another program' : owner
    return fail(
      'ports',
      `${address} is taken by ${who}`,
      'End that program, or give --listen another port; 0 takes a free one.'
    )
  }
  // Where there is no IPv6 at all, a peer does without.
  if (address === '/ip6/::/tcp/0') return ok('ports', `This machine has no IPv6 (${problem}): IPv4 is used`)
  if (problem === 'EADDRNOTAVAIL') {
    return fail(
      'ports',
      `${address} is no address of this machine`,
      'Give --listen one that ip address shows, or /ip4/0.0.0.0/tcp/PORT for all.'
    )
  }
  if (problem === 'EACCES') {
    return fail('ports', `This user may not listen at ${address}`, 'Give --listen a port of 1024 or more.')
  }
  return fail('ports', `A peer cannot listen at ${address} (${problem})`, 'Give --listen another address or port.')
}

function firewallFindings({ unreachable, addresses }: NetworkFacts): Finding[] {
  const outer = unreachable.filter(({ address }) => address !== '127.0.0.1')
  if (outer.length > 0) {
    const list = outer.map(({ address, problem }) => `${address} (${problem})`).join(', ')
    return [
      warn(
        'firewall',
        `This machine cannot connect to its own addresses ${list}`,
        "Let TCP in: a firewall's rules (nft list ruleset, iptables -L) or a policy of routes forbid it."
      )
    ]
  }
  if (!addresses.some(({ internal }) => !internal)) return []
  return [ok('firewall', 'This machine reaches its own addresses; whether others do is seen when a peer answers')]
}

function multicastFindings({ multicast, multicastOwner }: NetworkFacts): Finding[] {
  const works = multicast.filter(({ heard, problem }) => heard && problem === undefined)
  const broken = multicast.filter(each => !works.includes(each))
  const listed = broken.map(({ link, problem }) => `${link}: ${problem ?? 'what was sent did not come back'}`)
  if (broken.length === 0) {
    if (works.length === 0) return []
    return [ok('multicast', `Multicast works on ${works.map(({ link }) => link).join(', ')}`)]
  }
  const todo = multicastTodo(broken, multicastOwner)
  const found = `Multicast does not work on ${listed.join(', ')}${works.length === 0 ? '' : `; it does on ${works.map(({ link }) => link).join(', ')}`}`
  return [works.length === 0 ? fail('multicast', found, todo) : warn('multicast', found, todo)]
}

function multicastTodo(broken: NetworkFacts['multicast'], owner: string | undefined): string {
  const named = 'peers can also be named: --bootstrap'
  if (broken.some(({ problem }) => problem === 'EADDRINUSE')) {
    return `Have ${owner ?? 'the program that holds UDP port 5353'} share that port, or end it; ${named}.`
  }
  if (broken.some(({ problem }) => problem === 'ENOBUFS')) {
    return `Raise the limit of the system (sysctl net.ipv4.igmp_max_memberships); ${named}.`
  }
  return `Let UDP port 5353 in and out at this machine's firewall; ${named}.`
}

function discoveryFindings({ met, otherSwarms }: NetworkFacts): Finding[] {
  const others = otherSwarms === 1 ? '1 other swarm' : `${otherSwarms} other swarms`
  if (met === undefined) return []
  const members = met.filter(({ isVouched }) => isVouched)
  const rest = met.length - members.length
  if (members.length > 0) {
    return [ok('discovery', `${count(members.length)} of this swarm answered by multicast: ${named(members)}`)]
  }
  if (rest > 0) {
    return [
      warn(
        'discovery',
        `${count(rest)} answered for this swarm without the code of a member: ${named(met)}`,
        'Update those peers; if they are none of yours, somebody makes them up, and they do no harm.'
      )
    ]
  }
  if (otherSwarms > 0) {
    return [
      warn(
        'secret',
        `No peer of this swarm answered by multicast, and peers of ${others} are on this network`,
        'Compare the swarm files: a peer finds only those that have a copy of the very same file.'
      )
    ]
  }
  return [
    warn(
      'discovery',
      'No peer of this swarm answered by multicast',
      'Start one on another machine of this network with the same swarm file; across networks or guest WLANs, which let no multicast through, name one: --bootstrap.'
    )
  ]
}

function reachFindings(met: readonly MetFacts[]): Finding[] {
  const tried = met.filter(each => each.isVouched && each.tried.length > 0)
  const lost = tried.filter(each => each.tried.every(({ problem }) => problem !== undefined))
  if (tried.length === 0) return []
  if (lost.length === 0) return [ok('reach', `A connection can be made to ${count(tried.length)} of this swarm`)]
  return lost.slice(0, namedMax).map(({ peer, tried }) => {
    const list = tried.map(({ address, problem }) => `${address} (${problem})`).join(', ')
    return fail(
      'reach',
      `Peer ${shortId(peer)} answers by multicast, and no connection can be made to ${list}`,
      "Let TCP to that port in at that machine's firewall (a fixed one: --listen /ip4/0.0.0.0/tcp/4001), and see that both are on one network."
    )
  })
}

function count(peers: number): string {
  return peers === 1 ? '1 peer' : `${peers} peers`
}

function named(met: readonly MetFacts[]): string {
  const names = met.slice(0, namedMax).map(({ peer }) => shortId(peer))
  return names.join(', ') + (met.length > namedMax ? ` and ${met.length - namedMax} more` : '')
}

/** A peer as people tell them apart: by the end of its id. */
export function shortId(peer: PeerId): string {
  return `…${peer.slice(-8)}`
}

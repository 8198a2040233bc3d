/** What the doctor makes of facts that a test cannot bring about. */
import { describe, expect, it } from 'vitest'
import { Answers } from '../../src/doctor/answers.ts'
import type { FilesFacts, MachineFacts } from '../../src/doctor/facts.ts'
import { type Answering, filesFindings } from '../../src/doctor/files.ts'
import type { Finding } from '../../src/doctor/finding.ts'
import { clockFinding, machineFindings } from '../../src/doctor/machine.ts'
import { membershipFindings } from '../../src/doctor/membership.ts'
import { networkFindings } from '../../src/doctor/network.ts'
import { runningFindings } from '../../src/doctor/running.ts'
import { describeFindings } from '../../src/cli/doctor.ts'
import type { ModelId, PeerId, PeerStatus, Status } from '../../src/index.ts'

const machine: MachineFacts = {
  node: '22.12.0',
  engine: { numericClass: 'abc', isExpected: true, isRelaxed: true },
  memory: { totalBytes: 8e9, availableBytes: 4e9, limitBytes: undefined },
  descriptors: 1024
}
const wrong = (findings: readonly Finding[]): string[] =>
  findings.filter(({ verdict }) => verdict !== 'ok').map(({ verdict, name, found }) => `${verdict} ${name}: ${found}`)

describe('of the machine', () => {
  it.each<[Partial<MachineFacts>, string[]]>([
    [{}, []],
    [{ node: '22.11.9' }, ['fail node: Node is 22.11.9']],
    [{ node: '20.20.2' }, ['fail node: Node is 20.20.2']],
    [{ descriptors: 1023 }, ['warn descriptors: This process may have 1023 files open']],
    [
      { memory: { totalBytes: 8e9, availableBytes: 4e9, limitBytes: 100e6 } },
      ['fail memory: 4.0 GB of memory are free, control groups allow 100 MB of 8.0 GB']
    ],
    [
      { memory: { totalBytes: 1e9, availableBytes: 200e6, limitBytes: undefined } },
      ['warn memory: 200 MB of memory are free, of 1.0 GB']
    ],
    [
      { engine: { numericClass: 'abc', isExpected: false, isRelaxed: true } },
      [
        "warn processor: The engine's self-test gives class abc, which no other machine has: its answers may differ from theirs"
      ]
    ]
  ])('%j', (facts, expected) => {
    expect(wrong(machineFindings({ ...machine, ...facts }))).toEqual(expected)
  })

  it('a clock that jumps, either way', () => {
    const clock = { wallMs: Date.UTC(2027, 0, 1), newestFileMs: Date.UTC(2027, 0, 1) }
    expect(clockFinding({ ...clock, jumpMs: 499 }).verdict).toBe('ok')
    for (const jumpMs of [-3000, 3000]) {
      expect(clockFinding({ ...clock, jumpMs })).toMatchObject({
        verdict: 'warn',
        found: `The clock jumped by ${jumpMs} ms while the doctor looked`
      })
    }
  })
})

describe('of a membership', () => {
  const nowMs = Date.UTC(2026, 10, 30)
  const member = {
    peer: '12D3KooWa' as PeerId,
    roles: ['stage' as const],
    labels: [],
    notAfterMs: nowMs + 7_200_000,
    refusal: undefined
  }
  const known = {
    name: 'fliers',
    self: member,
    members: [member],
    deputies: [],
    modelKeys: [],
    alarms: [],
    signedMs: nowMs - 1_000
  }

  it('says nothing where there is none, and all that is wrong with one', () => {
    expect(membershipFindings(undefined, nowMs)).toEqual([])
    expect(wrong(membershipFindings(known, nowMs))).toEqual([])
    expect(wrong(membershipFindings({ problem: 'member.json is torn' }, nowMs))).toEqual([
      'fail membership: The membership cannot be used: member.json is torn'
    ])
    expect(wrong(membershipFindings(known, nowMs + 5_400_000))).toEqual([
      'warn membership: This machine is a member of fliers until 2026-11-30 02:00 UTC, which is soon'
    ])
    const lost = { ...member, refusal: 'it was revoked: lost' }
    expect(wrong(membershipFindings({ ...known, self: lost, members: [lost] }, nowMs))).toEqual([
      'fail membership: This machine is no member of fliers: it was revoked: lost'
    ])
    const alarm = 'signer ab made two statements with number 3'
    expect(wrong(membershipFindings({ ...known, alarms: [alarm], signedMs: nowMs + 7_200_000 }, nowMs))).toEqual([
      'warn membership: The clock is 2 hours behind what members have signed',
      `warn membership: ${alarm}`
    ])
  })
})

describe('of the data directory', () => {
  const files: FilesFacts = {
    dataDir: '/d',
    data: 'there',
    owner: undefined,
    identity: undefined,
    freeBytes: 5e9,
    unwritable: undefined,
    swarm: undefined,
    open: []
  }
  it.each<[string, Partial<FilesFacts>, Answering, string[]]>([
    ['none runs', {}, 'none', []],
    ['one runs', {}, 'runs', []],
    [
      'one of another version runs',
      { owner: 7 },
      { problem: 'the running peer speaks control version 2, this command version 1: use the same Skein for both' },
      ['fail versions: The running peer speaks control version 2, this command version 1: use the same Skein for both']
    ],
    [
      'somebody else runs one',
      {},
      { problem: 'permission is denied' },
      ['fail data: The control socket in /d gives no answer: permission is denied']
    ],
    ['little room', { freeBytes: 500e6 }, 'none', ['warn disk: 500 MB are free on the disk of the data directory']],
    ['no room', { freeBytes: 1e6 }, 'none', ['fail disk: 1.0 MB are free on the disk of the data directory']]
  ])('%s', (_, more, answering, expected) => {
    expect(wrong(filesFindings({ ...files, ...more }, answering))).toEqual(expected)
  })
})

const [me, other] = ['12D3KooWselfself', '12D3KooWothother'] as [PeerId, PeerId]
const peer = (id: PeerId, more: Partial<PeerStatus> = {}): PeerStatus =>
  ({ id, self: id === me, connected: true, speaks: true, addresses: ['/ip4/10.1.1.1/tcp/4001'], ...more }) as PeerStatus
const status = (more: Partial<Status>): Status =>
  ({
    peers: [peer(me), peer(other)],
    models: [],
    discovery: [],
    unkept: [],
    membership: null,
    violations: {},
    ...more
  }) as unknown as Status

describe('of the running peer', () => {
  it.each<[string, Partial<Status>, string[]]>([
    ['all is well', {}, []],
    [
      'of another version',
      { peers: [peer(me), peer(other, { speaks: false })] },
      ['fail versions: 1 peer speaks no revision of the stage protocol that this one speaks: …othother']
    ],
    [
      'a copied identity',
      { discovery: [{ way: 'identity', state: 'another one at 10.1.1.9' }] },
      ["fail identity: Another process has this peer's identity: another one at 10.1.1.9"]
    ],
    [
      'another secret',
      { violations: { 'refused handshake': 2, 'unfinished handshake': 1 } },
      [
        'warn secret: 3 connections to or from the running peer ended in their handshake: the other end has another secret, or gave up'
      ]
    ],
    [
      'nobody',
      { peers: [peer(me)], discovery: [{ way: 'mdns', state: 'switched off' }] },
      ['warn peer: The running peer is connected with nobody: mdns: switched off']
    ],
    [
      'nobody for a layer',
      { models: [{ id: 'x' as ModelId, name: 'stories', layers: 2, coverage: [1, 0], missing: null, needs: null }] },
      ['warn coverage: 1 of 2 layers of stories are served by nobody']
    ],
    [
      'a clock that is behind all others',
      { peers: [peer(me), ...[7_200_000, 7_260_000, 50].map(clockMs => peer(other, { clockMs }))] },
      ["warn clock: This machine's clock is 2 hours behind those of 2 of 3 connected peers"]
    ],
    [
      'a clock that is ahead of all others',
      { peers: [peer(me), ...[-90_000, -95_000].map(clockMs => peer(other, { clockMs }))] },
      ["warn clock: This machine's clock is 2 minutes ahead of those of 2 of 2 connected peers"]
    ],
    [
      "another one's clock",
      { peers: [peer(me), ...[-259_200_000, 59_000, 5].map(clockMs => peer(other, { clockMs }))] },
      ['warn clock: Clocks of peers differ: …othother 3 days behind this one']
    ],
    [
      'a clock of two',
      { peers: [peer(me), peer(other, { clockMs: 61_000 })] },
      ['warn clock: Clocks of peers differ: …othother 1 minute ahead of this one; with two alone, either may be wrong']
    ],
    [
      'a disk that fails',
      { unkept: ['the key is not kept: the disk fails'] },
      ['fail disk: the key is not kept: the disk fails']
    ]
  ])('%s', (_, more, expected) => {
    expect(wrong(runningFindings(status(more)))).toEqual(expected)
  })

  it('whose port is taken by itself', () => {
    const ports = [{ address: '/ip4/0.0.0.0/tcp/4001', problem: 'EADDRINUSE', owner: undefined }]
    const facts = { addresses: [], listing: 'EACCES', routed: undefined, ports, unreachable: [], multicast: [] }
    const network = { ...facts, multicastOwner: undefined, met: undefined, otherSwarms: 0 }
    expect(wrong(networkFindings(network, [4001])).filter(line => line.includes('ports'))).toEqual([])
    expect(wrong(networkFindings(network, [])).filter(line => line.includes('ports'))).toEqual([
      'fail ports: /ip4/0.0.0.0/tcp/4001 is taken by another program'
    ])
  })
})

it('answers that strangers make up take no place from those of members', () => {
  const answers = new Answers(2)
  const add = (peer: string, isVouched: boolean): void =>
    answers.add({ peer: peer as PeerId, addresses: [], isVouched })
  for (const peer of ['a', 'b', 'c']) add(peer, false)
  expect(answers.all.map(({ peer }) => peer)).toEqual(['a', 'b'])
  add('m', true)
  add('b', true)
  add('b', false)
  add('n', true)
  expect(answers.all.map(({ peer, isVouched }) => [peer, isVouched])).toEqual([
    ['b', true],
    ['m', true]
  ])
})

it('a person reads a line for each finding, what to do below it, and how many there are', () => {
  const lines = describeFindings([
    { name: 'node', verdict: 'ok', found: 'Node 24' },
    { name: 'disk', verdict: 'fail', found: 'it is full', todo: 'Make room.' }
  ])
  expect(lines).toEqual([
    'ok    node         Node 24',
    'FAIL  disk         it is full',
    '                   → Make room.',
    '',
    '1 to mend'
  ])
})

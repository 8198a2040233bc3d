/** Set-ups that are broken for real, each in namespaces of its own: `skein doctor` names all that is wrong, and nothing else. */
import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Finding } from '../../src/index.ts'
import { newSwarm } from '../../src/swarm/swarm-file.ts'
import { whyNoNamespaces } from '../lab/namespaces.ts'
import { needs, whyNotBuilt } from '../needs.ts'

const run = promisify(execFile)
const file = (name: string): string => fileURLToPath(new URL(name, import.meta.url))
const bin = file('../../bin/skein.js')
const why = whyNotBuilt(file('../../dist/src/cli/main.js')) ?? whyNoNamespaces()
const node = `"${process.execPath}"`
const skein = `${node} "${bin}"`

/** Whatever becomes of the script, nothing of it goes on after it. */
const alone = ['-mnp', '--fork', '--kill-child', '--mount-proc']

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'skein-doctor-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** Findings and exit code of a doctor that runs last in a shell script, which has network, mounts and `$D` of its own. */
async function doctor(script: string): Promise<{ code: number; findings: Finding[] }> {
  const data = await mkdtemp(join(folder, 'd-'))
  for (const name of ['swarm', 'other']) {
    await writeFile(join(data, `${name}.json`), JSON.stringify(newSwarm(name)), { mode: 0o600 })
  }
  const env = { ...process.env, D: data, SKEIN_DATA: join(data, 'data'), NO_COLOR: '1' }
  const child = await run('unshare', [...alone, 'sh', '-c', script], { env, timeout: 100_000 }).then(
    ({ stdout }) => ({ code: 0, stdout }),
    (error: { code: number; stdout: string; stderr: string }) => {
      if (!error.stdout?.startsWith('{')) throw new Error(`${error.stderr}`)
      return error
    }
  )
  return { code: child.code, findings: (JSON.parse(child.stdout) as { findings: Finding[] }).findings }
}

/** Addresses of IPv6 can be used at once: nobody else has them here. */
const lo = 'ip link set lo up; echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad'
const veth = (name: string, address: string): string =>
  `ip link add ${name} type veth peer name ${name}p && ip addr add ${address} dev ${name} && ip link set ${name}p up && ip link set ${name} up`
/** A program that has a port for itself. */
const hold = (type: 'SOCK_DGRAM' | 'SOCK_STREAM', port: number): string =>
  `python3 -c "import socket,time; s=socket.socket(socket.AF_INET,socket.${type}); s.bind(('0.0.0.0',${port})); ${type === 'SOCK_STREAM' ? 's.listen(); ' : ''}print(1, flush=True); time.sleep(100)" > $D/held & until [ -s $D/held ]; do sleep 0.05; done`
/** A machine of its own, `b`, on a cable: 10.1.1.2. */
const machineB =
  'mkdir -p /run/netns && mount -t tmpfs none /run/netns && ip netns add b && ip -n b link set lo up && ip link add eth0 type veth peer name eth0 netns b && ip addr add 10.1.1.1/24 dev eth0 && ip link set eth0 up && ip -n b addr add 10.1.1.2/24 dev eth0 && ip -n b link set eth0 up'
/** A peer, `$P`, of one of two swarms, which listens. */
const up = (where: string, data: string, swarm: 'swarm' | 'other'): string =>
  `${where} ${skein} up --data $D/${data} --swarm $D/${swarm}.json --memory 0 > $D/up & P=$!; until grep -qs listening $D/up; do sleep 0.1; done`
const check = `${skein} doctor --json`

type Wrong = readonly [name: Finding['name'], verdict: Finding['verdict'], found: RegExp, todo: RegExp]

/** Each breaks several things that have nothing to do with one another. */
const setups: { readonly what: string; readonly script: string; readonly wrong: readonly Wrong[] }[] = [
  {
    what: 'loopback down, no interface; the data directory a file',
    script: `touch $D/data; ${check}`,
    wrong: [
      ['data', 'fail', /data is no directory/, /--data/],
      ['loopback', 'fail', /does not work: E/, /ip link set lo up/],
      ['interfaces', 'warn', /but loopback has an address/, /ip link set NAME up/]
    ]
  },
  {
    what: 'no room for multicast groups; a data directory of a newer version; few files',
    script: `${lo}; ${veth('eth0', '10.1.1.1/24')}; echo 0 > /proc/sys/net/ipv4/igmp_max_memberships; mkdir -m 700 $D/data; echo '{"format":9}' > $D/data/skein.json; ulimit -n 100; ${check}`,
    wrong: [
      ['descriptors', 'fail', /may have 100 files open/, /ulimit -n/],
      ['data', 'fail', /has format 9, written by a newer Skein/, /--data/],
      ['multicast', 'warn', /does not work on eth0 \(IPv4\): ENOBUFS; it does on eth0 \(IPv6\)/, /igmp_max_memberships/]
    ]
  },
  {
    what: 'the port of multicast DNS taken; a damaged identity; a clock in 1970',
    script: `${lo}; ${veth('eth0', '10.1.1.1/24')}; ${hold('SOCK_DGRAM', 5353)}; mkdir -m 700 $D/data; echo nonsense > $D/data/identity.key; NODE_OPTIONS='--import=data:text/javascript,Date.now=()=>86400000' ${check}`,
    wrong: [
      ['clock', 'fail', /1970-01-02 00:00 UTC, before this version/, /timedatectl/],
      ['identity', 'fail', /identity\.key holds no Ed25519 key/, /Restore identity\.key/],
      ['multicast', 'warn', /eth0 \(IPv4\): EADDRINUSE/, /Have process \d+ \(python3.*\) share that port/]
    ]
  },
  {
    what: 'an address without a network; a disk that is read-only; no swarm file',
    script: `${lo}; ${veth('eth0', '10.1.1.1/32')}; mkdir -m 700 $D/data; mount -t tmpfs -o ro,mode=700 none $D/data; ${check} --swarm $D/none.json`,
    wrong: [
      ['disk', 'fail', /the file system is read-only/, /Mount it for writing/],
      ['swarm', 'fail', /there is no swarm file .*none\.json/i, /Copy the file again/],
      ['routes', 'warn', /No route leads out by eth0/, /such as \/24 instead of \/32/]
    ]
  },
  {
    what: 'two interfaces on one network; a full disk',
    script: `${lo}; ${veth('eth0', '10.1.1.1/24')}; ${veth('wlan0', '10.1.1.2/24')}; mkdir -m 700 $D/data; mount -t tmpfs -o size=64k,mode=700 none $D/data; head -c 64k /dev/zero > $D/data/full; ${check}`,
    wrong: [
      ['disk', 'fail', /the disk is full/, /Make room/],
      ['interfaces', 'warn', /eth0 and wlan0 are on one network \(10\.1\.1\.1\/24\)/, /Take one of them down/]
    ]
  },
  {
    what: 'interfaces that cannot be listed; a port that is taken, and an address of another machine',
    script: `${lo}; ${hold('SOCK_STREAM', 4001)}; python3 "${file('../lab/no-netlink.py')}" ${check} --listen /ip4/0.0.0.0/tcp/4001 --listen /ip4/10.9.9.9/tcp/4002`,
    wrong: [
      ['interfaces', 'warn', /cannot be listed \(EAFNOSUPPORT\)/, /AF_NETLINK/],
      ['ports', 'fail', /tcp\/4001 is taken by process \d+ \(python3.*\)/, /another port/],
      ['ports', 'fail', /10\.9\.9\.9\/tcp\/4002 is no address of this machine/, /ip address/]
    ]
  },
  {
    what: 'a machine that cannot reach itself; a directory that all can read; a clock set back',
    script: `${lo}; ${veth('eth0', '10.1.1.1/24')}; ip rule add pref 10 lookup local; ip rule del pref 0; ip rule add pref 5 to 10.1.1.1 prohibit; mkdir -m 755 $D/data; touch -d 'now + 2 hours' $D/data/seq; ${check}`,
    wrong: [
      ['clock', 'warn', /files of this peer are 1(19|20) minutes newer/, /Set the clock/],
      ['swarm', 'warn', /^The data directory .* is open to everybody on this machine \(mode 755\)/, /chmod 700/],
      ['firewall', 'warn', /its own addresses 10\.1\.1\.1 \(EACCES\)/, /Let TCP in/]
    ]
  },
  {
    what: 'a process that has the data directory and does not answer',
    script: `${lo}; ${veth('eth0', '10.1.1.1/24')}; ${up('', 'data', 'swarm')}; kill -STOP $P; ${check}`,
    wrong: [['data', 'fail', /Process \d+ has .*data and does not answer: it has said nothing for 3 s/, /kill -9 \d+/]]
  },
  {
    what: 'a peer that answers, and to which no connection can be made',
    script: `${lo}; ${machineB}; ${up('ip netns exec b', 'b', 'swarm')}; ip neigh add 10.1.1.2 lladdr 02:00:00:00:00:99 dev eth0 nud permanent; ${check} --swarm $D/swarm.json`,
    wrong: [
      [
        'reach',
        'fail',
        /answers by multicast, and no connection can be made to \/ip4\/10\.1\.1\.2\/tcp\/\d+ \(.+\)$/,
        /firewall/
      ]
    ]
  },
  {
    what: 'a peer that has another secret',
    script: `${lo}; ${machineB}; ${up('ip netns exec b', 'b', 'other')}; ${check} --swarm $D/swarm.json`,
    wrong: [['secret', 'warn', /peers of 1 other swarm are on this network/, /very same file/]]
  },
  {
    what: 'nothing',
    script: `${lo}; ${machineB}; ${up('ip netns exec b', 'b', 'swarm')}; mkdir -m 700 $D/data; ${check} --listen /ip4/0.0.0.0/tcp/4001 --swarm $D/swarm.json`,
    wrong: []
  }
]

describe('a broken set-up is named right', { timeout: 120_000, ...needs(why) }, () => {
  it.each(setups)('$what', async ({ script, wrong }) => {
    const { code, findings } = await doctor(script)
    const found = findings.filter(({ verdict }) => verdict !== 'ok')
    const said = found.map(({ verdict, name, found }) => `${verdict} ${name}: ${found}`).join('\n')
    expect(
      found.map(({ name, verdict }) => [name, verdict]),
      said
    ).toEqual(wrong.map(([name, verdict]) => [name, verdict]))
    for (const [i, [, , what, todo]] of wrong.entries()) {
      expect(found[i]!.found).toMatch(what)
      expect(found[i]!.todo).toMatch(todo)
    }
    expect(code).toBe(wrong.some(([, verdict]) => verdict === 'fail') ? 1 : 0)
    if (wrong.length > 0) return
    const well = findings.map(each => each.found).join('\n')
    expect(well).toMatch(/1 peer of this swarm answered by multicast: …\w{8}/)
    expect(well).toContain('A connection can be made to 1 peer of this swarm')
  })

  const noFlag = process.arch === 'x64' ? undefined : 'only on x64 can Node be told to do without SIMD'
  it('a processor without SIMD', needs(noFlag), async () => {
    const { code, findings } = await doctor(`${lo}; ${node} --no-enable-sse4-1 "${bin}" doctor --json`)
    const wrong = findings.filter(({ verdict }) => verdict === 'fail')
    expect(wrong.map(({ name, found }) => `${name}: ${found}`)).toEqual([
      'processor: The engine cannot compute here: this processor has no SIMD that WebAssembly can use'
    ])
    expect(code).toBe(1)
  })
})

/**
 * What an emulated link does to packets, for `link.test.ts`: sends numbered datagrams from one namespace to another and
 * prints one line of JSON about those that came, in the order in which they came.
 *
 *   node test/lab/probe.ts '{"link":{…},"packets":200,"bytes":100,"everyMs":2,"cut":[50,100]}'
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { LinkEmulator, type LinkCounts, type LinkInit } from './link.ts'
import { addNamespace, insideNamespaces, ip } from './namespaces.ts'

export interface ProbeInit {
  readonly link: LinkInit
  readonly packets: number
  /** Of one datagram. */
  readonly bytes: number
  /** 0: all at once. */
  readonly everyMs: number
  /** Packets [from, until) are sent while the sender is cut off. */
  readonly cut?: readonly [number, number]
}

export interface ProbeResult {
  /** Number and time on the way, as they came. All namespaces of a machine have one clock. */
  readonly arrivals: readonly { readonly n: number; readonly ms: number }[]
  readonly counts: LinkCounts
}

const port = 9000
/** After the last packet was sent, for those on their way. */
const tailMs = 700
const self = fileURLToPath(import.meta.url)

function inNamespace(name: string, ...args: string[]): ChildProcess {
  const command = [process.execPath, self, ...args]
  return spawn('ip', ['netns', 'exec', name, ...command], { stdio: ['pipe', 'pipe', 'inherit'] })
}

/** Prints a line when it listens, and one per packet; ends with its stdin. */
function receive(): void {
  const socket = createSocket('udp4')
  socket.on('message', bytes => {
    const ms = Number(process.hrtime.bigint() - bytes.readBigInt64LE(4)) / 1e6
    console.log(JSON.stringify({ n: bytes.readInt32LE(0), ms }))
  })
  socket.bind(port, () => console.log('{}'))
  process.stdin.resume().once('end', () => process.exit())
}

/** Sends packet after packet for each line `from until everyMs bytes` on stdin, and prints a line after each of them. */
async function send(): Promise<void> {
  const socket = createSocket('udp4')
  for await (const line of createInterface({ input: process.stdin })) {
    const [from, until, everyMs, bytes] = line.split(' ').map(Number) as [number, number, number, number]
    for (let n = from; n < until; n++) {
      const packet = Buffer.alloc(bytes)
      packet.writeInt32LE(n, 0)
      packet.writeBigInt64LE(process.hrtime.bigint(), 4)
      socket.send(packet, port, '10.9.0.2')
      if (everyMs > 0) await delay(everyMs)
    }
    await new Promise(resolve => setImmediate(resolve))
    console.log('sent')
  }
  socket.close()
}

async function probe({ link, packets, bytes, everyMs, cut = [0, 0] }: ProbeInit): Promise<ProbeResult> {
  const emulator = new LinkEmulator(link)
  for (const [i, name] of ['a', 'b'].entries()) {
    addNamespace(name)
    await emulator.port(name)
    ip(`-n ${name} link set tap0 address 02:00:00:00:00:0${i + 1}`)
    ip(`-n ${name} addr add 10.9.0.${i + 1}/24 dev tap0`)
    ip(`-n ${name} link set tap0 up`)
    // Nobody has to ask for addresses over a link that loses questions.
    ip(`-n ${name} neigh add 10.9.0.${2 - i} lladdr 02:00:00:00:00:0${2 - i} dev tap0 nud permanent`)
  }
  const receiver = inNamespace('b', 'receive')
  const sender = inNamespace('a', 'send')
  const arrivals: { n: number; ms: number }[] = []
  const listening = Promise.withResolvers<void>()
  createInterface({ input: receiver.stdout! }).on('line', line => {
    const arrival = JSON.parse(line) as { n?: number; ms: number }
    if (arrival.n === undefined) listening.resolve()
    else arrivals.push({ n: arrival.n, ms: arrival.ms })
  })
  await listening.promise
  const said = createInterface({ input: sender.stdout! })[Symbol.asyncIterator]()
  const sendPart = async (from: number, until: number): Promise<void> => {
    if (from >= until) return
    sender.stdin!.write(`${from} ${until} ${everyMs} ${bytes}\n`)
    await said.next()
  }
  await sendPart(0, cut[0])
  if (cut[1] > cut[0]) {
    await delay(tailMs)
    emulator.cut('a')
    await emulator.counts()
    await sendPart(cut[0], cut[1])
    await delay(tailMs)
    emulator.join('a')
    await emulator.counts()
  }
  await sendPart(cut[1], packets)
  await delay(tailMs)
  const counts = await emulator.counts()
  sender.stdin!.end()
  receiver.stdin!.end()
  emulator.close()
  return { arrivals, counts }
}

if (process.argv[1] === self) {
  const [, , what] = process.argv
  if (what === 'receive') receive()
  else if (what === 'send') await send()
  else {
    const code = await insideNamespaces()
    if (code === undefined) console.log(JSON.stringify(await probe(JSON.parse(what!) as ProbeInit)))
    process.exitCode = code ?? 0
  }
}

/**
 * Child of `ring-process.ts`: one of two plain sockets between which messages of a session's size go around, each end computing for
 * as long as a hop does. What such a lap takes beside computing, the link and the system take from whoever uses them.
 */
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'

export interface PlainInit {
  /** Where the far end listens; the near one is given its port. */
  readonly address: string
  readonly port?: number
  /** Of a message of this end and of the other one, in bytes. */
  readonly ownBytes: number
  readonly otherBytes: number
  readonly computeMs: number
  readonly laps: number
}

const { address, port, ownBytes, otherBytes, computeMs, laps } = JSON.parse(process.argv[2]!) as PlainInit
const say = (kind: string, details: object = {}): void => void process.send?.({ kind, ...details })
process.on('message', () => process.exit())
process.once('disconnect', () => process.exit())

/** Sends whenever all of a message has come and as long as a hop computes has passed. */
function answer(socket: Socket, onMessage: () => boolean): void {
  let come = 0
  socket.setNoDelay(true)
  socket.on('error', () => {})
  socket.on('data', chunk => {
    come += chunk.length
    if (come < otherBytes) return
    come = 0
    if (onMessage()) send(socket)
  })
}

function send(socket: Socket): void {
  const until = performance.now() + computeMs
  while (performance.now() < until);
  socket.write(new Uint8Array(ownBytes))
}

if (port === undefined) {
  const server = createServer(socket => answer(socket, () => true)).listen(0, address)
  await once(server, 'listening')
  say('up', { port: (server.address() as { port: number }).port })
} else {
  const socket = connect(port, address)
  const lapsMs: number[] = []
  let began = 0
  answer(socket, () => {
    lapsMs.push(performance.now() - began)
    began = performance.now()
    if (lapsMs.length < laps) return true
    say('laps', { lapMs: lapsMs.reduce((sum, ms) => sum + ms, 0) / laps })
    return false
  })
  await once(socket, 'connect')
  began = performance.now()
  send(socket)
}

/**
 * Loaded into every real peer before anything else (`--import`): what it dials goes through the live air, which is
 * told first who dials and which port is meant. Everything above the socket is the peer's own.
 */
import net, { type NetConnectOpts, type Socket } from 'node:net'
import { airHeader } from './live-header.ts'

const air = Number(process.env.SKEIN_SIM_AIR)
const station = Number(process.env.SKEIN_SIM_STATION)
const connect = net.connect

function throughAir(...args: Parameters<typeof connect>): Socket {
  const [options] = args as unknown as [NetConnectOpts]
  // Control sockets are no radio, and a peer that dials itself uses none.
  if (typeof options !== 'object' || !('port' in options) || options.port === air) return connect(...args)
  const socket = connect({ ...options, port: air })
  socket.write(airHeader(station, options.port))
  return socket
}

// libp2p's TCP transport calls it as a property of the module: replacing that is enough.
Object.assign(net, { connect: throughAir })

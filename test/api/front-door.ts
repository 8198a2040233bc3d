/** A front door before a real peer, over HTTP on loopback, and clients of it. */
import { connect, type Socket } from 'node:net'
import OpenAI from 'openai'
import { afterEach, expect } from 'vitest'
import { type ApiInit, type ApiServer, serveApi } from '../../src/api/serve.ts'
import type { Peer, PeerInit } from '../../src/index.ts'
import { newSwarm } from '../../src/swarm/swarm-file.ts'
import { writeStoryChat } from '../model/story-chat.ts'
import { livePeers } from '../peer/live-peers.ts'

export interface Told {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  /** The text as JSON, where it is an object. */
  // biome-ignore lint/suspicious/noExplicitAny: a test says of each answer what it should be
  readonly json: any
}

export interface FrontDoor {
  readonly peer: Peer
  readonly url: string
  readonly openai: OpenAI
  /** Sends a request; what came back, with its JSON where it has any. */
  ask(path: string, init?: RequestInit & { readonly json?: unknown }): Promise<Told>
  /** A socket to the door, on which bytes can be written by hand. */
  socket(): Socket
  close(): Promise<void>
}

/** @param name of the test's folders */
export function frontDoors(name: string): {
  /** @param init.prepare puts more into the peer's folder before it starts */
  open(init?: {
    api?: ApiInit
    peer?: Partial<PeerInit>
    prepare?: (dataDir: string) => Promise<void>
  }): Promise<FrontDoor>
  /** A new folder, which is removed after the test. */
  folder(): Promise<string>
} {
  const { start, folder } = livePeers(name)
  const doors: ApiServer[] = []
  afterEach(async () => {
    await Promise.all(doors.splice(0).map(door => door.close()))
  })
  return {
    folder,
    async open({ api = {}, peer: init = {}, prepare } = {}) {
      const dataDir = await folder()
      await writeStoryChat(dataDir)
      await prepare?.(dataDir)
      const peer = await start({ dataDir, swarm: newSwarm(name), model: 'storychat', memoryBytes: 256e6, ...init })
      await expect
        .poll(() => peer.status().models.map(({ coverage }) => coverage.every(Boolean)), { timeout: 60_000 })
        .toEqual(Array.from({ length: init.models?.length ?? 1 }, () => true))
      const door = await serveApi(peer, { port: 0, ...api })
      doors.push(door)
      return clientsOf(door, peer)
    }
  }
}

export function clientsOf(door: ApiServer, peer: Peer): FrontDoor {
  const { hostname, port } = new URL(door.url)
  return {
    peer,
    url: door.url,
    openai: new OpenAI({ baseURL: `${door.url}/v1`, apiKey: 'none', maxRetries: 0 }),
    async ask(path, { json, ...init } = {}) {
      const sent = json === undefined ? {} : { method: 'POST', body: JSON.stringify(json) }
      const response = await fetch(door.url + path, { ...sent, ...init })
      const text = await response.text()
      const { status, headers } = response
      return { status, headers, text, json: text.startsWith('{') ? JSON.parse(text) : undefined }
    },
    socket: () => connect(Number(port), hostname),
    close: () => door.close()
  }
}

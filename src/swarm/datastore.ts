/**
 * What libp2p stores: all of it in memory, so that no stream waits for a disk or fails with it. libp2p reads and writes a
 * peer's entry for every stream that it opens or is offered. Of the peers that were met, the newest lie in a file as well, so that a
 * restart finds them again. What the DHT keeps is in `dht-store.ts`.
 */
import type { AbortOptions } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import { MemoryDatastore } from 'datastore-core'
import { Key } from 'interface-datastore/key'
import { z } from 'zod'
import type { PeerId } from '../base/ids.ts'
import { readStoredText } from '../disk/files.ts'
import type { Keeping } from '../disk/keeping.ts'
import { peerEntriesMax, peerEntryBytesMax, peersFileBytesMax, peersSaveMs, peersSaveNewMs } from './limits.ts'

/** Keys of libp2p's peer store. */
const peersPrefix = '/peers/'
const what = 'where other peers were met'

const fileSchema = z.object({
  format: z.literal(1),
  /** Values in base64 by what follows the prefix in their keys, the newest last. */
  peers: z.record(z.string().regex(/^[a-z2-7]{1,128}$/), z.base64())
})

export class SwarmDatastore extends MemoryDatastore {
  readonly #path: string
  /** This peer's own entry: libp2p cannot do without it, and makes it anew at each start. */
  readonly #self: string
  readonly #keeping: Keeping
  /** Keys of other peers' entries, the one that was written longest ago first. */
  readonly #peers = new Set<string>()
  #saveTimer: NodeJS.Timeout | undefined
  #saveAtMs = 0
  #saving: Promise<unknown> = Promise.resolve()
  #changed = false

  private constructor(path: string, self: PeerId, keeping: Keeping) {
    super()
    this.#path = path
    this.#self = `${peersPrefix}${peerIdFromString(self).toCID()}`
    this.#keeping = keeping
  }

  /** Reads the file. One that is not there, or is none of ours, costs the memory of the peers, nothing else. */
  static async open(path: string, self: PeerId, keeping: Keeping): Promise<SwarmDatastore> {
    const datastore = new SwarmDatastore(path, self, keeping)
    for (const [name, value] of await readPeers(path)) datastore.put(new Key(`${peersPrefix}${name}`), value)
    datastore.#forgetChanges()
    return datastore
  }

  override put(key: Key, value: Uint8Array, options?: AbortOptions): Key {
    const name = key.toString()
    if (!this.#isOther(name)) return super.put(key, value, options) as Key
    // An entry that is larger than any honest one is not worth the memory of others.
    if (value.byteLength > peerEntryBytesMax) return key
    super.put(key, value, options)
    const isNew = !this.#peers.delete(name)
    this.#peers.add(name)
    const [oldest] = this.#peers
    if (this.#peers.size > peerEntriesMax) this.delete(new Key(oldest!))
    this.#saveWithin(isNew ? peersSaveNewMs : peersSaveMs)
    return key
  }

  override delete(key: Key, options?: AbortOptions): void {
    super.delete(key, options)
    if (this.#peers.delete(key.toString())) this.#saveWithin(peersSaveMs)
  }

  /** Writes what has changed. Never throws: what cannot be written is told by {@link Keeping}. */
  async close(): Promise<void> {
    clearTimeout(this.#saveTimer)
    await this.#save()
  }

  #isOther(name: string): boolean {
    return name.startsWith(peersPrefix) && name !== this.#self
  }

  #saveWithin(ms: number): void {
    this.#changed = true
    const atMs = performance.now() + ms
    if (this.#saveTimer !== undefined && this.#saveAtMs <= atMs) return
    clearTimeout(this.#saveTimer)
    this.#saveAtMs = atMs
    this.#saveTimer = setTimeout(() => void this.#save(), ms).unref()
  }

  #forgetChanges(): void {
    clearTimeout(this.#saveTimer)
    this.#saveTimer = undefined
    this.#changed = false
  }

  /** One write at a time. */
  #save(): Promise<unknown> {
    this.#saving = this.#saving.then(async () => {
      if (!this.#changed) return
      this.#forgetChanges()
      const isWritten = await this.#keeping.write(what, this.#path, this.#encode())
      if (!isWritten) this.#saveWithin(peersSaveMs)
    })
    return this.#saving
  }

  /** The newest peers that fit. */
  #encode(): string {
    const newest: [string, string][] = []
    let bytes = 64
    for (const key of [...this.#peers].reverse()) {
      const name = key.slice(peersPrefix.length)
      const value = Buffer.from(super.get(new Key(key)) as Uint8Array).toString('base64')
      bytes += name.length + value.length + 8
      if (bytes > peersFileBytesMax) break
      newest.push([name, value])
    }
    return `${JSON.stringify({ format: 1, peers: Object.fromEntries(newest.reverse()) })}\n`
  }
}

async function readPeers(path: string): Promise<[name: string, value: Uint8Array][]> {
  try {
    const { peers } = fileSchema.parse(JSON.parse(await readStoredText(path, peersFileBytesMax)))
    return Object.entries(peers).map(([name, value]) => [name, new Uint8Array(Buffer.from(value, 'base64'))])
  } catch {
    return []
  }
}

/**
 * What libp2p stores: all of it in memory, so that no stream waits for a disk or fails with it. libp2p reads and writes a
 * peer's entry for every stream that it opens or is offered. Of the peers that were met, the newest lie in a file as well, so that a
 * restart finds them again; of the DHT nothing survives a restart, as its values and providers would be stale.
 */
import type { AbortOptions } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import { MemoryDatastore } from 'datastore-core'
import { Key } from 'interface-datastore/key'
import { z } from 'zod'
import type { PeerId } from '../base/ids.ts'
import { readPlainText } from '../base/plain-file.ts'
import type { Keeping } from '../disk/keeping.ts'
import {
  dhtBytesMax,
  dhtEntriesMax,
  peerEntriesMax,
  peerEntryBytesMax,
  peersFileBytesMax,
  peersSaveMs,
  peersSaveNewMs
} from '../limits.ts'

/** Keys of libp2p's peer store. */
const peersPrefix = '/peers/'
const what = 'where other peers were met'

const fileSchema = z.object({
  format: z.literal(1),
  /** Values in base64 by what follows the prefix in their keys, the newest last. */
  peers: z.record(z.string().regex(/^[a-z2-7]{1,128}$/), z.base64())
})

/** Entries of one kind, of which the one that was written longest ago gives way. */
class Kind {
  readonly sizes = new Map<string, number>()
  bytes = 0
  readonly #entriesMax: number
  readonly #bytesMax: number

  constructor(entriesMax: number, bytesMax: number) {
    this.#entriesMax = entriesMax
    this.#bytesMax = bytesMax
  }

  /** Counts an entry as the newest. Returns the keys that have to go. */
  add(key: string, size: number): string[] {
    this.remove(key)
    this.sizes.set(key, size)
    this.bytes += size
    const out: string[] = []
    for (const oldest of this.sizes.keys()) {
      if (this.sizes.size <= this.#entriesMax && this.bytes <= this.#bytesMax) break
      this.remove(oldest)
      out.push(oldest)
    }
    return out
  }

  remove(key: string): void {
    this.bytes -= this.sizes.get(key) ?? 0
    this.sizes.delete(key)
  }
}

export class SwarmDatastore extends MemoryDatastore {
  readonly #path: string
  /** This peer's own entry: libp2p cannot do without it, and makes it anew at each start. */
  readonly #self: string
  readonly #keeping: Keeping
  readonly #peers = new Kind(peerEntriesMax, peerEntriesMax * peerEntryBytesMax)
  readonly #others = new Kind(dhtEntriesMax, dhtBytesMax)
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
    if (name === this.#self) return super.put(key, value, options) as Key
    const isPeer = name.startsWith(peersPrefix)
    const kind = isPeer ? this.#peers : this.#others
    const isNew = !kind.sizes.has(name)
    // An entry that is larger than any honest one is not worth the memory of others.
    if (isPeer && value.byteLength > peerEntryBytesMax) return key
    super.put(key, value, options)
    for (const gone of kind.add(name, name.length + value.byteLength)) super.delete(new Key(gone))
    if (isPeer) this.#saveWithin(isNew ? peersSaveNewMs : peersSaveMs)
    return key
  }

  override delete(key: Key, options?: AbortOptions): void {
    super.delete(key, options)
    const name = key.toString()
    const isPeer = name.startsWith(peersPrefix)
    const kind = isPeer ? this.#peers : this.#others
    kind.remove(name)
    if (isPeer) this.#saveWithin(peersSaveMs)
  }

  /** Writes what has changed. Never throws: what cannot be written is told by {@link Keeping}. */
  async close(): Promise<void> {
    clearTimeout(this.#saveTimer)
    await this.#save()
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
    for (const key of [...this.#peers.sizes.keys()].reverse()) {
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
    const { peers } = fileSchema.parse(JSON.parse(await readPlainText(path, peersFileBytesMax)))
    return Object.entries(peers).map(([name, value]) => [name, new Uint8Array(Buffer.from(value, 'base64'))])
  } catch {
    return []
  }
}

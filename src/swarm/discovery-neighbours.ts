/**
 * Peers of one swarm on one machine, found through a folder in the system's temporary directory: multicast does not
 * reach them where it is not routed. The folder is open to every user of the machine, so a file counts only with the code of a
 * member; and it only says where to dial, Noise decides who is there.
 */
import { type FSWatcher, watch } from 'node:fs'
import { constants } from 'node:fs'
import { chmod, lstat, mkdir, open, opendir, unlink, utimes } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { multiaddr } from '@multiformats/multiaddr'
import { z } from 'zod'
import type { PeerId } from '../base/ids.ts'
import { reasonOf } from '../base/reason.ts'
import { writeWhole } from '../disk/whole-file.ts'
import {
  candidateAddressesMax,
  neighbourFileBytesMax,
  neighbourFilesMax,
  neighbourNamesMax,
  neighboursPollMs,
  neighboursRefreshMs,
  neighboursStaleMs
} from './limits.ts'
import type { Dialer } from './dialer.ts'
import type { Discovery } from './discovery.ts'
import type { Voucher } from './vouch.ts'

const fileSchema = z.object({
  addresses: z.array(z.string().max(256)).max(candidateAddressesMax),
  pid: z.int().positive(),
  /** The voucher's. Files of older versions have none. */
  code: z.string().max(64).optional()
})
const fileName = /^(12D3KooW[1-9A-HJ-NP-Za-km-z]{44})\.json$/

export interface NeighboursInit {
  readonly self: PeerId
  /** The swarm's tag: hex digits, see `swarm-file.ts`. */
  readonly tag: string
  readonly addresses: () => readonly string[]
  readonly dialer: Dialer
  readonly voucher: Voucher
  /** @default a folder in the system's temporary directory */
  readonly root?: string
}

export class NeighboursDiscovery implements Discovery {
  readonly way = 'neighbours'
  readonly #init: NeighboursInit
  readonly #root: string
  readonly #folder: string
  readonly #file: string
  #watcher: FSWatcher | undefined
  #poll: NodeJS.Timeout | undefined
  #soon: NodeJS.Timeout | undefined
  #running: Promise<void> | undefined
  #written = ''
  #refreshedMs = 0
  #found = new Set<string>()
  #problem: string | undefined
  #stopped = false

  constructor(init: NeighboursInit) {
    this.#init = init
    this.#root = init.root ?? join(tmpdir(), 'skein-neighbours')
    this.#folder = join(this.#root, init.tag)
    this.#file = join(this.#folder, `${init.self}.json`)
  }

  state(): string {
    if (this.#problem !== undefined) return this.#problem
    if (this.#found.size === 0) return 'no other peer of this swarm on this machine'
    const { connected } = this.#init.dialer.stateOf(this.way)
    return `${this.#found.size} on this machine, ${connected} connected`
  }

  async start(): Promise<void> {
    await this.#look()
    this.#poll = setInterval(() => void this.#look(), neighboursPollMs).unref()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    clearInterval(this.#poll)
    clearTimeout(this.#soon)
    this.#watcher?.close()
    await this.#running
    if (this.#written !== '') await unlink(this.#file).catch(() => {})
  }

  /** Writes the own file if need be and reads the others'; one pass at a time. */
  #look(): Promise<void> {
    this.#running ??= this.#pass().finally(() => {
      this.#running = undefined
    })
    return this.#running
  }

  async #pass(): Promise<void> {
    if (this.#stopped) return
    try {
      await this.#makeFolder(this.#root)
      await this.#makeFolder(this.#folder)
      await this.#readOwn()
      // Where it cannot say that it is here, as when somebody has taken its name, it hears the others all the same.
      const problem = await this.#write().then(() => undefined, reasonOf)
      const found = new Set<string>()
      for (const peer of await this.#names()) {
        const file = await this.#read(peer)
        if (file === undefined || this.#stopped) continue
        found.add(peer)
        this.#init.dialer.offer(peer, file.addresses, this.way, file.vouched ? 'vouched' : 'hearsay')
      }
      this.#found = found
      this.#problem = problem === undefined ? undefined : `the file ${this.#file} cannot be written: ${problem}`
      this.#watch()
    } catch (error) {
      this.#problem = `the folder ${this.#folder} cannot be used: ${reasonOf(error)}`
    }
  }

  /** A second peer with this identity on this machine writes the same file: each of them sees the other's in turn. */
  async #readOwn(): Promise<void> {
    const file = this.#written === '' ? undefined : await this.#read(this.#init.self)
    if (file?.vouched !== true || this.#stopped) return
    this.#init.dialer.offer(this.#init.self, file.addresses, this.way, 'vouched')
    const own = this.#init.addresses()
    if (file.addresses.some(address => !own.includes(address))) this.#written = ''
  }

  /** Peers with a file, those first that are known; of too many others a few at random, and others the next time. */
  async #names(): Promise<PeerId[]> {
    const peers: PeerId[] = []
    let count = 0
    for await (const { name } of await opendir(this.#folder)) {
      const peer = fileName.exec(name)?.[1] as PeerId | undefined
      if (peer !== undefined && peer !== this.#init.self) peers.push(peer)
      if (++count >= neighbourNamesMax) break
    }
    const known = peers.filter(peer => this.#found.has(peer))
    const others = peers.filter(peer => !this.#found.has(peer))
    if (peers.length > neighbourFilesMax) others.sort(() => Math.random() - 0.5)
    return [...known, ...others].slice(0, neighbourFilesMax)
  }

  #watch(): void {
    if (this.#watcher !== undefined || this.#stopped) return
    try {
      this.#watcher = watch(this.#folder, { persistent: false }, () => {
        // Several changes at once are one pass.
        this.#soon ??= setTimeout(() => {
          this.#soon = undefined
          void this.#look()
        }, 30).unref()
      })
      this.#watcher.on('error', () => {
        this.#watcher?.close()
        this.#watcher = undefined
      })
    } catch {
      // No inotify here, or none left: the poll finds them within a second.
    }
  }

  /** Open to all and sticky, as /tmp itself is: anyone may add, only owners may remove. */
  async #makeFolder(path: string): Promise<void> {
    try {
      await mkdir(path, { mode: 0o777 })
      // mkdir's mode is cut by the umask and cannot carry the sticky bit everywhere.
      await chmod(path, 0o1777)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
    if (!(await lstat(path)).isDirectory()) throw new Error(`${path} is no folder`)
  }

  async #write(): Promise<void> {
    const addresses = this.#init.addresses().slice(0, candidateAddressesMax)
    const code = this.#init.voucher.of(this.#init.self, addresses)
    const json = JSON.stringify({ addresses, pid: process.pid, code })
    const nowMs = performance.now()
    const exists = await lstat(this.#file).then(
      () => true,
      () => false
    )
    if (json === this.#written && exists) {
      if (nowMs - this.#refreshedMs < neighboursRefreshMs) return
      const now = new Date()
      await utimes(this.#file, now, now)
      this.#refreshedMs = nowMs
      return
    }
    // A new file moved into place: no reader sees half of it, and a link of that name is replaced, not followed.
    await writeWhole(this.#file, json, { mode: 0o644, durable: false, beside: `${this.#file}.${process.pid}` })
    this.#written = json
    this.#refreshedMs = nowMs
  }

  /** What a file says, or undefined when it is stale, too large, no plain file, not what it should be or another user's. */
  async #read(peer: PeerId): Promise<{ addresses: string[]; vouched: boolean } | undefined> {
    const path = join(this.#folder, `${peer}.json`)
    try {
      const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
      try {
        const stat = await file.stat()
        if (!stat.isFile() || stat.size > neighbourFileBytesMax) return undefined
        const { buffer, bytesRead } = await file.read(Buffer.alloc(neighbourFileBytesMax), 0)
        const parsed = fileSchema.safeParse(JSON.parse(buffer.toString('utf8', 0, bytesRead)))
        if (!parsed.success) return undefined
        // A live peer touches its file. Only who is surely gone, and was of this user, is tidied away.
        if (Date.now() - stat.mtimeMs > neighboursStaleMs) {
          if (stat.uid === process.getuid?.() && !isAlive(parsed.data.pid)) await unlink(path)
          return undefined
        }
        const { addresses, code } = parsed.data
        const vouched = this.#init.voucher.isValid(code, peer, addresses)
        if (!vouched && (code !== undefined || stat.uid !== process.getuid?.())) return undefined
        const usable = addresses.filter(isMultiaddr)
        return usable.length === 0 ? undefined : { addresses: usable, vouched }
      } finally {
        await file.close()
      }
    } catch {
      return undefined
    }
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

function isMultiaddr(text: string): boolean {
  try {
    multiaddr(text)
    return true
  } catch {
    return false
  }
}

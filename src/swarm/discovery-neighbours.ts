/**
 * Peers of one swarm on one machine, found through a folder in the system's temporary directory: multicast does not
 * reach them where it is not routed. The folder is open to every user of the machine, so what is in it is checked and
 * never trusted: it only says where to dial, and Noise decides who is there.
 */
import { type FSWatcher, watch } from 'node:fs'
import { constants } from 'node:fs'
import { chmod, lstat, mkdir, open, readdir, unlink, utimes } from 'node:fs/promises'
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
  neighboursPollMs,
  neighboursRefreshMs,
  neighboursStaleMs
} from '../limits.ts'
import type { Dialer } from './dialer.ts'
import type { Discovery } from './discovery.ts'

const fileSchema = z.object({
  addresses: z.array(z.string().max(256)).max(candidateAddressesMax),
  pid: z.int().positive()
})
const fileName = /^(12D3KooW[1-9A-HJ-NP-Za-km-z]{44})\.json$/

export interface NeighboursInit {
  readonly self: PeerId
  /** The swarm's tag: hex digits, see `swarm-file.ts`. */
  readonly tag: string
  readonly addresses: () => readonly string[]
  readonly dialer: Dialer
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
      await this.#write()
      const names = (await readdir(this.#folder)).filter(name => fileName.test(name)).slice(0, neighbourFilesMax)
      const found = new Set<string>()
      for (const name of names) {
        const peer = fileName.exec(name)?.[1] as PeerId
        if (peer === this.#init.self) continue
        const addresses = await this.#read(join(this.#folder, name))
        if (addresses === undefined || this.#stopped) continue
        found.add(peer)
        this.#init.dialer.offer(peer, addresses, this.way)
      }
      this.#found = found
      this.#problem = undefined
      this.#watch()
    } catch (error) {
      this.#problem = `the folder ${this.#folder} cannot be used: ${reasonOf(error)}`
    }
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
    const json = JSON.stringify({ addresses, pid: process.pid })
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

  /** The addresses in a file, or undefined when it is stale, too large, no plain file or not what it should be. */
  async #read(path: string): Promise<string[] | undefined> {
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
        return parsed.data.addresses.filter(isMultiaddr)
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

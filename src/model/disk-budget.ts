/**
 * How much of the disk the files of a store may take. Before files come, what nothing needs gives way to them; where that is not
 * enough, nothing comes, and a sentence says what is lacking. What a person imported never gives way unless they said so.
 *
 * A file goes in one step and what lists it stays, so a process that is killed in between leaves a store in which files are
 * missing and none is broken. Which file was used last is counted, not timed: clocks of boards without power jump.
 */
import path from 'node:path'
import { formatBytes } from '../base/units.ts'
import { readStoredText, rm, stat } from '../disk/files.ts'
import type { Keeping } from '../disk/keeping.ts'
import { DiskBudgetError } from '../errors.ts'
import { type DiskFile, type MadeRoom, makeRoom, type Standing, sum } from './giving-way.ts'
import { diskTriesMax, usesBytesMax } from './limits.ts'
import { journalled, partialPrefix } from './leftovers.ts'
import { files } from './named-files.ts'
import type { AnyModel, ModelStore } from './store.ts'
import { names } from './store-files.ts'
import type { ModelId } from '../base/ids.ts'

/** What must stay, as those who use the store see it at this moment. */
export interface DiskNeeds {
  /** Digests of files that are loaded, being loaded, fetched, sent, or asked about. */
  readonly files: ReadonlySet<string>
  /** Models that are served here: more of their files may be needed soon. */
  readonly models: ReadonlySet<ModelId>
  /** Whether nobody else in the swarm is known to hold a file of a model. */
  readonly isRare: (model: AnyModel, sha256: string) => boolean
}

export interface DiskBudgetInit {
  readonly store: ModelStore
  /** @default none: what is there is counted only */
  readonly limitBytes?: number | undefined
  readonly needs: () => DiskNeeds
  readonly keeping: Keeping
  /** Files are gone. */
  readonly onRemoved: (removed: readonly RemovedFile[]) => void | Promise<void>
}

/** A file that gave way. */
export interface RemovedFile {
  readonly sha256: string
  /** `the layer 3 shard of big`. */
  readonly label: string
  readonly bytes: number
  /** Nobody else in the swarm was known to hold it. */
  readonly rare: boolean
}

/** What models take of the disk, and what they may. */
export interface DiskStatus {
  /** Bytes that the models here take. */
  readonly usedBytes: number
  /** Null where there is no limit. */
  readonly limitBytes: number | null
  /** Bytes of them that never give way, because a person imported them. */
  readonly keptBytes: number
}

/** A file that is to come. */
export interface ComingFile {
  readonly sha256: string
  readonly bytes: number
}

/** What is on disk, and what it is for. */
interface Survey {
  readonly files: readonly DiskFile[]
  readonly models: readonly AnyModel[]
  /** Those of them that are kept. */
  readonly kept: readonly AnyModel[]
  /** Bytes beside the shards: manifests. */
  readonly otherBytes: number
  /** Why some manifests here cannot be read. */
  readonly unreadable: readonly string[]
  readonly standing: (file: DiskFile) => Standing
}

export class DiskBudget {
  readonly #init: DiskBudgetInit
  /** Files that are promised room, by the one who asked. */
  readonly #promised = new Map<symbol, readonly ComingFile[]>()
  /** By digest, in which look a file was last needed. */
  readonly #uses = new Map<string, number>()
  #looks = 0
  /** One look or clearing at a time. */
  #last: Promise<unknown> = Promise.resolve()
  #status: DiskStatus

  constructor(init: DiskBudgetInit) {
    this.#init = init
    this.#status = { usedBytes: 0, limitBytes: init.limitBytes ?? null, keptBytes: 0 }
  }

  /** As it was looked at last. */
  get status(): DiskStatus {
    return this.#status
  }

  /** Reads what was used when, and looks at the disk. @throws the file system's error */
  async start(): Promise<void> {
    await this.#readUses()
    await this.look()
  }

  /** Counts what is there, and notes that what is needed now was used. @throws the file system's error */
  async look(): Promise<void> {
    await this.#alone(() => this.#survey())
  }

  /** The same, and writes it down. */
  async note(): Promise<void> {
    await this.look()
    const { store, keeping } = this.#init
    // Nothing was ever put here, so there is nothing to note.
    if ((await names(store.own)).length === 0) return
    const json = JSON.stringify({ looks: this.#looks, files: Object.fromEntries(this.#uses) })
    await keeping.write('when shards were used', this.#usesFile, json, { durable: false })
  }

  /**
   * Makes room for files that are to come, and keeps it until what it returns is called.
   *
   * @param what they are called in a sentence: `layers 3-5 of big`
   * @throws {DiskBudgetError} that says what is needed, what there is, and what would help: then nothing was removed
   * @throws the file system's error
   */
  async reserve(what: string, coming: readonly ComingFile[]): Promise<() => void> {
    const key = Symbol(what)
    await this.#alone(async () => {
      this.#promised.set(key, coming)
      try {
        await this.#clear(survey => {
          throw this.#tooSmall(what, sumOf(coming), survey)
        })
      } catch (error) {
        this.#promised.delete(key)
        throw error
      }
    })
    return () => void this.#promised.delete(key)
  }

  /**
   * Removes what may go until the budget holds.
   *
   * @returns what stays beyond it and why, in one sentence; undefined where it holds
   * @throws the file system's error
   */
  async trim(): Promise<string | undefined> {
    return this.#alone(async () => {
      let sentence: string | undefined
      await this.#clear((survey, lackBytes) => {
        const { limitBytes = 0 } = this.#init
        sentence = `the models here take ${formatBytes(lackBytes)} more than the disk budget of ${formatBytes(limitBytes)} allows: ${this.#account(survey)}`
      })
      return sentence
    })
  }

  get #usesFile(): string {
    return path.join(this.#init.store.own, 'used.json')
  }

  #alone<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#last.then(work)
    this.#last = done.catch(() => {})
    return done
  }

  /** Removes what has to go; tells `onLack` where that is not enough, and then goes on with what may go if that returns. */
  async #clear(onLack: (survey: Survey, lackBytes: number) => void): Promise<void> {
    const { limitBytes, needs, store, onRemoved } = this.#init
    for (let tries = 0; tries < diskTriesMax; tries++) {
      const survey = await this.#survey()
      if (limitBytes === undefined) return
      const { files, standing, otherBytes } = survey
      const wantedBytes = this.#wantedBytes(files) + otherBytes
      const { remove, lackBytes }: MadeRoom = makeRoom(files, { wantedBytes, limitBytes, standing })
      if (lackBytes > 0) onLack(survey, lackBytes)
      const removed: RemovedFile[] = []
      let isStale = false
      for (const file of remove) {
        // A load may have begun since.
        if (needs().files.has(file.sha256!)) {
          isStale = true
          continue
        }
        const rare = standing(file) === 'rare'
        await rm(path.join(store.own, 'shards', file.name), { force: true })
        removed.push({ sha256: file.sha256!, label: labelOf(file, survey.models), bytes: file.bytes, rare })
      }
      if (removed.length > 0) {
        await this.#forgetEmpty(survey, removed)
        await onRemoved(removed)
        await this.#survey()
      }
      if (!isStale) return
    }
  }

  /** Bytes that are promised and not on disk yet: a file that is being fetched takes its whole size from its beginning. */
  #wantedBytes(here: readonly DiskFile[]): number {
    const present = new Set(here.map(({ sha256 }) => sha256))
    const coming = new Map([...this.#promised.values()].flat().map(({ sha256, bytes }) => [sha256, bytes]))
    return [...coming].reduce((total, [sha256, bytes]) => total + (present.has(sha256) ? 0 : bytes), 0)
  }

  /** Forgets models that have just lost the last of their shards and are not needed here: whoever wants one learns it anew. */
  async #forgetEmpty({ models, kept }: Survey, removed: readonly RemovedFile[]): Promise<void> {
    const { store, needs } = this.#init
    const gone = new Set(removed.map(({ sha256 }) => sha256))
    const here = new Set(await names(path.join(store.own, 'shards')))
    for (const model of models) {
      const { models: served, files: needed } = needs()
      if (model.shipped || kept.includes(model) || served.has(model.id)) continue
      const { shards, tokenizer } = model.manifest
      if ((tokenizer !== null && needed.has(tokenizer.sha256)) || !files(model).some(({ sha256 }) => gone.has(sha256)))
        continue
      if (!shards.some(({ sha256 }) => here.has(sha256))) await store.remove(model)
    }
  }

  async #survey(): Promise<Survey> {
    const { store, needs, limitBytes } = this.#init
    const unreadable: string[] = []
    const models = await store.list({ onBroken: ({ message }) => unreadable.push(message) })
    const [givingWay, writing] = [await store.givingWay(), await journalled(store)]
    const needed = needs()
    // What is about to come is needed from the moment it was promised room.
    const promised = new Set([...this.#promised.values()].flat().map(({ sha256 }) => sha256))
    this.#looks++
    for (const sha256 of needed.files) this.#uses.set(sha256, this.#looks)
    // A tokenizer is of use as long as a shard of its model is.
    const usedOf = new Map(this.#uses)
    for (const { manifest } of models) {
      if (manifest.tokenizer === null) continue
      const uses = [manifest.tokenizer, ...manifest.shards].map(({ sha256 }) => usedOf.get(sha256) ?? 0)
      const { sha256 } = manifest.tokenizer
      usedOf.set(sha256, Math.max(usedOf.get(sha256) ?? 0, ...uses))
    }
    const found: DiskFile[] = []
    const folder = path.join(store.own, 'shards')
    for (const name of await names(folder)) {
      const about = await stat(path.join(folder, name)).catch(() => undefined)
      if (about?.isFile() !== true) continue
      const sha256 = /^(?:\.partial-)?([0-9a-f]{64})$/.exec(name)?.[1]
      // A link to a file of another folder takes nothing here.
      const bytes = about.nlink > 1 ? 0 : about.size
      // What was never noted came before all that was.
      found.push({ name, sha256, bytes, used: (sha256 && usedOf.get(sha256)) || about.mtimeMs / 1e15 })
    }
    const here = new Set(found.map(({ sha256 }) => sha256))
    for (const sha256 of this.#uses.keys()) if (!here.has(sha256)) this.#uses.delete(sha256)
    const manifests = path.join(store.own, 'manifests')
    let otherBytes = 0
    for (const name of await names(manifests)) {
      otherBytes += (await stat(path.join(manifests, name)).catch(() => undefined))?.size ?? 0
    }
    const listed = Map.groupBy(
      models.flatMap(model => files(model).map(({ sha256 }) => ({ sha256, model }))),
      ({ sha256 }) => sha256
    )
    const ownersOf = (sha256: string) => (listed.get(sha256) ?? []).map(({ model }) => model)
    const isImported = ({ shipped, id }: (typeof models)[number]): boolean => !shipped && !givingWay.has(id)
    const standing = ({ name, sha256 }: DiskFile): Standing => {
      if (sha256 === undefined || unreadable.length > 0) return 'kept'
      if (needed.files.has(sha256) || promised.has(sha256) || writing.has(sha256)) return 'needed'
      if (name.startsWith(partialPrefix)) return 'spare'
      const owners = ownersOf(sha256)
      if (owners.some(isImported)) return 'kept'
      const own = owners.filter(({ shipped }) => !shipped)
      if (own.length > 0 && own.every(model => needed.isRare(model, sha256))) return 'rare'
      return owners.some(({ id }) => needed.models.has(id)) ? 'served' : 'spare'
    }
    // Those of them, too, that are needed now.
    const isKept = ({ name, sha256 }: DiskFile): boolean =>
      sha256 !== undefined && !name.startsWith(partialPrefix) && ownersOf(sha256).some(isImported)
    const keptBytes = sum(found.filter(isKept))
    this.#status = { usedBytes: sum(found) + otherBytes, limitBytes: limitBytes ?? null, keptBytes }
    const kept = models.filter(isImported)
    return { files: found, models, kept, otherBytes, unreadable, standing }
  }

  #tooSmall(what: string, bytes: number, survey: Survey): DiskBudgetError {
    const { limitBytes = 0 } = this.#init
    return new DiskBudgetError(
      `the disk budget of ${formatBytes(limitBytes)} has no room for ${what} (${formatBytes(bytes)}): ${this.#account(survey)}`
    )
  }

  /** What the disk is used for and what would help. */
  #account({ files: found, kept, unreadable, standing, otherBytes }: Survey): string {
    const bytesOf = (which: Standing): number => sum(found.filter(file => standing(file) === which))
    const parts = [`${formatBytes(sum(found) + otherBytes)} are used`]
    const neededBytes = bytesOf('needed')
    if (neededBytes > 0) parts.push(`${formatBytes(neededBytes)} of them by what is needed here now`)
    const names = kept.map(({ manifest }) => manifest.name)
    if (unreadable.length > 0) return `${parts.join(', ')}, and nothing is removed while ${unreadable.join('; ')}`
    if (names.length === 0) return `${parts.join(', ')}; raise --disk, or serve fewer layers here`
    parts.push(`${formatBytes(bytesOf('kept'))} by what was imported, which is kept (${names.join(', ')})`)
    return `${parts.join(', ')}; raise --disk, or remove a model: skein model rm ${names[0]}`
  }

  async #readUses(): Promise<void> {
    try {
      const json: unknown = JSON.parse(await readStoredText(this.#usesFile, usesBytesMax))
      const { looks, files } = json as { looks: unknown; files: Record<string, unknown> }
      if (!Number.isSafeInteger(looks) || (looks as number) < 0) return
      this.#looks = looks as number
      for (const [sha256, used] of Object.entries(files)) {
        const isUse = /^[0-9a-f]{64}$/.test(sha256) && Number.isSafeInteger(used) && (used as number) <= this.#looks
        if (isUse) this.#uses.set(sha256, used as number)
      }
    } catch {
      // It is not there yet, or was spoilt: then all that is here counts as not used since.
    }
  }
}

function labelOf({ name, sha256 }: DiskFile, models: readonly AnyModel[]): string {
  const part = name.startsWith(partialPrefix) ? 'what had come of ' : ''
  for (const model of models) {
    const file = files(model).find(each => each.sha256 === sha256)
    if (file !== undefined) return `${part}the ${file.label} of ${model.manifest.name}`
  }
  return `${part}a file that no model here lists`
}

function sumOf(coming: readonly ComingFile[]): number {
  return coming.reduce((total, { bytes }) => total + bytes, 0)
}

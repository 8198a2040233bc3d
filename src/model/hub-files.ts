/** What a hub says that a repository holds, and which of its GGUF files is meant. Pure. */
import { z } from 'zod'
import { formatBytes } from '../base/units.ts'
import { hubFilesMax, hubNameCharsMax } from './limits.ts'

/** A file of a repository. */
export interface HubFile {
  /** Path within the repository, with slashes. */
  readonly name: string
  /** Undefined where the hub does not say. */
  readonly bytes: number | undefined
}

const listingSchema = z.looseObject({
  siblings: z
    .array(z.looseObject({ rfilename: z.string(), size: z.int().nonnegative().nullish() }))
    .max(hubFilesMax, { error: `it has more than ${hubFilesMax} files` })
})

/**
 * Checks the answer of `/api/models/OWNER/NAME/revision/R`. Files whose names lead out of a folder are left out.
 *
 * @throws an Error that says what is wrong with it
 */
export function parseListing(json: unknown): HubFile[] {
  const parsed = listingSchema.safeParse(json)
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!
    throw new Error(`${issue.path.map(String).join('.') || 'it'}: ${issue.message}`)
  }
  return parsed.data.siblings
    .filter(({ rfilename }) => isPlainName(rfilename))
    .map(({ rfilename, size }) => ({ name: rfilename, bytes: size ?? undefined }))
}

/** A relative path that stays below its folder, on every system. */
function isPlainName(name: string): boolean {
  if (name.length > hubNameCharsMax || !/^[^\\:*?"<>|\p{Cc}]+$/u.test(name)) return false
  return name.split('/').every(part => part !== '' && !part.startsWith('.'))
}

/** A GGUF file, or all files of one that is split. */
interface GgufSet {
  /** The first one's name: it stands for all. */
  readonly name: string
  readonly files: readonly HubFile[]
  /** What is not there of a split one. */
  readonly missing: readonly string[]
}

/**
 * The files [1 or all of a split model, first one first] that a pattern means, by path or by the last part of it.
 *
 * @param matches whether a path matches the pattern
 * @throws an Error that says what there is, where that is no file, several models, or a split one that lacks a file
 */
export function chooseGguf(
  files: readonly HubFile[],
  pattern: string,
  matches: (path: string, pattern: string) => boolean
): readonly HubFile[] {
  const sets = ggufSets(files)
  if (sets.length === 0) throw new Error('it has no GGUF file')
  const isMeant = ({ files: all }: GgufSet): boolean =>
    all.some(({ name }) => matches(name, pattern) || matches(name.slice(name.lastIndexOf('/') + 1), pattern))
  const [found, ...others] = sets.filter(isMeant)
  if (found === undefined) throw new Error(`none of its GGUF files is ${pattern}: ${listed(sets)}`)
  if (others.length > 0) {
    throw new Error(
      `${others.length + 1} of its GGUF files are ${pattern}, one has to be named: ${listed([found, ...others])}`
    )
  }
  if (found.missing.length > 0) throw new Error(`of ${found.name} it lacks ${found.missing.join(', ')}`)
  return found.files
}

function ggufSets(files: readonly HubFile[]): GgufSet[] {
  const sets = new Map<string, GgufSet>()
  const byName = new Map(files.map(file => [file.name, file]))
  for (const file of files) {
    if (!/\.gguf$/i.test(file.name)) continue
    const [, stem, , count, end] = /^(.*)-(\d{5})-of-(\d{5})(\.gguf)$/i.exec(file.name) ?? []
    if (stem === undefined || Number(count) < 1 || Number(count) > hubFilesMax) {
      sets.set(file.name, { name: file.name, files: [file], missing: [] })
      continue
    }
    const names = Array.from(
      { length: Number(count) },
      (_, i) => `${stem}-${String(i + 1).padStart(5, '0')}-of-${count}${end}`
    )
    sets.set(names[0]!, {
      name: names[0]!,
      files: names.flatMap(name => byName.get(name) ?? []),
      missing: names.filter(name => !byName.has(name))
    })
  }
  return [...sets.values()]
}

function listed(sets: readonly GgufSet[]): string {
  const shown = sets.slice(0, shownMax).map(({ name, files }) => {
    const bytes = files.reduce((sum, file) => sum + (file.bytes ?? Number.NaN), 0)
    return Number.isNaN(bytes) ? name : `${name} (${formatBytes(bytes)})`
  })
  return sets.length > shownMax ? `${shown.join(', ')} and ${sets.length - shownMax} more` : shown.join(', ')
}

/** GGUF models that a message names: a repository has a dozen or two of them. */
const shownMax = 32

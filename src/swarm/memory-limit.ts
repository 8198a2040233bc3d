/**
 * What control groups leave this process of the machine's memory. A limit may stand on any group on the way from the
 * process's own to the root (pods, slices and compose projects limit parents), and the least one counts.
 */
import { readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { memoryLimitFileBytesMax } from './limits.ts'

/** The group of this process in one mounted hierarchy that accounts memory. */
interface Group {
  readonly version: 1 | 2
  /** Where the hierarchy is mounted: no group above it can be seen. */
  readonly mount: string
  readonly folder: string
}

/**
 * The least limit in bytes; undefined where there is none, or none can be read.
 *
 * @param root the root of the file system; tests give their own.
 */
export function readMemoryLimit(root = '/'): number | undefined {
  const read = (path: string): string => readText(join(root, path))
  const limits: number[] = []
  for (const { version, mount, folder } of memoryGroups(read('/proc/self/cgroup'), read('/proc/self/mountinfo'))) {
    for (let at = folder; ; at = dirname(at)) {
      limits.push(...groupLimits(version, name => read(join(at, name))))
      if (at === mount || at === dirname(at)) break
    }
  }
  return limits.length === 0 ? undefined : Math.min(...limits)
}

/** The limits that the files of one group tell. */
function groupLimits(version: 1 | 2, read: (name: string) => string): number[] {
  const texts =
    version === 2
      ? // Above `high` a group is slowed down until it has given pages back: no room for weights either.
        [read('memory.max'), read('memory.high')]
      : // The second knows of groups above the mount, too.
        [read('memory.limit_in_bytes'), /^hierarchical_memory_limit (\d+)$/m.exec(read('memory.stat'))?.[1] ?? '']
  return texts.flatMap(text => {
    const bytes = /^\d+$/.test(text.trim()) ? Number(text) : Number.NaN
    // Version 1 says that there is none by a number near 2^63.
    return bytes > 0 && bytes < Number.MAX_SAFE_INTEGER ? [bytes] : []
  })
}

/** Where the groups of this process are, by what `/proc/self/cgroup` and `/proc/self/mountinfo` say. */
export function memoryGroups(cgroup: string, mountinfo: string): Group[] {
  const own = new Map<1 | 2, string>()
  for (const line of cgroup.split('\n')) {
    const [, id, controllers, path] = /^(\d+):([^:]*):(.*)$/.exec(line) ?? []
    if (id === undefined) continue
    if (id === '0' && controllers === '') own.set(2, path!)
    else if (controllers!.split(',').includes('memory')) own.set(1, path!)
  }
  return mountinfo.split('\n').flatMap(line => {
    const [before, after] = line.split(' - ')
    const [, , , mountRoot, mount] = (before ?? '').split(' ').map(unescaped)
    const [type, , options] = (after ?? '').split(' ')
    if (mountRoot === undefined || mount === undefined) return []
    const version =
      type === 'cgroup2' ? 2 : type === 'cgroup' && (options ?? '').split(',').includes('memory') ? 1 : undefined
    const path = version === undefined ? undefined : own.get(version)
    if (version === undefined || path === undefined) return []
    // A mount may show a part of the hierarchy; the group may lie outside of it, and then its root is the nearest seen.
    const below = relative(mountRoot, path)
    return [{ version, mount, folder: below === '' || below.startsWith('..') ? mount : join(mount, below) }]
  })
}

/** Spaces, tabs, line ends and backslashes are octal in mountinfo. */
function unescaped(field: string): string {
  return field.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))
}

function readText(path: string): string {
  try {
    const text = readFileSync(path, 'utf8')
    return text.length > memoryLimitFileBytesMax ? '' : text
  } catch {
    return ''
  }
}

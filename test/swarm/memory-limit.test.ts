import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { totalmem } from 'node:os'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { readHardware } from '../../src/swarm/hardware.ts'
import { readMemoryLimit } from '../../src/swarm/memory-limit.ts'

let root = ''
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'skein-groups-'))
})
afterEach(() => rmSync(root, { recursive: true }))

/** Files of a machine, by path. */
function machine(files: Record<string, string>): void {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), text)
  }
}

const none = '9223372036854771712\n'
const v1Mounts = `22 28 0:20 / /proc rw,nosuid - proc proc rw
31 28 0:26 / /sys/fs/cgroup ro - tmpfs tmpfs ro,mode=755
35 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
36 31 0:31 / /sys/fs/cgroup/memory rw,nosuid shared:12 - cgroup cgroup rw,memory
`
const v2Mounts = '29 23 0:25 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n'

describe('the memory limit', () => {
  it('of version 1 is found on a parent', () => {
    machine({
      '/proc/self/cgroup': '5:cpu,cpuacct:/\n4:memory:/pod/one\n0::/\n',
      '/proc/self/mountinfo': v1Mounts,
      '/sys/fs/cgroup/memory/memory.limit_in_bytes': none,
      '/sys/fs/cgroup/memory/pod/memory.limit_in_bytes': '419430400\n',
      '/sys/fs/cgroup/memory/pod/one/memory.limit_in_bytes': none
    })
    expect(readMemoryLimit(root)).toBe(419_430_400)
  })

  it('of version 1 above the mount is found in the statistics', () => {
    machine({
      '/proc/self/cgroup': '4:memory:/docker/abc\n',
      '/proc/self/mountinfo': v1Mounts.replace('0:31 / ', '0:31 /docker/abc '),
      '/sys/fs/cgroup/memory/memory.limit_in_bytes': none,
      '/sys/fs/cgroup/memory/memory.stat': `cache 1\nhierarchical_memory_limit 209715200\nhierarchical_memsw_limit ${none}`
    })
    expect(readMemoryLimit(root)).toBe(209_715_200)
  })

  it.each([
    ['its own', { own: '100', parent: 'max', top: 'max' }, 100],
    ["its parent's", { own: '300', parent: '200', top: 'max' }, 200],
    ["the slice's", { own: 'max', parent: '300', top: '50' }, 50],
    ['none', { own: 'max', parent: 'max', top: 'max' }, undefined]
  ])('of version 2 is the least on the way to the root: %s', (_name, { own, parent, top }, least) => {
    const slice = '/sys/fs/cgroup/system.slice'
    machine({
      '/proc/self/cgroup': '0::/system.slice/pod/one\n',
      '/proc/self/mountinfo': v2Mounts,
      [`${slice}/memory.max`]: `${top}\n`,
      [`${slice}/pod/memory.max`]: `${parent}\n`,
      [`${slice}/pod/one/memory.max`]: `${own}\n`
    })
    expect(readMemoryLimit(root)).toBe(least)
  })

  it('of version 2 is also where a group is slowed down', () => {
    machine({
      '/proc/self/cgroup': '0::/one\n',
      '/proc/self/mountinfo': v2Mounts,
      '/sys/fs/cgroup/one/memory.max': '900\n',
      '/sys/fs/cgroup/one/memory.high': '700\n'
    })
    expect(readMemoryLimit(root)).toBe(700)
  })

  it('in a container is that of the group at the root of what it sees', () => {
    const seen = { '/proc/self/mountinfo': v2Mounts, '/sys/fs/cgroup/memory.max': '123\n' }
    for (const cgroup of ['0::/\n', '0::/../../elsewhere\n']) {
      machine({ ...seen, '/proc/self/cgroup': cgroup })
      expect(readMemoryLimit(root), cgroup).toBe(123)
    }
  })

  it('is the least of both versions where a machine has both, wherever they are mounted', () => {
    machine({
      '/proc/self/cgroup': '4:memory:/a b\n0::/two\n',
      '/proc/self/mountinfo': `36 31 0:31 / /mnt/the\\040groups rw - cgroup none rw,memory\n${v2Mounts.replace('/sys/fs/cgroup', '/sys/fs/cgroup/unified')}`,
      '/mnt/the groups/a b/memory.limit_in_bytes': '800\n',
      '/sys/fs/cgroup/unified/two/memory.max': '600\n'
    })
    expect(readMemoryLimit(root)).toBe(600)
    machine({ '/sys/fs/cgroup/unified/two/memory.max': 'max\n' })
    expect(readMemoryLimit(root)).toBe(800)
  })

  it('is none where nothing can be read, or is not what it should be', () => {
    expect(readMemoryLimit(root)).toBeUndefined()
    machine({ '/proc/self/cgroup': 'garbage\n4:memory\n', '/proc/self/mountinfo': 'more - garbage\n\n - cgroup2\n' })
    expect(readMemoryLimit(root)).toBeUndefined()
    machine({ '/proc/self/cgroup': '0::/\n', '/proc/self/mountinfo': v2Mounts, '/sys/fs/cgroup/memory.max': '-5\n' })
    expect(readMemoryLimit(root)).toBeUndefined()
  })

  it('of this process is not more than the machine has', () => {
    const { memoryBytes } = readHardware()
    expect(memoryBytes).toBeLessThanOrEqual(totalmem())
    expect(memoryBytes).toBeLessThanOrEqual(readMemoryLimit() ?? Infinity)
  })
})

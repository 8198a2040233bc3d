/** Memories of stages are marked for large pages, and grow with them. */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { describe, expect, it } from 'vitest'
import { largePagesBytesMin } from '../../../src/engine/limits.ts'
import { memoryPageBytes } from '../../../src/engine/wasm/emit.ts'
import { largePages } from '../../../src/engine/wasm/large-pages.ts'
import { StageMemory } from '../../../src/engine/wasm/stage-memory.ts'
import { needs, whyNoLinux } from '../../needs.ts'

const whyNot = ((): string | undefined => {
  if (whyNoLinux !== undefined) return whyNoLinux
  try {
    createRequire(import.meta.url).resolve('koffi')
    return undefined
  } catch {
    return 'the optional package koffi is not installed'
  }
})()

/** None is collected while others are counted. */
const held: StageMemory[] = []

/** Bytes of this process for which large pages were asked for: `hg` among the flags of `proc(5)`. */
function advisedBytes(): number {
  const areas = readFileSync('/proc/self/smaps', 'utf8').split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m)
  return areas
    .filter(area => /^VmFlags:.*\bhg\b/m.test(area))
    .reduce((sum, area) => sum + 1024 * Number(/^Size:\s+(\d+)/m.exec(area)?.[1]), 0)
}

describe('large pages', needs(whyNot), () => {
  it.each([false, true])('are asked for, also where a memory grows (shared: %s)', shared => {
    const before = advisedBytes()
    const memory = new StageMemory(largePagesBytesMin, { shared, largePages: largePages() })
    held.push(memory)
    const first = memory.memory.buffer.byteLength
    expect(advisedBytes() - before).toBe(first)
    memory.take(largePagesBytesMin)
    expect(memory.memory.buffer.byteLength).toBeGreaterThan(first)
    expect(advisedBytes() - before).toBe(memory.memory.buffer.byteLength)
  })

  it('are not asked for where a memory is small', () => {
    const before = advisedBytes()
    const memory = new StageMemory(largePagesBytesMin - 2 * memoryPageBytes, {
      shared: false,
      largePages: largePages()
    })
    expect(memory.memory.buffer.byteLength).toBeLessThan(largePagesBytesMin)
    expect(advisedBytes()).toBe(before)
  })
})

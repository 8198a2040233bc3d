/** Sizes as people write them. 1 kB is 1,000 bytes and 1 KiB is 1,024 (IEC 80000-13). */

const factors: Record<string, number> = {
  '': 1,
  b: 1,
  k: 1e3,
  kb: 1e3,
  kib: 1024,
  m: 1e6,
  mb: 1e6,
  mib: 1024 ** 2,
  g: 1e9,
  gb: 1e9,
  gib: 1024 ** 3
}

/** Reads `64MB`, `1.5 GiB` or `4096`; `undefined` when the text is no size of at least one byte. */
export function parseBytes(text: string): number | undefined {
  const match = /^\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*$/i.exec(text)
  const factor = factors[match?.[2]?.toLowerCase() ?? '?']
  if (match?.[1] === undefined || factor === undefined) return undefined
  const bytes = Math.floor(Number(match[1]) * factor)
  return bytes >= 1 && Number.isSafeInteger(bytes) ? bytes : undefined
}

/** Writes bytes for a person: `17.1 MB`. */
export function formatBytes(bytes: number): string {
  if (bytes < 1e3) return `${bytes} B`
  for (const [unit, factor] of [
    ['kB', 1e3],
    ['MB', 1e6],
    ['GB', 1e9]
  ] as const) {
    const value = bytes / factor
    if (value < 999.5 || unit === 'GB') return `${value.toFixed(value < 99.95 ? 1 : 0)} ${unit}`
  }
  return `${bytes} B`
}

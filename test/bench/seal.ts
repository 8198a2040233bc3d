/** What it costs to have weights sealed: the same model read, checked and loaded from a folder as it is and from a sealed one. */
import { randomBytes } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import path from 'node:path'
import { copyFile, mkdir } from '../../src/disk/files.ts'
import { openFolder } from '../../src/disk/opened.ts'
import { encodeManifest } from '../../src/model/manifest.ts'
import type { ModelStore } from '../../src/model/store.ts'
import { writeWhole } from '../../src/disk/whole-file.ts'
import { BenchChild } from './child.ts'
import type { BenchModel } from './models.ts'
import { figure, type Row } from './report.ts'
import type { SealProcessInit } from './seal-process.ts'

export interface SealInit {
  readonly model: BenchModel
  readonly store: ModelStore
  readonly scratch: string
  readonly rounds: number
  readonly signal: AbortSignal
}

/** Each has a fresh process, and files that the system has in memory already: what is compared is the opening, not the disk. */
export async function benchSeal({ model, store, scratch, rounds, signal }: SealInit): Promise<Row[]> {
  const { id, manifest } = model.stored
  const key = randomBytes(32)
  const places = [
    { name: 'as it is', folder: path.join(scratch, `seal-plain-${id.slice(0, 8)}`), key: null },
    { name: 'sealed', folder: path.join(scratch, `seal-sealed-${id.slice(0, 8)}`), key: key.toString('base64') }
  ]
  for (const { folder, key: sealed } of places) {
    mkdirSync(folder)
    const close = sealed === null ? undefined : openFolder(folder, Uint8Array.from(key))
    for (const part of ['shards', 'manifests']) await mkdir(path.join(folder, part), { recursive: true })
    for (const { sha256 } of manifest.shards) {
      await copyFile(path.join(model.shardDirectory, sha256), path.join(folder, 'shards', sha256))
    }
    const tokenizer = await store.tokenizerFile(model.stored, { signal })
    await copyFile(tokenizer, path.join(folder, 'shards', manifest.tokenizer.sha256))
    await writeWhole(path.join(folder, 'manifests', `${id}.json`), encodeManifest(manifest))
    close?.()
  }
  const kinds = (['wasm', 'onnx'] as const).flatMap(engine =>
    places.map(place => ({
      ...place,
      engine,
      verifyMs: [] as number[],
      loadMs: [] as number[],
      loadCpuMs: [] as number[],
      peakBytes: [] as number[]
    }))
  )
  for (let round = 0; round < rounds; round++) {
    for (const kind of kinds) {
      signal.throwIfAborted()
      const { folder, key, engine } = kind
      const child = new BenchChild('seal-process.ts', { folder, key, model: id, engine } satisfies SealProcessInit)
      try {
        const { verifyMs, loadMs, loadCpuMs, peakBytes } = await child.next('loaded', { signal })
        kind.verifyMs.push(verifyMs as number)
        kind.loadMs.push(loadMs as number)
        kind.loadCpuMs.push(loadCpuMs as number)
        kind.peakBytes.push((peakBytes as number) / 1e6)
      } finally {
        await child.stop()
      }
    }
  }
  return kinds.flatMap(({ name, engine, verifyMs, loadMs, loadCpuMs, peakBytes }): Row[] => {
    const row = (what: string, unit: string, values: readonly number[], how: string): Row => ({
      part: 'seal',
      what: `${model.label}, ${engine}, ${name}: ${what}`,
      unit,
      figure: figure(values),
      how
    })
    return [
      ...(engine === 'wasm' ? [row('check', 'ms', verifyMs, 'all digests, once at the first load')] : []),
      row('load', 'ms', loadMs, 'thread, kernels, reading; from the files that the system holds'),
      row('load, processor', 'ms', loadCpuMs, 'all threads, whatever else the machine does'),
      row('peak memory', 'MB', peakBytes, 'resident, of the whole process')
    ]
  })
}

/** Models as `skein model` names and sums them up, and where an import asks for room. */
import { type AnyModel, type DtypeChoice, type StoredModel, weightsLabel } from '../index.ts'
import type { CommandContext } from './context.ts'
import { askRoom, reachable } from './control-client.ts'

export interface ModelFlags {
  readonly data: string
  readonly json?: boolean
}

export interface ImportFlags extends ModelFlags {
  readonly name: string
  readonly dtype?: DtypeChoice
  readonly edge: 'auto' | 'f16' | 'bf16' | 'f32'
  readonly givesWay?: boolean
  /** Whether what 4 bits cost is measured. */
  readonly check: boolean
  readonly disk?: number
  /** @default what its files say, else 'unknown' */
  readonly licence?: string
  /** Where the model is from. @default the folder's name */
  readonly origin?: string
}

/** Where to ask for room: the peer that runs on the directory, else nobody, or a budget of its own. */
export async function roomFor(
  { data, name, disk }: Pick<ImportFlags, 'data' | 'name' | 'disk'>,
  { signal }: Pick<CommandContext, 'signal'>
): Promise<{ readonly room?: (bytes: number) => Promise<void>; readonly diskBytes?: number }> {
  if (await reachable(data)) return { room: bytes => askRoom(data, { what: name, bytes }, { signal }) }
  return disk === undefined ? {} : { diskBytes: disk }
}

export function totalBytes({ manifest }: Pick<AnyModel, 'manifest'>): number {
  return manifest.shards.reduce((sum, shard) => sum + shard.bytes, manifest.tokenizer?.bytes ?? 0)
}

export function summary(model: StoredModel): object {
  const { name, config, weights, edge } = model.manifest
  return {
    id: model.id,
    name,
    layers: config.layers,
    dtype: weightsLabel(weights),
    edge,
    bytes: totalBytes(model),
    shipped: model.shipped
  }
}

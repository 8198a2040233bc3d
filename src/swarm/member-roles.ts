/** What roles mean where members meet: which protocol needs which of them, and what of a record counts (rule T15). Pure. */
import type { Role } from '../trust/roles.ts'
import type { SwarmRecord } from './record.ts'

/** Who may open a channel of a protocol, and at whom: one of these roles. Protocols that are not named are for all members. */
const channelRoles: Readonly<Record<string, { readonly opens: readonly Role[]; readonly serves: readonly Role[] }>> = {
  // The driver opens the first hop, each stage the next one, and the tail the driver's end.
  '/skein/stage': { opens: ['driver', 'stage'], serves: ['driver', 'stage'] },
  // A driver asks for rows, and whoever has evidence tells all who may compute or ask.
  '/skein/check': { opens: ['driver', 'stage'], serves: ['driver', 'stage'] },
  '/skein/infer': { opens: ['driver'], serves: ['stage'] },
  '/skein/keep': { opens: ['driver'], serves: ['keeper'] },
  '/skein/shards': { opens: ['driver', 'stage'], serves: ['source'] }
}

/** What somebody lacks who opens a channel of a protocol, or at whom it is opened; undefined where nothing. */
export function lackingRole(name: string, side: 'opens' | 'serves', roles: ReadonlySet<Role>): string | undefined {
  const needed = channelRoles[name]?.[side]
  if (needed === undefined || needed.some(role => roles.has(role))) return undefined
  return needed.join(' or ')
}

/** A record without what its peer may not do: nobody plans with layers, gives memory to or fetches from who may not have them. */
export function withinRoles(record: SwarmRecord, roles: ReadonlySet<Role>): SwarmRecord {
  const [isStage, isSource] = [roles.has('stage'), roles.has('source')]
  if (isStage && isSource) return record
  if (!isStage && !isSource) return { ...record, budgetBytes: 0, models: [], stages: [] }
  if (isStage)
    return { ...record, models: record.models.map(offer => ({ ...offer, held: [], embedding: false, head: false })) }
  return { ...record, budgetBytes: 0, stages: [], models: record.models.map(offer => ({ ...offer, budgetBytes: 0 })) }
}

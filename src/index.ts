/** The public surface of Skein: the only barrel in the house. */
export type { ModelId, PeerId, Range, SessionId, ShardId } from './base/ids.ts'
export { formatBytes, parseBytes } from './base/units.ts'
export * from './errors.ts'
export type * from './peer.ts'

/** In what a session's keys and values are held, from its first token to its last: its answer depends on it. */

/** `f32`: as they are computed; `i8`: signed bytes, with a scale for each position and kv head. */
export const cacheTypes = ['f32', 'i8'] as const
/** In what a session holds its keys and values: see {@link cacheTypes}. */
export type CacheType = (typeof cacheTypes)[number]

/** What a session has that says nothing. */
export const usualCache: CacheType = 'f32'

/**
 * Every number that bounds something: its unit is in its name, its reason beside it. Units last: Ms, Bytes.
 * A file that needs a new bound adds it here, not at the place of use.
 */

// ── Engine ────────────────────────────────────────────────────────────────────────────────────────

/**
 * Tokens per attention block. Keys are cut at absolute multiples of it, so a token's bits do not depend
 * on how many tokens share its pass; one step never crosses a border. 32 and 64 cost the same at decode
 * but more passes at prefill (up to 1.36 times in float32).
 */
export const attentionBlock = 128

// ── Model ─────────────────────────────────────────────────────────────────────────────────────────

/** A manifest file. The largest that the schema allows (1,026 shards, a 64 KiB template) stays below 400 kB. */
export const manifestBytesMax = 1 << 20
/** A `tokenizer.json`. Those of today's 256,000-piece vocabularies are near 35 MB. */
export const tokenizerBytesMax = 64 << 20
/** `config.json` and its siblings: a few kB; a safetensors index names every tensor, some 100 bytes each. */
export const importJsonBytesMax = 16 << 20
/** A safetensors header: the format's own bound (safetensors, `MAX_HEADER_SIZE`). */
export const safetensorsHeaderBytesMax = 100_000_000
/** Weights that an import holds at once as float32, whatever the model's size; a tile of as much goes out. */
export const importChunkBytes = 16 << 20
/** Read buffer of a verification: larger ones are not faster (SHA-256 takes 1-2 ms per MiB). */
export const verifyChunkBytes = 1 << 20

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

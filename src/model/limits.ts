/** The bounds of models, their files and tokenizers: each has its unit in its name and its reason beside it. */

/** A manifest file. The largest that the schema allows (1,026 shards, types for each of their matrices, a 64 KiB template) has 700 kB. */
export const manifestBytesMax = 1 << 20
/** A `tokenizer.json`. Those of today's 256,000-piece vocabularies are near 35 MB. */
export const tokenizerBytesMax = 64 << 20
/** `config.json` and its siblings: a few kB; a safetensors index names every tensor, some 100 bytes each. */
export const importJsonBytesMax = 16 << 20
/** Layers of a model: eight times those of the largest llama. */
export const modelLayersMax = 1024
/** Tensors of one safetensors file, or of an index: a decoder of so many layers with all norms and biases has 21 each, and 3. */
export const safetensorsTensorsMax = 24 * modelLayersMax + 16
/** A safetensors header: 1.5 kB for each of so many tensors, of which 120 bytes are usual. The format allows 100 MB. */
export const safetensorsHeaderBytesMax = 16 << 20
/** Files that one index names, each of which stays open: the largest models have 200. */
export const safetensorsFilesMax = 512
/** Tensors of one GGUF file: as many as a decoder of so many layers has, with all its norms and biases. */
export const ggufTensorsMax = 24 * modelLayersMax
/** Pairs of metadata in a GGUF file: today's have 30 to 60. */
export const ggufPairsMax = 4096
/** A text in a GGUF file: a token, a licence, a chat template (which a manifest takes up to 64 KiB of). */
export const ggufStringBytesMax = 1 << 20
/** A token of a GGUF file: the longest of known vocabularies has 256 bytes. Ways to make it of two others are tried at each of its characters. */
export const ggufTokenCharsMax = 1024
/** Elements of an array in a GGUF file: 262,144 tokens and 514,906 merges are the most that is usual. */
export const ggufArrayMax = 4 << 20
/** What stands before a GGUF file's weights: 13 MB with 262,144 tokens, where a token has its text, score and type. */
export const ggufHeaderBytesMax = 256 << 20
/** Files that one GGUF model is split into, each of which stays open: as with safetensors. */
export const ggufFilesMax = safetensorsFilesMax
/** An ONNX file: as much as one protobuf message may have; larger graphs keep their weights beside it, which is not taken. */
export const onnxBytesMax = 2 ** 31 - 1
/** Messages in an ONNX file (nodes, attributes, constants, sizes): the graphs of large models have some 100,000. */
export const onnxMessagesMax = 4 << 20
/** Graphs within graphs (branches and loops): those of known models have three. */
export const onnxDepthMax = 32
/** Inputs and outputs of a graph, each. */
export const graphPortsMax = 256
/** Inputs or outputs of one run together: 100 images of 224 × 224 × 3 float32 have 60 MB. More is asked in parts. */
export const tensorsBytesMax = 64 << 20
/** Sizes of one tensor's shape: runtimes take 8 or a few more. */
export const tensorRankMax = 16
/** Characters of the name of an input, an output or a size. */
export const graphNameCharsMax = 256
/** From the start of the thread that reads graphs to its first one, and one graph: it is read without its weights. */
export const graphStartMs = 30_000
export const graphReadMs = 60_000
/** It ends when nothing was asked of it for so long. */
export const graphReadIdleMs = 1_000
/** What is read of a graph's file at once, but for weights, which are passed over. */
export const graphWindowBytes = 64 << 10
/** What is read of a GGUF tensor at once, for the types of its matrices to be settled. */
export const ggufSurveyBytes = 4 << 20
/** Weights that an import holds at once as float32, whatever the model's size; a tile of as much goes out. */
export const importChunkBytes = 16 << 20
/**
 * Tokens of one text that is computed to see what a type of weights costs: 300 in all tell mean divergences of 0.005 and 0.05 apart, and
 * perplexities to about 1 %.
 */
export const comparedTokensMax = 128
/** Bytes of weights times tokens of such texts: of larger models fewer tokens are computed, 100 or so of 7 billion weights. */
export const comparedWorkMax = 4e11
/** But so many of each text, whatever that takes. */
export const comparedTokensMin = 32
/** The heap of a thread that imports: of the largest header that is taken, 256 MiB, tokens and merges as texts. */
export const importHeapBytes = 1536 << 20
/** A thread that imports says so often that it is not stuck. */
export const importAliveMs = 1_000
/** One that has not said it for so long is: what it does in one piece is the reading of a header, or 16 MiB of weights. */
export const importStallMs = 120_000
/** One that was told to stop clears up what it has added; it is ended when that takes longer. */
export const importGiveUpMs = 30_000
/** Tokens of one text that is computed to see how far hidden states reach: the largest come with the first ones. */
export const measuredTokensMax = 128
/** A request to the hub until its headers are there, and the longest pause within a body. */
export const hubStallTimeoutMs = 30_000
/** A file that keeps breaking off is asked for this many times, each time from where it ended. */
export const hubAttemptsMax = 5
/** Pause before the n-th further attempt is n times this. */
export const hubRetryDelayMs = 1000
/** The hub redirects twice: to the renamed repository and to its storage. */
export const hubRedirectsMax = 5
/** Files that a hub's list of a repository may name: those of the largest models have some hundreds. */
export const hubFilesMax = 10_000
/** Characters of a path within a repository: file systems take 255 bytes for each of its parts. */
export const hubNameCharsMax = 512
/** The ETag of a file, which is kept beside it: a digest in hex, elsewhere any short text. */
export const hubTagBytesMax = 4096
/** Read buffer of a verification: larger ones are not faster (SHA-256 takes 1-2 ms per MiB). */
export const verifyChunkBytes = 1 << 20

/**
 * Bytes of a chunk, the unit in which files of a model are checked while they travel. Part of the manifest format, so
 * it never changes. Lists of digests take 1/8192 of the weights, and a chunk takes 0.1 s at 20 Mbit/s.
 */
export const chunkBytes = 256 << 10

/** A model gets its name alone in a store, which takes milliseconds: others ask so often again, 10 s in all. */
export const claimTriesMax = 500
export const claimWaitMs = 20
/** A list of files that an import adds: 90 bytes for each of the largest model's, were they sealed, and as much again. */
export const journalBytesMax = 1 << 20
/** What says who has it: the number of a process. */
export const claimBytesMax = 64
/** Surveys of a disk that find each time that what was to go is needed by now; the next load's own try comes later anyway. */
export const diskTriesMax = 5
/** The file that says which files were used when: 80 bytes for each of four models of the largest kind. */
export const usesBytesMax = 1 << 20

// ── Engine ─────────────────────────────────────────────────────────────────────────────────────────

/**
 * Tokens per attention block. Keys are cut at absolute multiples of it, so a token's bits do not depend
 * on how many tokens share its pass; one step never crosses a border. 32 and 64 cost the same at decode
 * but more passes at prefill (up to 1.36 times in float32).
 */
export const attentionBlock = 128

// ── Threads ────────────────────────────────────────────────────────────────────────────────────────

/** Requests that wait for one thread: more than the answers that one peer drives at a time. */
export const threadQueueMax = 1024
/** A deadline is counted in so many ticks, so that a process that stood still loses no more than one of them. */
export const threadDeadlineTicks = 10
/** What nobody waits for any more may end in this time; then its thread does. Starting it anew takes about as long. */
export const threadGiveUpMs = 250
/**
 * The heap of a thread, beside what its file needs: 900,000 characters in one word took 430 MB to encode. A file that
 * needs more ends its thread, not the process.
 */
export const threadHeapBytes = 512 << 20
/** Its nursery: with V8's default of up to 48 MB a thread takes 6 MB more and is not faster. */
export const threadYoungHeapBytes = 4 << 20
/** From the start of the thread that hashes files to its first one: 40 ms here. */
export const hashStartMs = 30_000
/** It ends when nothing was hashed for so long: it takes 12 MB. */
export const hashIdleMs = 5_000
/** One file: so long, and so much more per kB, which is what a card of 1 MB/s gives. */
export const hashMs = 60_000
export const hashMsPerKilobyte = 1
/** Files that wait to be hashed: all of four models of the largest kind, each half fetched. */
export const hashQueueMax = 4_104
/** Heap per byte of a `tokenizer.json`: 22 were measured with 32,000 pieces. */
export const tokenizerHeapFactor = 32
/** From the start of a tokenizer's thread to its first request: 0.1 s with 32,000 pieces; 64 MiB on a slow board. */
export const tokenizerStartMs = 60_000
/** One text or some tokens: a megabyte of English takes 0.2 s here; an expression that backtracks takes for ever. */
export const tokenizerMs = 10_000
/**
 * Characters of a text, or ids, that are given to a thread for long ones: fewer take some tens of ms, a megabyte of one letter 7 s, for
 * which every answer that comes meanwhile would wait at each of its tokens.
 */
export const longTextCharsMin = 1 << 16
/** That thread ends when it was not asked for so long: it holds as much as the other one. */
export const longTextIdleMs = 5_000
/** Long texts that wait for it: each of them for seconds. */
export const longTextsMax = 16
/** A tokenizer's thread that is not asked for this long ends: it holds 40 MB (32,000 pieces), and is read in 0.1 s. */
export const tokenizerIdleMs = 60_000
/** Messages of a conversation: at two a turn and 20 tokens each they fill a context of 80,000. */
export const chatMessagesMax = 4096
/** Characters (UTF-16 units) of a conversation as JSON: as many as a prompt may have. */
export const chatCharsMax = 4 << 20
/**
 * Characters that a chat template may make, and so many more for each of the conversation's: those of known models write up to
 * 10,000 of their own, and a thousand for a message of one.
 */
export const chatRenderedCharsMin = 64 << 10
export const chatRenderedFactor = 64
/** Characters of what a template says when it refuses a conversation. */
export const chatRefusalCharsMax = 500
/** Models that one peer asks about at a time, and whose tokenizers it holds: each takes a thread. */
export const tokenizersMax = 8

// ── Grammars ───────────────────────────────────────────────────────────────────────────────────────

/** Characters (UTF-16 units) of a schema as JSON, or of an expression: the largest that people publish for answers have some 20,000. */
export const grammarCharsMax = 64 << 10
/** Characters of a grammar that is checked at once, 7 ms of a processor at most; longer ones in a thread. Schemas of most requests have fewer. */
export const grammarAtOnceCharsMax = 2 << 10
/** Grammars that are remembered to be some, by a digest of 64 characters: those of a request with the most functions, and some more. */
export const grammarsKnownMax = 512
/** From the start of the thread that checks grammars to its first: 50 ms are usual. */
export const grammarCheckStartMs = 30_000
/** Schemas within one another, and arrays in them: deeper ones are none that a person has written. */
export const schemaDepthMax = 64
/** Schemas of a `oneOf`: each is compared with each other one. */
export const branchesApartMax = 64
/** Groups of an expression within one another. */
export const patternDepthMax = 32
/** Characters of a property's name that has to be told from all names that a schema does not give. */
export const propertyNameCharsMax = 256
/** Nodes of a grammar: 64 kB of enumerated words make as many. */
export const grammarSizeMax = 200_000
/** Characters of all texts together that may not come within another one: the marks of two forms of calls have some 25. */
export const unwantedCharsMax = 256
/** White space behind a line break: twenty characters indent ten levels. */
export const indentMax = 20
/** Places of a grammar at which a text may be at once: a thousand words of which one is to come need a thousand. */
export const grammarPlacesMax = 8_192
/** States of a grammar that are kept, 1 kB each: a string of bounded length has some for each of its characters. */
export const grammarStatesMax = 20_000
/** Masks that are kept of a grammar, 19 kB each with 152,000 tokens: white space, strings and numbers come again and again. */
export const grammarMasksMax = 256
/** Grammars that a thread holds ready. */
export const grammarsMax = 16
/** Sessions whose place in their grammar a thread remembers: others read their answer again, a millisecond for a thousand tokens. */
export const grammarTextsMax = 64
/** Models for whose answers grammars are held, each in a thread: 20 MB with 49,000 tokens, 140 MB with 152,000, most of it from reading its tokenizer. */
export const grammarModelsMax = 4
/** From the start of a grammar's thread to its first request: 0.5 s of a processor with 49,000 tokens, 1.6 s with 152,000. */
export const grammarStartMs = 60_000
/** A schema is made ready in so long: some ms are usual. */
export const grammarReadyMs = 5_000
/** The masks of one step: 2 ms of a processor each with 49,000 tokens where they are new, 6 ms with 152,000. */
export const grammarMasksMs = 2_000
/** A thread that is not asked for this long ends. */
export const grammarIdleMs = 60_000

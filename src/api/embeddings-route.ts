/** `POST /v1/embeddings`: texts as vectors, by a graph that takes text. */
import { type Api, type ApiContext, jsonBody } from './context.ts'
import { invalid, unsupported } from './errors.ts'
import { embeddingsSchema, read } from './schema.ts'

export async function embeddingsRoute(api: Api, c: ApiContext): Promise<Response> {
  const request = read(embeddingsSchema, await jsonBody(c))
  const texts = typeof request.input === 'string' ? [request.input] : request.input
  if (texts.length === 0) throw invalid("'input' must not be empty", { param: 'input' })
  const signal = AbortSignal.any([c.get('gone'), api.closing])
  const { vectors, tokens, cut, scrubbed } = await api.peer.embed(request.model, texts, {
    ...{ request: c.get('requestId'), client: c.get('client') },
    ...(request.skein?.scrub === true ? { scrub: true } : {}),
    signal
  })
  const [{ length } = { length: 0 }] = vectors
  if (request.dimensions !== undefined && request.dimensions !== length) {
    throw unsupported('dimensions', `'dimensions' of ${request.model} are ${length}: vectors are not shortened here`)
  }
  const count = tokens.reduce((sum, each) => sum + each, 0)
  const cutTokens = cut.reduce((sum, each) => sum + each, 0)
  return c.json({
    object: 'list',
    data: vectors.map((vector, index) => ({
      object: 'embedding',
      index,
      embedding: request.encoding_format === 'base64' ? base64(vector) : [...vector]
    })),
    model: request.model,
    usage: {
      prompt_tokens: count,
      total_tokens: count,
      skein: { cut_tokens: cutTokens, ...(scrubbed && { scrubbed }) }
    }
  })
}

/** Little-endian float32, whatever this machine's own order. */
function base64(vector: Float32Array): string {
  const bytes = Buffer.alloc(4 * vector.length)
  for (const [i, value] of vector.entries()) bytes.writeFloatLE(value, 4 * i)
  return bytes.toString('base64')
}

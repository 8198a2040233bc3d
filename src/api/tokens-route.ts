/**
 * `POST /tokenize`, `POST /detokenize` and `GET /tokenizer_info`, as vLLM has them: evaluations score ids that they have made so.
 */
import type { StoredModel } from '../index.ts'
import { type Api, type ApiContext, jsonBody } from './context.ts'
import { markCharsMax } from './limits.ts'
import { detokenizeSchema, read, tokenizeSchema } from './schema.ts'

export async function tokenizeRoute(api: Api, c: ApiContext): Promise<Response> {
  const request = read(tokenizeSchema, await jsonBody(c))
  const signal = c.get('gone')
  const model = await api.peer.model(request.model, { signal })
  const { id, manifest } = model
  const special = request.special ?? (await isMark(api, model, request.prompt, signal))
  const options = { model: id, signal, bare: request.add_special_tokens === false, special }
  const tokens = await api.peer.tokenize(request.prompt, options)
  return c.json({ count: tokens.length, max_model_len: manifest.config.contextMax, tokens })
}

/**
 * Whether a text is one of the tokens that begin and end texts, spelt out, and nothing else. Evaluations so ask for their ids, which
 * they put in front of texts that they score; within a longer text, what spells such a token stays text.
 */
async function isMark(api: Api, { id, manifest }: StoredModel, text: string, signal: AbortSignal): Promise<boolean> {
  if (text.length > markCharsMax) return false
  const ids = await api.peer.tokenize(text, { model: id, signal, bare: true, special: true })
  return ids.length === 1 && [manifest.bosId, ...manifest.eosIds].includes(ids[0]!)
}

export async function detokenizeRoute(api: Api, c: ApiContext): Promise<Response> {
  const { model, tokens } = read(detokenizeSchema, await jsonBody(c))
  const signal = c.get('gone')
  const { id } = await api.peer.model(model, { signal })
  return c.json({ prompt: await api.peer.detokenize(tokens, { model: id, signal }) })
}

export async function tokenizerInfoRoute(api: Api, c: ApiContext): Promise<Response> {
  const signal = c.get('gone')
  const { id, manifest } = await api.peer.model(c.req.query('model'), { signal })
  const { bosId, eosIds, chatTemplate, config } = manifest
  const spelt = async (token: number | null | undefined): Promise<string | null> =>
    token === null || token === undefined ? null : api.peer.detokenize([token], { model: id, signal, special: true })
  return c.json({
    model: manifest.name,
    bos_token: await spelt(bosId),
    eos_token: await spelt(eosIds.find(eos => eos !== bosId)),
    bos_token_id: bosId,
    eos_token_ids: eosIds,
    chat_template: chatTemplate,
    model_max_length: config.contextMax,
    vocab_size: config.vocab
  })
}

/**
 * `POST /tokenize`, `POST /detokenize` and `GET /tokenizer_info`, as vLLM has them: evaluations score ids that they have made so.
 */
import { type Api, type ApiContext, jsonBody } from './context.ts'
import { detokenizeSchema, read, tokenizeSchema } from './schema.ts'

export async function tokenizeRoute(api: Api, c: ApiContext): Promise<Response> {
  const request = read(tokenizeSchema, await jsonBody(c))
  const signal = c.get('gone')
  const { id, manifest } = await api.peer.model(request.model, { signal })
  const options = { model: id, signal, bare: request.add_special_tokens === false, special: request.special ?? false }
  const tokens = await api.peer.tokenize(request.prompt, options)
  return c.json({ count: tokens.length, max_model_len: manifest.config.contextMax, tokens })
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

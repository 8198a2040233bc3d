/** Chat messages into a prompt, by the template that came with the model. */
import { Template } from '@huggingface/jinja'
import { InvalidManifestError, InvalidOptionError } from '../errors.ts'
import type { Manifest } from './manifest.ts'
import type { ModelTokenizer } from './tokenizer.ts'

export interface ChatMessage {
  /** `system`, `user` or `assistant`; a template may know others. */
  readonly role: string
  readonly content: string
}

/**
 * The prompt that asks for the next assistant message. It is encoded as any text: special tokens that the
 * template writes become their ids, and a BOS that it writes is not doubled.
 *
 * @throws {InvalidOptionError} when the model has no template, or the template refuses these messages
 * @throws {InvalidManifestError} when the template is no valid Jinja
 */
export function renderChat(
  manifest: Pick<Manifest, 'name' | 'chatTemplate'>,
  tokenizer: ModelTokenizer,
  messages: readonly ChatMessage[]
): string {
  const { name, chatTemplate } = manifest
  if (chatTemplate === null) {
    throw new InvalidOptionError(`${name} has no chat template: it only continues a text, give it a prompt`)
  }
  let template: Template
  try {
    template = new Template(chatTemplate)
  } catch (err) {
    throw new InvalidManifestError(`the chat template of ${name} cannot be read: ${(err as Error).message}`)
  }
  const spelt = (id: number | null | undefined): string =>
    id === null || id === undefined ? '' : (tokenizer.token(id) ?? '')
  try {
    return template.render({
      messages: messages.map(({ role, content }) => ({ role, content })),
      add_generation_prompt: true,
      bos_token: spelt(tokenizer.bosId),
      eos_token: spelt(tokenizer.eosIds[0])
    })
  } catch (err) {
    throw new InvalidOptionError(`the chat template of ${name} refuses these messages: ${(err as Error).message}`)
  }
}

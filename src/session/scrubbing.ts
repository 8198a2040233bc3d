/** Takes personal data out of what a session is asked, before anybody makes tokens of it. */
import { InvalidOptionError } from '../errors.ts'
import type { ScrubCounts } from '../scrub/found.ts'
import { textsIn, withTexts } from '../scrub/values.ts'
import type { BegunAnswer, ConversationAsk, SessionParts } from './parts.ts'

type Prompt = string | readonly number[] | ConversationAsk | BegunAnswer

/**
 * The same prompt with placeholders, and how often each kind of data was replaced; undefined where nobody has asked for it.
 * @throws {InvalidOptionError} when it is ids, of which nobody can tell what they say
 */
export async function scrubbed(
  prompt: Prompt,
  { scrub }: SessionParts,
  signal: AbortSignal
): Promise<{ readonly prompt: Prompt; readonly replaced: ScrubCounts | undefined }> {
  // What was kept of an answer is what its first driver made of the prompt.
  if (scrub === undefined || (typeof prompt === 'object' && 'promptIds' in prompt))
    return { prompt, replaced: undefined }
  if (typeof prompt === 'string') {
    const { texts, replaced } = await scrub([prompt], { signal })
    return { prompt: texts[0]!, replaced }
  }
  if ('length' in prompt) {
    throw new InvalidOptionError('personal data is to be scrubbed from this prompt, and it is token ids: give its text')
  }
  const { messages } = prompt
  const { texts, replaced } = await scrub(textsIn(messages), { signal })
  return { prompt: { ...prompt, messages: withTexts(messages, texts) }, replaced }
}

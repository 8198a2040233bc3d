/** A control socket whose conversations are scripted, and what it was asked. */
import { type ControlledPeer, type ControlServer, serveControl } from '../../src/cli/control-server.ts'
import type { ChatMessage, ChatOptions, GenerationEvent } from '../../src/index.ts'

export interface Asked {
  readonly messages: readonly ChatMessage[]
  readonly options: Omit<ChatOptions, 'signal'>
}

/** What is answered: a text, or texts as they come. */
type Script = (asked: Asked & { readonly signal: AbortSignal }) => string | AsyncIterable<string>

export class ScriptedChat {
  readonly asked: Asked[] = []
  #server: ControlServer | undefined

  private constructor() {}

  static async serve(folder: string, script: Script): Promise<ScriptedChat> {
    const scripted = new ScriptedChat()
    const chat = (messages: readonly ChatMessage[], { signal, ...options }: ChatOptions) => {
      scripted.asked.push({ messages, options })
      const answer = script({ messages, options, signal: signal! })
      return {
        events: () => events(typeof answer === 'string' ? [answer] : answer),
        answer: Promise.reject(new Error('unused'))
      }
    }
    scripted.#server = await serveControl({ chat } as unknown as ControlledPeer, folder)
    return scripted
  }

  async close(): Promise<void> {
    await this.#server?.close()
  }
}

async function* events(texts: Iterable<string> | AsyncIterable<string>): AsyncGenerator<GenerationEvent> {
  yield { event: 'conversation', tokens: 5, droppedTurns: 0 }
  let text = ''
  for await (const each of texts) {
    text += each
    yield { event: 'token', id: 1, text: each, position: 1, ms: 1 }
  }
  yield { event: 'stopped', stop: 'eos', text: '' }
  yield {
    ...{ event: 'done', text, promptIds: [], ids: [], stop: 'eos' },
    timing: { firstTokenMs: 1, totalMs: 1, tokensPerSecond: 1 },
    ...{ bytesPerToken: 1, exact: true, hops: [], drafts: { proposed: 0, taken: 0 } }
  }
}

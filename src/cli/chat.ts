/** `skein chat`: a conversation with a model through the running peer, typed or piped, a line a message. */
import { Buffer } from 'node:buffer'
import { writeFile } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { addAbortSignal } from 'node:stream'
import { type CacheType, InvalidOptionError, PeerNotRunningError, reasonOf } from '../index.ts'
import { leftOut, showEvent } from './ask.ts'
import type { CommandContext } from './context.ts'
import { chatLineBytes, type ControlChatOptions, LineReader } from './control.ts'
import { askChat, checkReachable } from './control-client.ts'
import { describeFailure, InterruptedError } from './failure.ts'
import { chatLinesMax, controlRequestBytesMax } from './limits.ts'
import { note, paint, say, sayJson } from './output.ts'
import { samplingOptions, type SamplingFlags } from './sampling.ts'
import { type TemplateFlags, templateOptions } from './template.ts'
import { chatHelp, type ChatLine, readChatLine, Talk } from './talk.ts'

export interface ChatFlags extends SamplingFlags, TemplateFlags {
  readonly data: string
  readonly model?: string
  readonly system?: string
  readonly maxTokens?: number
  readonly keep?: number
  /** In ms. */
  readonly wait?: number
  readonly cache: CacheType
  readonly scrub?: boolean
  readonly json?: boolean
}

/**
 * Answers each line of stdin, as it comes, to stdout. On a terminal a failed answer is told of and the talk goes on; else it ends
 * with it, so that whoever runs it knows.
 *
 * @throws {InterruptedError} when Ctrl-C ends it; what `askChat` throws
 */
export async function chat(flags: ChatFlags, context: CommandContext): Promise<void> {
  await new Chat(flags, await templateOptions(flags), context).run()
}

class Chat {
  readonly #flags: ChatFlags
  readonly #template: Awaited<ReturnType<typeof templateOptions>>
  readonly #talk: Talk
  readonly #isTyped: boolean
  readonly #ended = new AbortController()
  readonly #signal: AbortSignal
  readonly #onInterrupt: CommandContext['onInterrupt']
  #answering: AbortController | undefined
  /** Ctrl-C was pressed since the last line. */
  #isInterrupted = false
  /** Where this talk was saved. */
  #saved: string | undefined

  constructor(
    flags: ChatFlags,
    template: Awaited<ReturnType<typeof templateOptions>>,
    { signal, onInterrupt }: CommandContext
  ) {
    this.#flags = flags
    this.#isTyped = process.stdin.isTTY === true && process.stdout.isTTY === true && flags.json !== true
    this.#template = template
    this.#talk = new Talk(flags.system)
    this.#signal = AbortSignal.any([signal, this.#ended.signal])
    this.#onInterrupt = onInterrupt
  }

  async run(): Promise<void> {
    const release = this.#onInterrupt(() => this.#interrupt())
    try {
      if (this.#isTyped) {
        // A person is told before a message is written that nobody would answer.
        await checkReachable(this.#flags.data)
        note(paint('dim', '/help lists commands; Ctrl-C stops an answer, and ends if pressed twice', process.stderr))
      }
      for await (const line of this.#isTyped ? this.#typed() : this.#piped()) {
        this.#isInterrupted = false
        if ((await this.#take(readChatLine(line))) === 'end') return
      }
      this.#signal.throwIfAborted()
    } finally {
      release()
    }
  }

  /** Ctrl-C: stops an answer, else says that the next one ends; the second ends. */
  #interrupt(): void {
    const isSecond = this.#isInterrupted
    this.#isInterrupted = true
    if (this.#answering !== undefined && !isSecond) this.#answering.abort()
    else if (this.#isTyped && !isSecond) note('(Ctrl-C again ends the conversation)')
    else this.#ended.abort(new InterruptedError('SIGINT'))
  }

  async *#typed(): AsyncGenerator<string> {
    const lines = createInterface({
      input: process.stdin,
      output: process.stdout,
      terminal: true,
      historySize: chatLinesMax,
      prompt: paint('bold', '> ')
    })
    const onAbort = (): void => lines.close()
    this.#signal.addEventListener('abort', onAbort, { once: true })
    lines.on('SIGINT', () => {
      // It is pressed to drop what is typed: that is no second time, though the answer before was stopped.
      if (lines.line !== '' && this.#answering === undefined) this.#isInterrupted = false
      this.#interrupt()
      if (this.#answering !== undefined || this.#signal.aborted) return
      // What was typed is dropped, as shells do.
      lines.write(null, { ctrl: true, name: 'e' })
      lines.write(null, { ctrl: true, name: 'u' })
      lines.prompt()
    })
    try {
      lines.prompt()
      for await (const line of lines) {
        yield line
        lines.prompt()
      }
      say()
    } finally {
      this.#signal.removeEventListener('abort', onAbort)
      lines.close()
    }
  }

  async *#piped(): AsyncGenerator<string> {
    const reader = new LineReader(controlRequestBytesMax)
    const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
    const pushed = (chunk: Buffer): string[] => {
      const lines = reader.pushBytes(chunk)
      if (lines === undefined)
        throw new InvalidOptionError(`a line on stdin is longer than ${controlRequestBytesMax} bytes`)
      try {
        return lines.map(line => decoder.decode(line))
      } catch {
        throw new InvalidOptionError('a line on stdin is no text: its bytes are not UTF-8')
      }
    }
    try {
      for await (const chunk of addAbortSignal(this.#signal, process.stdin)) yield* pushed(chunk as Buffer)
    } catch (err) {
      this.#signal.throwIfAborted()
      throw err
    }
    // The last line may have no end.
    yield* pushed(Buffer.from('\n'))
  }

  async #take(line: ChatLine): Promise<'end' | undefined> {
    if (line.kind === 'quit') return 'end'
    if (line.kind === 'say') await this.#answer(line.text)
    else if (line.kind === 'wrong') this.#complain(new InvalidOptionError(line.sentence))
    else if (line.kind === 'help') (this.#flags.json === true ? note : say)(chatHelp)
    else if (line.kind === 'reset') this.#talk.reset()
    else if (line.kind === 'save') await this.#save(line.file)
    return undefined
  }

  async #answer(text: string): Promise<void> {
    const { data, model, maxTokens, keep, wait, cache } = this.#flags
    const options = {
      ...samplingOptions(this.#flags),
      ...this.#template,
      ...(model === undefined ? {} : { model }),
      ...(maxTokens === undefined ? {} : { maxTokens }),
      ...(keep === undefined ? {} : { keepTurns: keep }),
      ...(wait === undefined ? {} : { waitMs: wait }),
      ...(this.#flags.scrub === undefined ? {} : { scrub: true }),
      ...(cache === 'f32' ? {} : { cache })
    }
    this.#talk.say(text)
    const answering = new AbortController()
    this.#answering = answering
    const show = this.#flags.json === true ? sayJson : showEvent()
    let answer = ''
    try {
      const signal = AbortSignal.any([this.#signal, answering.signal])
      this.#makeFit(options)
      for await (const event of askChat(data, this.#talk.sent, options, { signal })) {
        if (event.event === 'conversation') this.#talk.drop(event.droppedTurns)
        if (event.event === 'token' || event.event === 'stopped') answer += event.text
        show(event)
      }
    } catch (err) {
      this.#signal.throwIfAborted()
      if (this.#flags.json === true && !answering.signal.aborted) {
        const { name, message } = describeFailure(err)
        sayJson({ event: 'error', name, message })
      } else if (answer !== '' && this.#flags.json !== true) say()
      if (!answering.signal.aborted) this.#complain(err)
    } finally {
      this.#answering = undefined
      this.#talk.answered(answer)
    }
  }

  /** Turns go for the conversation to fit the line on which the peer gets it. @throws {InvalidOptionError} when that does not help */
  #makeFit(options: ControlChatOptions): void {
    const { keep } = this.#flags
    const bytes = chatLineBytes(this.#talk.sent, options)
    const turns = this.#talk.turnsOf(bytes - controlRequestBytesMax, keep ?? Number.POSITIVE_INFINITY)
    if (turns === undefined) {
      const way =
        keep === undefined ? 'begin a new one, or let its oldest turns go (--keep)' : 'say less, or keep fewer'
      throw new InvalidOptionError(
        `the conversation has ${bytes} bytes as JSON, and a peer takes at most ${controlRequestBytesMax}: ${way}`
      )
    }
    if (turns === 0) return
    this.#talk.drop(turns)
    note(`skein: ${leftOut(turns, `the ${controlRequestBytesMax} bytes that a peer takes`)}`)
  }

  async #save(file: string): Promise<void> {
    const { model } = this.#flags
    const { length } = this.#talk
    // After /reset it would take the place of what was saved before.
    if (length === 0) {
      this.#complain(new InvalidOptionError(`nothing has been said: there is nothing to save in ${file}`))
      return
    }
    const text = JSON.stringify({ ...(model === undefined ? {} : { model }), messages: this.#talk.all }, undefined, 2)
    try {
      await writeFile(file, `${text}\n`, { flag: file === this.#saved ? 'w' : 'wx' })
      this.#saved = file
      note(`skein: ${length === 1 ? '1 turn is' : `${length} turns are`} in ${file}`)
    } catch (err) {
      const isThere = (err as NodeJS.ErrnoException).code === 'EEXIST'
      const why = isThere ? 'it is there already, and is not overwritten: take another name' : reasonOf(err)
      this.#complain(new InvalidOptionError(`the conversation cannot be saved in ${file}: ${why}`))
    }
  }

  /** Tells a person, who goes on; a program is stopped. */
  #complain(err: unknown): void {
    if (!this.#isTyped || err instanceof PeerNotRunningError) throw err
    const { message, exitCode } = describeFailure(err)
    // A defect is none to go on after.
    if (exitCode === 1) throw err
    note(`skein: ${message}`)
  }
}

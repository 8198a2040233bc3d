/** A conversation with the swarm: streamed answers with their route, speed and pauses. */
import { shortPeer, svg } from './picture.js'
import { eventsOf, keyHeaders } from './stream.js'

/** Tokens whose times are drawn under an answer, at most: newer ones push older ones out. */
const paceMax = 160
/** A token that took so much longer than usual is a pause. */
const pauseFactor = 4

export class Talk {
  /**
   * @param {{ list: HTMLElement, said: HTMLElement, onEnd: () => void }} parts
   */
  constructor({ list, said, onEnd }) {
    this.list = list
    this.said = said
    this.onEnd = onEnd
    /** @type {{ role: string, content: string }[]} */
    this.messages = []
    /** @type {AbortController | undefined} */
    this.asking = undefined
  }

  clear() {
    this.stop()
    this.messages = []
    this.list.replaceChildren()
  }

  stop() {
    this.asking?.abort()
  }

  /** @param {string} text @param {{ model: string, maxTokens: number }} options */
  async ask(text, { model, maxTokens }) {
    const asking = new AbortController()
    this.asking = asking
    this.messages.push({ role: 'user', content: text })
    this.list.append(item('user', 'You', text).item)
    const answer = new AnswerView(this.list)
    this.said.textContent = 'The answer begins.'
    try {
      const response = await fetch('/window/ask', {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...keyHeaders() },
        body: JSON.stringify({ messages: this.messages, maxTokens, ...(model === '' ? {} : { model }) }),
        signal: asking.signal
      })
      for await (const { data } of eventsOf(response)) answer.told(data)
      this.said.textContent = answer.text === '' ? answer.facts() : `The answer: ${answer.text}`
    } catch (error) {
      answer.failed(asking.signal.aborted ? 'stopped' : /** @type {Error} */ (error).message)
      this.said.textContent = answer.facts()
    }
    if (answer.text === '') this.messages.pop()
    else this.messages.push({ role: 'assistant', content: answer.text })
    if (this.asking === asking) this.asking = undefined
    this.onEnd()
  }
}

/** @param {string} kind @param {string} who @param {string} text */
function item(kind, who, text) {
  const element = document.createElement('li')
  element.className = kind
  const name = document.createElement('strong')
  name.textContent = who
  const said = document.createElement('p')
  said.className = 'text'
  said.textContent = text
  element.append(name, said)
  return { item: element, said }
}

class AnswerView {
  /** @param {HTMLElement} list */
  constructor(list) {
    const { item: element, said } = item('answer', 'Answer', '')
    this.list = list
    this.said = said
    this.factLine = document.createElement('p')
    this.factLine.className = 'facts'
    this.factLine.textContent = 'looking for a route…'
    this.pace = svg('svg', { viewBox: `0 0 ${paceMax} 22`, preserveAspectRatio: 'none', 'aria-hidden': 'true' })
    element.append(this.pace, this.factLine)
    list.append(element)
    this.text = ''
    /** @type {number[]} */
    this.times = []
    /** @type {boolean[]} */
    this.pauses = []
    this.tokens = 0
    this.firstMs = 0
    this.restMs = 0
    this.pauseMs = 0
    this.route = ''
    this.lost = 0
    this.state = ''
    this.end = ''
    this.paused = false
    /** Text that is not on the page yet. */
    this.waiting = ''
    this.isDue = false
    this.#scroll()
  }

  /** @param {any} event */
  told(event) {
    if (event.event === 'token') this.#token(event)
    else if (event.event === 'route') this.#routed(event.hops)
    else if (event.event === 'waiting') this.state = `waiting: ${event.message}`
    else if (event.event === 'lost') {
      this.lost += 1
      this.paused = true
      this.state = `lost ${shortPeer(event.peer)} (${event.reason}), going on without it…`
    } else if (event.event === 'recovered') this.#routed(event.route)
    else if (event.event === 'conversation' && event.droppedTurns > 0)
      this.state = `${event.droppedTurns} older turns left out`
    else if (event.event === 'stopped') this.#append(event.text, undefined)
    else if (event.event === 'done') {
      this.end = event.stop === 'length' ? 'ended at its limit' : 'complete'
      if (!event.exact) this.end += ', and may differ from an undisturbed one'
      this.state = ''
    } else if (event.event === 'failed') this.failed(event.message)
    this.#soon()
  }

  /** Many tokens may come between two frames: all of them are drawn at once. */
  #soon() {
    if (this.isDue) return
    this.isDue = true
    // A page that nobody sees has no frames.
    if (document.hidden) setTimeout(() => this.#draw(), 100)
    else requestAnimationFrame(() => this.#draw())
  }

  /** @param {string} why */
  failed(why) {
    this.end = why
    this.state = ''
    this.#soon()
    this.factLine.classList.toggle('bad', why !== 'stopped')
  }

  facts() {
    const parts = []
    if (this.tokens > 0) parts.push(`${this.tokens} tokens`, `first after ${ms(this.firstMs)}`)
    if (this.tokens > 1 && this.restMs > 0)
      parts.push(`${((1000 * (this.tokens - 1)) / this.restMs).toFixed(1)} tokens/s`)
    if (this.route !== '') parts.push(this.route)
    if (this.lost > 0) parts.push(`${this.lost} lost, paused for ${ms(this.pauseMs)}`)
    if (this.state !== '') parts.push(this.state)
    if (this.end !== '') parts.push(this.end)
    return parts.join(' · ')
  }

  /** @param {any} token */
  #token({ text, ms: took, part }) {
    this.tokens += 1
    this.state = ''
    if (this.tokens === 1) this.firstMs = took
    else {
      this.restMs += took
      const isPause = this.paused || (this.times.length > 4 && took > pauseFactor * median(this.times))
      if (this.paused) this.pauseMs += took
      this.times.push(took)
      this.pauses.push(isPause)
      if (this.times.length > paceMax) {
        this.times.shift()
        this.pauses.shift()
      }
    }
    this.paused = false
    this.#append(text, part)
  }

  /** @param {string} text @param {string | undefined} part */
  #append(text, part) {
    if (text === '') return
    if (part === 'thinking') {
      this.#flush()
      const thought = document.createElement('span')
      thought.className = 'thought'
      thought.textContent = text
      this.said.append(thought)
    } else {
      this.text += text
      this.waiting += text
    }
  }

  #flush() {
    if (this.waiting !== '') this.said.append(this.waiting)
    this.waiting = ''
  }

  /** @param {any[]} hops */
  #routed(hops) {
    const named = hops.map(({ peer, start, end }) => `${shortPeer(peer)} ${start}-${end}`)
    this.route = `${hops.length === 1 ? '1 hop' : `${hops.length} hops`}: ${named.join(' → ')}`
  }

  /** The text so far, the facts, and a bar for each token: its height is its time, on a logarithmic scale. */
  #draw() {
    this.isDue = false
    this.#flush()
    this.factLine.textContent = this.facts()
    this.#scroll()
    const longest = Math.log1p(Math.max(...this.times))
    this.pace.replaceChildren(
      ...this.times.map((took, i) => {
        const height = longest === 0 ? 1 : Math.max(1, (20 * Math.log1p(took)) / longest)
        const at = { x: i, y: 22 - height, width: 0.7, height }
        return svg('rect', { ...at, class: this.pauses[i] ? 'pace paused' : 'pace' })
      })
    )
  }

  #scroll() {
    this.list.scrollTop = this.list.scrollHeight
  }
}

/** @param {number[]} all */
function median(all) {
  return all.toSorted((a, b) => a - b)[all.length >> 1] ?? 0
}

/** @param {number} value */
function ms(value) {
  return value >= 10_000 ? `${(value / 1000).toFixed(1)} s` : `${Math.round(value)} ms`
}

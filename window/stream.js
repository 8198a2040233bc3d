/** Server-sent events by `fetch`, which can carry a key; `EventSource` cannot. */

/** @returns {string} the key that was typed on this page */
export function keyOf() {
  return sessionStorage.getItem('skein-key') ?? ''
}

/** @param {string} key */
export function setKey(key) {
  sessionStorage.setItem('skein-key', key)
}

/** What a request of this page carries. @returns {Record<string, string>} */
export function keyHeaders() {
  const key = keyOf()
  return key === '' ? {} : { authorization: `Bearer ${key}` }
}

/** A refusal by the peer, in its own words. */
export class Refusal extends Error {
  /** @param {number} status @param {string} message */
  constructor(status, message) {
    super(message)
    this.status = status
  }
}

/** @param {Response} response @returns {Promise<Refusal>} */
export async function refusalOf(response) {
  const text = await response.text()
  try {
    return new Refusal(response.status, JSON.parse(text).error.message)
  } catch {
    return new Refusal(response.status, `the peer answers ${response.status}`)
  }
}

/**
 * The events of a response, until it ends.
 * @param {Response} response
 * @returns {AsyncGenerator<{ event: string, data: any }>}
 */
export async function* eventsOf(response) {
  if (!response.ok || response.body === null) throw await refusalOf(response)
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
  let rest = ''
  try {
    for (;;) {
      const { value, done } = await reader.read()
      if (done) return
      const blocks = (rest + value).split('\n\n')
      rest = blocks.pop() ?? ''
      for (const block of blocks) {
        let event = 'message'
        let data = ''
        for (const line of block.split('\n')) {
          if (line.startsWith('event: ')) event = line.slice(7)
          else if (line.startsWith('data: ')) data += line.slice(6)
        }
        if (data !== '') yield { event, data: JSON.parse(data) }
      }
    }
  } finally {
    await reader.cancel().catch(() => {})
  }
}

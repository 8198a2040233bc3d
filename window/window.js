/** The page: reads the peer's stream of events, draws it, and sends what a person asks. */
import { formatBytes, Picture, shortPeer } from './picture.js'
import { eventsOf, keyHeaders, keyOf, Refusal, refusalOf, setKey } from './stream.js'
import { Talk } from './talk.js'

const newsMax = 200
const againMs = 1_000

/** @param {string} id @returns {any} */
const at = id => document.getElementById(id)

const picture = new Picture(at('swarm'))
/** @type {any} */
let swarm
/** @type {Map<string, any>} */
let rates = new Map()

// ── What the peer tells ──────────────────────────────────────────────────────────────────────────────

async function follow() {
  for (;;) {
    try {
      const response = await fetch('/window/events', { headers: keyHeaders() })
      if (response.ok) showKey(keyOf() !== '')
      for await (const { event, data } of eventsOf(response)) told(event, data)
      summary('The peer has ended the connection; trying again…', true)
    } catch (error) {
      const refusal = error instanceof Refusal ? error : undefined
      if (refusal?.status === 401 || refusal?.status === 403) {
        showKey(true)
        summary(`${refusal.message}`, true)
        await keyTyped()
        continue
      }
      summary(refusal?.message ?? 'The peer does not answer; trying again…', true)
    }
    picture.show([])
    await new Promise(resolve => setTimeout(resolve, againMs))
  }
}

/** @param {string} event @param {any} data */
function told(event, data) {
  if (event === 'swarm') drawSwarm(data)
  else if (event === 'answers') picture.show(data)
  else if (event === 'rates') {
    rates = new Map(data.map((/** @type {any} */ rate) => [rate.peer, rate]))
    picture.rates(data)
    if (swarm !== undefined) drawPeers()
  } else if (event === 'news') {
    for (const each of data.news) drawNews(each)
    if (data.untold > 0) tellLine(`${data.untold} more things happened than are shown`)
  }
}

/** @param {any} data */
function drawSwarm(data) {
  const before = swarm
  swarm = data
  at('swarm-name').textContent = data.swarm
  document.title = `Skein: ${data.swarm}`
  picture.draw(data)
  picture.rates([...rates.values()])
  drawModels()
  drawPeers()
  if (before !== undefined) comeAndGone(before.peers, data.peers)
  const away = data.peers.filter((/** @type {any} */ peer) => !peer.connected).length
  const bare = data.models.filter((/** @type {any} */ { coverage }) => Math.min(...coverage) === 0)
  const parts = [data.peers.length === 1 ? '1 peer' : `${data.peers.length} peers`]
  if (away > 0) parts.push(`${away} not connected`)
  for (const { name } of bare) parts.push(`${name} is not covered`)
  if (data.models.length === 0) parts.push('no model is offered')
  for (const { state, bytes, bytesTotal } of data.fetches) {
    parts.push(bytesTotal > 0 ? `fetching ${state}: ${Math.round((100 * bytes) / bytesTotal)} %` : state)
  }
  if (data.peers.find((/** @type {any} */ { id }) => id === data.self)?.leaving) parts.push('this peer is leaving')
  summary(parts.join(' · '), bare.length > 0)
}

/** @param {any[]} before @param {any[]} now */
function comeAndGone(before, now) {
  const [were, are] = [new Set(before.map(({ id }) => id)), new Set(now.map(({ id }) => id))]
  for (const id of are.difference(were)) tellLine(`${shortPeer(id)} has come`)
  for (const id of were.difference(are)) tellLine(`${shortPeer(id)} is gone`)
}

function drawModels() {
  const select = at('model')
  const names = swarm.models.map((/** @type {any} */ { name }) => name)
  const chosen = select.value
  if ([...select.options].map(option => option.value).join('\n') !== names.join('\n')) {
    select.replaceChildren(...names.map((/** @type {string} */ name) => new Option(name)))
    if (names.includes(chosen)) select.value = chosen
  }
  at('models').replaceChildren(
    ...swarm.models.map((/** @type {any} */ { name, layers, coverage, missing }) => {
      const box = element('div', 'model')
      const line = element('div', 'name')
      const least = Math.min(...coverage)
      const lacking = missing === null ? '' : `, ${formatBytes(missing.bytes)} of memory are missing`
      const state =
        least === 0 ? `not covered${lacking}` : `every layer ${least === 1 ? 'once' : `${least} times`} or more`
      line.append(
        element('strong', '', name),
        element('span', least === 0 ? 'bad' : 'soft', `${layers} layers, ${state}`)
      )
      const strip = element('div', 'layers')
      strip.setAttribute('aria-hidden', 'true')
      for (const [layer, count] of coverage.entries()) {
        const cell = element('i', count === 0 ? '' : count === 1 ? 'once' : 'twice')
        cell.title = `layer ${layer}: held by ${count}`
        strip.append(cell)
      }
      box.append(line, strip)
      return box
    })
  )
}

function drawPeers() {
  at('peers').replaceChildren(
    ...swarm.peers.map((/** @type {any} */ peer) => {
      const row = document.createElement('tr')
      const name = element('th', '', peer.id === swarm.self ? 'this peer' : shortPeer(peer.id))
      name.setAttribute('scope', 'row')
      name.title = peer.id
      const { battery, usedBytes, budgetBytes, stages, sessions } = peer
      const held = stages.map(
        (/** @type {any} */ { start, end, serving }) => `${start}-${end}${serving ? '' : ' (loading)'}`
      )
      const memory =
        usedBytes === null ? formatBytes(budgetBytes) : `${formatBytes(usedBytes)} of ${formatBytes(budgetBytes)}`
      const charge =
        battery === null ? '–' : `${Math.round(battery.level * 100)} %${battery.charging ? ', charging' : ''}`
      const rate = rates.get(peer.id)
      const rtt = rate === undefined || rate.rttMs === null ? '–' : roundTrip(rate.rttMs)
      const moved = rate === undefined ? '–' : `${formatBytes(rate.there)}/s, ${formatBytes(rate.back)}/s`
      const going = peer.leaving ? ' (leaving)' : peer.connected ? '' : ' (not connected)'
      row.append(name)
      for (const text of [(held.join(', ') || 'none') + going, String(sessions), memory, charge, rtt, moved]) {
        row.append(element('td', '', text))
      }
      return row
    })
  )
}

/** @param {number} ms */
function roundTrip(ms) {
  return ms < 0.1 ? 'under 0.1 ms' : `${ms} ms`
}

/** @param {any} news */
function drawNews(news) {
  const answer = `answer ${news.answer}`
  if (news.what === 'began') tellLine(`${answer} begins`)
  else if (news.what === 'route') tellLine(`${answer}: ${routeText(news.route)}`)
  else if (news.what === 'waiting') tellLine(`${answer} waits: ${news.message}`)
  else if (news.what === 'lost') {
    picture.lose(news.peer)
    tellLine(`${answer} lost ${shortPeer(news.peer)} (${news.reason}) and goes on without it`, true)
  } else if (news.what === 'cut')
    tellLine(`${shortPeer(news.peer)} and ${shortPeer(news.next)} do not hear each other`, true)
  else if (news.what === 'recovered') {
    const replayed = `${news.replayedTokens} tokens sent again`
    tellLine(`${answer} recovered in ${Math.round(news.ms)} ms, ${replayed}: ${routeText(news.route)}`)
  } else if (news.what === 'ended') {
    tellLine(
      `${answer} ended with ${news.tokens} tokens${news.error === null ? '' : `: ${news.error}`}`,
      news.error !== null
    )
  }
}

/** @param {any[]} route */
function routeText(route) {
  return route
    .map(({ peer, start, end }) => `${peer === swarm?.self ? 'this peer' : shortPeer(peer)} ${start}-${end}`)
    .join(' → ')
}

/** @param {string} text @param {boolean} [isBad] */
function tellLine(text, isBad = false) {
  const line = element('p', isBad ? 'bad' : '')
  const time = element('time', '', new Date().toLocaleTimeString())
  line.append(time, text)
  const list = at('news')
  list.prepend(line)
  while (list.children.length > newsMax) list.lastElementChild.remove()
}

/** @param {string} text @param {boolean} isBad */
function summary(text, isBad) {
  const line = at('summary')
  if (line.textContent !== text) line.textContent = text
  line.classList.toggle('bad', isBad)
}

/** @param {string} name @param {string} [kind] @param {string} [text] */
function element(name, kind = '', text = '') {
  const made = document.createElement(name)
  if (kind !== '') made.className = kind
  if (text !== '') made.textContent = text
  return made
}

// ── What a person does ───────────────────────────────────────────────────────────────────────────────

const talk = new Talk({ list: at('talk-list'), said: at('said'), onEnd: () => asking(false) })

/** @param {boolean} isAsking */
function asking(isAsking) {
  at('ask').disabled = isAsking
  at('stop').disabled = !isAsking
}

at('talk').addEventListener('submit', (/** @type {SubmitEvent} */ event) => {
  event.preventDefault()
  const text = at('prompt').value
  if (text.trim() === '' || at('ask').disabled) return
  asking(true)
  at('prompt').value = ''
  void talk.ask(text, { model: at('model').value, maxTokens: Number(at('tokens').value) || 120 })
})
at('prompt').addEventListener('keydown', (/** @type {KeyboardEvent} */ event) => {
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return
  event.preventDefault()
  at('talk').requestSubmit()
})
at('stop').addEventListener('click', () => talk.stop())
at('clear').addEventListener('click', () => talk.clear())

at('drain').addEventListener('click', () => at('drain-dialog').showModal())
at('drain-dialog').addEventListener('close', async () => {
  if (at('drain-dialog').returnValue !== 'drain') return
  const response = await fetch('/window/drain', { method: 'POST', headers: keyHeaders() }).catch(() => undefined)
  if (response?.ok) tellLine('this peer was told to go: others take over what it serves')
  else tellLine(response === undefined ? 'the peer does not answer' : (await refusalOf(response)).message, true)
})

/** @param {boolean} isShown */
function showKey(isShown) {
  at('key-box').hidden = !isShown
}

at('key-box').addEventListener('submit', (/** @type {SubmitEvent} */ event) => event.preventDefault())

/** Resolves when a key was typed. */
function keyTyped() {
  return new Promise(resolve => {
    const typed = (/** @type {SubmitEvent} */ event) => {
      event.preventDefault()
      setKey(at('key').value)
      resolve(undefined)
    }
    at('key-box').addEventListener('submit', typed, { once: true })
  })
}

void follow()

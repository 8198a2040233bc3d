/** The swarm as a picture: peers on an oval, a ring for the layers that each holds, links, routes, and tokens that run along them. */

const svgSpace = 'http://www.w3.org/2000/svg'
const calm = matchMedia('(prefers-reduced-motion: reduce)')
/** A token runs once around in this time, and so many run at a time. */
const lapMs = 700
const tokensMax = 24
/** A peer that was lost stays marked so long. */
const lostMs = 6_000
/** Peers that are remembered after they have gone. */
const knownMax = 256

/**
 * @param {string} name
 * @param {Record<string, string | number>} [attributes]
 * @param {string} [text]
 * @returns {SVGElement}
 */
export function svg(name, attributes = {}, text = '') {
  const element = /** @type {SVGElement} */ (document.createElementNS(svgSpace, name))
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value))
  if (text !== '') element.textContent = text
  return element
}

/** @param {string} id */
export function shortPeer(id) {
  return `…${id.slice(-7)}`
}

export class Picture {
  /** @param {SVGSVGElement} root */
  constructor(root) {
    this.root = root
    this.links = svg('g')
    this.ways = svg('g')
    this.tokens = svg('g')
    this.peers = svg('g')
    for (const layer of [this.links, this.ways, this.tokens, this.peers]) layer.setAttribute('aria-hidden', 'true')
    root.append(this.links, this.ways, this.tokens, this.peers)
    /** @type {Map<string, { x: number, y: number, radius: number }>} */
    this.places = new Map()
    /** @type {Map<string, SVGElement>} */
    this.linkOf = new Map()
    /** @type {Map<string, number>} until when a peer is marked as lost, by `performance.now` */
    this.lost = new Map()
    /** @type {{ dot: SVGElement, points: { x: number, y: number }[], startMs: number }[]} */
    this.running = []
    /** @type {Map<number, { tokens: number }>} */
    this.answers = new Map()
    /** @type {Map<string, any>} peers that were seen, those that are gone included */
    this.known = new Map()
    this.self = ''
    /** @type {any} */
    this.swarm = undefined
  }

  /** @param {any} swarm */
  draw(swarm) {
    this.swarm = swarm
    this.self = swarm.self
    const layersOf = new Map(swarm.models.map((/** @type {any} */ { id, layers }) => [id, layers]))
    const first = (/** @type {any} */ peer) => {
      const [stage] = peer.stages
      return stage === undefined ? 2 : stage.start / (layersOf.get(stage.model) ?? 1)
    }
    // Neighbours on the oval are neighbours on a route; this peer comes first.
    const peers = [...swarm.peers, ...this.#ghosts(swarm.peers)].toSorted(
      (/** @type {any} */ a, /** @type {any} */ b) =>
        Number(b.id === this.self) - Number(a.id === this.self) || first(a) - first(b) || (a.id < b.id ? -1 : 1)
    )
    const count = peers.length
    const radius = count <= 8 ? 24 : count <= 20 ? 17 : 10
    this.places.clear()
    for (const [i, { id }] of peers.entries()) {
      const angle = (2 * Math.PI * i) / count - Math.PI / 2
      // Every other one stands further in where they are many.
      const inward = count > 26 && i % 2 === 1 ? 0.8 : 1
      const one = count === 1 ? 0 : 1
      this.places.set(id, { x: one * 195 * inward * Math.cos(angle), y: one * 135 * inward * Math.sin(angle), radius })
    }
    this.#drawLinks(swarm)
    this.peers.replaceChildren(...peers.map((/** @type {any} */ peer) => this.#peer(peer, layersOf, count)))
    this.#describe(swarm)
  }

  /** Peers that were lost a moment ago and are known no more: they stay where they were for as long as they are marked. @param {any[]} peers */
  #ghosts(peers) {
    const now = performance.now()
    const here = new Set(peers.map(({ id }) => id))
    for (const peer of peers) this.known.set(peer.id, peer)
    const ghosts = []
    for (const [id, peer] of this.known) {
      if (here.has(id)) continue
      if ((this.lost.get(id) ?? 0) > now) ghosts.push(peer)
      else if (this.known.size > knownMax) this.known.delete(id)
    }
    return ghosts
  }

  /** @param {any} swarm */
  #drawLinks(swarm) {
    this.linkOf.clear()
    this.links.classList.toggle('many', swarm.links.length > 200)
    this.links.replaceChildren(
      ...swarm.links.map((/** @type {[number, number, number?]} */ [from, to, rttMs]) => {
        const [a, b] = [swarm.peers[from].id, swarm.peers[to].id]
        const [start, end] = [this.places.get(a), this.places.get(b)]
        const line = svg('line', {
          class: 'link',
          x1: start?.x ?? 0,
          y1: start?.y ?? 0,
          x2: end?.x ?? 0,
          y2: end?.y ?? 0
        })
        const title = `${shortPeer(a)} – ${shortPeer(b)}`
        line.append(svg('title', {}, rttMs === undefined ? title : `${title}: ${rttMs} ms there and back`))
        if (a === this.self) this.linkOf.set(b, line)
        else if (b === this.self) this.linkOf.set(a, line)
        return line
      })
    )
  }

  /**
   * @param {any} peer
   * @param {Map<string, number>} layersOf
   * @param {number} count
   */
  #peer(peer, layersOf, count) {
    const { x, y, radius } = /** @type {{ x: number, y: number, radius: number }} */ (this.places.get(peer.id))
    const isLost = (this.lost.get(peer.id) ?? 0) > performance.now()
    const kinds = ['peer', peer.id === this.self && 'self', peer.leaving && 'leaving', isLost && 'lost']
    const group = svg('g', { class: kinds.filter(Boolean).join(' '), transform: `translate(${x} ${y})` })
    group.append(svg('circle', { class: 'back', r: radius, 'stroke-width': 3 }))
    const width = radius / 3
    for (const [i, stage] of peer.stages.slice(0, 4).entries()) {
      const layers = layersOf.get(stage.model) ?? 1
      const r = radius - (i % 2) * width * 0.6
      const kind = stage.serving ? 'held' : 'held loading'
      group.append(
        svg('path', { class: kind, 'stroke-width': width / 1.6, d: arc(r, stage.start / layers, stage.end / layers) })
      )
    }
    group.append(svg('circle', { class: 'dot', r: Math.max(2.5, radius / 6) }))
    if (isLost) {
      const d = radius * 0.5
      group.append(svg('path', { class: 'cross', d: `M${-d} ${-d}L${d} ${d}M${d} ${-d}L${-d} ${d}` }))
    }
    if (peer.battery !== null) {
      const { level } = peer.battery
      const bar = { x: -radius * 0.6, y: radius * 0.35, height: radius * 0.2 }
      group.append(svg('rect', { ...bar, width: radius * 1.2 * level, class: level < 0.2 ? 'battery low' : 'battery' }))
    }
    if (count <= 20) {
      group.append(svg('text', { y: radius + 12 }, peer.id === this.self ? 'this peer' : shortPeer(peer.id)))
    }
    group.append(svg('title', {}, describePeer(peer, this.self)))
    return group
  }

  /** @param {any} swarm */
  #describe({ peers, models }) {
    const covered = models.map((/** @type {any} */ { name, coverage }) => {
      const least = Math.min(...coverage)
      return least === 0 ? `${name} is not covered` : `every layer of ${name} is held by ${least} or more`
    })
    this.root.setAttribute(
      'aria-label',
      `The swarm: ${peers.length} peers; ${covered.join('; ') || 'no model is offered'}. The table of peers says the same.`
    )
  }

  /** Round trips and rates of this peer's own links. @param {any[]} rates */
  rates(rates) {
    for (const { peer, rttMs, there, back } of rates) {
      const line = this.linkOf.get(peer)
      if (line === undefined) continue
      line.classList.toggle('busy', there + back > 2_000)
      line.style.strokeWidth = String(0.6 + 0.6 * Math.log10(1 + (there + back) / 1_000))
      const told = rttMs === null ? '' : `: ${rttMs} ms there and back`
      const title = line.querySelector('title')
      if (title !== null) title.textContent = `this peer – ${shortPeer(peer)}${told}, ${formatBytes(there + back)}/s`
    }
  }

  /** Answers under way: their routes, and a dot for each token that has come since. @param {any[]} answers */
  show(answers) {
    this.ways.replaceChildren(
      ...answers.flatMap(({ route, state }) => {
        if (route.length === 0) return []
        const points = this.#points(route)
        return [svg('path', { class: state === 'running' ? 'way' : 'way waits', d: pathOf(points) })]
      })
    )
    const now = new Map()
    for (const { number, tokens, route } of answers) {
      const before = this.answers.get(number)?.tokens ?? tokens
      for (let i = 0; i < Math.min(tokens - before, 3); i++) this.#run(route, i * 60)
      now.set(number, { tokens })
    }
    this.answers = now
  }

  /** @param {{ peer: string }[]} route */
  #points(route) {
    return [this.self, ...route.map(({ peer }) => peer), this.self].flatMap(id => this.places.get(id) ?? [])
  }

  /** @param {{ peer: string }[]} route @param {number} delayMs */
  #run(route, delayMs) {
    if (calm.matches || document.hidden || this.running.length >= tokensMax || route.length === 0) return
    const points = this.#points(route)
    const dot = svg('circle', { class: 'token', r: 3.5, cx: points[0]?.x ?? 0, cy: points[0]?.y ?? 0 })
    this.tokens.append(dot)
    this.running.push({ dot, points, startMs: performance.now() + delayMs })
    if (this.running.length === 1) requestAnimationFrame(now => this.#frame(now))
  }

  /** @param {number} nowMs */
  #frame(nowMs) {
    this.running = this.running.filter(({ dot, points, startMs }) => {
      const part = (nowMs - startMs) / lapMs
      if (part >= 1) {
        dot.remove()
        return false
      }
      const at = Math.max(0, part) * (points.length - 1)
      const from = points[Math.floor(at)]
      const to = points[Math.floor(at) + 1] ?? from
      if (from === undefined || to === undefined) return false
      dot.setAttribute('cx', String(from.x + (to.x - from.x) * (at % 1)))
      dot.setAttribute('cy', String(from.y + (to.y - from.y) * (at % 1)))
      return true
    })
    if (this.running.length > 0) requestAnimationFrame(now => this.#frame(now))
  }

  /** A peer was lost: it is marked for some seconds. @param {string} id */
  lose(id) {
    this.lost.set(id, performance.now() + lostMs)
    setTimeout(() => this.swarm !== undefined && this.draw(this.swarm), lostMs + 50)
    if (this.swarm !== undefined) this.draw(this.swarm)
  }
}

/** A part of a ring, from and to as parts of the whole, beginning at the top. @param {number} r @param {number} from @param {number} to */
function arc(r, from, to) {
  const at = (/** @type {number} */ part) => {
    const angle = 2 * Math.PI * part - Math.PI / 2
    return `${(r * Math.cos(angle)).toFixed(2)} ${(r * Math.sin(angle)).toFixed(2)}`
  }
  if (to - from >= 0.999) return `M${at(0)}A${r} ${r} 0 1 1 ${at(0.5)}A${r} ${r} 0 1 1 ${at(0)}`
  return `M${at(from)}A${r} ${r} 0 ${to - from > 0.5 ? 1 : 0} 1 ${at(to)}`
}

/** @param {{ x: number, y: number }[]} points */
function pathOf(points) {
  return points.map(({ x, y }, i) => `${i === 0 ? 'M' : 'L'}${x.toFixed(1)} ${y.toFixed(1)}`).join('')
}

/** @param {any} peer @param {string} self */
export function describePeer({ id, stages, leaving, battery }, self) {
  const name = id === self ? 'this peer' : shortPeer(id)
  const held = stages.map(
    (/** @type {any} */ { start, end, serving }) => `${start}-${end}${serving ? '' : ' (loading)'}`
  )
  const parts = [held.length === 0 ? 'no layers' : `layers ${held.join(', ')}`]
  if (battery !== null) parts.push(`battery ${Math.round(battery.level * 100)} %`)
  if (leaving) parts.push('is leaving')
  return `${name}: ${parts.join(', ')}`
}

/** @param {number} bytes */
export function formatBytes(bytes) {
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  let value = bytes
  let unit = 0
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000
    unit += 1
  }
  return `${unit === 0 || value >= 99.5 ? Math.round(value) : value.toPrecision(2)} ${units[unit]}`
}

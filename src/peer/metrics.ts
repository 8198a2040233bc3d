/**
 * What a peer counts of itself, for Prometheus: its answers as their driver sees them, the steps of its stages, its links, memory,
 * disk and what it knows of the swarm. Names are `skein_*`, and those of OpenTelemetry's conventions for servers of language models
 * where they have one. No label holds anything that a prompt, an answer or a session's name says. Pure.
 */
import { Metrics } from '../base/metrics.ts'
import type { PeerId } from '../base/ids.ts'
import type { Answer } from '../session/generation.ts'
import type { AnswerStatus, Operation } from './answers.ts'
import type { Status } from './status.ts'
import { VllmMetrics } from './vllm-metrics.ts'

/** Bounds of OpenTelemetry's conventions, in seconds. */
const requestBounds = Array.from({ length: 14 }, (_, k) => (k === 0 ? 0.01 : Number((0.01 * 2 ** k).toFixed(2))))
const firstTokenBounds = [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10]
const perTokenBounds = [0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5]
/** Of what happens within one token, in seconds: an engine takes a millisecond, a radio link a hundred. */
const stepBounds = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10]
/** Nats: a token at 0.05 is one of which the model gives 95 % to it, and one at 5 came as a surprise. */
const surpriseBounds = [0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 1.5, 2, 3, 5]
const pauseBounds = [0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30, 60]

/** How an answer ended. */
export interface EndedAnswer {
  readonly operation: Operation
  /** Name of the model; empty where that was not known yet. */
  readonly model: string
  /** `stop`, `length`, `cancelled`, or the name of an error. */
  readonly outcome: string
  /** The same where it is no whole answer, else empty. */
  readonly error: string
  readonly durationMs: number
  readonly firstMs: number | undefined
  /** From its being asked for to its first route, and from there to its first token; undefined where it had none. */
  readonly queueMs?: number | undefined
  readonly prefillMs?: number | undefined
  readonly tokens: number
  /** From the first token to the last. */
  readonly restMs: number
}

/** A graph that was asked for a run, or for vectors of texts, and what came of it. */
export interface EndedRun {
  readonly operation: 'infer' | 'embeddings'
  /** Name of the graph; empty where that was not known yet. */
  readonly model: string
  /** `done`, `cancelled`, or the name of an error. */
  readonly outcome: string
  readonly durationMs: number
}

/** What is looked up whenever the text is made. */
export interface Gathered {
  readonly status: Status
  readonly answers: readonly AnswerStatus[]
  /** Connected peers, with bytes since each connected. */
  readonly links: readonly {
    readonly peer: PeerId
    readonly bytesIn: number
    readonly bytesOut: number
    readonly rttMs: number | undefined
  }[]
  readonly stages: {
    readonly sessions: number
    readonly waiting: number
    readonly queuedSteps: number
    readonly retainBytes: number
  }
  /** Of each served model, in bytes. */
  readonly caches: readonly { readonly model: string; readonly usedBytes: number; readonly maxBytes: number }[]
  readonly machine: {
    /** Of each meter that can be read; none where none can. */
    readonly joules: readonly { readonly domain: string; readonly joules: number }[]
    readonly cpuSeconds: number
    readonly residentBytes: number
    /** Since 1970. */
    readonly startSeconds: number
  }
}

export class PeerMetrics {
  readonly #all = new Metrics()
  readonly #vllm = new VllmMetrics()
  readonly #genAi = ['gen_ai_operation_name', 'gen_ai_provider_name', 'gen_ai_request_model']

  // ── Answers of this peer ───────────────────────────────────────────────────────────────────────

  readonly #duration = this.#all.histogram(
    'gen_ai_server_request_duration_seconds',
    'Time of a whole answer, from its being asked for to its last token',
    requestBounds,
    [...this.#genAi, 'error_type']
  )
  readonly #first = this.#all.histogram(
    'gen_ai_server_time_to_first_token_seconds',
    'Time from an answer being asked for to its first token',
    firstTokenBounds,
    this.#genAi
  )
  readonly #perToken = this.#all.histogram(
    'gen_ai_server_time_per_output_token_seconds',
    'Mean time of the tokens after the first one, of each whole answer',
    perTokenBounds,
    this.#genAi
  )
  readonly #token = this.#all.histogram(
    'skein_token_seconds',
    'Time from one token of an answer to the next one',
    stepBounds,
    ['model']
  )
  readonly #answers = this.#all.counter('skein_answers_total', 'Answers that have ended, by how', ['model', 'outcome'])
  readonly #running = this.#all.gauge('skein_answers_running', 'Answers under way, by what they are at', ['state'])
  readonly #promptTokens = this.#all.counter('skein_prompt_tokens_total', 'Tokens of prompts of whole answers', [
    'model'
  ])
  readonly #tokens = this.#all.counter('skein_generated_tokens_total', 'Tokens of answers', ['model'])
  readonly #answerBytes = this.#all.counter(
    'skein_answer_bytes_total',
    'Bytes of frames that the routes of whole answers sent to one another and to this driver',
    ['model']
  )
  readonly #inexact = this.#all.counter(
    'skein_inexact_answers_total',
    'Answers that had to go on with another numeric class, and may differ from undisturbed ones',
    ['model']
  )
  readonly #drafts = this.#all.counter(
    'skein_draft_tokens_total',
    'Tokens that were proposed, and those that were right',
    ['model', 'kind']
  )
  readonly #losses = this.#all.counter(
    'skein_losses_total',
    'Peers that answers went on without: how each was lost, and whether it was at fault',
    ['reason', 'charged']
  )
  readonly #recoveries = this.#all.counter('skein_recoveries_total', 'New routes on which answers went on')
  readonly #recovery = this.#all.histogram(
    'skein_recovery_seconds',
    'Time from a loss being known to the answer going on',
    pauseBounds
  )
  readonly #replayed = this.#all.counter('skein_replayed_tokens_total', 'Tokens that were computed again after losses')
  readonly #pause = this.#all.histogram(
    'skein_pause_seconds',
    'Time between two tokens of an answer with a loss, or a wait for somebody, in between',
    pauseBounds
  )
  readonly #link = this.#all.histogram(
    'skein_hop_link_seconds',
    'Time of one token on the way from one hop to the next, of answers that were traced',
    stepBounds,
    ['model']
  )

  readonly #surprise = this.#all.histogram(
    'skein_answer_surprise_nats',
    'Minus the mean log-probability of the tokens of an answer, where that was asked for: it rises where a model is less sure',
    surpriseBounds,
    ['model', 'version']
  )

  // ── Graphs that this peer asks ─────────────────────────────────────────────────────────────────

  readonly #runs = this.#all.counter(
    'skein_graph_requests_total',
    'Runs and embeddings that were asked for, by how each ended',
    ['operation', 'model', 'outcome']
  )
  readonly #runSeconds = this.#all.histogram(
    'skein_graph_request_seconds',
    'Time of a run or of embeddings, from being asked for to the result',
    requestBounds,
    ['operation', 'model']
  )

  // ── Stages of this peer ────────────────────────────────────────────────────────────────────────

  readonly #compute = this.#all.histogram(
    'skein_hop_compute_seconds',
    'Time in the engine of one step at a stage of this peer; a pass that sessions share counts for each',
    stepBounds,
    ['model']
  )
  readonly #queue = this.#all.histogram(
    'skein_hop_queue_seconds',
    'Time that one step waited at the engine of a stage of this peer',
    stepBounds,
    ['model']
  )
  readonly #stageTokens = this.#all.counter('skein_stage_tokens_total', 'Tokens that stages of this peer computed', [
    'model'
  ])
  readonly #sessions = this.#all.gauge('skein_stage_sessions', 'Sessions that hold a cache at stages of this peer')
  readonly #waiting = this.#all.gauge(
    'skein_stage_sessions_waiting',
    'Sessions that wait for room at stages of this peer'
  )
  readonly #queued = this.#all.gauge('skein_stage_steps_queued', 'Steps that wait at stages of this peer')
  readonly #retained = this.#all.gauge('skein_retained_bytes', 'Hidden states that stages may have to send again')
  readonly #cacheBytes = this.#all.gauge(
    'skein_cache_bytes',
    'Keys and values of sessions: used, and the most there may be',
    ['model', 'kind']
  )
  readonly #prefixBytes = this.#all.gauge('skein_prefix_bytes', 'What is kept of the beginnings of sessions')
  readonly #reused = this.#all.counter(
    'skein_prefix_reused_tokens_total',
    'Tokens that were known from another session'
  )

  // ── The machine ────────────────────────────────────────────────────────────────────────────────

  readonly #budget = this.#all.gauge(
    'skein_budget_bytes',
    'Memory for weights and caches: the budget, and what stages take',
    ['kind']
  )
  readonly #disk = this.#all.gauge(
    'skein_disk_bytes',
    'Files of models on the disk, and the budget where there is one',
    ['kind']
  )
  readonly #evictions = this.#all.counter('skein_evictions_total', 'Files of models that gave way to others')
  readonly #evicted = this.#all.counter('skein_evicted_bytes_total', 'Bytes of files of models that gave way to others')
  readonly #battery = this.#all.gauge('skein_battery_ratio', 'Charge of the battery, 0 to 1; absent without one')
  readonly #charging = this.#all.gauge('skein_battery_charging', 'Whether the battery is being charged')
  readonly #joules = this.#all.counter(
    'skein_machine_joules_total',
    'Energy of the whole machine since the start, as its processor counts it (RAPL); absent where that cannot be read',
    ['domain']
  )
  readonly #cpu = this.#all.counter('process_cpu_seconds_total', 'Processor time of the process')
  readonly #resident = this.#all.gauge('process_resident_memory_bytes', 'Resident memory of the process')
  readonly #start = this.#all.gauge('process_start_time_seconds', 'When the process started, in seconds since 1970')

  // ── The swarm ──────────────────────────────────────────────────────────────────────────────────

  readonly #peers = this.#all.gauge('skein_peers', 'Live peers that are known, this one included, by connection', [
    'state'
  ])
  readonly #linkBytes = this.#all.counter(
    'skein_link_bytes_total',
    'Bytes of TCP with a connected peer since it connected',
    ['peer', 'direction']
  )
  readonly #rtt = this.#all.gauge('skein_link_rtt_seconds', 'Smoothed round trip to a connected peer', ['peer'])
  readonly #coverage = this.#all.gauge(
    'skein_model_coverage',
    'How many serving stages hold the layer of a model that the fewest hold: 0 is no answer, 2 survives any loss',
    ['model']
  )
  readonly #layersMissing = this.#all.gauge('skein_model_layers_uncovered', 'Layers of a model that nobody serves', [
    'model'
  ])
  readonly #violations = this.#all.counter(
    'skein_violations_total',
    'Frames and streams of others that were refused, by what was wrong',
    ['kind']
  )
  readonly #warnings = this.#all.counter('skein_warnings_total', 'Problems that this peer has warned of')

  token(model: string, ms: number, isFirst: boolean): void {
    this.#tokens.add(1, model)
    this.#vllm.token(model, ms, isFirst)
    if (!isFirst) this.#token.observe(ms / 1000, model)
  }

  lost(reason: string, charged: boolean): void {
    this.#losses.add(1, reason, charged ? 'yes' : 'no')
  }

  recovered(ms: number, replayedTokens: number): void {
    this.#recoveries.add()
    this.#recovery.observe(ms / 1000)
    this.#replayed.add(replayedTokens)
  }

  paused(ms: number): void {
    this.#pause.observe(ms / 1000)
  }

  wire(model: string, ms: number): void {
    this.#link.observe(ms / 1000, model)
  }

  /** An answer is whole, and its hops have said what they did. */
  answered(model: string, { promptIds, ids, bytesPerToken, exact, drafts }: Answer): void {
    this.#promptTokens.add(promptIds.length, model)
    this.#vllm.answered(model, promptIds.length)
    this.#answerBytes.add(Math.round(bytesPerToken * ids.length), model)
    if (!exact) this.#inexact.add(1, model)
    this.#drafts.add(drafts.proposed, model, 'proposed')
    this.#drafts.add(drafts.taken, model, 'taken')
  }

  ended(answer: EndedAnswer): void {
    const { operation, model, outcome, error, durationMs, firstMs, tokens, restMs } = answer
    this.#vllm.ended(answer)
    this.#answers.add(1, model, outcome)
    this.#duration.observe(durationMs / 1000, operation, 'skein', model, error)
    if (firstMs !== undefined) this.#first.observe(firstMs / 1000, operation, 'skein', model)
    if (error === '' && tokens > 1) this.#perToken.observe(restMs / (tokens - 1) / 1000, operation, 'skein', model)
  }

  /** How sure a model was of an answer. @param version the beginning of its id @param nats minus the mean log-probability of a token */
  surprised(model: string, version: string, nats: number): void {
    this.#surprise.observe(nats, model, version)
  }

  ran({ operation, model, outcome, durationMs }: EndedRun): void {
    this.#runs.add(1, operation, model, outcome)
    if (outcome === 'done') this.#runSeconds.observe(durationMs / 1000, operation, model)
    // The conventions know embeddings, and no other runs.
    const error = outcome === 'done' ? '' : outcome
    if (operation === 'embeddings') this.#duration.observe(durationMs / 1000, operation, 'skein', model, error)
  }

  /** A step was computed at a stage of this peer. */
  step(model: string, { tokens, computeMs, queueMs }: { tokens: number; computeMs: number; queueMs: number }): void {
    this.#compute.observe(computeMs / 1000, model)
    this.#queue.observe(queueMs / 1000, model)
    this.#stageTokens.add(tokens, model)
  }

  evicted({ bytes, files }: { readonly bytes: number; readonly files: readonly string[] }): void {
    this.#evictions.add(files.length)
    this.#evicted.add(bytes)
  }

  warned(): void {
    this.#warnings.add()
  }

  /** All of it as text, in the exposition format 0.0.4. @param aliases whose names what they have names for is told by, too */
  text(gathered: Gathered, aliases?: 'vllm'): string {
    this.#gatherSwarm(gathered)
    this.#gatherOwn(gathered)
    return aliases === undefined ? this.#all.text() : this.#all.text() + this.#vllm.text(gathered)
  }

  #gatherSwarm({ status: { peers, models, violations }, links }: Gathered): void {
    const connected = peers.filter(peer => peer.connected).length
    this.#peers.set(connected, 'connected')
    this.#peers.set(peers.length - connected, 'apart')
    for (const family of [this.#linkBytes, this.#rtt, this.#coverage, this.#layersMissing]) family.clear()
    for (const { peer, bytesIn, bytesOut, rttMs } of links) {
      this.#linkBytes.reach(bytesIn, peer, 'in')
      this.#linkBytes.reach(bytesOut, peer, 'out')
      if (rttMs !== undefined) this.#rtt.set(rttMs / 1000, peer)
    }
    for (const { name, id, coverage } of models) {
      const isShared = models.some(other => other.name === name && other.id !== id)
      const label = isShared ? `${name} ${id.slice(0, 8)}` : name
      this.#coverage.set(Math.min(...coverage), label)
      this.#layersMissing.set(coverage.filter(count => count === 0).length, label)
    }
    for (const [kind, count] of Object.entries(violations)) this.#violations.reach(count, kind)
  }

  #gatherOwn({ status: { peers, disk, prefixes }, answers, stages, caches, machine }: Gathered): void {
    for (const state of ['starting', 'waiting', 'running', 'recovering'] as const) {
      this.#running.set(answers.filter(answer => answer.state === state).length, state)
    }
    this.#sessions.set(stages.sessions)
    this.#waiting.set(stages.waiting)
    this.#queued.set(stages.queuedSteps)
    this.#retained.set(stages.retainBytes)
    this.#cacheBytes.clear()
    for (const { model, usedBytes, maxBytes } of caches) {
      this.#cacheBytes.set(usedBytes, model, 'used')
      this.#cacheBytes.set(maxBytes, model, 'max')
    }
    this.#prefixBytes.set(prefixes.bytes)
    this.#reused.reach(prefixes.reused)
    const self = peers.find(peer => peer.self)
    this.#budget.set(self?.budgetBytes ?? 0, 'budget')
    this.#budget.set(self?.usedBytes ?? 0, 'used')
    this.#disk.set(disk.usedBytes, 'used')
    if (disk.limitBytes !== null) this.#disk.set(disk.limitBytes, 'budget')
    for (const gauge of [this.#battery, this.#charging]) gauge.clear()
    if (self?.battery != null) {
      this.#battery.set(self.battery.level)
      this.#charging.set(self.battery.charging ? 1 : 0)
    }
    for (const { domain, joules } of machine.joules) this.#joules.reach(joules, domain)
    this.#cpu.reach(machine.cpuSeconds)
    this.#resident.set(machine.residentBytes)
    this.#start.set(machine.startSeconds)
  }
}

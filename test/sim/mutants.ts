/**
 * Plants a fault in the source of a decider or a service and lives through random worlds until a promise is broken. Nothing on the
 * disk changes: every mutant is loaded as a set of modules of its own. Run by `mutations.test.ts`, in a process of its
 * own; `node test/sim/mutants.ts [NAME [SEEDS]]` prints a line
 * of JSON for each; with SEEDS it looks through so many worlds from seed 1 on.
 */
import { readFileSync } from 'node:fs'
import { registerHooks, stripTypeScriptTypes } from 'node:module'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { memberMutants } from './member-mutants.ts'
import type { Storm } from './storms.ts'
import { workMutants } from './work-mutants.ts'

export interface Mutant {
  readonly name: string
  readonly file: string
  /** It occurs once in the file. */
  readonly original: string
  readonly mutated: string
  /** What is otherwise besides, which alone breaks no promise: without it nobody comes to where the fault is. */
  readonly beside?: Pick<Mutant, 'file' | 'original' | 'mutated'>
  /** Where it shows: in random worlds unless said, else in those of `storms.ts`. */
  readonly storm?: Storm | 'members' | 'work'
  /** Worlds within which it must be caught: the first one's seed, and how many. */
  readonly from: number
  readonly seeds: number
}

const outlet = 'src/stage/outlet.ts'
const batch = 'src/engine/batch.ts'
const session = 'src/session/session.ts'

export const mutants: readonly Mutant[] = [
  {
    name: 'keep what older epochs left beyond keep',
    file: 'src/stage/seat-steps.ts',
    original: 'const length = Math.min(this.#certain, terms.keep)',
    mutated: 'const length = this.length',
    from: 6,
    seeds: 25
  },
  {
    name: 'forward the replayed history to a hop that has it',
    file: outlet,
    original: 'this.#skipBelow = Math.min(this.#skipBelow, this.#nextLength)',
    mutated: 'this.#skipBelow = 0',
    from: 10,
    seeds: 25
  },
  {
    name: 'replay nothing',
    file: outlet,
    original: 'this.#replayAt = this.#nextLength',
    mutated: 'this.#replayAt = this.#replayEnd',
    from: 6,
    seeds: 25
  },
  {
    name: 'leave a cache in the engine',
    file: 'src/stage/seat.ts',
    original: "else this.#host.emit({ kind: 'free-engine', seat: this.id })",
    mutated: 'else this.ending.freed()',
    from: 1,
    seeds: 25
  },
  {
    name: 'pass the credit',
    file: 'src/stage/credit.ts',
    original:
      'this.#steps - this.#stepsAcked < creditStepsMax && this.#tokens - this.#tokensAcked + tokens <= creditTokensMax',
    mutated: 'true',
    from: 4,
    seeds: 25
  },
  {
    name: 'never free an orphan',
    file: 'src/stage/stage.ts',
    original: 'seat.orphanedMs !== undefined &&',
    mutated: 'false && seat.orphanedMs !== undefined &&',
    from: 6,
    seeds: 25
  },
  {
    name: 'take tokens of any epoch',
    file: session,
    original: 'if (this.#isOpen(event.epoch)) this.#onTokens',
    mutated: "if (this.#phase === 'running') this.#onTokens",
    from: 48,
    seeds: 25
  },
  {
    name: 'open every cache as float32',
    file: 'src/stage/seating.ts',
    original: '      cacheType,\n',
    mutated: '',
    from: 1,
    seeds: 25
  },
  {
    name: 'prepare another type of caches',
    file: 'src/session/epochs.ts',
    original: "room: 'refuse', ...change }, sign)",
    mutated: "room: 'refuse', ...change, ...(change.stretch && { cache: 'f32' }) }, sign)",
    from: 8,
    seeds: 25
  },
  {
    name: 'keep one token too many',
    file: 'src/session/epochs.ts',
    original: 'const keep = isFirst ? 0 : tokens - 1',
    mutated: 'const keep = isFirst ? 0 : tokens',
    from: 9,
    seeds: 25
  },
  {
    name: 'charge the peer that reports a loss',
    file: 'src/session/loss.ts',
    original: 'Math.min(hop + 1, route.length - 1)',
    mutated: 'hop',
    from: 8,
    seeds: 25
  },
  {
    name: 'never ask for a route again',
    file: 'src/session/route-search.ts',
    original: "else if (again === 'later') this.#retryMs = nowMs + routeRetryMs",
    mutated: "else if (again === 'later') this.#retryMs = undefined",
    storm: 'crowded',
    from: 1,
    seeds: 10
  },
  {
    name: 'accept an old record',
    file: 'src/swarm/records.ts',
    original: 'if (seq <= (this.#marks.get(peer) ?? -1)) return isOwn ? this.#heardOwnAgain(unverified, nowMs) : []',
    mutated: '',
    from: 1,
    seeds: 25
  },
  {
    name: 'believe whoever says that it serves',
    file: 'src/route/proven.ts',
    original: "state !== 'proven' && failures >= probeFailuresMax",
    mutated: 'false',
    storm: 'claims',
    from: 1,
    seeds: 3
  },
  {
    name: 'load beside what fills the budget',
    file: 'src/route/planner.ts',
    original: 'if (bytes <= self.budgetBytes) {',
    mutated: 'if (true) {',
    from: 14,
    seeds: 25
  },
  {
    name: 'let an older epoch take the seat',
    file: 'src/stage/seating.ts',
    original: "if (terms.epoch <= seat.epoch || seat.phase === 'closing') {",
    mutated: "if (terms.epoch === seat.epoch || seat.phase === 'closing') {",
    storm: 'late-open',
    from: 26,
    seeds: 40
  },
  {
    name: 'compute a prompt in one piece, whoever waits',
    file: batch,
    original: 'return this.#cost.rowsWithin(ms) ?? 1',
    mutated: 'return this.#init.rowsMax',
    from: 4,
    seeds: 25
  },
  {
    name: 'forget how much of a long step is computed',
    file: batch,
    original: 'work.done += tokens',
    mutated: 'work.done = tokens',
    from: 4,
    seeds: 25
  },
  {
    name: 'share memory out without regard to open caches',
    file: 'src/serving/shape.ts',
    original: 'Math.max(cacheBytesUsed, reserves[i]!)',
    mutated: 'reserves[i]!',
    storm: 'full-caches',
    from: 4,
    seeds: 20
  },
  {
    name: 'believe every chunk',
    file: 'src/supply/fetch.ts',
    original: 'if (isRight) {',
    mutated: 'if (true) {',
    storm: 'lying-source',
    from: 1,
    seeds: 5
  },
  {
    name: 'ask a liar again',
    file: 'src/supply/sources.ts',
    original: 'this.#liars.has(peer) || open >= supplySourcesMax',
    mutated: 'open >= supplySourcesMax',
    storm: 'lying-source',
    from: 1,
    seeds: 5
  },
  {
    name: 'take a whole file without its last chunk',
    file: 'src/supply/fetch.ts',
    original: 'if (job.hereChunks < job.count) return',
    mutated: 'if (job.hereChunks < job.count - 1) return',
    storm: 'lying-source',
    from: 1,
    seeds: 5
  },
  {
    name: 'charge who is heard',
    file: 'src/session/cuts.ts',
    original: 'if (!hears(to)) {',
    mutated: 'if (true) {',
    from: 10,
    seeds: 25
  },
  {
    name: 'remember the dead',
    file: 'src/swarm/records.ts',
    original: 'if (peer === this.#init.self || nowMs - receivedMs <= record.ttlMs) continue',
    mutated: 'continue',
    from: 16,
    seeds: 25
  },
  {
    name: 'go on with who breaks the protocol',
    file: session,
    original: "if (this.#phase === 'running') this.#lose({ kind: 'failed', hop, reason: violation }, message)",
    mutated: "if (this.#phase === 'running') this.#lose({ kind: 'unknown' }, message)",
    from: 114,
    seeds: 3
  },
  {
    name: 'call every answer exact',
    file: 'src/route/class-pin.ts',
    original: 'this.#exact = classes.every((numericClass, layer) => numericClass === this.#first[layer])',
    mutated: 'this.#exact = true',
    from: 6,
    seeds: 25
  },
  {
    name: 'retain more than there is room for',
    file: 'src/stage/seating.ts',
    original: 'const need = (): number => seat.retainedBytes - (this.retainBytesMax - this.#retainBytes)',
    mutated: 'const need = (): number => 0',
    from: 6,
    seeds: 25
  },
  {
    name: 'leave caches of an answer that is given up',
    file: session,
    original: 'if (running) this.#epoch!.close(',
    mutated: "if (running && outcome.kind !== 'cancelled') this.#epoch!.close(",
    storm: 'impatient',
    from: 1,
    seeds: 2
  },
  {
    name: 'wait for ever for who says nothing',
    file: 'src/session/patience.ts',
    original: 'isOver: ms >= limitMs }',
    mutated: 'isOver: false }',
    storm: 'mute',
    from: 8,
    seeds: 3
  },
  {
    name: 'wait for ever for an engine that hangs',
    file: 'src/session/patience.ts',
    original: 'return ms < limitMs ? undefined :',
    mutated: 'return true ? undefined :',
    storm: 'hung',
    from: 5,
    seeds: 3
  },
  {
    name: 'charge others for what they closed while this driver stood still',
    file: 'src/session/recovery.ts',
    original: 'nowMs < this.#excusedUntilMs && excusable.has(reason)',
    mutated: 'false',
    from: 48,
    seeds: 10
  },
  {
    name: 'believe every signature',
    file: 'src/stage/check.ts',
    original: 'if (!isGenuine(terms, verify))',
    mutated: 'if (false)',
    storm: 'thieves',
    from: 1,
    seeds: 3
  },
  {
    name: "let anybody open the driver's end",
    file: 'src/stage/driver-ends.ts',
    original: 'if (admitted?.epoch !== epoch || admitted.tail !== channel.remote) {',
    mutated: 'if (epoch <= (end.channel?.epoch ?? -1)) {',
    storm: 'thieves',
    from: 1,
    seeds: 3
  },
  {
    name: 'forget those who wait for room',
    file: 'src/stage/seating.ts',
    original: 'if (seat === undefined || this.#trying.has(seat) || !this.#reserve(seat, nowMs)) continue',
    mutated: 'continue',
    storm: 'hoarding',
    from: 2,
    seeds: 3
  },
  {
    name: 'let one driver have all of an engine',
    file: 'src/engine/owner-debts.ts',
    original: 'return (this.#owners.get(owner)?.debtMs ?? 0) > debtBurstMs',
    mutated: 'return false',
    storm: 'flooding',
    from: 1,
    seeds: 3
  },
  {
    name: 'have those that had too much of an engine pay with what others had',
    file: 'src/engine/owner-debts.ts',
    original: 'known.debtMs + hadMs - ms / here',
    mutated: 'known.debtMs + hadMs - ms',
    storm: 'flooding',
    from: 1,
    seeds: 3
  },
  {
    name: 'pass the limit of sessions',
    file: 'src/stage/seating.ts',
    original: 'if (this.#seats.size - this.waiting >= stageSessionsMax) {',
    mutated: 'if (false) {',
    storm: 'crush',
    from: 1,
    seeds: 3
  },
  {
    name: 'drop a route that is asked for again',
    file: 'src/session/driver-service.ts',
    original: 'void this.#route(avoiding(effect, this.#suspects()))',
    mutated: 'if (this.#routing === undefined) void this.#route(avoiding(effect, this.#suspects()))',
    from: 6,
    seeds: 10
  },
  {
    name: 'forward to whichever stream was opened last',
    file: 'src/stage/service.ts',
    original: 'channel?.send(bytes)',
    mutated: 'Array.from(this.#channels.values()).at(-1)?.send(bytes)',
    from: 1,
    seeds: 5
  },
  {
    name: 'forget what is being loaded when another load begins',
    file: 'src/route/placement-service.ts',
    original: 'if (this.#loading === loading) this.#loading = undefined',
    mutated: 'queueMicrotask(() => (this.#loading = undefined))',
    storm: 'changing-minds',
    from: 19,
    seeds: 10
  },
  {
    name: 'free no cache in the engine',
    file: 'src/stage/service.ts',
    original: 'await engine.free(cache)',
    mutated: '',
    from: 1,
    seeds: 5
  },
  {
    name: 'take drafts for what is known',
    file: 'src/session/epoch.ts',
    original: 'this.#cursor = end\n',
    mutated: 'this.#cursor = end + drafts.length\n',
    storm: 'speculating',
    from: 1,
    seeds: 5
  },
  {
    name: 'say that a token drawn after drafts follows all of them',
    file: 'src/stage/seat-steps.ts',
    original: 'pushTokens({ position: this.#certain,',
    mutated: 'pushTokens({ position: position + tokens,',
    storm: 'speculating',
    from: 1,
    seeds: 5
  },
  {
    name: 'begin an epoch with drafts of an older one',
    file: 'src/stage/seat-steps.ts',
    original: 'const length = Math.min(this.#certain, terms.keep)',
    mutated: 'const length = Math.min(this.length, terms.keep)',
    storm: 'speculating',
    from: 56,
    seeds: 3
  },
  {
    name: 'forget which tokens of a step are drafts',
    file: 'src/stage/outlet.ts',
    original: 'drafts.length === 0 ? step : { ...step, drafts }',
    mutated: 'step',
    storm: 'speculating',
    from: 1,
    seeds: 5
  },
  {
    name: 'know a block by its own rows alone',
    file: 'src/engine/prefixes.ts',
    original: 'let before = position === 0 ? chain.seed : chain.links[position - 1]!',
    mutated: 'let before = position % B === 0 ? chain.seed : chain.links[position - 1]!',
    storm: 'alike',
    from: 1,
    seeds: 3
  },
  {
    name: 'share a beginning with whoever asks the same',
    file: 'src/engine/prefixes.ts',
    original: "seed: this.#link('', utf8(owner))",
    mutated: "seed: ''",
    storm: 'alike',
    from: 1,
    seeds: 3
  },
  {
    name: 'keep more of beginnings than there is room for',
    file: 'src/engine/prefixes.ts',
    original: 'if (this.bytesUsed + bytes <= this.#bytesMax) return true',
    mutated: 'return true',
    storm: 'alike',
    from: 1,
    seeds: 3
  },
  {
    name: 'wait for ever for what another session computes',
    file: batch,
    original: 'for (const each of this.#waiting) if (each.after === id) each.after = undefined',
    mutated: '',
    storm: 'together',
    from: 1,
    seeds: 3
  },
  {
    name: 'send the ids of other rows than those that the next hop lacks',
    file: outlet,
    original: 'ids: ids?.subarray(skip)',
    mutated: 'ids: ids?.subarray(0, tokens - skip)',
    from: 14,
    seeds: 5
  },
  {
    name: 'retain rows without their ids',
    file: 'src/stage/seat-steps.ts',
    original: 'this.#outlet.retain(position, hidden, idsOf(frame))',
    mutated: 'this.#outlet.retain(position, hidden, undefined)',
    from: 6,
    seeds: 5
  },
  {
    name: 'keep more after a loss than has been told of the prompt',
    file: 'src/session/scored.ts',
    original: 'return this.isAll ? tokens : Math.min(tokens, this.#tokens)',
    mutated: 'return tokens',
    storm: 'scored',
    from: 1,
    seeds: 3
  },
  {
    name: 'tell of a prompt from its beginning on in every epoch',
    file: 'src/stage/seat-steps.ts',
    original: 'sampling.promptLogprobs === undefined || stretch !== undefined ? undefined : keep',
    mutated: 'sampling.promptLogprobs === undefined || stretch !== undefined ? undefined : 0',
    storm: 'scored',
    from: 1,
    seeds: 3
  },
  {
    name: 'tell of the tokens before those that were drawn',
    file: session,
    original: 'score: scores?.[i]',
    mutated: 'score: scores?.[Math.max(0, i - 1)]',
    storm: 'scored',
    from: 1,
    seeds: 3
  },
  {
    name: 'ask the grammar what may follow the text without its last token',
    file: 'src/session/driver-service.ts',
    original: 'text.slice(this.#promptTokens, length)',
    mutated: 'text.slice(this.#promptTokens, Math.max(this.#promptTokens, length - 1))',
    storm: 'masked',
    from: 1,
    seeds: 3
  },
  {
    name: 'send the masks of drafts after a loss without the drafts',
    file: 'src/session/stepping.ts',
    original: 'this.#masks?.slice(0, 1)',
    mutated: 'this.#masks',
    storm: 'masked',
    from: 1,
    seeds: 10
  },
  {
    name: 'send a step on without its masks',
    file: 'src/stage/outlet.ts',
    original: 'masks: end === tokens ? masks?.slice(0, 1 + proposed.length) : undefined',
    mutated: 'masks: undefined',
    storm: 'masked',
    from: 1,
    seeds: 3
  },
  {
    name: 'leave to older stages what they may take while another one loads',
    file: 'src/serving/served-model.ts',
    original: 'sessions go on coming while this one loads.\n      this.#share()',
    mutated: 'sessions go on coming while this one loads.',
    from: 746,
    seeds: 1
  },
  {
    name: 'reserve less than the pages that a session fills',
    file: 'src/base/pages.ts',
    original: 'const all = Math.ceil(tokens / positions)',
    mutated: 'const all = Math.max(1, Math.floor(tokens / positions))',
    from: 6,
    seeds: 5
  },
  {
    name: 'give a page back too early',
    file: 'src/engine/windows.ts',
    original: 'Math.max(0, reached - rollback - window + 1)',
    mutated: 'Math.max(0, reached - window + 1)',
    storm: 'short-sighted',
    from: 1,
    seeds: 3
  },
  {
    name: 'serve a rollback from what has been given back',
    file: 'src/engine/windows.ts',
    original: 'return length < floor ? 0 : length',
    mutated: 'return length',
    // A driver may have as little kept as it likes; ours has all.
    beside: {
      file: 'src/session/epochs.ts',
      original: 'const keep = isFirst ? 0 : tokens - 1',
      mutated: 'const keep = isFirst ? 0 : Math.floor(tokens / 2)'
    },
    storm: 'short-sighted',
    from: 1,
    seeds: 3
  },
  {
    name: 'charge a window as if it could not move',
    file: 'src/base/pages.ts',
    original: 'Math.ceil((latest - 1) / positions) + 1',
    mutated: 'Math.floor(latest / positions)',
    storm: 'short-sighted',
    from: 2,
    seeds: 3
  },
  {
    name: 'take a chunk for right that nobody has looked at',
    file: 'src/supply/fetch-service.ts',
    original: 'isRight: sameBytes(await this.#init.store.digest(bytes), digest)',
    mutated: 'isRight: true',
    storm: 'lying-source',
    from: 1,
    seeds: 5
  },
  ...memberMutants,
  ...workMutants
]

/** Sources without types, by path: what most mutants share is stripped once. */
const stripped = new Map<string, string>()
const root = fileURLToPath(new URL('../..', import.meta.url))

/** Loads the modules below this repository as TypeScript, each mutant's under a query of its own. */
function install(): void {
  registerHooks({
    resolve(specifier, context, next) {
      const mutant = context.parentURL === undefined ? null : new URL(context.parentURL).searchParams.get('mutant')
      const resolved = next(specifier, context)
      if (mutant === null || !resolved.url.startsWith('file:') || resolved.url.includes('/node_modules/'))
        return resolved
      const url = new URL(resolved.url)
      url.searchParams.set('mutant', mutant)
      return { ...resolved, url: url.href }
    },
    load(url, context, next) {
      if (!url.includes('mutant=')) return next(url, context)
      const path = fileURLToPath(new URL(url.split('?')[0]!))
      const number = new URL(url).searchParams.get('mutant')!
      const mutant = number === 'none' ? undefined : mutants[Number(number)]
      let source: string
      const edit = [mutant, mutant?.beside].find(each => each !== undefined && path === root + each.file)
      if (edit !== undefined) {
        const text = readFileSync(path, 'utf8')
        const { file, original, mutated } = edit
        if (text.split(original).length !== 2) {
          throw new Error(
            `mutant '${mutant!.name}': its text occurs ${text.split(original).length - 1} times in ${file}`
          )
        }
        source = stripTypeScriptTypes(
          text.replace(original, () => mutated),
          { mode: 'transform' }
        )
      } else {
        source = stripped.get(path) ?? stripTypeScriptTypes(readFileSync(path, 'utf8'), { mode: 'transform' })
        stripped.set(path, source)
      }
      return { format: 'module', source, shortCircuit: true }
    }
  })
}

/** What a mutant breaks, and in which world; undefined when it gets through. */
async function hunt(
  number: number | 'none',
  from: number,
  seeds: number,
  storm?: Storm | 'members' | 'work'
): Promise<{ seed: number; broken: string } | undefined> {
  const load = async (file: string) => import(`${pathToFileURL(root + file).href}?mutant=${number}`)
  if (storm === 'members' || storm === 'work') return huntIn(storm, load, from, seeds)
  const { World } = (await load('sim/world.ts')) as typeof import('../../sim/world.ts')
  const { drawScenario } = (await load('sim/random-world.ts')) as typeof import('../../sim/random-world.ts')
  const { drawStorm } = (await load('test/sim/storms.ts')) as typeof import('./storms.ts')
  const draw = (seed: number) => (storm === undefined ? drawScenario(seed) : drawStorm(storm, seed))
  for (let seed = from; seed < from + seeds; seed++) {
    try {
      const scenario = draw(seed)
      const { prompts, answered, driversLost, cancelled } = await new World({ scenario, seed }).run()
      const asked = prompts - driversLost - cancelled
      if (answered < (scenario.watch.answeredRatioMin ?? 0) * asked) {
        return { seed, broken: `${answered} of ${asked} prompts were answered` }
      }
    } catch (error) {
      return { seed, broken: (error as Error).message.split('\n')[0]! }
    }
  }
  return undefined
}

/** The same in worlds of members, or of work that is checked. */
async function huntIn(
  storm: 'members' | 'work',
  load: (file: string) => Promise<unknown>,
  from: number,
  seeds: number
): Promise<{ seed: number; broken: string } | undefined> {
  const { MembersWorld } = (await load('sim/members-world.ts')) as typeof import('../../sim/members-world.ts')
  const { WorkWorld } = (await load('sim/work-world.ts')) as typeof import('../../sim/work-world.ts')
  for (let seed = from; seed < from + seeds; seed++) {
    try {
      await (storm === 'members' ? new MembersWorld(seed) : new WorkWorld(seed)).run()
    } catch (error) {
      return { seed, broken: (error as Error).message.split('\n')[0]! }
    }
  }
  return undefined
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  // Stripping types is said to be experimental on every start.
  process.removeAllListeners('warning')
  install()
  const only = process.argv[2]
  if (only === '--sound') {
    // Without a fault in it: worlds of storms keep their promises, too.
    for (const storm of new Set(mutants.flatMap(mutant => mutant.storm ?? []))) {
      console.log(JSON.stringify({ storm, ...(await hunt('none', 1, Number(process.argv[3] ?? 1), storm)) }))
    }
    process.exit()
  }
  const seedsMax = process.argv[3]
  const fromSeed = Number(process.argv[4] ?? 1)
  for (const [number, mutant] of mutants.entries()) {
    const { name } = mutant
    if (only === '--half' ? number % 2 === 1 : only !== undefined && only !== '' && only !== name) continue
    const from = seedsMax === undefined ? mutant.from : fromSeed
    const seeds = Number(seedsMax ?? mutant.seeds)
    const startMs = performance.now()
    const caught = await hunt(number, from, seeds, mutant.storm)
    console.log(JSON.stringify({ name, from, seeds, ...caught, ms: Math.round(performance.now() - startMs) }))
  }
}

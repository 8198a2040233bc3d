/**
 * Who may know whom. Reads the imports of `src` and `sim`, and the clocks, timers and randomness that a file
 * touches, and holds the four rules of the house. Each message names the way out.
 */
import { globSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))

/** What a room may import from, beside itself. `errors.ts`, `limits.ts` and base are open to all below `index.ts`. */
const arrows: Record<string, readonly string[]> = {
  base: [],
  disk: ['base'],
  audit: ['disk', 'base'],
  scrub: ['model', 'base'],
  model: ['disk', 'base'],
  engine: ['model', 'disk', 'base'],
  stage: ['engine', 'model', 'protocols', 'base'],
  check: ['stage', 'engine', 'model', 'protocols', 'base'],
  supply: ['model', 'protocols', 'base'],
  keep: ['protocols', 'disk', 'base'],
  infer: ['engine', 'model', 'swarm/record', 'protocols', 'base'],
  trust: ['protocols', 'base'],
  swarm: ['trust', 'protocols', 'disk', 'base'],
  route: ['swarm/record', 'base'],
  session: ['scrub', 'route', 'stage', 'engine', 'model', 'swarm/record', 'protocols', 'base'],
  serving: ['route', 'stage', 'supply', 'engine', 'model', 'swarm', 'disk', 'base'],
  peer: [
    'serving',
    'check',
    'infer',
    'keep',
    'audit',
    'scrub',
    'session',
    'route',
    'stage',
    'supply',
    'engine',
    'model',
    'swarm',
    'trust',
    'disk',
    'protocols',
    'base'
  ],
  doctor: ['peer', 'engine', 'swarm', 'disk', 'base'],
  'index.ts': [
    'doctor',
    'peer',
    'check',
    'keep',
    'session',
    'route',
    'stage',
    'engine',
    'model',
    'swarm',
    'trust',
    'disk',
    'base'
  ],
  // `skein up` opens the front door.
  cli: ['index.ts', 'api'],
  api: ['index.ts'],
  'errors.ts': ['base'],
  'limits.ts': ['base'],
  protocols: [],
  sim: [
    'peer',
    'check',
    'serving',
    'protocols',
    'session',
    'route',
    'stage',
    'supply',
    'keep',
    'engine',
    'model',
    'trust',
    'swarm',
    'base'
  ]
}

/** The contract of links, without libp2p in it: whoever talks to peers talks through it. */
const contracts = ['src/swarm/links.ts']

/** Files that do. All others decide. */
const doers = [
  /^src\/base\/(plain-file|clock|entropy|loop-time)\.ts$/,
  /^src\/[^/]+\/([a-z]+-)?service\.ts$/,
  /^src\/engine\/(threaded|serve-thread|thread-line|thread-share|thread-clock|thread-end|ask-thread|measured|timings)\.ts$/,
  /^src\/engine\/onnx\/(engine|factory|graphs|graph-process|graph-worker|installed|layers|span|worker|measure|measured|class-worker|self-test)\.ts$/,
  /^src\/engine\/wasm\/(engine|factory|worker|class-worker|comparison-worker|helper-worker|team|weights|compiler|large-pages)\.ts$/,
  /^src\/model\/(store|store-files|shard-files|disk-budget|marks|signatures|addition|partial-file|leftovers|removal|older|library|thread|tokenizer-worker|grammar-worker|grammar-check-worker|hash-worker|graph-worker|onnx-file)\.ts$/,
  /^src\/model\/import[^/]*\.ts$/,
  /^src\/swarm\/(running-swarm|own-records|host|node|duplicates|noise|yamux|short-way|channel|pair-channels|dialer|discovery-[^/]*|mdns-sockets|interfaces|tcp-transport|peer-store|providers)\.ts$/,
  /^src\/swarm\/(identity|hardware|memory-limit|pause|data-dir|seq-file|swarm-file|datastore|text-addresses|twin-relay|member-file|authority-file|signing-file|admitting)\.ts$/,
  /^src\/disk\/[a-z-]+\.ts$/,
  /^src\/trust\/(sealing|signing-key)\.ts$/,
  /^src\/keep\/(sealing|key-file)\.ts$/,
  /^src\/scrub\/scrub-worker\.ts$/,
  /^src\/peer\/(peer|running-peer|parts|own-audit|audit-files|audit-report|own-checks|own-disk|own-graphs|own-metrics|own-scrubbing|own-sessions|choose-models|departure|import-model|kept-sessions|remove-model|model-signing|trusted-signers|folder-signing|enrolment|revoking|known-members|known-work|membership-warnings|attesting)\.ts$/,
  /^src\/serving\/(serving|served-model|held-shards|seeker|holders)\.ts$/,
  /^src\/(cli|api)\//
]

/**
 * A default engine is named where a peer is made, where a model is imported and where it is told what one needs, and shown to those
 * who embed one; the simulator knows what one takes of memory.
 */
const mayNameEngines = [
  'src/peer/peer.ts',
  'src/doctor/service.ts',
  'src/peer/import-model.ts',
  'src/peer/model-needs.ts',
  'src/index.ts'
]
const runtimesKnown = (file: string, target: string): boolean =>
  (mayNameEngines.includes(file) && target.endsWith('/factory.ts')) || (file.startsWith('sim/') && !isDoer(target))

/** Packages that compute and do nothing else: no clock, no socket, no file. */
const purePackages = [
  'zod',
  '@noble/hashes',
  'multiformats',
  'uint8arrays',
  'uint8arraylist',
  'protons-runtime',
  'it-pipe',
  'dns-packet',
  '@huggingface/tokenizers',
  '@huggingface/jinja',
  'libphonenumber-js'
]

/** What the command line and the front door may use beside the public surface and Node. */
const surfacePackages: Readonly<Record<string, readonly string[]>> = {
  cli: ['commander', 'cli-progress', 'zod'],
  api: ['hono', '@hono/node-server', 'zod']
}

/**
 * Who opens files by himself, and why that is none of what a peer keeps: that goes through `disk/`, which seals it where it is to be sealed.
 * The doctor looks at files as they are, and commands write where a person says.
 */
const mayTouchFiles: Readonly<Record<string, string>> = {
  'src/peer/folder-signing.ts': 'it signs what a person has somewhere, as it lies there',
  'src/swarm/data-dir.ts': 'what says which directory it is, and whose, is plain in a sealed one, too',
  'src/swarm/sealing-service.ts': 'it seals what lies there as it is',
  'src/swarm/resealing-service.ts': 'it seals what lies there by another key, or opens it',
  'src/swarm/service.ts': 'it asks whether the temporary folder lies in memory',
  'src/swarm/discovery-neighbours.ts': 'notices for neighbours lie in the temporary folder',
  'src/swarm/hardware.ts': 'of the kernel',
  'src/swarm/memory-limit.ts': 'of the kernel',
  'src/peer/energy-service.ts': 'of the kernel',
  'src/engine/measured.ts': 'of the kernel',
  'src/engine/onnx/graph-process.ts': 'of the kernel',
  'src/model/library.ts': 'models that ship, and the room on a disk',
  'src/model/import-survey.ts': 'a description of what is on a hub, in the temporary folder'
}

/** What a decider must not touch, and what to do instead. */
const effects: readonly (readonly [RegExp, string])[] = [
  [/\bDate\.now\b|\bnew Date\(\s*\)/, 'Date.now: take nowMs as an argument'],
  [/\bperformance\./, 'performance: take nowMs as an argument'],
  [/\bMath\.random\b/, 'Math.random: take an Rng as an argument (base/rng.ts)'],
  [/\bcrypto\.(randomUUID|getRandomValues|subtle)\b/, 'crypto: take an Rng, or the bytes, as an argument'],
  [
    /\b(setTimeout|setInterval|setImmediate|queueMicrotask)\(/,
    'timers: return an effect, let a service.ts set the timer'
  ],
  [/\bAbortSignal\.timeout\(/, 'AbortSignal.timeout: take the signal as an argument'],
  [/\bprocess\./, 'process: take what it says as an argument'],
  [/\bfetch\(|\bnew Worker\(/, 'sockets and threads: return an effect, let a service.ts do it']
]

/** Node's cryptography, which computes what it is given and nothing else: worlds of members sign with it, by keys that their seed draws. */
const ciphers = ['src/trust/sealing.ts', 'src/trust/signing-key.ts']

/** The port of time, and the port of chance as the machine fills it: whoever takes one asks nobody else. */
const ports = ['src/base/clock.ts', 'src/base/entropy.ts']

/** What a doer that takes a clock has from it alone: the simulator runs it in virtual time. */
const pastClock: readonly (readonly [RegExp, string])[] = [
  [/\bDate\.now\b|\bnew Date\(\s*\)/, 'Date.now: it takes a clock, ask that for wallMs'],
  [/\bperformance\./, 'performance: it takes a clock, ask that for nowMs'],
  [/\b(setTimeout|setInterval|setImmediate)\(/, 'timers: it takes a clock, use its after, every or sleep'],
  [/\bAbortSignal\.timeout\(/, 'AbortSignal.timeout: it takes a clock, use its deadline'],
  [/\bMath\.random\b|\bcrypto\.(randomUUID|getRandomValues)\b/, 'chance: take an Rng as an argument (base/rng.ts)']
]

interface Import {
  readonly from: string
  readonly typeOnly: boolean
}

/** Blanks comments, and the insides of strings where `strings` is set, keeping everything else in place. */
function strip(source: string, { strings }: { strings: boolean }): string {
  const token = /\/\*[\s\S]*?\*\/|\/\/[^\n]*|'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`/g
  return source.replace(token, text => (text.startsWith('/') || (strings && !text.includes('${')) ? ' ' : text))
}

function importsOf(source: string): Import[] {
  const code = strip(source, { strings: false })
  const found: Import[] = []
  for (const [, type, names, from] of code.matchAll(
    /^\s*(?:import|export)\s+(type\s+)?((?:[\w$]+\s*,\s*)?(?:\{[^}]*\}|\*(?:\s+as\s+[\w$]+)?|[\w$]+)\s+from\s+)?'([^']+)'/gm
  )) {
    const list = /\{([^}]*)\}/.exec(names ?? '')?.[1]?.split(',') ?? []
    const listed = list.map(name => name.trim()).filter(name => name !== '')
    const allTypes =
      listed.length > 0 && listed.every(name => name.startsWith('type ')) && !/^\s*[\w$]+\s*,/.test(names!)
    found.push({ from: from!, typeOnly: type !== undefined || allTypes })
  }
  for (const [, from] of code.matchAll(/\bimport\(\s*'([^']+)'/g)) found.push({ from: from!, typeOnly: false })
  for (const [, from] of code.matchAll(/\bnew URL\(\s*'(\.[^']*\.[tj]s)'\s*,\s*import\.meta\.url/g)) {
    found.push({ from: from!, typeOnly: false })
  }
  return found
}

/** `src/stage/codec.ts` is in room `stage`, `src/peer.ts` is its own, `protocols` and `sim` lie beside `src`. */
function roomOf(file: string): string {
  const parts = file.split('/')
  return parts[0] === 'src' ? parts[1]! : parts[0]!
}

const isDoer = (file: string): boolean => doers.some(pattern => pattern.test(file))
const packageOf = (from: string): string => from.split('/', from.startsWith('@') ? 2 : 1).join('/')

/** Whether a file that does things has its time from a clock that it is given. */
function takesClock(file: string, source: string): boolean {
  return (
    isDoer(file) &&
    !ports.includes(file) &&
    importsOf(source).some(({ from }) => join(dirname(file), from) === 'src/base/clock.ts')
  )
}

/** Whether a file that may not opens files by itself. */
function opensFiles(file: string, source: string): boolean {
  const isFree = /^(src\/(disk|cli|api|doctor|base)\/|sim\/)/.test(file) || file in mayTouchFiles
  return (
    !isFree &&
    importsOf(source).some(
      ({ from, typeOnly }) =>
        !typeOnly && (/^node:fs\b/.test(from) || join(dirname(file), from) === 'src/base/plain-file.ts')
    )
  )
}

/** Every break of the rules in a set of files, as `file: sentence`. */
function violations(files: ReadonlyMap<string, string>): string[] {
  const broken: string[] = []
  for (const [file, source] of files) {
    const room = roomOf(file)
    const say = (sentence: string): void => void broken.push(`${file}: ${sentence}`)
    if (room === 'protocols') continue
    for (const { from, typeOnly } of importsOf(source)) {
      if (from.startsWith('.')) checkArrow(file, join(dirname(file), from), typeOnly, { files, say })
      else checkPackage(file, from, typeOnly, say)
    }
    if (opensFiles(file, source)) {
      say('only disk/ opens files: import from ../disk/files.ts, which seals them where they are to be sealed')
    }
    if (room !== 'sim' && !isDoer(file)) {
      const code = strip(source, { strings: true })
      for (const [pattern, way] of effects) if (pattern.test(code)) say(`a decider uses ${way}`)
    }
    if (takesClock(file, source)) {
      const code = strip(source, { strings: true })
      for (const [pattern, way] of pastClock) if (pattern.test(code)) say(`it uses ${way}`)
    }
  }
  return broken
}

/** Rules 1 and 4: arrows go one way; `src` knows neither `sim` nor tests; `sim` runs those doers that take a clock. */
function checkArrow(
  file: string,
  target: string,
  typeOnly: boolean,
  { files, say }: { files: ReadonlyMap<string, string>; say: (sentence: string) => void }
): void {
  const [room, other] = [roomOf(file), roomOf(target)]
  if (room !== 'sim' && (other === 'sim' || other === 'test')) {
    say(`src never imports ${other} (${target}): move what both need into src, ${other} imports it from there`)
    return
  }
  if (
    room === 'sim' &&
    isDoer(target) &&
    !typeOnly &&
    !ciphers.includes(target) &&
    !takesClock(target, files.get(target) ?? '')
  ) {
    say(`sim imports no doer that takes no clock (${target}): give it one, or hand in a port`)
    return
  }
  if (ports.includes(target) && !typeOnly && room !== 'sim' && !isDoer(file)) {
    say(`a decider imports ${target}: take nowMs, or an Rng, as an argument`)
    return
  }
  if (room === other) return
  if (/^src\/engine\/[^/]+\//.test(target) && !runtimesKnown(file, target)) {
    say(`only engine/ knows which runtime computes (${target}): take an EngineFactory`)
    return
  }
  const allowed = arrows[room]
  if (allowed === undefined) {
    say(`room ${room} is not on the map: add it to HOUSE's arrows and to this test`)
    return
  }
  const isSurface = room === 'cli' || room === 'api'
  if (!isSurface && (other === 'errors.ts' || other === 'limits.ts')) return
  if (
    contracts.includes(target) &&
    ['stage', 'session', 'check', 'supply', 'keep', 'infer', 'serving', 'peer', 'sim'].includes(room)
  ) {
    if (!typeOnly) say(`${target} is a contract: import its types only`)
    return
  }
  const isAllowed = allowed.some(entry =>
    entry.includes('/') ? target.startsWith(`src/${entry}`) && !isDoer(target) : entry === other
  )
  if (isAllowed) return
  say(
    isSurface
      ? `${room} imports only ../index.ts, not ${target}: export what it needs there`
      : `${room} must not know ${other} (${target}): pass plain data in from peer/, or move the type to where both may look`
  )
}

/** Rule 2: only doers import what has effects. */
function checkPackage(file: string, from: string, typeOnly: boolean, say: (sentence: string) => void): void {
  const room = roomOf(file)
  const packages = surfacePackages[room]
  if (packages !== undefined && !from.startsWith('node:') && !packages.includes(packageOf(from))) {
    say(`${room} imports only ../index.ts, node:*, ${packages.join(' and ')}, not ${from}`)
  }
  if (typeOnly || room === 'sim' || isDoer(file)) return
  if (from.startsWith('node:')) {
    say(`a decider imports ${from}: take its result as an argument, or move the work to a service.ts`)
  } else if (!purePackages.includes(packageOf(from))) {
    say(`a decider imports ${from}: import its types only, or move the work to a service.ts`)
  }
}

/** Chains of rooms that import one another in a circle, `a → b → a`. The arrows have none by themselves. */
function circles(files: ReadonlyMap<string, string>): string[] {
  const edges = new Map<string, Set<string>>()
  for (const [file, source] of files) {
    for (const { from, typeOnly } of importsOf(source)) {
      if (!from.startsWith('.') || typeOnly) continue
      const target = join(dirname(file), from)
      if (!edges.has(file)) edges.set(file, new Set())
      edges.get(file)!.add(target)
    }
  }
  const found: string[] = []
  const done = new Set<string>()
  const walk = (file: string, path: string[]): void => {
    if (path.includes(file)) {
      found.push([...path.slice(path.indexOf(file)), file].join(' → '))
      return
    }
    if (done.has(file)) return
    for (const next of edges.get(file) ?? []) walk(next, [...path, file])
    done.add(file)
  }
  for (const file of edges.keys()) walk(file, [])
  return found
}

function readTree(): Map<string, string> {
  const names = ['src', 'sim'].flatMap(folder => globSync(`${folder}/**/*.ts`, { cwd: root }))
  return new Map(names.sort().map(name => [name, readFileSync(join(root, name), 'utf8')]))
}

describe('the house', () => {
  const files = readTree()

  it('has files to read', () => {
    expect(files.size).toBeGreaterThan(20)
    expect([...files.keys()].every(name => relative('.', name) === name)).toBe(true)
  })

  it('holds who may know whom', () => {
    expect(violations(files)).toEqual([])
  })

  it('names nobody who opens no files', () => {
    const named = Object.keys(mayTouchFiles)
    expect(named.filter(file => !/node:fs|plain-file/.test(files.get(file) ?? ''))).toEqual([])
  })

  it('has no file that imports itself through others', () => {
    expect(circles(files)).toEqual([])
  })

  it('imports only files that exist', () => {
    const missing: string[] = []
    for (const [file, source] of files) {
      for (const { from } of importsOf(source)) {
        const target = join(dirname(file), from)
        if (!from.startsWith('.') || files.has(target) || target.startsWith('protocols/')) continue
        missing.push(`${file}: ${from}`)
      }
    }
    expect(missing).toEqual([])
  })
})

describe('the test of the house', () => {
  const plant = (file: string, source: string): string[] => violations(new Map([[file, source]]))

  it.each([
    ['src/route/place.ts', 'const t = Date.now()', 'Date.now: take nowMs as an argument'],
    ['src/stage/stage.ts', 'setTimeout(() => {}, 5)', 'timers: return an effect'],
    ['src/session/session.ts', 'const r = Math.random()', 'take an Rng'],
    ['src/session/session.ts', 'const s = AbortSignal.timeout(5)', 'take the signal as an argument'],
    ['src/session/session.ts', "import { systemClock } from '../base/clock.ts'", 'take nowMs, or an Rng'],
    [
      'src/stage/service.ts',
      "import type { Clock } from '../base/clock.ts'\nsetTimeout(() => {}, 1)",
      'use its after, every or sleep'
    ],
    [
      'src/peer/departure.ts',
      "import type { Clock } from '../base/clock.ts'\nconst s = AbortSignal.timeout(5)",
      'use its deadline'
    ],
    ['src/keep/service.ts', "import { readFile } from 'node:fs/promises'", 'only disk/ opens files'],
    ['src/swarm/seq-file.ts', "import { readPlainText } from '../base/plain-file.ts'", 'only disk/ opens files'],
    ['src/engine/sampler.ts', "import { readFile } from 'node:fs/promises'", 'a decider imports node:fs/promises'],
    ['src/swarm/records.ts', "import { peerIdFromString } from '@libp2p/peer-id'", 'import its types only'],
    ['src/swarm/records.ts', "import { type Libp2p, isPeerId } from '@libp2p/interface'", 'import its types only'],
    ['src/engine/factory.ts', "import * as ort from 'onnxruntime-node'", 'import its types only'],
    ['src/route/route.ts', "import type { Stage } from '../stage/stage.ts'", 'route must not know stage'],
    ['src/stage/stage.ts', "import { route } from '../route/route.ts'", 'stage must not know route'],
    ['src/base/queue.ts', "import type { Hop } from '../route/view.ts'", 'base must not know route'],
    ['src/engine/threaded.ts', "import type { Channel } from '../swarm/links.ts'", 'engine must not know swarm'],
    [
      'src/serving/served-model.ts',
      "import { createOnnxEngine } from '../engine/onnx/engine.ts'",
      'take an EngineFactory'
    ],
    ['src/peer/peer.ts', "import { createOnnxEngine } from '../engine/onnx/engine.ts'", 'take an EngineFactory'],
    ['src/route/place.ts', "import { host } from '../swarm/host.ts'", 'route must not know swarm'],
    ['src/stage/service.ts', "import { x } from '../swarm/links.ts'", 'import its types only'],
    ['src/model/store.ts', "import { x } from '../peer/peer.ts'", 'model must not know peer'],
    ['src/cli/up.ts', "import { x } from '../peer/peer.ts'", 'cli imports only ../index.ts'],
    ['src/cli/up.ts', "import { x } from '../limits.ts'", 'cli imports only ../index.ts'],
    ['src/cli/up.ts', "const x = await import('../swarm/host.ts')", 'cli imports only ../index.ts'],
    ['src/cli/up.ts', "import { multiaddr } from '@multiformats/multiaddr'", 'cli imports only'],
    ['src/api/serve.ts', "import { x } from '../peer/peer.ts'", 'api imports only ../index.ts'],
    ['src/api/serve.ts', "import { x } from '../cli/up.ts'", 'api imports only ../index.ts'],
    ['src/api/serve.ts', "import { multiaddr } from '@multiformats/multiaddr'", 'api imports only'],
    ['src/stage/stage.ts', "import { world } from '../../sim/world.ts'", 'src never imports sim'],
    ['src/peer/peer.ts', "import { fake } from '../../test/fake.ts'", 'src never imports test'],
    ['sim/world.ts', "import { createPeer } from '../src/peer/peer.ts'", 'no doer that takes no clock'],
    ['sim/world.ts', "import { systemClock } from '../src/base/clock.ts'", 'no doer that takes no clock'],
    ['src/drone/fly.ts', "import type { Hop } from '../route/view.ts'", 'not on the map'],
    [
      'src/route/place.ts',
      "import {\n  type A,\n  b\n} from '@libp2p/interface'",
      'a decider imports @libp2p/interface'
    ]
  ])('sees in %s: %s', (file, source, sentence) => {
    expect(plant(file, source).join('\n')).toContain(sentence)
  })

  it.each([
    ['src/route/place.ts', '// Date.now() would be wrong here\nconst nowMs = 5'],
    ['src/route/place.ts', "const text = 'setTimeout('"],
    ['src/stage/service.ts', "import type { Links } from '../swarm/links.ts'\nsetTimeout(() => {}, 1)"],
    ['src/stage/codec.ts', "import { StageFrame } from '../../protocols/stage.ts'\nimport { z } from 'zod'"],
    ['src/swarm/records.ts', "import type { PeerId } from '@libp2p/interface'"],
    ['src/swarm/records.ts', "import { type A, type B } from '@libp2p/interface'"],
    ['src/session/session.ts', "import { unreachable } from '../base/assert.ts'\nimport { x } from '../limits.ts'"],
    ['src/cli/up.ts', "import { createPeer } from '../index.ts'\nimport { Command } from 'commander'"],
    ['sim/world.ts', "import { place } from '../src/route/place.ts'\nconst t = 1"]
  ])('lets stand in %s: %s', (file, source) => {
    expect(plant(file, source)).toEqual([])
  })

  it('lets the simulator run a service that takes a clock, and no other one', () => {
    const sim = "import { createStageService } from '../src/stage/service.ts'"
    const files = (service: string) =>
      violations(
        new Map([
          ['sim/life.ts', sim],
          ['src/stage/service.ts', service]
        ])
      )
    expect(files("import type { Clock } from '../base/clock.ts'\nclock.after(1, task)")).toEqual([])
    expect(files('setTimeout(task, 1)').join()).toContain('no doer that takes no clock')
  })

  it('sees a circle', () => {
    const files = new Map([
      ['src/a/a.ts', "import { b } from './b.ts'"],
      ['src/a/b.ts', "import { c } from './c.ts'"],
      ['src/a/c.ts', "import { a } from './a.ts'"]
    ])
    expect(circles(files)).toEqual(['src/a/a.ts → src/a/b.ts → src/a/c.ts → src/a/a.ts'])
  })
})

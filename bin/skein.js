#!/usr/bin/env node
// Plain JavaScript for any Node since version 12, so that an old one is told what is missing instead of
// tripping over syntax that it does not know.
import { existsSync } from 'node:fs'

const needed = [22, 12]
const found = process.versions.node.split('.').map(Number)
const main = new URL('../dist/src/cli/main.js', import.meta.url)

if (found[0] < needed[0] || (found[0] === needed[0] && found[1] < needed[1])) {
  console.error(
    'skein: Skein needs Node.js ' +
      needed.join('.') +
      ' or newer, but this is ' +
      process.versions.node +
      ': run it as `npx skein` after `npm ci` (that installs a suitable Node beside it), or get one from https://nodejs.org'
  )
  process.exitCode = 2
} else if (!existsSync(main)) {
  console.error('skein: Skein is not built yet: run `npm ci`, or `npm run build` after a change')
  process.exitCode = 2
} else {
  // ONNX Runtime's telemetry is on by default; it must be off before anything can load the binding.
  process.env.ORT_DISABLE_TELEMETRY = '1'
  if (process.argv[2] === 'up') restartForPeer()
  import(main.href).then(cli => cli.run(process.argv.slice(2)))
}

/**
 * Runs a peer that stays up with less memory, and ONNX Runtime with faster weights. This very process starts again for it, with the same id,
 * streams and signals, as both are read before anything runs.
 *
 * - V8 lets its heaps grow far beyond what lives in them, each thread's on its own: without `--optimize-for-size` a peer
 *   takes some 50 MB more, and answers no faster (`npm run bench -- --only memory`).
 * - Weights of ONNX Runtime lie in pages of 2 MB: a token reads all of them, and with pages of 4 KB translating addresses takes about 8 %
 *   of its time (q8, 135M weights; memory in use stays the same). Threads have to share glibc's first heap, where the
 *   weights would otherwise not lie. Whoever sets GLIBC_TUNABLES decides.
 */
function restartForPeer() {
  const lean = '--optimize-for-size'
  const isPossible = process.platform === 'linux' && typeof process.execve === 'function'
  // A parent that talks over Node's own channel would lose it.
  if (!isPossible || process.channel !== undefined || process.execArgv.includes(lean)) return
  process.execve(process.execPath, [process.execPath, lean, ...process.execArgv, ...process.argv.slice(1)], {
    GLIBC_TUNABLES: 'glibc.malloc.hugetlb=1:glibc.malloc.arena_max=1',
    ...process.env
  })
}

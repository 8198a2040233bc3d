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
  import(main.href).then(cli => cli.run(process.argv.slice(2)))
}

/**
 * `npm run demo`: `skein demo`, and with `--model smol` the same with SmolLM2-135M-Instruct, which is fetched (`get-model.ts`) and
 * imported first, both into `tmp/models/`, where it is the next time.
 */
import { spawn } from 'node:child_process'
import path from 'node:path'
import { getModel, models } from './get-model.ts'

const root = path.resolve(import.meta.dirname, '..')
const folder = path.join(root, 'tmp/models')
const args = process.argv.slice(2)
const at = args.findIndex((arg, i) => arg === '--model=smol' || (arg === '--model' && args[i + 1] === 'smol'))

process.exitCode = await main()

async function main(): Promise<number> {
  if (at < 0 || args.includes('--data')) return skein('demo', ...args)
  const data = ['--data', path.join(folder, 'data')]
  const others = args.filter((_, i) => i !== at && !(i === at + 1 && args[at] === '--model'))
  const demo = ['demo', '--model', 'smol', ...data, ...others]
  let file: string
  try {
    file = await getModel(models.smollm2!, folder, { say: line => console.error(line) })
  } catch (err) {
    console.error(`demo: ${(err as Error).message}`)
    return 4
  }
  // What is imported already is found to be the same, and nothing is done.
  const code = await skein('model', 'import', file, '--name', 'smol', ...data)
  return code === 0 ? skein(...demo) : code
}

function skein(...command: readonly string[]): Promise<number> {
  const child = spawn(process.execPath, [path.join(root, 'bin/skein.js'), ...command], { stdio: 'inherit' })
  // Ctrl-C reaches it as well: it ends in order, and this process with it.
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, () => child.kill(name))
  return new Promise(resolve => child.once('close', (code, signal) => resolve(code ?? (signal === null ? 1 : 130))))
}

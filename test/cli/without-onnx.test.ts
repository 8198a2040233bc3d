/** ONNX Runtime is an optional package: an installation without it serves and answers, and says what lacks when asked for it. */
import { cp, mkdir, mkdtemp, readdir, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { expectFailure, Skein, skein } from './skein.ts'

const repository = fileURLToPath(new URL('../..', import.meta.url))
let folder = ''
let program = ''

/** The build with the packages that `npm install` brings beside it, and no other. */
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'skein-without-onnx-'))
  for (const part of ['bin', 'dist', 'package.json']) {
    await cp(join(repository, part), join(folder, part), { recursive: true })
  }
  await symlink(join(repository, 'models'), join(folder, 'models'))
  await mkdir(join(folder, 'node_modules'))
  const packages = await readdir(join(repository, 'node_modules'))
  expect(packages).toContain('onnxruntime-node')
  for (const name of packages) {
    if (name.startsWith('onnxruntime-')) continue
    await symlink(join(repository, 'node_modules', name), join(folder, 'node_modules', name))
  }
  program = join(folder, 'bin', 'skein.js')
})
afterAll(() => rm(folder, { recursive: true, force: true }))

it('serves and answers; asked for that engine, it says in one sentence what lacks', { timeout: 120_000 }, async () => {
  const swarm = join(folder, 'swarm.json')
  expect((await skein(['init', swarm], { program })).code).toBe(0)
  const up = ['up', '--swarm', swarm, '--no-mdns', '--listen', '/ip4/127.0.0.1/tcp/0', '--memory', '64MB']
  const sentence =
    'no engine of this peer computes stories15m (onnx: the optional package onnxruntime-node is not installed here: npm install onnxruntime-node adds it)'
  const asking = new Skein([...up, '--data', join(folder, 'onnx'), '--engine', 'onnx'], { program })
  await expectFailure(asking, 5, sentence)

  const data = join(folder, 'data')
  const peer = new Skein([...up, '--data', data, '--json'], { program })
  try {
    await peer.event('up')
    const { code, stdout, stderr } = await skein(['ask', 'Once upon a time', '--data', data, '--max-tokens', '5'], {
      program
    })
    expect({ code, stderr }).toMatchObject({ code: 0 })
    expect(stdout).toContain(', there was a little')
  } finally {
    await peer.end()
  }
})

/** `skein up --http`: what its flags refuse, and a front door in a process of its own, from its config to its end. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { httpPlace } from '../../src/cli/flags.ts'
import { initSwarm } from '../../src/index.ts'
import { expectFailure, Skein } from './skein.ts'

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'skein-http-'))
  await initSwarm(join(folder, 'swarm.json'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

it('takes a host and a port, and says which', () => {
  const place = httpPlace('--http')
  expect(place('127.0.0.1:8420')).toEqual({ host: '127.0.0.1', port: 8420 })
  expect(place('[::1]:0')).toEqual({ host: '[::1]', port: 0 })
  expect(place('8420')).toEqual({ host: '127.0.0.1', port: 8420 })
  expect(place('gateway.local:80')).toEqual({ host: 'gateway.local', port: 80 })
  for (const wrong of ['', 'x', '127.0.0.1', ':8420', '::1:8420', '[x]:80', '127.0.0.1:65536', 'http://x:80']) {
    expect(() => place(wrong), wrong).toThrow(
      `--http takes a host and a port such as 127.0.0.1:8420 or [::1]:8420, not '${wrong}'`
    )
  }
})

it('refuses flags that say nothing, or that would let everybody in', { timeout: 120_000 }, async () => {
  const up = (...args: string[]): Skein =>
    new Skein(['up', '--swarm', join(folder, 'swarm.json'), '--data', join(folder, 'refused'), ...args])
  await expectFailure(up('--api-key-file', 'keys'), 2, '--api-key-file goes with --http')
  await expectFailure(up('--http', '127.0.0.1:0', '--tls-cert', 'x'), 2, '--tls-cert and --tls-key go together')
  await expectFailure(up('--metrics-aliases', 'vllm'), 2, '--metrics-aliases goes with --http')
  const open = up('--http', '0.0.0.0:0', '--json', '--no-mdns', '--listen', '/ip4/127.0.0.1/tcp/0')
  const { code, stderr } = await open.ended
  expect(stderr).toContain('whoever reaches 0.0.0.0 could ask this peer: give it keys (--api-key-file)')
  expect(code).toBe(2)
})

it('serves what its config says, to whoever has a key, until it is told to stop', { timeout: 120_000 }, async () => {
  await writeFile(join(folder, 'keys'), 'ada 0123456789abcdef\n')
  const config = { swarm: 'swarm.json', data: 'data', http: '127.0.0.1:0', 'api-key-file': 'keys', mdns: false }
  await writeFile(join(folder, 'up.json'), JSON.stringify(config))
  const args = ['up', '--config', join(folder, 'up.json'), '--json', '--listen', '/ip4/127.0.0.1/tcp/0']
  const skein = new Skein(args)
  const { url } = (await skein.event('http')) as { url: string }
  expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/)
  await expect.poll(async () => (await fetch(`${url}/readyz`)).status, { timeout: 60_000 }).toBe(200)
  expect((await fetch(`${url}/v1/models`)).status).toBe(401)
  for (const file of ['/', '/window/window.js']) expect((await fetch(url + file)).status, file).toBe(200)
  const headers = { authorization: 'Bearer 0123456789abcdef' }
  const body = JSON.stringify({ prompt: 'Once upon a time', max_tokens: 8, temperature: 0 })
  const told = (await (await fetch(`${url}/v1/completions`, { method: 'POST', headers, body })).json()) as {
    choices: { text: string }[]
  }
  expect(told.choices[0]!.text.length).toBeGreaterThan(10)
  expect(await skein.event('request')).toMatchObject({
    path: '/v1/completions',
    status: 200,
    client: 'key ada',
    model: 'stories15m',
    precision: 'q8',
    tokens: 8
  })
  expect((await skein.end()).code).toBe(0)
  await expect(fetch(`${url}/readyz`)).rejects.toThrow()
})

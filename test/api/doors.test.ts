/** Doors of other kinds: with TLS, and one before which there is a crowd. */
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { get } from 'node:https'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { connectionsMax, pipelinedMax } from '../../src/api/limits.ts'
import { serveApi } from '../../src/api/serve.ts'
import { frontDoors } from './front-door.ts'

const { open, folder } = frontDoors('api-doors')

/** Of localhost, until 2126, made for this test alone. */
const cert = `-----BEGIN CERTIFICATE-----
MIIBmzCCAUGgAwIBAgIUccr0eZ8fe2SdufJBZkrGKoQfqz4wCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEzMDE0NDc1MloYDzIxMjYxMTA2
MTQ0NzUyWjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAAR3fn9dXWNPKlCAY0yrsYKtvHnujoA3Y66LBtItHeXGymzdvP0MPEqF
/2EmSzALms2LKNvRbqTv0DXFlOkGEPA3o28wbTAdBgNVHQ4EFgQUtic++CnF2ZKG
jjIELHlz5CnvwvEwHwYDVR0jBBgwFoAUtic++CnF2ZKGjjIELHlz5CnvwvEwDwYD
VR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwCgYIKoZI
zj0EAwIDSAAwRQIhAN7iJgx7nS0Ha7FktV68pJZYmgxcS82HeGVWem/DJzHWAiAl
1IEylPlsSsQXwvCOqTFSAdWIqVmym5LW+73KWnFlEg==
-----END CERTIFICATE-----`
const key = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQglMlDP/vdG2ap9bOJ
1r9jolzBaaB4MKrU83Ncbq5cpaehRANCAAR3fn9dXWNPKlCAY0yrsYKtvHnujoA3
Y66LBtItHeXGymzdvP0MPEqF/2EmSzALms2LKNvRbqTv0DXFlOkGEPA3
-----END PRIVATE KEY-----`

it('speaks TLS, and says which file is wrong', { timeout: 120_000 }, async () => {
  const { peer } = await open()
  const [certFile, keyFile, missing] = await folder().then(at => ['c.pem', 'k.pem', 'none'].map(name => join(at, name)))
  await writeFile(certFile!, cert)
  await writeFile(keyFile!, key)
  const door = await serveApi(peer, { port: 0, tls: { certFile: certFile!, keyFile: keyFile! } })
  expect(door.url).toMatch(/^https:/)
  const [response] = await once(get(`${door.url}/readyz`, { ca: cert }), 'response')
  expect(response.statusCode).toBe(200)
  response.resume()
  await door.close()
  const wrong = (certFile: string, keyFile: string) => serveApi(peer, { port: 0, tls: { certFile, keyFile } })
  await expect(wrong(missing!, keyFile!)).rejects.toThrow(`${missing} cannot be read`)
  await expect(wrong(certFile!, certFile!)).rejects.toMatchObject({ name: 'InvalidOptionError' })
})

it('keeps to so many connections, and serves again when a crowd has gone', { timeout: 120_000 }, async () => {
  const { ask, socket } = await open()
  const crowd: Socket[] = []
  let closed = 0
  for (let i = 0; i < connectionsMax + 40; i++) {
    const each = socket()
    each.on('error', () => {})
    each.on('close', () => closed++)
    crowd.push(each)
  }
  await expect.poll(() => closed, { timeout: 30_000 }).toBe(40)
  for (const each of crowd) each.destroy()
  await expect.poll(async () => (await ask('/readyz').catch(() => undefined))?.status, { timeout: 30_000 }).toBe(200)
})

it('answers at once before a crowd of silent connections: the oldest of them give way', {
  timeout: 120_000
}, async () => {
  const { ask, socket } = await open({ api: { metricsAliases: 'vllm' } })
  expect((await ask('/metrics')).text).toContain('\nvllm:num_requests_running{model_name="storychat"} 0\n')
  const crowd = Array.from({ length: connectionsMax }, () => socket().on('error', () => {}))
  await Promise.all(crowd.map(each => once(each, 'connect')))
  const startMs = performance.now()
  for (let i = 0; i < 3; i++) {
    const headers = { connection: 'close' }
    expect((await ask('/readyz', { headers })).status).toBe(200)
  }
  expect(performance.now() - startMs).toBeLessThan(5_000)
  for (const each of crowd) each.destroy()
})

it('gives away the places of those that it has refused and that do not hang up', { timeout: 120_000 }, async () => {
  const { ask, socket } = await open()
  // They read nothing, and so never see that it is over.
  const crowd = Array.from({ length: connectionsMax }, () => {
    const each = socket()
    each.on('error', () => {})
    each.write('nonsense\r\n\r\n')
    return each
  })
  await expect.poll(async () => (await ask('/readyz').catch(() => undefined))?.status, { timeout: 20_000 }).toBe(200)
  for (const each of crowd) each.destroy()
})

it('answers some requests that a connection sends at once, and closes one that sends a heap', {
  timeout: 120_000
}, async () => {
  const { ask, peer, socket } = await open()
  const few = socket()
  let text = ''
  few.on('data', data => (text += data))
  few.write('GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'.repeat(pipelinedMax))
  await expect.poll(() => text.match(/HTTP\/1.1 200/g)?.length, { timeout: 10_000 }).toBe(pipelinedMax)
  // Those are over: as many may follow.
  few.write('GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n')
  await expect.poll(() => text.match(/HTTP\/1.1 200/g)?.length, { timeout: 10_000 }).toBe(pipelinedMax + 1)
  few.destroy()
  const heap = socket()
  heap.on('error', () => {})
  const body = JSON.stringify({ prompt: 'Once', max_tokens: 200 })
  const head = `POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: ${body.length}\r\n\r\n`
  const closed = new Promise(resolve => heap.once('close', resolve))
  heap.write((head + body).repeat(1_000))
  await closed
  await expect.poll(() => peer.answers().length, { timeout: 10_000 }).toBe(0)
  expect((await ask('/v1/completions', { json: { prompt: 'Once', max_tokens: 1 } })).status).toBe(200)
})

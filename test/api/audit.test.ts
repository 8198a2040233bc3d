/** Who asks over HTTP is in the audit log by the name of his key, and the key is not. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { frontDoors } from './front-door.ts'

const { open, folder } = frontDoors('audit')

it('has the name of a key, the request of its header, and each of several answers', { timeout: 120_000 }, async () => {
  const file = join(await folder(), 'keys')
  await writeFile(file, 'alice sk-alice-0123456789abcdef\n', { mode: 0o600 })
  let dataDir = ''
  const { ask, peer } = await open({
    api: { apiKeyFile: file },
    peer: { audit: true },
    prepare: async folder => {
      dataDir = folder
    }
  })
  const headers = { authorization: 'Bearer sk-alice-0123456789abcdef', 'x-request-id': 'my-request' }
  const { status } = await ask('/v1/chat/completions', {
    headers,
    json: { messages: [{ role: 'user', content: 'The password is rhubarb' }], max_tokens: 3, n: 2 }
  })
  expect(status).toBe(200)
  await peer.stop()
  const text = await readFile(join(dataDir, 'audit', '000001.jsonl'), 'utf8')
  const requests = text
    .split('\n')
    .filter(line => line.includes('"msg":"request"'))
    .map(line => JSON.parse(line))
  expect(
    requests
      .map(({ request, client, operation }) => [request, client, operation])
      .sort((a, b) => a[0].length - b[0].length)
  ).toEqual([
    ['my-request', 'key alice', 'chat'],
    ['my-request#1', 'key alice', 'chat']
  ])
  expect(text).not.toMatch(/sk-alice|rhubarb/)
})

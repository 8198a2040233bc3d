/** `skein up --audit` and `skein ask --scrub`, as a person types them: what is written down, and what is not. */
import { join } from 'node:path'
import { readFile } from 'node:fs/promises'
import { expect, it } from 'vitest'
import { scratchFolders } from '../scratch.ts'
import { expectFailure, Skein, skein } from './skein.ts'

const folder = scratchFolders()

it('says how much was replaced, and leaves none of it in the log of requests', { timeout: 120_000 }, async () => {
  const root = await folder()
  const [swarm, data] = [join(root, 'swarm.json'), join(root, 'peer')]
  await skein(['init', swarm])
  const up = ['up', '--swarm', swarm, '--data', data, '--no-mdns', '--listen', '/ip4/127.0.0.1/tcp/0', '--json']
  await expectFailure(
    skein([...up, '--scrub-country', 'Germany']),
    2,
    /scrubCountry must be the two letters of a country/
  )
  const peer = new Skein([...up, '--audit', '--memory', '512MB'])
  try {
    await peer.event('up')
    const ask = [
      'ask',
      'Write to bob@x.org, 10.1.2.3 or bob@x.org',
      '--data',
      data,
      '--max-tokens',
      '3',
      '--wait',
      '60s',
      '--json'
    ]
    const events = (await skein([...ask, '--scrub'])).stdout
      .trimEnd()
      .split('\n')
      .map(line => JSON.parse(line))
    expect(events[0]).toEqual({ event: 'scrubbed', replaced: { email: 2, ip: 1 } })
    expect(events.at(-1)).toMatchObject({ event: 'done' })
    const plain = (await skein(ask)).stdout
    expect(plain).not.toContain('scrubbed')
  } finally {
    await peer.end()
  }
  expect(await readFile(join(data, 'audit', '000001.jsonl'), 'utf8')).not.toMatch(/bob|10\.1\.2\.3/)
  const verified = await skein(['audit', 'verify', data])
  expect([verified.code, verified.stdout]).toEqual([
    0,
    expect.stringMatching(/^whole: 4 lines in 1 file, 2 requests of /)
  ])
})

/** Who is a member, as an operator types it: the real commands, and what they refuse. */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { expectFailure, Skein, skein } from './skein.ts'

let folder = ''
const at = (name: string): string => join(folder, name)

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'skein-members-cli-'))
  const made = await skein(['init', at('swarm.json'), '--authority', at('swarm.key'), '--name', 'fliers'])
  expect(made).toMatchObject({ code: 0, stderr: '' })
  expect(made.stdout).toContain('keep it offline')
  await invited('a')
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** Makes a data directory that of a member. */
async function invited(name: string, ...more: string[]): Promise<string> {
  const invitation = await skein(['invite', '--authority', at('swarm.key'), '--for', '12h', ...more])
  expect(invitation).toMatchObject({ code: 0, stderr: '' })
  writeFileSync(at(`${name}.txt`), invitation.stdout)
  const joined = await skein(['join', at(`${name}.txt`), '--data', at(name), '--json'])
  expect(joined).toMatchObject({ code: 0, stderr: '' })
  return (JSON.parse(joined.stdout) as { peer: string }).peer
}

async function membersOf(
  name: string
): Promise<{ members: { peer: string; refusal?: string; labels: string[] }[]; deputies: { key: string }[] }> {
  return JSON.parse((await skein(['members', '--data', at(name), '--json'])).stdout)
}

describe('skein with members', () => {
  it('makes keys that their owner alone can read, and never writes over one', async () => {
    for (const name of ['swarm.json', 'swarm.key', 'swarm.key.recovery'])
      expect(statSync(at(name)).mode & 0o077).toBe(0)
    expect(readFileSync(at('swarm.json'), 'utf8')).not.toContain('secret')
    await expectFailure(
      skein(['init', at('other.json'), '--authority', at('swarm.key')]),
      3,
      'exists already and is not overwritten'
    )
    await expectFailure(skein(['init', at('third.json'), '--recovery', at('r')]), 2, '--recovery goes with --authority')
  })

  it('says what an invitation that cannot be used is, and that of a certificate', async () => {
    const line = readFileSync(at('a.txt'), 'utf8').trim()
    const cases: [string, string, string][] = [
      ['none', 'hello', 'is no invitation: it is one line that begins with skein-join-1:'],
      ['cut', line.slice(0, 300), 'is no whole invitation'],
      ['changed', `${line.slice(0, 500)}${line[500] === 'A' ? 'B' : 'A'}${line.slice(501)}`, '']
    ]
    for (const [name, text, sentence] of cases) {
      writeFileSync(at(name), text)
      await expectFailure(skein(['join', at(name), '--data', at(`dir-${name}`)]), 3, sentence)
    }
    await expectFailure(skein(['join', at('nowhere'), '--data', at('b')]), 3, 'there is no invitation')
    const short = await skein(['invite', '--authority', at('swarm.key'), '--for', '1s'])
    writeFileSync(at('short.txt'), short.stdout)
    await new Promise(resolve => setTimeout(resolve, 1_100))
    await expectFailure(skein(['join', at('short.txt'), '--data', at('b')]), 3, 'ask for a new one')
  })

  it('refuses what no authority may be asked, by one sentence', async () => {
    const key = ['--authority', at('swarm.key')]
    await expectFailure(skein(['invite', ...key, '--for', '12h', '--role', 'pilot']), 2, "not 'pilot'")
    await expectFailure(skein(['invite', ...key, '--for', '12h', '--label', 'a b']), 2, 'is none: use name=value')
    await expectFailure(skein(['invite', ...key, '--for', 'ever']), 2, '--for takes a time')
    await expectFailure(
      skein(['invite', '--authority', at('swarm.json'), '--for', '1h']),
      3,
      'is no key of an authority or a deputy'
    )
    await expectFailure(
      skein(['invite', '--authority', at('swarm.key.recovery'), '--for', '1h']),
      3,
      'is the key of a recovery that may not invite'
    )
    const stranger = '12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X'
    await expectFailure(
      skein(['revoke', stranger, ...key, '--data', at('a')]),
      3,
      `no certificate of ${stranger} is known`
    )
    await expectFailure(skein(['revoke', 'somebody', ...key, '--data', at('a')]), 2, 'is no peer id')
    await expectFailure(skein(['members', '--data', at('nobody')]), 3, 'has joined no swarm')
    await skein(['init', at('o.json'), '--authority', at('o.key')])
    const { members } = await membersOf('a')
    await expectFailure(
      skein(['revoke', members[0]!.peer, '--authority', at('o.key'), '--data', at('a')]),
      3,
      'is a key of another swarm'
    )
  })

  it('revokes and renews on the disk of a peer that does not run, and that one knows it at its start', async () => {
    const peer = await invited('gone', '--label', 'zone=air', '--role', 'stage')
    const key = ['--authority', at('swarm.key')]
    expect((await skein(['renew', peer, ...key, '--for', '24h', '--data', at('gone')])).stdout).toContain(
      'has a new certificate'
    )
    const revoked = await skein(['revoke', peer, ...key, '--data', at('gone'), '--reason', 'lost over the sea'])
    expect(revoked).toMatchObject({ code: 0, stderr: '' })
    expect((await membersOf('gone')).members[0]).toMatchObject({
      peer,
      labels: ['zone=air'],
      refusal: expect.stringContaining('lost over the sea')
    })
    await expectFailure(skein(['revoke', peer, ...key, '--data', at('gone')]), 3, 'was revoked: lost over the sea')
    await expectFailure(skein(['up', '--data', at('gone'), '--no-mdns']), 3, 'this machine is no member of fliers')
  })

  it('names a deputy, which may what it may; the last one that may revoke is not revoked by mistake', async () => {
    const key = ['--authority', at('swarm.key')]
    const made = await skein(['deputy', at('deputy.key'), ...key, '--may', 'revoke', '--for', '30d', '--data', at('a')])
    expect(made).toMatchObject({ code: 0, stderr: '' })
    const [deputy] = (await membersOf('a')).deputies
    expect(deputy!.key).toMatch(/^[0-9a-f]{64}$/)
    // Without a file the key is what it prints, as an invitation is.
    const printed = await skein(['deputy', ...key, '--may', 'revoke', '--for', '30d'])
    expect(printed).toMatchObject({ code: 0, stderr: '' })
    writeFileSync(at('printed.key'), printed.stdout)
    for (const name of ['deputy.key', 'printed.key']) {
      await expectFailure(
        skein(['invite', '--authority', at(name), '--for', '1h']),
        3,
        'is the key of a deputy that may not invite'
      )
    }
    await expectFailure(
      skein(['deputy', at('d2'), '--authority', at('deputy.key'), '--may', 'invite', '--for', '1h']),
      3,
      'only an authority names deputies'
    )
    await expectFailure(
      skein(['revoke', deputy!.key, '--authority', at('deputy.key'), '--data', at('a')]),
      3,
      'only the authority or its recovery key revokes what it has named'
    )
    await expectFailure(
      skein(['revoke', deputy!.key, ...key, '--data', at('a')]),
      3,
      'is the last deputy that may revoke'
    )
    expect((await skein(['revoke', deputy!.key, ...key, '--data', at('a'), '--last'])).code).toBe(0)
    expect((await skein(['members', '--data', at('a')])).stdout).toContain('was revoked')
  })

  it('starts without a swarm file where it has joined, and warns of an authority on a machine that flies', async () => {
    writeFileSync(join(at('a'), 'authority.key'), readFileSync(at('swarm.key')))
    const up = new Skein([
      'up',
      '--data',
      at('a'),
      '--no-mdns',
      '--listen',
      '/ip4/127.0.0.1/tcp/0',
      '--memory',
      '0',
      '--json',
      '--stop-with-stdin'
    ])
    try {
      await expect.poll(() => up.stdout, { timeout: 30_000 }).toContain('"swarm":"fliers"')
      await expect
        .poll(() => up.stdout + up.stderr, { timeout: 10_000 })
        .toContain('names members of this swarm, and this machine can be lost')
      const status = JSON.parse((await skein(['status', '--data', at('a'), '--json'])).stdout)
      expect(status.membership).toMatchObject({
        epoch: 1,
        roles: ['driver', 'stage', 'keeper', 'source'],
        refusal: null
      })
      await expectFailure(skein(['up', '--data', at('a'), '--swarm', at('o.json')]), 3, 'is in use by')
    } finally {
      up.child.stdin!.end()
      await up.ended
    }
    await expectFailure(
      skein(['up', '--data', at('a'), '--swarm', at('o.json'), '--no-mdns']),
      3,
      'is a member of another swarm, fliers'
    )
    await expectFailure(
      skein(['up', '--data', at('new'), '--swarm', at('swarm.json'), '--no-mdns']),
      3,
      'has not joined the swarm fliers'
    )
  })

  it('has a key sign models for the swarm, for a time and until it is revoked', { timeout: 60_000 }, async () => {
    await skein(['key', at('release.key'), '--signing'])
    const data = ['--data', at('a')]
    const certify = (...args: string[]): ReturnType<typeof skein> =>
      skein(['model', 'certify', at('release.key.pub'), ...data, '--for', '90d', ...args])
    const verify = (): ReturnType<typeof skein> =>
      skein(['model', 'verify', 'stories15m', ...data, '--signer', 'swarm'])
    await skein(['model', 'sign', 'stories15m', ...data, '--sign-key', at('release.key')])
    await expectFailure(verify(), 3, /^skein: stories15m .* is signed by .*, and by none of the keys that are trusted/)
    await expectFailure(certify('--authority', at('swarm.key.recovery')), 3, 'only an authority says who signs models')
    const made = await certify('--authority', at('swarm.key'), '--json')
    expect(made).toMatchObject({ code: 0, stderr: '' })
    const { key } = JSON.parse(made.stdout) as { key: string }
    expect((await skein(['members', ...data])).stdout).toMatch(
      new RegExp(`^  model key ${key}  signs models, until 20`, 'm')
    )
    expect(await verify()).toMatchObject({ code: 0 })

    await skein(['revoke', key, '--authority', at('swarm.key'), ...data, '--reason', 'stolen'])
    await expectFailure(
      verify(),
      3,
      `signed by nobody who is trusted now: the key ${key.slice(0, 12)}… was revoked: stolen`
    )
    expect((await skein(['members', ...data])).stdout).toContain(
      `model key ${key}  the key ${key.slice(0, 12)}… was revoked: stolen`
    )
    await expectFailure(
      skein(['up', '--data', at('nobody'), '--swarm', at('swarm.json'), '--require-signed', 'x']),
      3,
      'there is no key file x'
    )
  })
})

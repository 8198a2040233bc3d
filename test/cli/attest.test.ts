/** Evidence of machines, as an operator asks for it: the real commands over a TPM in software, and what they refuse. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Status } from '../../src/index.ts'
import { needs } from '../needs.ts'
import { scratchFolders } from '../scratch.ts'
import { type SoftTpm, startTpm, whyNoTpm } from '../swtpm.ts'
import { expectFailure, Skein, skein } from './skein.ts'

let folder = ''
const at = (name: string): string => join(folder, name)
const key = (): string[] => ['--authority', at('swarm.key'), '--for', '12h']

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'skein-attest-cli-'))
  await skein(['init', at('swarm.json'), '--authority', at('swarm.key'), '--name', 'fliers'])
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

async function invited(name: string, ...more: string[]): Promise<string> {
  const invitation = await skein(['invite', ...key(), ...more])
  expect(invitation).toMatchObject({ code: 0, stderr: '' })
  writeFileSync(at(`${name}.txt`), invitation.stdout)
  const joined = await skein(['join', at(`${name}.txt`), '--data', at(name), '--json'])
  return (JSON.parse(joined.stdout) as { peer: string }).peer
}

it('what is no key, no role and no register is refused by one sentence', async () => {
  await expectFailure(skein(['invite', ...key(), '--attest', 'abc']), 2, 'an attestation key is named by 64 hex digits')
  await expectFailure(skein(['attest', 'show', '--pcrs', '7,0']), 2, 'takes numbers from 0 to 23 in order')
  const up = ['up', '--data', at('nobody')]
  await expectFailure(skein([...up, '--attest', 'sgx']), 2, "--attest is one of tpm2, not 'sgx'")
  await expectFailure(skein([...up, '--require-attested', 'gateway']), 2, "not 'gateway'")
  const set = `sha256:0,7=${'ab'.repeat(32)}`
  await expectFailure(skein([...up, '--attest-pcrs', set]), 2, 'goes with --require-attested')
  await expectFailure(
    skein([...up, '--require-attested', 'stage', '--attest-pcrs', 'sha256:0,7=1']),
    2,
    'names no registers'
  )
  const env = { PATH: '/nowhere', TPM2TOOLS_TCTI: 'device:/dev/none' }
  await expectFailure(skein(['attest', 'show'], { env }), 3, 'tpm2_createprimary is not here, which --attest needs')
})

describe('a machine with a TPM', needs(whyNoTpm), () => {
  const homes = scratchFolders(afterAll)
  let tpm: SoftTpm
  let env: NodeJS.ProcessEnv
  beforeAll(async () => {
    tpm = await startTpm(await homes())
    env = { TPM2TOOLS_TCTI: tpm.tcti }
  }, 60_000)
  afterAll(() => tpm?.stop())

  it('shows what it is, is invited with that, and has its role at who asks for it', { timeout: 240_000 }, async () => {
    const shown = await skein(['attest', 'show', '--json', '--pcrs', '0,16'], { env })
    expect(shown).toMatchObject({ code: 0, stderr: '' })
    const evidence = JSON.parse(shown.stdout) as { key: string; set: string; registers: string[] }
    expect(evidence).toMatchObject({ event: 'attestation', kind: 'tpm2', set: expect.stringMatching(/^sha256:0,16=/) })
    expect(evidence.registers).toEqual(expect.arrayContaining(['00'.repeat(32)]))

    const peer = await invited('attested', '--attest', evidence.key)
    // A certificate that renews one keeps the key.
    const renewed = await skein([
      'renew',
      peer,
      '--authority',
      at('swarm.key'),
      '--for',
      '24h',
      '--data',
      at('attested')
    ])
    expect(renewed.code).toBe(0)
    const members = (await skein(['members', '--data', at('attested')])).stdout
    expect(members).toContain(`evidence by ${evidence.key.slice(0, 16)}`)
    await invited('asker')

    const common = ['--no-mdns', '--memory', '0', '--listen', '/ip4/127.0.0.1/tcp/0', '--json']
    const attested = new Skein(['up', '--data', at('attested'), '--attest', 'tpm2', ...common], { env })
    const { addresses } = (await attested.event('up')) as unknown as { addresses: string[] }
    const policy = ['--require-attested', 'stage,driver', '--attest-pcrs', evidence.set]
    const asker = new Skein(['up', '--data', at('asker'), '--bootstrap', addresses[0]!, ...policy, ...common])
    try {
      await asker.event('up')
      let status: Status | undefined
      await expect
        .poll(
          async () => {
            status = JSON.parse((await skein(['status', '--data', at('asker'), '--json'])).stdout) as Status
            return status.membership?.attestation.peers
          },
          { timeout: 30_000 }
        )
        .toEqual([{ peer, untilMs: expect.any(Number), refusal: null }])
      expect(status?.membership?.attestation.requires).toEqual(['driver', 'stage'])
      const told = (await skein(['status', '--data', at('asker')])).stdout
      expect(told).toContain('evidence: driver, stage of others count only with some')
      expect(told).toMatch(/has given some, which counts until/)
      expect((await skein(['status', '--data', at('attested')])).stdout).toContain(
        `this machine gives some by tpm2, with the key ${evidence.key}`
      )
    } finally {
      for (const each of [attested, asker]) each.child.kill('SIGTERM')
      await Promise.all([attested.ended, asker.ended])
    }
  })
})

import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { writeTiny } from '../model/hugging-face.ts'
import { Skein, skein } from './skein.ts'

let folder = ''

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'skein-demo-test-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

/** Processes whose command line names this test's folder: whatever the demo has started. */
function processes(): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter(pid => pid > 0 && existsSync(`/proc/${pid}/cmdline`))
    .filter(pid => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(folder)
      } catch {
        return false
      }
    })
}

describe('skein demo', () => {
  it('answers by three peers as one peer does, and leaves nothing behind', async () => {
    const demo = new Skein(['demo', '--max-tokens', '24', '--json'], { env: { TMPDIR: folder } })
    const { code, stderr } = await demo.ended
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const events = demo.events
    expect(events.at(-1)).toMatchObject({ event: 'demo', peers: 3, hops: 3, identical: true, tokens: 24 })
    expect(events.at(-1)?.text).toContain('there was a little girl')
    const { budgets, wholeBytes } = events.find(({ event }) => event === 'begin') as unknown as {
      budgets: number[]
      wholeBytes: number
    }
    expect(budgets).toHaveLength(3)
    for (const budget of budgets) expect(budget).toBeLessThan(wholeBytes)
    expect(readdirSync(folder)).toEqual([])
    expect(processes()).toEqual([])
  }, 90_000)

  it('answers with an imported model, and leaves that as it was', async () => {
    const [source, data, scratch] = ['source', 'data', 'scratch'].map(name => join(folder, name)) as [
      string,
      string,
      string
    ]
    mkdirSync(scratch)
    await writeTiny(source)
    expect((await skein(['model', 'import', source, '--name', 'tiny', '--data', data, '--dtype', 'f32'])).code).toBe(0)
    const of = ['--model', 'tiny', '--data', data, '--peers', '2', '--prompt', 'ab', '--max-tokens', '8']
    const demo = new Skein(['demo', ...of, '--json'], { env: { TMPDIR: scratch } })
    const { code, stderr } = await demo.ended
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(demo.events[0]).toMatchObject({ event: 'begin', model: 'tiny' })
    expect(demo.events.at(-1)).toMatchObject({ event: 'demo', peers: 2, hops: 2, identical: true })
    expect(readdirSync(scratch)).toEqual([])
    expect((await skein(['model', 'verify', 'tiny', '--data', data])).code).toBe(0)
  }, 90_000)

  it('kills a peer in mid-story, and the story goes on as if nothing had happened', async () => {
    const demo = new Skein(['demo', '--kill', '--max-tokens', '60', '--json'], { env: { TMPDIR: folder } })
    const { code, stderr, stdout } = await demo.ended
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const events = demo.events
    const asked = (events.find(({ event }) => event === 'covered') as unknown as { peers: { id: string }[] }).peers[0]
    const killed = events.find(({ event }) => event === 'killed')
    expect(killed?.peer).not.toBe(asked?.id)
    expect(events.filter(({ event }) => event === 'lost').map(({ peer }) => peer)).toEqual([killed?.peer])
    expect(stdout.trimEnd().split('\n').at(-1)).toContain('"identical":true,"recovered":1')
    expect(events.at(-1)).toMatchObject({ tokens: 60, pauseMs: expect.any(Number) })
    expect(readdirSync(folder)).toEqual([])
    expect(processes()).toEqual([])
  }, 90_000)

  it('does not kill the only peer', async () => {
    const demo = new Skein(['demo', '--kill', '--peers', '1'], { env: { TMPDIR: folder } })
    expect(await demo.ended).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining('2 peers') })
  })

  it.each(['SIGINT', 'SIGKILL'] as const)(
    'leaves no process behind on %s',
    async signal => {
      const demo = new Skein(['demo', '--json'], { env: { TMPDIR: folder } })
      await demo.event('peer')
      expect(processes().length).toBeGreaterThan(0)
      const ended = await demo.end(signal)
      if (signal === 'SIGINT') {
        expect(ended).toMatchObject({ code: 130, stderr: '' })
        expect(readdirSync(folder)).toEqual([])
      }
      await expect.poll(processes, { timeout: 15_000, interval: 100 }).toEqual([])
    },
    60_000
  )
})

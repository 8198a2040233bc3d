/** A program that embeds a peer may end as soon as the peer has stopped: nothing of it keeps the process. */
import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'
import { initSwarm } from '../../src/index.ts'

const index = new URL('../../src/index.ts', import.meta.url).href

it('what a stopped peer leaves behind holds no process', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'skein-stop-'))
  try {
    const swarm = await initSwarm(join(dir, 'swarm.json'))
    const init = { dataDir: join(dir, 'peer'), swarm, listen: ['/ip4/127.0.0.1/tcp/0'] }
    const program = join(dir, 'program.mjs')
    await writeFile(
      program,
      `import { createPeer } from ${JSON.stringify(index)}
      const peer = await createPeer(${JSON.stringify(init)})
      for await (const _ of peer.generate('Once', { maxTokens: 2 }));
      await peer.stop()
      // What has ended is closed in this turn of the loop.
      await new Promise(resolve => setImmediate(resolve))
      // Its own output, and files that were read, hold nothing.
      const left = process.getActiveResourcesInfo().filter(kind => !/^(Pipe|TTY|FSReq|FileHandle|Immediate)/.test(kind))
      console.log(JSON.stringify(left))`
    )
    const args = ['--disable-warning=ExperimentalWarning', '--experimental-transform-types', program]
    const { stdout } = await promisify(execFile)(process.execPath, args)
    expect(JSON.parse(stdout)).toEqual([])
  } finally {
    await rm(dir, { recursive: true })
  }
})

/** A swarm that the radio parts in two and joins again, in network namespaces. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { whyNoNamespaces } from '../lab/namespaces.ts'
import { needs, whyNotBuilt } from '../needs.ts'

const scene = fileURLToPath(new URL('split-scene.ts', import.meta.url))
const built = fileURLToPath(new URL('../../dist/src/cli/main.js', import.meta.url))

describe('a swarm that is parted in two', needs(whyNoNamespaces() ?? whyNotBuilt(built)), () => {
  it('answers on each side, and settles without dropping a session when it meets again', async () => {
    // The names of namespaces are files: a file system of one's own for them leaves none behind.
    const inside = 'mkdir -p /run/netns && mount -t tmpfs none /run/netns && exec "$@"'
    const { stdout } = await promisify(execFile)(
      'unshare',
      ['-mn', 'sh', '-c', inside, 'sh', process.execPath, '--experimental-transform-types', scene],
      { timeout: 110_000 }
    )
    const seen = JSON.parse(stdout.trim().split('\n').at(-1)!)
    console.log(stdout.trim())
    expect(seen).toMatchObject({
      // The answers under way when it parted, those on each side, those under way when it met again, and after.
      survived: true,
      apart: true,
      kept: true,
      together: true,
      keptLost: 0
    })
    expect(seen.survivedLost).toBeGreaterThan(0)
    // On each side one of the two had to move; when all are together again nobody must.
    expect(seen.movesApart).toBe(2)
    expect(seen.movesTogether).toBeLessThanOrEqual(2)
  }, 120_000)
})

/** `node resealing-child.ts reseal|unseal DIR KEY OLD STEP`: is killed before the change of the disk of that number. */
import { resealDirectory, unsealDirectory } from '../../src/swarm/resealing-service.ts'

const [what, dir, key, old, last] = process.argv.slice(2) as [string, string, string, string, string]
let step = 0
const onStep = (): void => {
  if (step++ === Number(last)) process.kill(process.pid, 'SIGKILL')
}
if (what === 'reseal') await resealDirectory(dir, key, old, { onStep })
else await unsealDirectory(dir, key, { onStep })
console.log('done')

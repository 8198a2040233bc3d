/** One certified member takes all that it can get of one thing after the other, while honest members answer: what is counted of it, and that nobody else loses. */
import { afterAll, beforeAll, describe, it } from 'vitest'
import { listModels } from '../../src/index.ts'
import { flood, type FloodKind, type Flooder, floodKinds, type Prey } from './floods.ts'
import { until } from '../swarm/real-peers.ts'
import { dialAt, rawPeer } from './raw-peer.ts'
import { Scene } from './scene.ts'

let scene: Scene
let prey: Prey
beforeAll(async () => {
  scene = await Scene.start()
  const { manifest } = (await listModels(scene.dirOf('driver')))[0]!
  prey = {
    model: scene.model,
    layers: scene.layers,
    hidden: manifest.config.hidden,
    stages: scene.stages.map((peer, i) => ({
      peer: peer.id,
      ...(i === 0 ? { start: 0, end: scene.cut } : { start: scene.cut, end: scene.layers }),
      addresses: peer.addresses
    })),
    files: manifest.shards.map(({ sha256, bytes }) => ({ file: sha256, bytes }))
  }
}, 120_000)
afterAll(() => scene?.stop())

/** What is counted of a flood; of those that are left out nothing is wrong but that they are many: these get their share. */
const counted: Partial<Record<FloodKind, string>> = {
  members: 'too many trust frames',
  garbage: 'bad trust frame'
}
/** So long each goes on; one that breaks a rule until that is counted. */
const floodMs = 2_000
const countedMs = 30_000

async function flooder(): Promise<Flooder> {
  const name = `flooder-${scene.warnings.length}-${performance.now()}`
  await scene.join(name, ['driver', 'stage', 'keeper', 'source'])
  const [stolen, identity] = [await scene.fileOf(name), await scene.identityOf(name)]
  const again = () => rawPeer({ stolen, certificate: () => stolen.certificate, identity })
  const host = scene.keep(await again())
  for (const { addresses } of scene.stages) await dialAt(host, addresses)
  return { host, identity, again }
}

describe('a member that floods', () => {
  it.each(floodKinds)('%s harms nobody, and is counted where it breaks a rule', async kind => {
    const by = await flooder()
    const kindOf = counted[kind]
    const before = kindOf === undefined ? 0 : scene.counted(kindOf)
    const over = new AbortController()
    const flooding = (): Promise<void> => flood(kind, by, prey, over.signal)
    await scene.unharmed(async () => {
      const done = flooding()
      await new Promise(resolve => setTimeout(resolve, floodMs))
      const isCounted = (): boolean => kindOf === undefined || scene.counted(kindOf) > before
      await until(isCounted, `a flood of ${kind} is counted`, countedMs)
      over.abort(new Error('enough'))
      await done
    })
    await by.host.stop()
  })
})

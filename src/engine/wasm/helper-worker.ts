/** A thread that helps the engine's thread to compute: it waits for jobs and does nothing else until it is told to end. */
import { workerData } from 'node:worker_threads'
import type { Kernels } from './kernels.ts'
import { PassRunner } from './pass.ts'
import { type HelperInit, Meeting } from './team.ts'
import { viewsOf } from './stage-memory.ts'

const { list, index, module, sections } = workerData as HelperInit
const meeting = new Meeting(list)
const runners = sections.map(({ layout, memory }) => {
  const kernels = new WebAssembly.Instance(module, { env: { memory } }).exports as unknown as Kernels
  let views = viewsOf(memory)
  return new PassRunner(layout, kernels, {
    index,
    views: () => {
      // The memory has grown: what is there is seen by a new view alone.
      if (views.floats.byteLength !== memory.buffer.byteLength) views = viewsOf(memory)
      return views
    },
    meet: threads => meeting.meet(threads),
    meetAtEdge: ({ threads }) => {
      meeting.meet(threads)
      return meeting.isLetGo(seen) ? 0 : threads
    }
  })
})
let seen = 0
meeting.ready()
try {
  for (;;) {
    const { number, job } = meeting.next(seen)
    seen = number
    if (job === undefined) break
    if (index >= job.threads) continue
    runners[job.section]!.run(job)
  }
} catch (error) {
  meeting.fail()
  throw error
}

/** A thread that lives through the worlds whose seeds it is sent, one after the other. */
import { parentPort } from 'node:worker_threads'
import { liveThrough } from './crowd.ts'

let last: Promise<void> = Promise.resolve()
parentPort!.on('message', (seed: number) => {
  last = last.then(async () => parentPort!.postMessage(await liveThrough(seed)))
})

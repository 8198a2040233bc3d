/** A thread that lives through the worlds whose seeds it is sent. */
import { parentPort } from 'node:worker_threads'
import { liveThrough } from './crowd.ts'

parentPort!.on('message', (seed: number) => parentPort!.postMessage(liveThrough(seed)))

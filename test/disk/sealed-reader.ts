/** A thread that reads a file of a sealed directory that its maker has open. */
import { parentPort, workerData } from 'node:worker_threads'
import { readFileSync } from '../../src/disk/files-sync.ts'

parentPort!.postMessage(Buffer.from(readFileSync(workerData as string)).toString())

/** The thread that computes a numeric class: it takes longer than the event loop may stand still. */
import { parentPort } from 'node:worker_threads'
import { assert } from '../../base/assert.ts'
import { setCompiler } from './compiler.ts'
import { formsHere } from './forms.ts'
import { classHere } from './numeric-class.ts'

assert(parentPort !== null, 'this file runs as a worker thread')
setCompiler()
parentPort.postMessage(classHere(formsHere(() => performance.now())))

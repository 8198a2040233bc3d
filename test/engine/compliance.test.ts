import { afterAll } from 'vitest'
import { toyEngine } from '../../sim/toy-engine.ts'
import { createOnnxEngine } from '../../src/engine/onnx/engine.ts'
import { createWasmEngine } from '../../src/engine/wasm/engine.ts'
import type { ModelConfig } from '../../src/model/decoder.ts'
import { engineCompliance, type EngineSubject } from '../compliance/engine.ts'
import { prefixCompliance } from '../compliance/prefixes.ts'
import { syntheticModel } from './synthetic-model.ts'

const config: ModelConfig = {
  layers: 4,
  hidden: 40,
  intermediate: 64,
  heads: 4,
  kvHeads: 2,
  headDim: 8,
  vocab: 113,
  contextMax: 320,
  ropeTheta: 10_000,
  normEpsilon: 1e-5,
  tiedEmbeddings: true
}
const { manifest, shardDirectory, remove } = syntheticModel(config, 'q8', 'f16', 1)
afterAll(remove)
const model = { layers: 6, vocab: 113, hidden: 16, edge: 'f16', contextMax: 320 } as const
const subjects: Readonly<Record<string, EngineSubject>> = {
  WebAssembly: {
    ...config,
    make: init => createWasmEngine({ ...init, manifest, shardDirectory })
  },
  'WebAssembly without shared memory': {
    ...config,
    make: async init => {
      // As where memory cannot be shared, or not be waited for.
      const { waitAsync } = Atomics
      Object.assign(Atomics, { waitAsync: undefined })
      try {
        return await createWasmEngine({ ...init, manifest, shardDirectory })
      } finally {
        Object.assign(Atomics, { waitAsync })
      }
    }
  },
  'ONNX Runtime': {
    ...config,
    make: init => createOnnxEngine({ ...init, manifest, shardDirectory })
  },
  'the toy': { ...model, make: async init => toyEngine({ ...init, model }) }
}
for (const [name, subject] of Object.entries(subjects)) {
  engineCompliance(name, subject)
  prefixCompliance(name, subject)
}

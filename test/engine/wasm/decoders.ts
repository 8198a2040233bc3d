/** Small decoders with what real ones have beyond llama: each field by itself, and together as in the architectures that people have. */
import type { ModelConfig } from '../../../src/model/decoder.ts'

/** Nothing in it is a multiple of anything that kernels count in. */
export const plainDecoder: ModelConfig = {
  layers: 3,
  hidden: 76,
  intermediate: 54,
  heads: 6,
  kvHeads: 2,
  headDim: 14,
  vocab: 61,
  contextMax: 400,
  ropeTheta: 10_000,
  normEpsilon: 1e-5,
  tiedEmbeddings: false
}

const divisors = [1, 1, 1.5, 2.75, 4, 8, 8]
/** Shorter than what tests compute, and longer than a pass. */
const window = 5

export const fields: Readonly<Record<string, Partial<ModelConfig>>> = {
  'norm.kind': { norm: { kind: 'mean' } },
  'norm.offset': { norm: { offset: 1 } },
  'norm.place after': { norm: { place: 'after' } },
  'norm.place both': { norm: { place: 'both' } },
  'rotation.dims': { rotation: { dims: 10 } },
  'rotation.pairs': { rotation: { pairs: 'neighbours' } },
  'rotation.divisors': { rotation: { divisors } },
  'rotation.gain': { rotation: { gain: 1.1902380714238083 } },
  'attention.qkvBias': { attention: { qkvBias: true } },
  'attention.outputBias': { attention: { outputBias: true } },
  'attention.headNorm head': { attention: { headNorm: 'head' } },
  'attention.headNorm all': { attention: { headNorm: 'all' } },
  'attention.scale': { attention: { scale: 0.4 } },
  'attention.scoreCap': { attention: { scoreCap: 0.7 } },
  'feedForward.activation gelu': { feedForward: { activation: 'gelu' } },
  'feedForward.activation gelu-tanh': { feedForward: { activation: 'gelu-tanh' } },
  'feedForward.ungated': { feedForward: { ungated: true } },
  'feedForward.bias': { feedForward: { bias: true } },
  experts: { experts: { count: 5, used: 2, intermediate: 38 } },
  'experts.renormalised': { experts: { count: 8, used: 3, intermediate: 22, renormalised: true } },
  'experts ungated': {
    feedForward: { ungated: true, activation: 'gelu' },
    experts: { count: 3, used: 3, intermediate: 40, renormalised: true }
  },
  'kinds experts none': {
    experts: { count: 9, used: 1, intermediate: 38 },
    kinds: { of: [{}, { experts: 'none' }], layers: [1, 0, 1] }
  },
  'kinds window': { kinds: { of: [{ window }, {}], layers: [0, 1, 0] } },
  'kinds ropeTheta': { kinds: { of: [{}, { ropeTheta: 1_000 }], layers: [0, 1, 1] } },
  'kinds rotation none': { kinds: { of: [{}, { rotation: 'none' }], layers: [0, 0, 1] } },
  'kinds rotation': { rotation: { divisors }, kinds: { of: [{}, { rotation: { dims: 6 } }], layers: [1, 0, 1] } },
  'kinds convolution': { kinds: { of: [{ convolution: { length: 3 } }, {}], layers: [0, 1, 0] } },
  'kinds convolutions': {
    kinds: { of: [{ convolution: { length: 1 } }, { convolution: { length: 7 } }], layers: [0, 1, 1] }
  },
  embeddingScale: { embeddingScale: 8.717797887 },
  residualScale: { residualScale: 0.22 },
  logitScale: { logitScale: 0.125 },
  logitCap: { logitCap: 3 }
}

export const architectures: Readonly<Record<string, Partial<ModelConfig>>> = {
  'Llama 3': { ropeTheta: 500_000, rotation: { divisors: [1, 1, 1, 2.7, 8, 8, 8] }, tiedEmbeddings: true },
  Mistral: { kinds: { of: [{ window }], layers: [0, 0, 0] } },
  'Qwen 2': { ropeTheta: 1e6, attention: { qkvBias: true }, tiedEmbeddings: true },
  'Qwen 3': { ropeTheta: 1e6, headDim: 22, attention: { headNorm: 'head' } },
  SmolLM3: { ropeTheta: 2e6, kinds: { of: [{}, { rotation: 'none' }], layers: [0, 1, 0] } },
  'Phi-3': { rotation: { dims: 10, divisors: [1, 1.1, 1.3, 2, 4], gain: 1.1902380714238083 }, kvHeads: 6 },
  Granite: {
    ...{ embeddingScale: 12, residualScale: 0.22, logitScale: 0.125, attention: { scale: 0.015625 } },
    tiedEmbeddings: true
  },
  'Gemma 2': {
    norm: { offset: 1, place: 'both' },
    attention: { scale: 0.25, scoreCap: 50 },
    feedForward: { activation: 'gelu-tanh' },
    kinds: { of: [{ window }, {}], layers: [0, 1, 0] },
    ...{ embeddingScale: 8.717797887, logitCap: 30, tiedEmbeddings: true }
  },
  'Gemma 3': {
    headDim: 32,
    norm: { offset: 1, place: 'both' },
    rotation: { divisors: new Array<number>(16).fill(8) },
    attention: { headNorm: 'head', scale: 0.0625 },
    feedForward: { activation: 'gelu-tanh' },
    kinds: { of: [{ window, ropeTheta: 10_000, rotation: {} }, {}], layers: [0, 0, 1] },
    ...{ ropeTheta: 1e6, embeddingScale: 8.717797887, tiedEmbeddings: true }
  },
  Mixtral: { ropeTheta: 1e6, experts: { count: 8, used: 2, intermediate: 54, renormalised: true } },
  'Qwen 3 MoE': {
    ropeTheta: 1e6,
    attention: { headNorm: 'head' },
    experts: { count: 18, used: 4, intermediate: 38, renormalised: true },
    kinds: { of: [{ experts: 'none' }, {}], layers: [0, 1, 1] }
  },
  'OLMo 2': { norm: { place: 'after' }, attention: { headNorm: 'all' } },
  LFM2: {
    ...{ ropeTheta: 1e6, headDim: 22, attention: { headNorm: 'head' }, tiedEmbeddings: true },
    kinds: { of: [{ convolution: { length: 3 } }, {}], layers: [0, 1, 0] }
  },
  'all that is left': {
    norm: { kind: 'mean' },
    rotation: { pairs: 'neighbours', dims: 12 },
    attention: { qkvBias: true, outputBias: true, headNorm: 'all' },
    feedForward: { activation: 'gelu', ungated: true, bias: true }
  }
}

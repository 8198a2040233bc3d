/** Under which content of the DHT those meet that give memory to a model. Pure. */
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js'
import type { ContentId, ModelId } from '../base/ids.ts'

/** Not the model's own id: whoever has its manifest provides that, and may hold no layer of it (protocols/records.md, R24). */
export function meetingPointOf(model: ModelId): ContentId {
  return bytesToHex(sha256(utf8ToBytes(`skein-serving:${model}`))) as ContentId
}

import { decodeMessage, encodeMessage, MaxLengthError, message, streamMessage } from 'protons-runtime'
import { alloc as uint8ArrayAlloc } from 'uint8arrays/alloc'
import type { Codec, DecodeOptions } from 'protons-runtime'
import type { Uint8ArrayList } from 'uint8arraylist'

export interface StageFrame {
  open?: Open
  step?: Step
  token?: Token
  ack?: Ack
  refuse?: Refuse
  close?: Close
  closed?: Closed
  prepare?: Prepare
  prepared?: Prepared
  ask?: Ask
  standing?: Standing
  scores?: Scores
  commit?: Commit
  committed?: Committed
}

export namespace StageFrame {
  let _codec: Codec<StageFrame>

  export const codec = (): Codec<StageFrame> => {
    if (_codec == null) {
      _codec = message<StageFrame>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        obj = { ...obj }

        if (obj.committed != null) {
          obj.commit = undefined
          obj.scores = undefined
          obj.standing = undefined
          obj.ask = undefined
          obj.prepared = undefined
          obj.prepare = undefined
          obj.closed = undefined
          obj.close = undefined
          obj.refuse = undefined
          obj.ack = undefined
          obj.token = undefined
          obj.step = undefined
          obj.open = undefined
        }

        if (obj.commit != null) {
          obj.committed = undefined
          obj.scores = undefined
          obj.standing = undefined
          obj.ask = undefined
          obj.prepared = undefined
          obj.prepare = undefined
          obj.closed = undefined
          obj.close = undefined
          obj.refuse = undefined
          obj.ack = undefined
          obj.token = undefined
          obj.step = undefined
          obj.open = undefined
        }

        if (obj.scores != null) {
          obj.committed = undefined
          obj.commit = undefined
          obj.standing = undefined
          obj.ask = undefined
          obj.prepared = undefined
          obj.prepare = undefined
          obj.closed = undefined
          obj.close = undefined
          obj.refuse = undefined
          obj.ack = undefined
          obj.token = undefined
          obj.step = undefined
          obj.open = undefined
        }

        if (obj.standing != null) {
          obj.committed = undefined
          obj.commit = undefined
          obj.scores = undefined
          obj.ask = undefined
          obj.prepared = undefined
          obj.prepare = undefined
          obj.closed = undefined
          obj.close = undefined
          obj.refuse = undefined
          obj.ack = undefined
          obj.token = undefined
          obj.step = undefined
          obj.open = undefined
        }

        if (obj.ask != null) {
          obj.committed = undefined
          obj.commit = undefined
          obj.scores = undefined
          obj.standing = undefined
          obj.prepared = undefined
          obj.prepare = undefined
          obj.closed = undefined
          obj.close = undefined
          obj.refuse = undefined
          obj.ack = undefined
          obj.token = undefined
          obj.step = undefined
          obj.open = undefined
        }

        if (obj.prepared != null) {
          obj.committed = undefined
          obj.commit = undefined
          obj.scores = undefined
          obj.standing = undefined
          obj.ask = undefined
          obj.prepare = undefined
          obj.closed = undefined
          obj.close = undefined
          obj.refuse = undefined
          obj.ack = undefined
          obj.token = undefined
          obj.step = undefined
          obj.open = undefined
        }

        if (obj.prepare != null) {
          obj.committed = undefined
          obj.commit = undefined
          obj.scores = undefined
          obj.standing = undefined
          obj.ask = undefined
          obj.prepared = undefined
          obj.closed = undefined
          obj.close = undefined
          obj.refuse = undefined
          obj.ack = undefined
          obj.token = undefined
          obj.step = undefined
          obj.open = undefined
        }

        if (obj.closed != null) {
          obj.committed = undefined
          obj.commit = undefined
          obj.scores = undefined
          obj.standing = undefined
          obj.ask = undefined
          obj.prepared = undefined
          obj.prepare = undefined
          obj.close = undefined
          obj.refuse = undefined
          obj.ack = undefined
          obj.token = undefined
          obj.step = undefined
          obj.open = undefined
        }

        if (obj.close != null) {
          obj.committed = undefined
          obj.commit = undefined
          obj.scores = undefined
          obj.standing = undefined
          obj.ask = undefined
          obj.prepared = undefined
          obj.prepare = undefined
          obj.closed = undefined
          obj.refuse = undefined
          obj.ack = undefined
          obj.token = undefined
          obj.step = undefined
          obj.open = undefined
        }

        if (obj.refuse != null) {
          obj.committed = undefined
          obj.commit = undefined
          obj.scores = undefined
          obj.standing = undefined
          obj.ask = undefined
          obj.prepared = undefined
          obj.prepare = undefined
          obj.closed = undefined
          obj.close = undefined
          obj.ack = undefined
          obj.token = undefined
          obj.step = undefined
          obj.open = undefined
        }

        if (obj.ack != null) {
          obj.committed = undefined
          obj.commit = undefined
          obj.scores = undefined
          obj.standing = undefined
          obj.ask = undefined
          obj.prepared = undefined
          obj.prepare = undefined
          obj.closed = undefined
          obj.close = undefined
          obj.refuse = undefined
          obj.token = undefined
          obj.step = undefined
          obj.open = undefined
        }

        if (obj.token != null) {
          obj.committed = undefined
          obj.commit = undefined
          obj.scores = undefined
          obj.standing = undefined
          obj.ask = undefined
          obj.prepared = undefined
          obj.prepare = undefined
          obj.closed = undefined
          obj.close = undefined
          obj.refuse = undefined
          obj.ack = undefined
          obj.step = undefined
          obj.open = undefined
        }

        if (obj.step != null) {
          obj.committed = undefined
          obj.commit = undefined
          obj.scores = undefined
          obj.standing = undefined
          obj.ask = undefined
          obj.prepared = undefined
          obj.prepare = undefined
          obj.closed = undefined
          obj.close = undefined
          obj.refuse = undefined
          obj.ack = undefined
          obj.token = undefined
          obj.open = undefined
        }

        if (obj.open != null) {
          obj.committed = undefined
          obj.commit = undefined
          obj.scores = undefined
          obj.standing = undefined
          obj.ask = undefined
          obj.prepared = undefined
          obj.prepare = undefined
          obj.closed = undefined
          obj.close = undefined
          obj.refuse = undefined
          obj.ack = undefined
          obj.token = undefined
          obj.step = undefined
        }

        if (obj.open != null) {
          w.uint32(10)
          Open.codec().encode(obj.open, w)
        }

        if (obj.step != null) {
          w.uint32(18)
          Step.codec().encode(obj.step, w)
        }

        if (obj.token != null) {
          w.uint32(26)
          Token.codec().encode(obj.token, w)
        }

        if (obj.ack != null) {
          w.uint32(34)
          Ack.codec().encode(obj.ack, w)
        }

        if (obj.refuse != null) {
          w.uint32(42)
          Refuse.codec().encode(obj.refuse, w)
        }

        if (obj.close != null) {
          w.uint32(50)
          Close.codec().encode(obj.close, w)
        }

        if (obj.closed != null) {
          w.uint32(58)
          Closed.codec().encode(obj.closed, w)
        }

        if (obj.prepare != null) {
          w.uint32(66)
          Prepare.codec().encode(obj.prepare, w)
        }

        if (obj.prepared != null) {
          w.uint32(74)
          Prepared.codec().encode(obj.prepared, w)
        }

        if (obj.ask != null) {
          w.uint32(82)
          Ask.codec().encode(obj.ask, w)
        }

        if (obj.standing != null) {
          w.uint32(90)
          Standing.codec().encode(obj.standing, w)
        }

        if (obj.scores != null) {
          w.uint32(98)
          Scores.codec().encode(obj.scores, w)
        }

        if (obj.commit != null) {
          w.uint32(106)
          Commit.codec().encode(obj.commit, w)
        }

        if (obj.committed != null) {
          w.uint32(114)
          Committed.codec().encode(obj.committed, w)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {}

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.open = Open.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.open
              })
              break
            }
            case 2: {
              obj.step = Step.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.step
              })
              break
            }
            case 3: {
              obj.token = Token.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.token
              })
              break
            }
            case 4: {
              obj.ack = Ack.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.ack
              })
              break
            }
            case 5: {
              obj.refuse = Refuse.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.refuse
              })
              break
            }
            case 6: {
              obj.close = Close.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.close
              })
              break
            }
            case 7: {
              obj.closed = Closed.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.closed
              })
              break
            }
            case 8: {
              obj.prepare = Prepare.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.prepare
              })
              break
            }
            case 9: {
              obj.prepared = Prepared.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.prepared
              })
              break
            }
            case 10: {
              obj.ask = Ask.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.ask
              })
              break
            }
            case 11: {
              obj.standing = Standing.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.standing
              })
              break
            }
            case 12: {
              obj.scores = Scores.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.scores
              })
              break
            }
            case 13: {
              obj.commit = Commit.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.commit
              })
              break
            }
            case 14: {
              obj.committed = Committed.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.committed
              })
              break
            }
            default: {
              reader.skipType(tag & 7)
              break
            }
          }
        }

        if (obj.committed != null) {
          delete obj.commit
          delete obj.scores
          delete obj.standing
          delete obj.ask
          delete obj.prepared
          delete obj.prepare
          delete obj.closed
          delete obj.close
          delete obj.refuse
          delete obj.ack
          delete obj.token
          delete obj.step
          delete obj.open
        }

        if (obj.commit != null) {
          delete obj.committed
          delete obj.scores
          delete obj.standing
          delete obj.ask
          delete obj.prepared
          delete obj.prepare
          delete obj.closed
          delete obj.close
          delete obj.refuse
          delete obj.ack
          delete obj.token
          delete obj.step
          delete obj.open
        }

        if (obj.scores != null) {
          delete obj.committed
          delete obj.commit
          delete obj.standing
          delete obj.ask
          delete obj.prepared
          delete obj.prepare
          delete obj.closed
          delete obj.close
          delete obj.refuse
          delete obj.ack
          delete obj.token
          delete obj.step
          delete obj.open
        }

        if (obj.standing != null) {
          delete obj.committed
          delete obj.commit
          delete obj.scores
          delete obj.ask
          delete obj.prepared
          delete obj.prepare
          delete obj.closed
          delete obj.close
          delete obj.refuse
          delete obj.ack
          delete obj.token
          delete obj.step
          delete obj.open
        }

        if (obj.ask != null) {
          delete obj.committed
          delete obj.commit
          delete obj.scores
          delete obj.standing
          delete obj.prepared
          delete obj.prepare
          delete obj.closed
          delete obj.close
          delete obj.refuse
          delete obj.ack
          delete obj.token
          delete obj.step
          delete obj.open
        }

        if (obj.prepared != null) {
          delete obj.committed
          delete obj.commit
          delete obj.scores
          delete obj.standing
          delete obj.ask
          delete obj.prepare
          delete obj.closed
          delete obj.close
          delete obj.refuse
          delete obj.ack
          delete obj.token
          delete obj.step
          delete obj.open
        }

        if (obj.prepare != null) {
          delete obj.committed
          delete obj.commit
          delete obj.scores
          delete obj.standing
          delete obj.ask
          delete obj.prepared
          delete obj.closed
          delete obj.close
          delete obj.refuse
          delete obj.ack
          delete obj.token
          delete obj.step
          delete obj.open
        }

        if (obj.closed != null) {
          delete obj.committed
          delete obj.commit
          delete obj.scores
          delete obj.standing
          delete obj.ask
          delete obj.prepared
          delete obj.prepare
          delete obj.close
          delete obj.refuse
          delete obj.ack
          delete obj.token
          delete obj.step
          delete obj.open
        }

        if (obj.close != null) {
          delete obj.committed
          delete obj.commit
          delete obj.scores
          delete obj.standing
          delete obj.ask
          delete obj.prepared
          delete obj.prepare
          delete obj.closed
          delete obj.refuse
          delete obj.ack
          delete obj.token
          delete obj.step
          delete obj.open
        }

        if (obj.refuse != null) {
          delete obj.committed
          delete obj.commit
          delete obj.scores
          delete obj.standing
          delete obj.ask
          delete obj.prepared
          delete obj.prepare
          delete obj.closed
          delete obj.close
          delete obj.ack
          delete obj.token
          delete obj.step
          delete obj.open
        }

        if (obj.ack != null) {
          delete obj.committed
          delete obj.commit
          delete obj.scores
          delete obj.standing
          delete obj.ask
          delete obj.prepared
          delete obj.prepare
          delete obj.closed
          delete obj.close
          delete obj.refuse
          delete obj.token
          delete obj.step
          delete obj.open
        }

        if (obj.token != null) {
          delete obj.committed
          delete obj.commit
          delete obj.scores
          delete obj.standing
          delete obj.ask
          delete obj.prepared
          delete obj.prepare
          delete obj.closed
          delete obj.close
          delete obj.refuse
          delete obj.ack
          delete obj.step
          delete obj.open
        }

        if (obj.step != null) {
          delete obj.committed
          delete obj.commit
          delete obj.scores
          delete obj.standing
          delete obj.ask
          delete obj.prepared
          delete obj.prepare
          delete obj.closed
          delete obj.close
          delete obj.refuse
          delete obj.ack
          delete obj.token
          delete obj.open
        }

        if (obj.open != null) {
          delete obj.committed
          delete obj.commit
          delete obj.scores
          delete obj.standing
          delete obj.ask
          delete obj.prepared
          delete obj.prepare
          delete obj.closed
          delete obj.close
          delete obj.refuse
          delete obj.ack
          delete obj.token
          delete obj.step
        }

        return obj
      }, function * (reader, length, prefix, opts = {}) {
        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              yield * Open.codec().stream(reader, reader.uint32(), `${prefix}.open`, {
                limits: opts.limits?.open
              })

              break
            }
            case 2: {
              yield * Step.codec().stream(reader, reader.uint32(), `${prefix}.step`, {
                limits: opts.limits?.step
              })

              break
            }
            case 3: {
              yield * Token.codec().stream(reader, reader.uint32(), `${prefix}.token`, {
                limits: opts.limits?.token
              })

              break
            }
            case 4: {
              yield * Ack.codec().stream(reader, reader.uint32(), `${prefix}.ack`, {
                limits: opts.limits?.ack
              })

              break
            }
            case 5: {
              yield * Refuse.codec().stream(reader, reader.uint32(), `${prefix}.refuse`, {
                limits: opts.limits?.refuse
              })

              break
            }
            case 6: {
              yield * Close.codec().stream(reader, reader.uint32(), `${prefix}.close`, {
                limits: opts.limits?.close
              })

              break
            }
            case 7: {
              yield * Closed.codec().stream(reader, reader.uint32(), `${prefix}.closed`, {
                limits: opts.limits?.closed
              })

              break
            }
            case 8: {
              yield * Prepare.codec().stream(reader, reader.uint32(), `${prefix}.prepare`, {
                limits: opts.limits?.prepare
              })

              break
            }
            case 9: {
              yield * Prepared.codec().stream(reader, reader.uint32(), `${prefix}.prepared`, {
                limits: opts.limits?.prepared
              })

              break
            }
            case 10: {
              yield * Ask.codec().stream(reader, reader.uint32(), `${prefix}.ask`, {
                limits: opts.limits?.ask
              })

              break
            }
            case 11: {
              yield * Standing.codec().stream(reader, reader.uint32(), `${prefix}.standing`, {
                limits: opts.limits?.standing
              })

              break
            }
            case 12: {
              yield * Scores.codec().stream(reader, reader.uint32(), `${prefix}.scores`, {
                limits: opts.limits?.scores
              })

              break
            }
            case 13: {
              yield * Commit.codec().stream(reader, reader.uint32(), `${prefix}.commit`, {
                limits: opts.limits?.commit
              })

              break
            }
            case 14: {
              yield * Committed.codec().stream(reader, reader.uint32(), `${prefix}.committed`, {
                limits: opts.limits?.committed
              })

              break
            }
            default: {
              reader.skipType(tag & 7)
              break
            }
          }
        }
      })
    }

    return _codec
  }

  export interface StageFrameOpenTermsFieldEvent {
    field: '$.open.terms'
    value: Uint8Array<ArrayBuffer>
  }

  export interface StageFrameOpenSignatureFieldEvent {
    field: '$.open.signature'
    value: Uint8Array<ArrayBuffer>
  }

  export interface StageFrameOpenHopFieldEvent {
    field: '$.open.hop'
    value: number
  }

  export interface StageFrameStepEpochFieldEvent {
    field: '$.step.epoch'
    value: number
  }

  export interface StageFrameStepPositionFieldEvent {
    field: '$.step.position'
    value: number
  }

  export interface StageFrameStepTokensFieldEvent {
    field: '$.step.tokens'
    value: number
  }

  export interface StageFrameStepSampleFromFieldEvent {
    field: '$.step.sampleFrom'
    value: number
  }

  export interface StageFrameStepIdsFieldEvent {
    field: '$.step.ids[]'
    index: number
    value: number
  }

  export interface StageFrameStepHiddenFieldEvent {
    field: '$.step.hidden'
    value: Uint8Array<ArrayBuffer>
  }

  export interface StageFrameStepSpansHopFieldEvent {
    field: '$.step.spans[].hop'
    value: number
    index: number
  }

  export interface StageFrameStepSpansReadFieldEvent {
    field: '$.step.spans[].read'
    value: number
    index: number
  }

  export interface StageFrameStepSpansWaitFieldEvent {
    field: '$.step.spans[].wait'
    value: number
    index: number
  }

  export interface StageFrameStepSpansOutFieldEvent {
    field: '$.step.spans[].out'
    value: number
    index: number
  }

  export interface StageFrameStepSpansComputeFieldEvent {
    field: '$.step.spans[].compute'
    value: number
    index: number
  }

  export interface StageFrameStepSpansSampleFieldEvent {
    field: '$.step.spans[].sample'
    value: number
    index: number
  }

  export interface StageFrameStepSpansBackFieldEvent {
    field: '$.step.spans[].back'
    value: number
    index: number
  }

  export interface StageFrameStepSpansSentFieldEvent {
    field: '$.step.spans[].sent'
    value: number
    index: number
  }

  export interface StageFrameStepMasksSlotFieldEvent {
    field: '$.step.masks[].slot'
    value: number
    index: number
  }

  export interface StageFrameStepMasksBitsFieldEvent {
    field: '$.step.masks[].bits'
    value: Uint8Array<ArrayBuffer>
    index: number
  }

  export interface StageFrameStepMasksRunsFieldEvent {
    field: '$.step.masks[].runs'
    value: Uint8Array<ArrayBuffer>
    index: number
  }

  export interface StageFrameTokenEpochFieldEvent {
    field: '$.token.epoch'
    value: number
  }

  export interface StageFrameTokenPositionFieldEvent {
    field: '$.token.position'
    value: number
  }

  export interface StageFrameTokenIdsFieldEvent {
    field: '$.token.ids[]'
    index: number
    value: number
  }

  export interface StageFrameTokenSpansHopFieldEvent {
    field: '$.token.spans[].hop'
    value: number
    index: number
  }

  export interface StageFrameTokenSpansReadFieldEvent {
    field: '$.token.spans[].read'
    value: number
    index: number
  }

  export interface StageFrameTokenSpansWaitFieldEvent {
    field: '$.token.spans[].wait'
    value: number
    index: number
  }

  export interface StageFrameTokenSpansOutFieldEvent {
    field: '$.token.spans[].out'
    value: number
    index: number
  }

  export interface StageFrameTokenSpansComputeFieldEvent {
    field: '$.token.spans[].compute'
    value: number
    index: number
  }

  export interface StageFrameTokenSpansSampleFieldEvent {
    field: '$.token.spans[].sample'
    value: number
    index: number
  }

  export interface StageFrameTokenSpansBackFieldEvent {
    field: '$.token.spans[].back'
    value: number
    index: number
  }

  export interface StageFrameTokenSpansSentFieldEvent {
    field: '$.token.spans[].sent'
    value: number
    index: number
  }

  export interface StageFrameTokenScoresLogprobFieldEvent {
    field: '$.token.scores[].logprob'
    value: number
    index: number
  }

  export interface StageFrameTokenScoresIdsFieldEvent {
    field: '$.token.scores[].ids[]'
    index: number
    value: number
  }

  export interface StageFrameTokenScoresLogprobsFieldEvent {
    field: '$.token.scores[].logprobs[]'
    index: number
    value: number
  }

  export interface StageFrameAckEpochFieldEvent {
    field: '$.ack.epoch'
    value: number
  }

  export interface StageFrameAckLengthFieldEvent {
    field: '$.ack.length'
    value: number
  }

  export interface StageFrameAckStepsFieldEvent {
    field: '$.ack.steps'
    value: number
  }

  export interface StageFrameAckTokensFieldEvent {
    field: '$.ack.tokens'
    value: number
  }

  export interface StageFrameRefuseEpochFieldEvent {
    field: '$.refuse.epoch'
    value: number
  }

  export interface StageFrameRefuseHopFieldEvent {
    field: '$.refuse.hop'
    value: number
  }

  export interface StageFrameRefuseReasonFieldEvent {
    field: '$.refuse.reason'
    value: number
  }

  export interface StageFrameRefuseLengthFieldEvent {
    field: '$.refuse.length'
    value: number
  }

  export interface StageFrameRefuseMessageFieldEvent {
    field: '$.refuse.message'
    value: string
  }

  export interface StageFrameCloseEpochFieldEvent {
    field: '$.close.epoch'
    value: number
  }

  export interface StageFrameCloseCommitToFieldEvent {
    field: '$.close.commitTo'
    value: number
  }

  export interface StageFrameClosedHopsHopFieldEvent {
    field: '$.closed.hops[].hop'
    value: number
    index: number
  }

  export interface StageFrameClosedHopsStepsFieldEvent {
    field: '$.closed.hops[].steps'
    value: number
    index: number
  }

  export interface StageFrameClosedHopsTokensFieldEvent {
    field: '$.closed.hops[].tokens'
    value: number
    index: number
  }

  export interface StageFrameClosedHopsComputeMsFieldEvent {
    field: '$.closed.hops[].computeMs'
    value: number
    index: number
  }

  export interface StageFrameClosedHopsQueueMsFieldEvent {
    field: '$.closed.hops[].queueMs'
    value: number
    index: number
  }

  export interface StageFrameClosedHopsBytesInFieldEvent {
    field: '$.closed.hops[].bytesIn'
    value: number
    index: number
  }

  export interface StageFrameClosedHopsBytesOutFieldEvent {
    field: '$.closed.hops[].bytesOut'
    value: number
    index: number
  }

  export interface StageFrameClosedHopsBytesBackFieldEvent {
    field: '$.closed.hops[].bytesBack'
    value: number
    index: number
  }

  export interface StageFrameClosedHopsReplayedFieldEvent {
    field: '$.closed.hops[].replayed'
    value: number
    index: number
  }

  export interface StageFrameClosedHopsRowsFieldEvent {
    field: '$.closed.hops[].rows'
    value: number
    index: number
  }

  export interface StageFrameClosedHopsGatherMsFieldEvent {
    field: '$.closed.hops[].gatherMs'
    value: number
    index: number
  }

  export interface StageFrameClosedHopsReusedFieldEvent {
    field: '$.closed.hops[].reused'
    value: number
    index: number
  }

  export interface StageFrameClosedCommitmentsCommitmentFieldEvent {
    field: '$.closed.commitments[].commitment'
    value: Uint8Array<ArrayBuffer>
    index: number
  }

  export interface StageFrameClosedCommitmentsSignatureFieldEvent {
    field: '$.closed.commitments[].signature'
    value: Uint8Array<ArrayBuffer>
    index: number
  }

  export interface StageFramePrepareEpochFieldEvent {
    field: '$.prepare.epoch'
    value: number
  }

  export interface StageFramePrepareHopFieldEvent {
    field: '$.prepare.hop'
    value: number
  }

  export interface StageFramePrepareTermsFieldEvent {
    field: '$.prepare.terms'
    value: Uint8Array<ArrayBuffer>
  }

  export interface StageFramePrepareSignatureFieldEvent {
    field: '$.prepare.signature'
    value: Uint8Array<ArrayBuffer>
  }

  export interface StageFramePreparedEpochFieldEvent {
    field: '$.prepared.epoch'
    value: number
  }

  export interface StageFramePreparedNextFieldEvent {
    field: '$.prepared.next'
    value: number
  }

  export interface StageFramePreparedFailedFieldEvent {
    field: '$.prepared.failed'
    value: boolean
  }

  export interface StageFramePreparedMessageFieldEvent {
    field: '$.prepared.message'
    value: string
  }

  export interface StageFrameAskEpochFieldEvent {
    field: '$.ask.epoch'
    value: number
  }

  export interface StageFrameAskRoundFieldEvent {
    field: '$.ask.round'
    value: number
  }

  export interface StageFrameStandingEpochFieldEvent {
    field: '$.standing.epoch'
    value: number
  }

  export interface StageFrameStandingRoundFieldEvent {
    field: '$.standing.round'
    value: number
  }

  export interface StageFrameStandingHopFieldEvent {
    field: '$.standing.hop'
    value: number
  }

  export interface StageFrameStandingArrivedFieldEvent {
    field: '$.standing.arrived'
    value: number
  }

  export interface StageFrameStandingLengthFieldEvent {
    field: '$.standing.length'
    value: number
  }

  export interface StageFrameStandingBusyMsFieldEvent {
    field: '$.standing.busyMs'
    value: number
  }

  export interface StageFrameStandingStepsFieldEvent {
    field: '$.standing.steps'
    value: number
  }

  export interface StageFrameStandingComputeMsFieldEvent {
    field: '$.standing.computeMs'
    value: number
  }

  export interface StageFrameStandingQueueMsFieldEvent {
    field: '$.standing.queueMs'
    value: number
  }

  export interface StageFrameStandingRowsFieldEvent {
    field: '$.standing.rows'
    value: number
  }

  export interface StageFrameStandingGatherMsFieldEvent {
    field: '$.standing.gatherMs'
    value: number
  }

  export interface StageFrameStandingPlaceFieldEvent {
    field: '$.standing.place'
    value: number
  }

  export interface StageFrameStandingPlaceMsFieldEvent {
    field: '$.standing.placeMs'
    value: number
  }

  export interface StageFrameScoresEpochFieldEvent {
    field: '$.scores.epoch'
    value: number
  }

  export interface StageFrameScoresPositionFieldEvent {
    field: '$.scores.position'
    value: number
  }

  export interface StageFrameScoresScoresLogprobFieldEvent {
    field: '$.scores.scores[].logprob'
    value: number
    index: number
  }

  export interface StageFrameScoresScoresIdsFieldEvent {
    field: '$.scores.scores[].ids[]'
    index: number
    value: number
  }

  export interface StageFrameScoresScoresLogprobsFieldEvent {
    field: '$.scores.scores[].logprobs[]'
    index: number
    value: number
  }

  export interface StageFrameCommitEpochFieldEvent {
    field: '$.commit.epoch'
    value: number
  }

  export interface StageFrameCommitTokensFieldEvent {
    field: '$.commit.tokens'
    value: number
  }

  export interface StageFrameCommittedEpochFieldEvent {
    field: '$.committed.epoch'
    value: number
  }

  export interface StageFrameCommittedCommitmentCommitmentFieldEvent {
    field: '$.committed.commitment.commitment'
    value: Uint8Array<ArrayBuffer>
  }

  export interface StageFrameCommittedCommitmentSignatureFieldEvent {
    field: '$.committed.commitment.signature'
    value: Uint8Array<ArrayBuffer>
  }

  export function encode (obj: Partial<StageFrame>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, StageFrame.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<StageFrame>): StageFrame {
    return decodeMessage(buf, StageFrame.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<StageFrame>): Generator<StageFrameOpenTermsFieldEvent | StageFrameOpenSignatureFieldEvent | StageFrameOpenHopFieldEvent | StageFrameStepEpochFieldEvent | StageFrameStepPositionFieldEvent | StageFrameStepTokensFieldEvent | StageFrameStepSampleFromFieldEvent | StageFrameStepIdsFieldEvent | StageFrameStepHiddenFieldEvent | StageFrameStepSpansHopFieldEvent | StageFrameStepSpansReadFieldEvent | StageFrameStepSpansWaitFieldEvent | StageFrameStepSpansOutFieldEvent | StageFrameStepSpansComputeFieldEvent | StageFrameStepSpansSampleFieldEvent | StageFrameStepSpansBackFieldEvent | StageFrameStepSpansSentFieldEvent | StageFrameStepMasksSlotFieldEvent | StageFrameStepMasksBitsFieldEvent | StageFrameStepMasksRunsFieldEvent | StageFrameTokenEpochFieldEvent | StageFrameTokenPositionFieldEvent | StageFrameTokenIdsFieldEvent | StageFrameTokenSpansHopFieldEvent | StageFrameTokenSpansReadFieldEvent | StageFrameTokenSpansWaitFieldEvent | StageFrameTokenSpansOutFieldEvent | StageFrameTokenSpansComputeFieldEvent | StageFrameTokenSpansSampleFieldEvent | StageFrameTokenSpansBackFieldEvent | StageFrameTokenSpansSentFieldEvent | StageFrameTokenScoresLogprobFieldEvent | StageFrameTokenScoresIdsFieldEvent | StageFrameTokenScoresLogprobsFieldEvent | StageFrameAckEpochFieldEvent | StageFrameAckLengthFieldEvent | StageFrameAckStepsFieldEvent | StageFrameAckTokensFieldEvent | StageFrameRefuseEpochFieldEvent | StageFrameRefuseHopFieldEvent | StageFrameRefuseReasonFieldEvent | StageFrameRefuseLengthFieldEvent | StageFrameRefuseMessageFieldEvent | StageFrameCloseEpochFieldEvent | StageFrameCloseCommitToFieldEvent | StageFrameClosedHopsHopFieldEvent | StageFrameClosedHopsStepsFieldEvent | StageFrameClosedHopsTokensFieldEvent | StageFrameClosedHopsComputeMsFieldEvent | StageFrameClosedHopsQueueMsFieldEvent | StageFrameClosedHopsBytesInFieldEvent | StageFrameClosedHopsBytesOutFieldEvent | StageFrameClosedHopsBytesBackFieldEvent | StageFrameClosedHopsReplayedFieldEvent | StageFrameClosedHopsRowsFieldEvent | StageFrameClosedHopsGatherMsFieldEvent | StageFrameClosedHopsReusedFieldEvent | StageFrameClosedCommitmentsCommitmentFieldEvent | StageFrameClosedCommitmentsSignatureFieldEvent | StageFramePrepareEpochFieldEvent | StageFramePrepareHopFieldEvent | StageFramePrepareTermsFieldEvent | StageFramePrepareSignatureFieldEvent | StageFramePreparedEpochFieldEvent | StageFramePreparedNextFieldEvent | StageFramePreparedFailedFieldEvent | StageFramePreparedMessageFieldEvent | StageFrameAskEpochFieldEvent | StageFrameAskRoundFieldEvent | StageFrameStandingEpochFieldEvent | StageFrameStandingRoundFieldEvent | StageFrameStandingHopFieldEvent | StageFrameStandingArrivedFieldEvent | StageFrameStandingLengthFieldEvent | StageFrameStandingBusyMsFieldEvent | StageFrameStandingStepsFieldEvent | StageFrameStandingComputeMsFieldEvent | StageFrameStandingQueueMsFieldEvent | StageFrameStandingRowsFieldEvent | StageFrameStandingGatherMsFieldEvent | StageFrameStandingPlaceFieldEvent | StageFrameStandingPlaceMsFieldEvent | StageFrameScoresEpochFieldEvent | StageFrameScoresPositionFieldEvent | StageFrameScoresScoresLogprobFieldEvent | StageFrameScoresScoresIdsFieldEvent | StageFrameScoresScoresLogprobsFieldEvent | StageFrameCommitEpochFieldEvent | StageFrameCommitTokensFieldEvent | StageFrameCommittedEpochFieldEvent | StageFrameCommittedCommitmentCommitmentFieldEvent | StageFrameCommittedCommitmentSignatureFieldEvent> {
    return streamMessage(buf, StageFrame.codec(), opts)
  }
}

export interface Open {
  terms: Uint8Array<ArrayBuffer>
  signature: Uint8Array<ArrayBuffer>
  hop: number
}

export namespace Open {
  let _codec: Codec<Open>

  export const codec = (): Codec<Open> => {
    if (_codec == null) {
      _codec = message<Open>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.terms != null && obj.terms.byteLength > 0)) {
          w.uint32(10)
          w.bytes(obj.terms)
        }

        if ((obj.signature != null && obj.signature.byteLength > 0)) {
          w.uint32(18)
          w.bytes(obj.signature)
        }

        if ((obj.hop != null && obj.hop !== 0)) {
          w.uint32(24)
          w.uint32(obj.hop)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          terms: uint8ArrayAlloc(0),
          signature: uint8ArrayAlloc(0),
          hop: 0
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.terms = reader.bytes()
              break
            }
            case 2: {
              obj.signature = reader.bytes()
              break
            }
            case 3: {
              obj.hop = reader.uint32()
              break
            }
            default: {
              reader.skipType(tag & 7)
              break
            }
          }
        }

        return obj
      }, function * (reader, length, prefix, opts = {}) {
        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              yield {
                field: `${prefix}.terms`,
                value: reader.bytes()
              }
              break
            }
            case 2: {
              yield {
                field: `${prefix}.signature`,
                value: reader.bytes()
              }
              break
            }
            case 3: {
              yield {
                field: `${prefix}.hop`,
                value: reader.uint32()
              }
              break
            }
            default: {
              reader.skipType(tag & 7)
              break
            }
          }
        }
      })
    }

    return _codec
  }

  export interface OpenTermsFieldEvent {
    field: '$.terms'
    value: Uint8Array<ArrayBuffer>
  }

  export interface OpenSignatureFieldEvent {
    field: '$.signature'
    value: Uint8Array<ArrayBuffer>
  }

  export interface OpenHopFieldEvent {
    field: '$.hop'
    value: number
  }

  export function encode (obj: Partial<Open>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, Open.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Open>): Open {
    return decodeMessage(buf, Open.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Open>): Generator<OpenTermsFieldEvent | OpenSignatureFieldEvent | OpenHopFieldEvent> {
    return streamMessage(buf, Open.codec(), opts)
  }
}

export interface Terms {
  session: Uint8Array<ArrayBuffer>
  epoch: number
  model: Uint8Array<ArrayBuffer>
  route: Hop[]
  driver: Uint8Array<ArrayBuffer>
  tokensMax: number
  sampling?: Sampling
  keep: number
  from: number
  to: number
  needs: string[]
  cacheType: number
  prefix: Uint8Array<ArrayBuffer>
  priority: number
  zone: string
  trace: string
  room: number
}

export namespace Terms {
  let _codec: Codec<Terms>

  export const codec = (): Codec<Terms> => {
    if (_codec == null) {
      _codec = message<Terms>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.session != null && obj.session.byteLength > 0)) {
          w.uint32(10)
          w.bytes(obj.session)
        }

        if ((obj.epoch != null && obj.epoch !== 0)) {
          w.uint32(16)
          w.uint32(obj.epoch)
        }

        if ((obj.model != null && obj.model.byteLength > 0)) {
          w.uint32(26)
          w.bytes(obj.model)
        }

        if (obj.route != null && obj.route.length > 0) {
          for (const value of obj.route) {
            w.uint32(34)
            Hop.codec().encode(value, w)
          }
        }

        if ((obj.driver != null && obj.driver.byteLength > 0)) {
          w.uint32(42)
          w.bytes(obj.driver)
        }

        if ((obj.tokensMax != null && obj.tokensMax !== 0)) {
          w.uint32(48)
          w.uint32(obj.tokensMax)
        }

        if (obj.sampling != null) {
          w.uint32(58)
          Sampling.codec().encode(obj.sampling, w)
        }

        if ((obj.keep != null && obj.keep !== 0)) {
          w.uint32(64)
          w.uint32(obj.keep)
        }

        if ((obj.from != null && obj.from !== 0)) {
          w.uint32(72)
          w.uint32(obj.from)
        }

        if ((obj.to != null && obj.to !== 0)) {
          w.uint32(80)
          w.uint32(obj.to)
        }

        if (obj.needs != null && obj.needs.length > 0) {
          for (const value of obj.needs) {
            w.uint32(90)
            w.string(value)
          }
        }

        if ((obj.cacheType != null && obj.cacheType !== 0)) {
          w.uint32(96)
          w.uint32(obj.cacheType)
        }

        if ((obj.prefix != null && obj.prefix.byteLength > 0)) {
          w.uint32(106)
          w.bytes(obj.prefix)
        }

        if ((obj.priority != null && obj.priority !== 0)) {
          w.uint32(112)
          w.uint32(obj.priority)
        }

        if ((obj.zone != null && obj.zone !== '')) {
          w.uint32(122)
          w.string(obj.zone)
        }

        if ((obj.trace != null && obj.trace !== '')) {
          w.uint32(130)
          w.string(obj.trace)
        }

        if ((obj.room != null && obj.room !== 0)) {
          w.uint32(136)
          w.uint32(obj.room)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          session: uint8ArrayAlloc(0),
          epoch: 0,
          model: uint8ArrayAlloc(0),
          route: [],
          driver: uint8ArrayAlloc(0),
          tokensMax: 0,
          keep: 0,
          from: 0,
          to: 0,
          needs: [],
          cacheType: 0,
          prefix: uint8ArrayAlloc(0),
          priority: 0,
          zone: '',
          trace: '',
          room: 0
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.session = reader.bytes()
              break
            }
            case 2: {
              obj.epoch = reader.uint32()
              break
            }
            case 3: {
              obj.model = reader.bytes()
              break
            }
            case 4: {
              if (opts.limits?.route != null && obj.route.length === opts.limits.route) {
                throw new MaxLengthError('Decode error - repeated field "route" had too many elements')
              }

              obj.route.push(Hop.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.route$
              }))
              break
            }
            case 5: {
              obj.driver = reader.bytes()
              break
            }
            case 6: {
              obj.tokensMax = reader.uint32()
              break
            }
            case 7: {
              obj.sampling = Sampling.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.sampling
              })
              break
            }
            case 8: {
              obj.keep = reader.uint32()
              break
            }
            case 9: {
              obj.from = reader.uint32()
              break
            }
            case 10: {
              obj.to = reader.uint32()
              break
            }
            case 11: {
              if (opts.limits?.needs != null && obj.needs.length === opts.limits.needs) {
                throw new MaxLengthError('Decode error - repeated field "needs" had too many elements')
              }

              obj.needs.push(reader.string())
              break
            }
            case 12: {
              obj.cacheType = reader.uint32()
              break
            }
            case 13: {
              obj.prefix = reader.bytes()
              break
            }
            case 14: {
              obj.priority = reader.uint32()
              break
            }
            case 15: {
              obj.zone = reader.string()
              break
            }
            case 16: {
              obj.trace = reader.string()
              break
            }
            case 17: {
              obj.room = reader.uint32()
              break
            }
            default: {
              reader.skipType(tag & 7)
              break
            }
          }
        }

        return obj
      }, function * (reader, length, prefix, opts = {}) {
        const obj = {
          route: 0,
          needs: 0
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              yield {
                field: `${prefix}.session`,
                value: reader.bytes()
              }
              break
            }
            case 2: {
              yield {
                field: `${prefix}.epoch`,
                value: reader.uint32()
              }
              break
            }
            case 3: {
              yield {
                field: `${prefix}.model`,
                value: reader.bytes()
              }
              break
            }
            case 4: {
              if (opts.limits?.route != null && obj.route === opts.limits.route) {
                throw new MaxLengthError('Streaming decode error - repeated field "route" had too many elements')
              }

              for (const evt of Hop.codec().stream(reader, reader.uint32(), `${prefix}.route[]`, {
                limits: opts.limits?.route$
              })) {
                yield {
                  ...evt,
                  index: obj.route
                }
              }

              obj.route++

              break
            }
            case 5: {
              yield {
                field: `${prefix}.driver`,
                value: reader.bytes()
              }
              break
            }
            case 6: {
              yield {
                field: `${prefix}.tokensMax`,
                value: reader.uint32()
              }
              break
            }
            case 7: {
              yield * Sampling.codec().stream(reader, reader.uint32(), `${prefix}.sampling`, {
                limits: opts.limits?.sampling
              })

              break
            }
            case 8: {
              yield {
                field: `${prefix}.keep`,
                value: reader.uint32()
              }
              break
            }
            case 9: {
              yield {
                field: `${prefix}.from`,
                value: reader.uint32()
              }
              break
            }
            case 10: {
              yield {
                field: `${prefix}.to`,
                value: reader.uint32()
              }
              break
            }
            case 11: {
              if (opts.limits?.needs != null && obj.needs === opts.limits.needs) {
                throw new MaxLengthError('Streaming decode error - repeated field "needs" had too many elements')
              }

              yield {
                field: `${prefix}.needs[]`,
                index: obj.needs,
                value: reader.string()
              }

              obj.needs++

              break
            }
            case 12: {
              yield {
                field: `${prefix}.cacheType`,
                value: reader.uint32()
              }
              break
            }
            case 13: {
              yield {
                field: `${prefix}.prefix`,
                value: reader.bytes()
              }
              break
            }
            case 14: {
              yield {
                field: `${prefix}.priority`,
                value: reader.uint32()
              }
              break
            }
            case 15: {
              yield {
                field: `${prefix}.zone`,
                value: reader.string()
              }
              break
            }
            case 16: {
              yield {
                field: `${prefix}.trace`,
                value: reader.string()
              }
              break
            }
            case 17: {
              yield {
                field: `${prefix}.room`,
                value: reader.uint32()
              }
              break
            }
            default: {
              reader.skipType(tag & 7)
              break
            }
          }
        }
      })
    }

    return _codec
  }

  export interface TermsSessionFieldEvent {
    field: '$.session'
    value: Uint8Array<ArrayBuffer>
  }

  export interface TermsEpochFieldEvent {
    field: '$.epoch'
    value: number
  }

  export interface TermsModelFieldEvent {
    field: '$.model'
    value: Uint8Array<ArrayBuffer>
  }

  export interface TermsRoutePeerFieldEvent {
    field: '$.route[].peer'
    value: Uint8Array<ArrayBuffer>
    index: number
  }

  export interface TermsRouteStartFieldEvent {
    field: '$.route[].start'
    value: number
    index: number
  }

  export interface TermsRouteEndFieldEvent {
    field: '$.route[].end'
    value: number
    index: number
  }

  export interface TermsDriverFieldEvent {
    field: '$.driver'
    value: Uint8Array<ArrayBuffer>
  }

  export interface TermsTokensMaxFieldEvent {
    field: '$.tokensMax'
    value: number
  }

  export interface TermsSamplingTemperatureFieldEvent {
    field: '$.sampling.temperature'
    value: number
  }

  export interface TermsSamplingTopPFieldEvent {
    field: '$.sampling.topP'
    value: number
  }

  export interface TermsSamplingTopKFieldEvent {
    field: '$.sampling.topK'
    value: number
  }

  export interface TermsSamplingSeedFieldEvent {
    field: '$.sampling.seed'
    value: number
  }

  export interface TermsSamplingPresencePenaltyFieldEvent {
    field: '$.sampling.presencePenalty'
    value: number
  }

  export interface TermsSamplingFrequencyPenaltyFieldEvent {
    field: '$.sampling.frequencyPenalty'
    value: number
  }

  export interface TermsSamplingRepetitionPenaltyFieldEvent {
    field: '$.sampling.repetitionPenalty'
    value: number
  }

  export interface TermsSamplingLogProbsFieldEvent {
    field: '$.sampling.logProbs'
    value: number
  }

  export interface TermsSamplingPromptTokensFieldEvent {
    field: '$.sampling.promptTokens'
    value: number
  }

  export interface TermsSamplingMinPFieldEvent {
    field: '$.sampling.minP'
    value: number
  }

  export interface TermsSamplingLogitBiasIdFieldEvent {
    field: '$.sampling.logitBias[].id'
    value: number
    index: number
  }

  export interface TermsSamplingLogitBiasBiasFieldEvent {
    field: '$.sampling.logitBias[].bias'
    value: number
    index: number
  }

  export interface TermsSamplingPromptLogProbsFieldEvent {
    field: '$.sampling.promptLogProbs'
    value: number
  }

  export interface TermsKeepFieldEvent {
    field: '$.keep'
    value: number
  }

  export interface TermsFromFieldEvent {
    field: '$.from'
    value: number
  }

  export interface TermsToFieldEvent {
    field: '$.to'
    value: number
  }

  export interface TermsNeedsFieldEvent {
    field: '$.needs[]'
    index: number
    value: string
  }

  export interface TermsCacheTypeFieldEvent {
    field: '$.cacheType'
    value: number
  }

  export interface TermsPrefixFieldEvent {
    field: '$.prefix'
    value: Uint8Array<ArrayBuffer>
  }

  export interface TermsPriorityFieldEvent {
    field: '$.priority'
    value: number
  }

  export interface TermsZoneFieldEvent {
    field: '$.zone'
    value: string
  }

  export interface TermsTraceFieldEvent {
    field: '$.trace'
    value: string
  }

  export interface TermsRoomFieldEvent {
    field: '$.room'
    value: number
  }

  export function encode (obj: Partial<Terms>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, Terms.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Terms>): Terms {
    return decodeMessage(buf, Terms.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Terms>): Generator<TermsSessionFieldEvent | TermsEpochFieldEvent | TermsModelFieldEvent | TermsRoutePeerFieldEvent | TermsRouteStartFieldEvent | TermsRouteEndFieldEvent | TermsDriverFieldEvent | TermsTokensMaxFieldEvent | TermsSamplingTemperatureFieldEvent | TermsSamplingTopPFieldEvent | TermsSamplingTopKFieldEvent | TermsSamplingSeedFieldEvent | TermsSamplingPresencePenaltyFieldEvent | TermsSamplingFrequencyPenaltyFieldEvent | TermsSamplingRepetitionPenaltyFieldEvent | TermsSamplingLogProbsFieldEvent | TermsSamplingPromptTokensFieldEvent | TermsSamplingMinPFieldEvent | TermsSamplingLogitBiasIdFieldEvent | TermsSamplingLogitBiasBiasFieldEvent | TermsSamplingPromptLogProbsFieldEvent | TermsKeepFieldEvent | TermsFromFieldEvent | TermsToFieldEvent | TermsNeedsFieldEvent | TermsCacheTypeFieldEvent | TermsPrefixFieldEvent | TermsPriorityFieldEvent | TermsZoneFieldEvent | TermsTraceFieldEvent | TermsRoomFieldEvent> {
    return streamMessage(buf, Terms.codec(), opts)
  }
}

export interface Hop {
  peer: Uint8Array<ArrayBuffer>
  start: number
  end: number
}

export namespace Hop {
  let _codec: Codec<Hop>

  export const codec = (): Codec<Hop> => {
    if (_codec == null) {
      _codec = message<Hop>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.peer != null && obj.peer.byteLength > 0)) {
          w.uint32(10)
          w.bytes(obj.peer)
        }

        if ((obj.start != null && obj.start !== 0)) {
          w.uint32(16)
          w.uint32(obj.start)
        }

        if ((obj.end != null && obj.end !== 0)) {
          w.uint32(24)
          w.uint32(obj.end)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          peer: uint8ArrayAlloc(0),
          start: 0,
          end: 0
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.peer = reader.bytes()
              break
            }
            case 2: {
              obj.start = reader.uint32()
              break
            }
            case 3: {
              obj.end = reader.uint32()
              break
            }
            default: {
              reader.skipType(tag & 7)
              break
            }
          }
        }

        return obj
      }, function * (reader, length, prefix, opts = {}) {
        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              yield {
                field: `${prefix}.peer`,
                value: reader.bytes()
              }
              break
            }
            case 2: {
              yield {
                field: `${prefix}.start`,
                value: reader.uint32()
              }
              break
            }
            case 3: {
              yield {
                field: `${prefix}.end`,
                value: reader.uint32()
              }
              break
            }
            default: {
              reader.skipType(tag & 7)
              break
            }
          }
        }
      })
    }

    return _codec
  }

  export interface HopPeerFieldEvent {
    field: '$.peer'
    value: Uint8Array<ArrayBuffer>
  }

  export interface HopStartFieldEvent {
    field: '$.start'
    value: number
  }

  export interface HopEndFieldEvent {
    field: '$.end'
    value: number
  }

  export function encode (obj: Partial<Hop>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, Hop.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Hop>): Hop {
    return decodeMessage(buf, Hop.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Hop>): Generator<HopPeerFieldEvent | HopStartFieldEvent | HopEndFieldEvent> {
    return streamMessage(buf, Hop.codec(), opts)
  }
}

export interface Sampling {
  temperature: number
  topP: number
  topK: number
  seed: number
  presencePenalty: number
  frequencyPenalty: number
  repetitionPenalty: number
  logProbs: number
  promptTokens: number
  minP: number
  logitBias: LogitBias[]
  promptLogProbs: number
}

export namespace Sampling {
  let _codec: Codec<Sampling>

  export const codec = (): Codec<Sampling> => {
    if (_codec == null) {
      _codec = message<Sampling>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.temperature != null && obj.temperature !== 0)) {
          w.uint32(9)
          w.double(obj.temperature)
        }

        if ((obj.topP != null && obj.topP !== 0)) {
          w.uint32(17)
          w.double(obj.topP)
        }

        if ((obj.topK != null && obj.topK !== 0)) {
          w.uint32(24)
          w.uint32(obj.topK)
        }

        if ((obj.seed != null && obj.seed !== 0)) {
          w.uint32(32)
          w.uint64Number(obj.seed)
        }

        if ((obj.presencePenalty != null && obj.presencePenalty !== 0)) {
          w.uint32(41)
          w.double(obj.presencePenalty)
        }

        if ((obj.frequencyPenalty != null && obj.frequencyPenalty !== 0)) {
          w.uint32(49)
          w.double(obj.frequencyPenalty)
        }

        if ((obj.repetitionPenalty != null && obj.repetitionPenalty !== 0)) {
          w.uint32(57)
          w.double(obj.repetitionPenalty)
        }

        if ((obj.logProbs != null && obj.logProbs !== 0)) {
          w.uint32(64)
          w.uint32(obj.logProbs)
        }

        if ((obj.promptTokens != null && obj.promptTokens !== 0)) {
          w.uint32(72)
          w.uint32(obj.promptTokens)
        }

        if ((obj.minP != null && obj.minP !== 0)) {
          w.uint32(81)
          w.double(obj.minP)
        }

        if (obj.logitBias != null && obj.logitBias.length > 0) {
          for (const value of obj.logitBias) {
            w.uint32(90)
            LogitBias.codec().encode(value, w)
          }
        }

        if ((obj.promptLogProbs != null && obj.promptLogProbs !== 0)) {
          w.uint32(96)
          w.uint32(obj.promptLogProbs)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          temperature: 0,
          topP: 0,
          topK: 0,
          seed: 0,
          presencePenalty: 0,
          frequencyPenalty: 0,
          repetitionPenalty: 0,
          logProbs: 0,
          promptTokens: 0,
          minP: 0,
          logitBias: [],
          promptLogProbs: 0
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.temperature = reader.double()
              break
            }
            case 2: {
              obj.topP = reader.double()
              break
            }
            case 3: {
              obj.topK = reader.uint32()
              break
            }
            case 4: {
              obj.seed = reader.uint64Number()
              break
            }
            case 5: {
              obj.presencePenalty = reader.double()
              break
            }
            case 6: {
              obj.frequencyPenalty = reader.double()
              break
            }
            case 7: {
              obj.repetitionPenalty = reader.double()
              break
            }
            case 8: {
              obj.logProbs = reader.uint32()
              break
            }
            case 9: {
              obj.promptTokens = reader.uint32()
              break
            }
            case 10: {
              obj.minP = reader.double()
              break
            }
            case 11: {
              if (opts.limits?.logitBias != null && obj.logitBias.length === opts.limits.logitBias) {
                throw new MaxLengthError('Decode error - repeated field "logitBias" had too many elements')
              }

              obj.logitBias.push(LogitBias.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.logitBias$
              }))
              break
            }
            case 12: {
              obj.promptLogProbs = reader.uint32()
              break
            }
            default: {
              reader.skipType(tag & 7)
              break
            }
          }
        }

        return obj
      }, function * (reader, length, prefix, opts = {}) {
        const obj = {
          logitBias: 0
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              yield {
                field: `${prefix}.temperature`,
                value: reader.double()
              }
              break
            }
            case 2: {
              yield {
                field: `${prefix}.topP`,
                value: reader.double()
              }
              break
            }
            case 3: {
              yield {
                field: `${prefix}.topK`,
                value: reader.uint32()
              }
              break
            }
            case 4: {
              yield {
                field: `${prefix}.seed`,
                value: reader.uint64Number()
              }
              break
            }
            case 5: {
              yield {
                field: `${prefix}.presencePenalty`,
                value: reader.double()
              }
              break
            }
            case 6: {
              yield {
                field: `${prefix}.frequencyPenalty`,
                value: reader.double()
              }
              break
            }
            case 7: {
              yield {
                field: `${prefix}.repetitionPenalty`,
                value: reader.double()
              }
              break
            }
            case 8: {
              yield {
                field: `${prefix}.logProbs`,
                value: reader.uint32()
              }
              break
            }
            case 9: {
              yield {
                field: `${prefix}.promptTokens`,
                value: reader.uint32()
              }
              break
            }
            case 10: {
              yield {
                field: `${prefix}.minP`,
                value: reader.double()
              }
              break
            }
            case 11: {
              if (opts.limits?.logitBias != null && obj.logitBias === opts.limits.logitBias) {
                throw new MaxLengthError('Streaming decode error - repeated field "logitBias" had too many elements')
              }

              for (const evt of LogitBias.codec().stream(reader, reader.uint32(), `${prefix}.logitBias[]`, {
                limits: opts.limits?.logitBias$
              })) {
                yield {
                  ...evt,
                  index: obj.logitBias
                }
              }

              obj.logitBias++

              break
            }
            case 12: {
              yield {
                field: `${prefix}.promptLogProbs`,
                value: reader.uint32()
              }
              break
            }
            default: {
              reader.skipType(tag & 7)
              break
            }
          }
        }
      })
    }

    return _codec
  }

  export interface SamplingTemperatureFieldEvent {
    field: '$.temperature'
    value: number
  }

  export interface SamplingTopPFieldEvent {
    field: '$.topP'
    value: number
  }

  export interface SamplingTopKFieldEvent {
    field: '$.topK'
    value: number
  }

  export interface SamplingSeedFieldEvent {
    field: '$.seed'
    value: number
  }

  export interface SamplingPresencePenaltyFieldEvent {
    field: '$.presencePenalty'
    value: number
  }

  export interface SamplingFrequencyPenaltyFieldEvent {
    field: '$.frequencyPenalty'
    value: number
  }

  export interface SamplingRepetitionPenaltyFieldEvent {
    field: '$.repetitionPenalty'
    value: number
  }

  export interface SamplingLogProbsFieldEvent {
    field: '$.logProbs'
    value: number
  }

  export interface SamplingPromptTokensFieldEvent {
    field: '$.promptTokens'
    value: number
  }

  export interface SamplingMinPFieldEvent {
    field: '$.minP'
    value: number
  }

  export interface SamplingLogitBiasIdFieldEvent {
    field: '$.logitBias[].id'
    value: number
    index: number
  }

  export interface SamplingLogitBiasBiasFieldEvent {
    field: '$.logitBias[].bias'
    value: number
    index: number
  }

  export interface SamplingPromptLogProbsFieldEvent {
    field: '$.promptLogProbs'
    value: number
  }

  export function encode (obj: Partial<Sampling>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, Sampling.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Sampling>): Sampling {
    return decodeMessage(buf, Sampling.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Sampling>): Generator<SamplingTemperatureFieldEvent | SamplingTopPFieldEvent | SamplingTopKFieldEvent | SamplingSeedFieldEvent | SamplingPresencePenaltyFieldEvent | SamplingFrequencyPenaltyFieldEvent | SamplingRepetitionPenaltyFieldEvent | SamplingLogProbsFieldEvent | SamplingPromptTokensFieldEvent | SamplingMinPFieldEvent | SamplingLogitBiasIdFieldEvent | SamplingLogitBiasBiasFieldEvent | SamplingPromptLogProbsFieldEvent> {
    return streamMessage(buf, Sampling.codec(), opts)
  }
}

export interface LogitBias {
  id: number
  bias: number
}

export namespace LogitBias {
  let _codec: Codec<LogitBias>

  export const codec = (): Codec<LogitBias> => {
    if (_codec == null) {
      _codec = message<LogitBias>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.id != null && obj.id !== 0)) {
          w.uint32(8)
          w.uint32(obj.id)
        }

        if ((obj.bias != null && obj.bias !== 0)) {
          w.uint32(17)
          w.double(obj.bias)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          id: 0,
          bias: 0
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.id = reader.uint32()
              break
            }
            case 2: {
              obj.bias = reader.double()
              break
            }
            default: {
              reader.skipType(tag & 7)
              break
            }
          }
        }

        return obj
      }, function * (reader, length, prefix, opts = {}) {
        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              yield {
                field: `${prefix}.id`,
                value: reader.uint32()
              }
              break
            }
            case 2: {
              yield {
                field: `${prefix}.bias`,
                value: reader.double()
              }
              break
            }
            default: {
              reader.skipType(tag & 7)
              break
            }
          }
        }
      })
    }

    return _codec
  }

  export interface LogitBiasIdFieldEvent {
    field: '$.id'
    value: number
  }

  export interface LogitBiasBiasFieldEvent {
    field: '$.bias'
    value: number
  }

  export function encode (obj: Partial<LogitBias>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, LogitBias.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<LogitBias>): LogitBias {
    return decodeMessage(buf, LogitBias.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<LogitBias>): Generator<LogitBiasIdFieldEvent | LogitBiasBiasFieldEvent> {
    return streamMessage(buf, LogitBias.codec(), opts)
  }
}

export interface Step {
  epoch: number
  position: number
  tokens: number
  sampleFrom: number
  ids: number[]
  hidden: Uint8Array<ArrayBuffer>
  spans: HopSpans[]
  masks: Mask[]
}

export namespace Step {
  let _codec: Codec<Step>

  export const codec = (): Codec<Step> => {
    if (_codec == null) {
      _codec = message<Step>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.epoch != null && obj.epoch !== 0)) {
          w.uint32(8)
          w.uint32(obj.epoch)
        }

        if ((obj.position != null && obj.position !== 0)) {
          w.uint32(16)
          w.uint32(obj.position)
        }

        if ((obj.tokens != null && obj.tokens !== 0)) {
          w.uint32(24)
          w.uint32(obj.tokens)
        }

        if ((obj.sampleFrom != null && obj.sampleFrom !== 0)) {
          w.uint32(32)
          w.uint32(obj.sampleFrom)
        }

        if (obj.ids != null && obj.ids.length > 0) {
          for (const value of obj.ids) {
            w.uint32(40)
            w.uint32(value)
          }
        }

        if ((obj.hidden != null && obj.hidden.byteLength > 0)) {
          w.uint32(50)
          w.bytes(obj.hidden)
        }

        if (obj.spans != null && obj.spans.length > 0) {
          for (const value of obj.spans) {
            w.uint32(58)
            HopSpans.codec().encode(value, w)
          }
        }

        if (obj.masks != null && obj.masks.length > 0) {
          for (const value of obj.masks) {
            w.uint32(66)
            Mask.codec().encode(value, w)
          }
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          epoch: 0,
          position: 0,
          tokens: 0,
          sampleFrom: 0,
          ids: [],
          hidden: uint8ArrayAlloc(0),
          spans: [],
          masks: []
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.epoch = reader.uint32()
              break
            }
            case 2: {
              obj.position = reader.uint32()
              break
            }
            case 3: {
              obj.tokens = reader.uint32()
              break
            }
            case 4: {
              obj.sampleFrom = reader.uint32()
              break
            }
            case 5: {
              if (opts.limits?.ids != null && obj.ids.length === opts.limits.ids) {
                throw new MaxLengthError('Decode error - repeated field "ids" had too many elements')
              }

              obj.ids.push(reader.uint32())
              break
            }
            case 6: {
              obj.hidden = reader.bytes()
              break
            }
            case 7: {
              if (opts.limits?.spans != null && obj.spans.length === opts.limits.spans) {
                throw new MaxLengthError('Decode error - repeated field "spans" had too many elements')
              }

              obj.spans.push(HopSpans.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.spans$
              }))
              break
            }
            case 8: {
              if (opts.limits?.masks != null && obj.masks.length === opts.limits.masks) {
                throw new MaxLengthError('Decode error - repeated field "masks" had too many elements')
              }

              obj.masks.push(Mask.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.masks$
              }))
              break
            }
            default: {
              reader.skipType(tag & 7)
              break
            }
          }
        }

        return obj
      }, function * (reader, length, prefix, opts = {}) {
        const obj = {
          ids: 0,
          spans: 0,
          masks: 0
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              yield {
                field: `${prefix}.epoch`,
                value: reader.uint32()
              }
              break
            }
            case 2: {
              yield {
                field: `${prefix}.position`,
                value: reader.uint32()
              }
              break
            }
            case 3: {
              yield {
                field: `${prefix}.tokens`,
                value: reader.uint32()
              }
              break
            }
            case 4: {
              yield {
                field: `${prefix}.sampleFrom`,
                value: reader.uint32()
              }
              break
            }
            case 5: {
              if (opts.limits?.ids != null && obj.ids === opts.limits.ids) {
                throw new MaxLengthError('Streaming decode error - repeated field "ids" had too many elements')
              }

              yield {
                field: `${prefix}.ids[]`,
                index: obj.ids,
                value: reader.uint32()
              }

              obj.ids++

              break
            }
            case 6: {
              yield {
                field: `${prefix}.hidden`,
                value: reader.bytes()
              }
              break
            }
            case 7: {
              if (opts.limits?.spans != null && obj.spans === opts.limits.spans) {
                throw new MaxLengthError('Streaming decode error - repeated field "spans" had too many elements')
              }

              for (const evt of HopSpans.codec().stream(reader, reader.uint32(), `${prefix}.spans[]`, {
                limits: opts.limits?.spans$
              })) {
                yield {
                  ...evt,
                  index: obj.spans
                }
              }

              obj.spans++

              break
            }
            case 8: {
              if (opts.limits?.masks != null && obj.masks === opts.limits.masks) {
                throw new MaxLengthError('Streaming decode error - repeated field "masks" had too many elements')
              }

              for (const evt of Mask.codec().stream(reader, reader.uint32(), `${prefix}.masks[]`, {
                limits: opts.limits?.masks$
              })) {
                yield {
                  ...evt,
                  index: obj.masks
                }
              }

              obj.masks++

              break
            }
            default: {
              reader.skipType(tag & 7)
              break
            }
          }
        }
      })
    }

    return _codec
  }

  export interface StepEpochFieldEvent {
    field: '$.epoch'
    value: number
  }

  export interface StepPositionFieldEvent {
    field: '$.position'
    value: number
  }

  export interface StepTokensFieldEvent {
    field: '$.tokens'
    value: number
  }

  export interface StepSampleFromFieldEvent {
    field: '$.sampleFrom'
    value: number
  }

  export interface StepIdsFieldEvent {
    field: '$.ids[]'
    index: number
    value: number
  }

  export interface StepHiddenFieldEvent {
    field: '$.hidden'
    value: Uint8Array<ArrayBuffer>
  }

  export interface StepSpansHopFieldEvent {
    field: '$.spans[].hop'
    value: number
    index: number
  }

  export interface StepSpansReadFieldEvent {
    field: '$.spans[].read'
    value: number
    index: number
  }

  export interface StepSpansWaitFieldEvent {
    field: '$.spans[].wait'
    value: number
    index: number
  }

  export interface StepSpansOutFieldEvent {
    field: '$.spans[].out'
    value: number
    index: number
  }

  export interface StepSpansComputeFieldEvent {
    field: '$.spans[].compute'
    value: number
    index: number
  }

  export interface StepSpansSampleFieldEvent {
    field: '$.spans[].sample'
    value: number
    index: number
  }

  export interface StepSpansBackFieldEvent {
    field: '$.spans[].back'
    value: number
    index: number
  }

  export interface StepSpansSentFieldEvent {
    field: '$.spans[].sent'
    value: number
    index: number
  }

  export interface StepMasksSlotFieldEvent {
    field: '$.masks[].slot'
    value: number
    index: number
  }

  export interface StepMasksBitsFieldEvent {
    field: '$.masks[].bits'
    value: Uint8Array<ArrayBuffer>
    index: number
  }

  export interface StepMasksRunsFieldEvent {
    field: '$.masks[].runs'
    value: Uint8Array<ArrayBuffer>
    index: number
  }

  export function encode (obj: Partial<Step>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, Step.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Step>): Step {
    return decodeMessage(buf, Step.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Step>): Generator<StepEpochFieldEvent | StepPositionFieldEvent | StepTokensFieldEvent | StepSampleFromFieldEvent | StepIdsFieldEvent | StepHiddenFieldEvent | StepSpansHopFieldEvent | StepSpansReadFieldEvent | StepSpansWaitFieldEvent | StepSpansOutFieldEvent | StepSpansComputeFieldEvent | StepSpansSampleFieldEvent | StepSpansBackFieldEvent | StepSpansSentFieldEvent | StepMasksSlotFieldEvent | StepMasksBitsFieldEvent | StepMasksRunsFieldEvent> {
    return streamMessage(buf, Step.codec(), opts)
  }
}

export interface Mask {
  slot: number
  bits: Uint8Array<ArrayBuffer>
  runs: Uint8Array<ArrayBuffer>
}

export namespace Mask {
  let _codec: Codec<Mask>

  export const codec = (): Codec<Mask> => {
    if (_codec == null) {
      _codec = message<Mask>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.slot != null && obj.slot !== 0)) {
          w.uint32(8)
          w.uint32(obj.slot)
        }

        if ((obj.bits != null && obj.bits.byteLength > 0)) {
          w.uint32(18)
          w.bytes(obj.bits)
        }

        if ((obj.runs != null && obj.runs.byteLength > 0)) {
          w.uint32(26)
          w.bytes(obj.runs)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          slot: 0,
          bits: uint8ArrayAlloc(0),
          runs: uint8ArrayAlloc(0)
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.slot = reader.uint32()
              break
            }
            case 2: {
              obj.bits = reader.bytes()
              break
            }
            case 3: {
              obj.runs = reader.bytes()
              break
            }
            default: {
              reader.skipType(tag & 7)
              break
            }
          }
        }

        return obj
      }, function * (reader, length, prefix, opts = {}) {
        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              yield {
                field: `${prefix}.slot`,
                value: reader.uint32()
              }
              break
            }
            case 2: {
              yield {
                field: `${prefix}.bits`,
                value: reader.bytes()
              }
              break
            }
            case 3: {
              yield {
                field: `${prefix}.runs`,
                value: reader.bytes()
              }
              break
            }
            default: {
              reader.skipType(tag & 7)
              break
            }
          }
        }
      })
    }

    return _codec
  }

  export interface MaskSlotFieldEvent {
    field: '$.slot'
    value: number
  }

  export interface MaskBitsFieldEvent {
    field: '$.bits'
    value: Uint8Array<ArrayBuffer>
  }

  export interface MaskRunsFieldEvent {
    field: '$.runs'
    value: Uint8Array<ArrayBuffer>
  }

  export function encode (obj: Partial<Mask>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, Mask.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Mask>): Mask {
    return decodeMessage(buf, Mask.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Mask>): Generator<MaskSlotFieldEvent | MaskBitsFieldEvent | MaskRunsFieldEvent> {
    return streamMessage(buf, Mask.codec(), opts)
  }
}

export interface Token {
  epoch: number
  position: number
  ids: number[]
  spans: HopSpans[]
  scores: Score[]
}

export namespace Token {
  let _codec: Codec<Token>

  export const codec = (): Codec<Token> => {
    if (_codec == null) {
      _codec = message<Token>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.epoch != null && obj.epoch !== 0)) {
          w.uint32(8)
          w.uint32(obj.epoch)
        }

        if ((obj.position != null && obj.position !== 0)) {
          w.uint32(16)
          w.uint32(obj.position)
        }

        if (obj.ids != null && obj.ids.length > 0) {
          for (const value of obj.ids) {
            w.uint32(24)
            w.uint32(value)
          }
        }

        if (obj.spans != null && obj.spans.length > 0) {
          for (const value of obj.spans) {
            w.uint32(34)
            HopSpans.codec().encode(value, w)
          }
        }

        if (obj.scores != null && obj.scores.length > 0) {
          for (const value of obj.scores) {
            w.uint32(42)
            Score.codec().encode(value, w)
          }
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          epoch: 0,
          position: 0,
          ids: [],
          spans: [],
          scores: []
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.epoch = reader.uint32()
              break
            }
            case 2: {
              obj.position = reader.uint32()
              break
            }
            case 3: {
              if (opts.limits?.ids != null && obj.ids.length === opts.limits.ids) {
                throw new MaxLengthError('Decode error - repeated field "ids" had too many elements')
              }

              obj.ids.push(reader.uint32())
              break
            }
            case 4: {
              if (opts.limits?.spans != null && obj.spans.length === opts.limits.spans) {
                throw new MaxLengthError('Decode error - repeated field "spans" had too many elements')
              }

              obj.spans.push(HopSpans.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.spans$
              }))
              break
            }
            case 5: {
              if (opts.limits?.scores != null && obj.scores.length === opts.limits.scores) {
                throw new MaxLengthError('Decode error - repeated field "scores" had too many elements')
              }

              obj.scores.push(Score.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.scores$
              }))
              break
            }
            default: {
              reader.skipType(tag & 7)
              break
            }
          }
        }

        return obj
      }, function * (reader, length, prefix, opts = {}) {
        const obj = {
          ids: 0,
          spans: 0,
          scores: 0
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              yield {
                field: `${prefix}.epoch`,
                value: reader.uint32()
              }
              break
            }
            case 2: {
              yield {
                field: `${prefix}.position`,
                value: reader.uint32()
              }
              break
            }
            case 3: {
              if (opts.limits?.ids != null && obj.ids === opts.limits.ids) {
                throw new MaxLengthError('Streaming decode error - repeated field "ids" had too many elements')
              }

              yield {
                field: `${prefix}.ids[]`,
                index: obj.ids,
                value: reader.uint32()
              }

              obj.ids++

              break
            }
            case 4: {
              if (opts.limits?.spans != null && obj.spans === opts.limits.spans) {
                throw new MaxLengthError('Streaming decode error - repeated field "spans" had too many elements')
              }

              for (const evt of HopSpans.codec().stream(reader, reader.uint32(), `${prefix}.spans[]`, {
                limits: opts.limits?.spans$
              })) {
                yield {
                  ...evt,
                  index: obj.spans
                }
              }

              obj.spans++

              break
            }
            case 5: {
              if (opts.limits?.scores != null && obj.scores === opts.limits.scores) {
                throw new MaxLengthError('Streaming decode error - repeated field "scores" had too many elements')
              }

              for (const evt of Score.codec().stream(reader, reader.uint32(), `${prefix}.scores[]`, {
                limits: opts.limits?.scores$
              })) {
                yield {
                  ...evt,
                  index: obj.scores
                }
              }

              obj.scores++

              break
            }
            default: {
              reader.skipType(tag & 7)
              break
            }
          }
        }
      })
    }

    return _codec
  }

  export interface TokenEpochFieldEvent {
    field: '$.epoch'
    value: number
  }

  export interface TokenPositionFieldEvent {
    field: '$.position'
    value: number
  }

  export interface TokenIdsFieldEvent {
    field: '$.ids[]'
    index: number
    value: number
  }

  export interface TokenSpansHopFieldEvent {
    field: '$.spans[].hop'
    value: number
    index: number
  }

  export interface TokenSpansReadFieldEvent {
    field: '$.spans[].read'
    value: number
    index: number
  }

  export interface TokenSpansWaitFieldEvent {
    field: '$.spans[].wait'
    value: number
    index: number
  }

  export interface TokenSpansOutFieldEvent {
    field: '$.spans[].out'
    value: number
    index: number
  }

  export interface TokenSpansComputeFieldEvent {
    field: '$.spans[].compute'
    value: number
    index: number
  }

  export interface TokenSpansSampleFieldEvent {
    field: '$.spans[].sample'
    value: number
    index: number
  }

  export interface TokenSpansBackFieldEvent {
    field: '$.spans[].back'
    value: number
    index: number
  }

  export interface TokenSpansSentFieldEvent {
    field: '$.spans[].sent'
    value: number
    index: number
  }

  export interface TokenScoresLogprobFieldEvent {
    field: '$.scores[].logprob'
    value: number
    index: number
  }

  export interface TokenScoresIdsFieldEvent {
    field: '$.scores[].ids[]'
    index: number
    value: number
  }

  export interface TokenScoresLogprobsFieldEvent {
    field: '$.scores[].logprobs[]'
    index: number
    value: number
  }

  export function encode (obj: Partial<Token>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, Token.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Token>): Token {
    return decodeMessage(buf, Token.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Token>): Generator<TokenEpochFieldEvent | TokenPositionFieldEvent | TokenIdsFieldEvent | TokenSpansHopFieldEvent | TokenSpansReadFieldEvent | TokenSpansWaitFieldEvent | TokenSpansOutFieldEvent | TokenSpansComputeFieldEvent | TokenSpansSampleFieldEvent | TokenSpansBackFieldEvent | TokenSpansSentFieldEvent | TokenScoresLogprobFieldEvent | TokenScoresIdsFieldEvent | TokenScoresLogprobsFieldEvent> {
    return streamMessage(buf, Token.codec(), opts)
  }
}

export interface Score {
  logprob: number
  ids: number[]
  logprobs: number[]
}

export namespace Score {
  let _codec: Codec<Score>

  export const codec = (): Codec<Score> => {
    if (_codec == null) {
      _codec = message<Score>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.logprob != null && obj.logprob !== 0)) {
          w.uint32(13)
          w.float(obj.logprob)
        }

        if (obj.ids != null && obj.ids.length > 0) {
          for (const value of obj.ids) {
            w.uint32(16)
            w.uint32(value)
          }
        }

        if (obj.logprobs != null && obj.logprobs.length > 0) {
          for (const value of obj.logprobs) {
            w.uint32(29)
            w.float(value)
          }
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          logprob: 0,
          ids: [],
          logprobs: []
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.logprob = reader.float()
              break
            }
            case 2: {
              if (opts.limits?.ids != null && obj.ids.length === opts.limits.ids) {
                throw new MaxLengthError('Decode error - repeated field "ids" had too many elements')
              }

              obj.ids.push(reader.uint32())
              break
            }
            case 3: {
              if (opts.limits?.logprobs != null && obj.logprobs.length === opts.limits.logprobs) {
                throw new MaxLengthError('Decode error - repeated field "logprobs" had too many elements')
              }

              obj.logprobs.push(reader.float())
              break
            }
            default: {
              reader.skipType(tag & 7)
              break
            }
          }
        }

        return obj
      }, function * (reader, length, prefix, opts = {}) {
        const obj = {
          ids: 0,
          logprobs: 0
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              yield {
                field: `${prefix}.logprob`,
                value: reader.float()
              }
              break
            }
            case 2: {
              if (opts.limits?.ids != null && obj.ids === opts.limits.ids) {
                throw new MaxLengthError('Streaming decode error - repeated field "ids" had too many elements')
              }

              yield {
                field: `${prefix}.ids[]`,
                index: obj.ids,
                value: reader.uint32()
              }

              obj.ids++

              break
            }
            case 3: {
              if (opts.limits?.logprobs != null && obj.logprobs === opts.limits.logprobs) {
                throw new MaxLengthError('Streaming decode error - repeated field "logprobs" had too many elements')
              }

              yield {
                field: `${prefix}.logprobs[]`,
                index: obj.logprobs,
                value: reader.float()
              }

              obj.logprobs++

              break
            }
            default: {
              reader.skipType(tag & 7)
              break
            }
          }
        }
      })
    }

    return _codec
  }

  export interface ScoreLogprobFieldEvent {
    field: '$.logprob'
    value: number
  }

  export interface ScoreIdsFieldEvent {
    field: '$.ids[]'
    index: number
    value: number
  }

  export interface ScoreLogprobsFieldEvent {
    field: '$.logprobs[]'
    index: number
    value: number
  }

  export function encode (obj: Partial<Score>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, Score.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Score>): Score {
    return decodeMessage(buf, Score.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Score>): Generator<ScoreLogprobFieldEvent | ScoreIdsFieldEvent | ScoreLogprobsFieldEvent> {
    return streamMessage(buf, Score.codec(), opts)
  }
}

export interface Scores {
  epoch: number
  position: number
  scores: Score[]
}

export namespace Scores {
  let _codec: Codec<Scores>

  export const codec = (): Codec<Scores> => {
    if (_codec == null) {
      _codec = message<Scores>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.epoch != null && obj.epoch !== 0)) {
          w.uint32(8)
          w.uint32(obj.epoch)
        }

        if ((obj.position != null && obj.position !== 0)) {
          w.uint32(16)
          w.uint32(obj.position)
        }

        if (obj.scores != null && obj.scores.length > 0) {
          for (const value of obj.scores) {
            w.uint32(26)
            Score.codec().encode(value, w)
          }
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          epoch: 0,
          position: 0,
          scores: []
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.epoch = reader.uint32()
              break
            }
            case 2: {
              obj.position = reader.uint32()
              break
            }
            case 3: {
              if (opts.limits?.scores != null && obj.scores.length === opts.limits.scores) {
                throw new MaxLengthError('Decode error - repeated field "scores" had too many elements')
              }

              obj.scores.push(Score.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.scores$
              }))
              break
            }
            default: {
              reader.skipType(tag & 7)
              break
            }
          }
        }

        return obj
      }, function * (reader, length, prefix, opts = {}) {
        const obj = {
          scores: 0
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              yield {
                field: `${prefix}.epoch`,
                value: reader.uint32()
              }
              break
            }
            case 2: {
              yield {
                field: `${prefix}.position`,
                value: reader.uint32()
              }
              break
            }
            case 3: {
              if (opts.limits?.scores != null && obj.scores === opts.limits.scores) {
                throw new MaxLengthError('Streaming decode error - repeated field "scores" had too many elements')
              }

              for (const evt of Score.codec().stream(reader, reader.uint32(), `${prefix}.scores[]`, {
                limits: opts.limits?.scores$
              })) {
                yield {
                  ...evt,
                  index: obj.scores
                }
              }

              obj.scores++

              break
            }
            default: {
              reader.skipType(tag & 7)
              break
            }
          }
        }
      })
    }

    return _codec
  }

  export interface ScoresEpochFieldEvent {
    field: '$.epoch'
    value: number
  }

  export interface ScoresPositionFieldEvent {
    field: '$.position'
    value: number
  }

  export interface ScoresScoresLogprobFieldEvent {
    field: '$.scores[].logprob'
    value: number
    index: number
  }

  export interface ScoresScoresIdsFieldEvent {
    field: '$.scores[].ids[]'
    index: number
    value: number
  }

  export interface ScoresScoresLogprobsFieldEvent {
    field: '$.scores[].logprobs[]'
    index: number
    value: number
  }

  export function encode (obj: Partial<Scores>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, Scores.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Scores>): Scores {
    return decodeMessage(buf, Scores.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Scores>): Generator<ScoresEpochFieldEvent | ScoresPositionFieldEvent | ScoresScoresLogprobFieldEvent | ScoresScoresIdsFieldEvent | ScoresScoresLogprobsFieldEvent> {
    return streamMessage(buf, Scores.codec(), opts)
  }
}

export interface HopSpans {
  hop: number
  read: number
  wait: number
  out: number
  compute: number
  sample: number
  back: number
  sent: number
}

export namespace HopSpans {
  let _codec: Codec<HopSpans>

  export const codec = (): Codec<HopSpans> => {
    if (_codec == null) {
      _codec = message<HopSpans>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.hop != null && obj.hop !== 0)) {
          w.uint32(8)
          w.uint32(obj.hop)
        }

        if ((obj.read != null && obj.read !== 0)) {
          w.uint32(16)
          w.uint32(obj.read)
        }

        if ((obj.wait != null && obj.wait !== 0)) {
          w.uint32(24)
          w.uint32(obj.wait)
        }

        if ((obj.out != null && obj.out !== 0)) {
          w.uint32(32)
          w.uint32(obj.out)
        }

        if ((obj.compute != null && obj.compute !== 0)) {
          w.uint32(40)
          w.uint32(obj.compute)
        }

        if ((obj.sample != null && obj.sample !== 0)) {
          w.uint32(48)
          w.uint32(obj.sample)
        }

        if ((obj.back != null && obj.back !== 0)) {
          w.uint32(56)
          w.uint32(obj.back)
        }

        if ((obj.sent != null && obj.sent !== 0)) {
          w.uint32(64)
          w.uint32(obj.sent)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          hop: 0,
          read: 0,
          wait: 0,
          out: 0,
          compute: 0,
          sample: 0,
          back: 0,
          sent: 0
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.hop = reader.uint32()
              break
            }
            case 2: {
              obj.read = reader.uint32()
              break
            }
            case 3: {
              obj.wait = reader.uint32()
              break
            }
            case 4: {
              obj.out = reader.uint32()
              break
            }
            case 5: {
              obj.compute = reader.uint32()
              break
            }
            case 6: {
              obj.sample = reader.uint32()
              break
            }
            case 7: {
              obj.back = reader.uint32()
              break
            }
            case 8: {
              obj.sent = reader.uint32()
              break
            }
            default: {
              reader.skipType(tag & 7)
              break
            }
          }
        }

        return obj
      }, function * (reader, length, prefix, opts = {}) {
        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              yield {
                field: `${prefix}.hop`,
                value: reader.uint32()
              }
              break
            }
            case 2: {
              yield {
                field: `${prefix}.read`,
                value: reader.uint32()
              }
              break
            }
            case 3: {
              yield {
                field: `${prefix}.wait`,
                value: reader.uint32()
              }
              break
            }
            case 4: {
              yield {
                field: `${prefix}.out`,
                value: reader.uint32()
              }
              break
            }
            case 5: {
              yield {
                field: `${prefix}.compute`,
                value: reader.uint32()
              }
              break
            }
            case 6: {
              yield {
                field: `${prefix}.sample`,
                value: reader.uint32()
              }
              break
            }
            case 7: {
              yield {
                field: `${prefix}.back`,
                value: reader.uint32()
              }
              break
            }
            case 8: {
              yield {
                field: `${prefix}.sent`,
                value: reader.uint32()
              }
              break
            }
            default: {
              reader.skipType(tag & 7)
              break
            }
          }
        }
      })
    }

    return _codec
  }

  export interface HopSpansHopFieldEvent {
    field: '$.hop'
    value: number
  }

  export interface HopSpansReadFieldEvent {
    field: '$.read'
    value: number
  }

  export interface HopSpansWaitFieldEvent {
    field: '$.wait'
    value: number
  }

  export interface HopSpansOutFieldEvent {
    field: '$.out'
    value: number
  }

  export interface HopSpansComputeFieldEvent {
    field: '$.compute'
    value: number
  }

  export interface HopSpansSampleFieldEvent {
    field: '$.sample'
    value: number
  }

  export interface HopSpansBackFieldEvent {
    field: '$.back'
    value: number
  }

  export interface HopSpansSentFieldEvent {
    field: '$.sent'
    value: number
  }

  export function encode (obj: Partial<HopSpans>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, HopSpans.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<HopSpans>): HopSpans {
    return decodeMessage(buf, HopSpans.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<HopSpans>): Generator<HopSpansHopFieldEvent | HopSpansReadFieldEvent | HopSpansWaitFieldEvent | HopSpansOutFieldEvent | HopSpansComputeFieldEvent | HopSpansSampleFieldEvent | HopSpansBackFieldEvent | HopSpansSentFieldEvent> {
    return streamMessage(buf, HopSpans.codec(), opts)
  }
}

export interface Ack {
  epoch: number
  length: number
  steps: number
  tokens: number
}

export namespace Ack {
  let _codec: Codec<Ack>

  export const codec = (): Codec<Ack> => {
    if (_codec == null) {
      _codec = message<Ack>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.epoch != null && obj.epoch !== 0)) {
          w.uint32(8)
          w.uint32(obj.epoch)
        }

        if ((obj.length != null && obj.length !== 0)) {
          w.uint32(16)
          w.uint32(obj.length)
        }

        if ((obj.steps != null && obj.steps !== 0)) {
          w.uint32(24)
          w.uint32(obj.steps)
        }

        if ((obj.tokens != null && obj.tokens !== 0)) {
          w.uint32(32)
          w.uint32(obj.tokens)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          epoch: 0,
          length: 0,
          steps: 0,
          tokens: 0
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.epoch = reader.uint32()
              break
            }
            case 2: {
              obj.length = reader.uint32()
              break
            }
            case 3: {
              obj.steps = reader.uint32()
              break
            }
            case 4: {
              obj.tokens = reader.uint32()
              break
            }
            default: {
              reader.skipType(tag & 7)
              break
            }
          }
        }

        return obj
      }, function * (reader, length, prefix, opts = {}) {
        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              yield {
                field: `${prefix}.epoch`,
                value: reader.uint32()
              }
              break
            }
            case 2: {
              yield {
                field: `${prefix}.length`,
                value: reader.uint32()
              }
              break
            }
            case 3: {
              yield {
                field: `${prefix}.steps`,
                value: reader.uint32()
              }
              break
            }
            case 4: {
              yield {
                field: `${prefix}.tokens`,
                value: reader.uint32()
              }
              break
            }
            default: {
              reader.skipType(tag & 7)
              break
            }
          }
        }
      })
    }

    return _codec
  }

  export interface AckEpochFieldEvent {
    field: '$.epoch'
    value: number
  }

  export interface AckLengthFieldEvent {
    field: '$.length'
    value: number
  }

  export interface AckStepsFieldEvent {
    field: '$.steps'
    value: number
  }

  export interface AckTokensFieldEvent {
    field: '$.tokens'
    value: number
  }

  export function encode (obj: Partial<Ack>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, Ack.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Ack>): Ack {
    return decodeMessage(buf, Ack.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Ack>): Generator<AckEpochFieldEvent | AckLengthFieldEvent | AckStepsFieldEvent | AckTokensFieldEvent> {
    return streamMessage(buf, Ack.codec(), opts)
  }
}

export interface Refuse {
  epoch: number
  hop: number
  reason: number
  length: number
  message: string
}

export namespace Refuse {
  let _codec: Codec<Refuse>

  export const codec = (): Codec<Refuse> => {
    if (_codec == null) {
      _codec = message<Refuse>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.epoch != null && obj.epoch !== 0)) {
          w.uint32(8)
          w.uint32(obj.epoch)
        }

        if ((obj.hop != null && obj.hop !== 0)) {
          w.uint32(16)
          w.uint32(obj.hop)
        }

        if ((obj.reason != null && obj.reason !== 0)) {
          w.uint32(24)
          w.uint32(obj.reason)
        }

        if ((obj.length != null && obj.length !== 0)) {
          w.uint32(32)
          w.uint32(obj.length)
        }

        if ((obj.message != null && obj.message !== '')) {
          w.uint32(42)
          w.string(obj.message)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          epoch: 0,
          hop: 0,
          reason: 0,
          length: 0,
          message: ''
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.epoch = reader.uint32()
              break
            }
            case 2: {
              obj.hop = reader.uint32()
              break
            }
            case 3: {
              obj.reason = reader.uint32()
              break
            }
            case 4: {
              obj.length = reader.uint32()
              break
            }
            case 5: {
              obj.message = reader.string()
              break
            }
            default: {
              reader.skipType(tag & 7)
              break
            }
          }
        }

        return obj
      }, function * (reader, length, prefix, opts = {}) {
        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              yield {
                field: `${prefix}.epoch`,
                value: reader.uint32()
              }
              break
            }
            case 2: {
              yield {
                field: `${prefix}.hop`,
                value: reader.uint32()
              }
              break
            }
            case 3: {
              yield {
                field: `${prefix}.reason`,
                value: reader.uint32()
              }
              break
            }
            case 4: {
              yield {
                field: `${prefix}.length`,
                value: reader.uint32()
              }
              break
            }
            case 5: {
              yield {
                field: `${prefix}.message`,
                value: reader.string()
              }
              break
            }
            default: {
              reader.skipType(tag & 7)
              break
            }
          }
        }
      })
    }

    return _codec
  }

  export interface RefuseEpochFieldEvent {
    field: '$.epoch'
    value: number
  }

  export interface RefuseHopFieldEvent {
    field: '$.hop'
    value: number
  }

  export interface RefuseReasonFieldEvent {
    field: '$.reason'
    value: number
  }

  export interface RefuseLengthFieldEvent {
    field: '$.length'
    value: number
  }

  export interface RefuseMessageFieldEvent {
    field: '$.message'
    value: string
  }

  export function encode (obj: Partial<Refuse>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, Refuse.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Refuse>): Refuse {
    return decodeMessage(buf, Refuse.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Refuse>): Generator<RefuseEpochFieldEvent | RefuseHopFieldEvent | RefuseReasonFieldEvent | RefuseLengthFieldEvent | RefuseMessageFieldEvent> {
    return streamMessage(buf, Refuse.codec(), opts)
  }
}

export interface Close {
  epoch: number
  commitTo: number
}

export namespace Close {
  let _codec: Codec<Close>

  export const codec = (): Codec<Close> => {
    if (_codec == null) {
      _codec = message<Close>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.epoch != null && obj.epoch !== 0)) {
          w.uint32(8)
          w.uint32(obj.epoch)
        }

        if ((obj.commitTo != null && obj.commitTo !== 0)) {
          w.uint32(24)
          w.uint32(obj.commitTo)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          epoch: 0,
          commitTo: 0
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.epoch = reader.uint32()
              break
            }
            case 3: {
              obj.commitTo = reader.uint32()
              break
            }
            default: {
              reader.skipType(tag & 7)
              break
            }
          }
        }

        return obj
      }, function * (reader, length, prefix, opts = {}) {
        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              yield {
                field: `${prefix}.epoch`,
                value: reader.uint32()
              }
              break
            }
            case 3: {
              yield {
                field: `${prefix}.commitTo`,
                value: reader.uint32()
              }
              break
            }
            default: {
              reader.skipType(tag & 7)
              break
            }
          }
        }
      })
    }

    return _codec
  }

  export interface CloseEpochFieldEvent {
    field: '$.epoch'
    value: number
  }

  export interface CloseCommitToFieldEvent {
    field: '$.commitTo'
    value: number
  }

  export function encode (obj: Partial<Close>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, Close.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Close>): Close {
    return decodeMessage(buf, Close.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Close>): Generator<CloseEpochFieldEvent | CloseCommitToFieldEvent> {
    return streamMessage(buf, Close.codec(), opts)
  }
}

export interface Closed {
  hops: HopStats[]
  commitments: SignedCommitment[]
}

export namespace Closed {
  let _codec: Codec<Closed>

  export const codec = (): Codec<Closed> => {
    if (_codec == null) {
      _codec = message<Closed>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if (obj.hops != null && obj.hops.length > 0) {
          for (const value of obj.hops) {
            w.uint32(10)
            HopStats.codec().encode(value, w)
          }
        }

        if (obj.commitments != null && obj.commitments.length > 0) {
          for (const value of obj.commitments) {
            w.uint32(18)
            SignedCommitment.codec().encode(value, w)
          }
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          hops: [],
          commitments: []
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              if (opts.limits?.hops != null && obj.hops.length === opts.limits.hops) {
                throw new MaxLengthError('Decode error - repeated field "hops" had too many elements')
              }

              obj.hops.push(HopStats.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.hops$
              }))
              break
            }
            case 2: {
              if (opts.limits?.commitments != null && obj.commitments.length === opts.limits.commitments) {
                throw new MaxLengthError('Decode error - repeated field "commitments" had too many elements')
              }

              obj.commitments.push(SignedCommitment.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.commitments$
              }))
              break
            }
            default: {
              reader.skipType(tag & 7)
              break
            }
          }
        }

        return obj
      }, function * (reader, length, prefix, opts = {}) {
        const obj = {
          hops: 0,
          commitments: 0
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              if (opts.limits?.hops != null && obj.hops === opts.limits.hops) {
                throw new MaxLengthError('Streaming decode error - repeated field "hops" had too many elements')
              }

              for (const evt of HopStats.codec().stream(reader, reader.uint32(), `${prefix}.hops[]`, {
                limits: opts.limits?.hops$
              })) {
                yield {
                  ...evt,
                  index: obj.hops
                }
              }

              obj.hops++

              break
            }
            case 2: {
              if (opts.limits?.commitments != null && obj.commitments === opts.limits.commitments) {
                throw new MaxLengthError('Streaming decode error - repeated field "commitments" had too many elements')
              }

              for (const evt of SignedCommitment.codec().stream(reader, reader.uint32(), `${prefix}.commitments[]`, {
                limits: opts.limits?.commitments$
              })) {
                yield {
                  ...evt,
                  index: obj.commitments
                }
              }

              obj.commitments++

              break
            }
            default: {
              reader.skipType(tag & 7)
              break
            }
          }
        }
      })
    }

    return _codec
  }

  export interface ClosedHopsHopFieldEvent {
    field: '$.hops[].hop'
    value: number
    index: number
  }

  export interface ClosedHopsStepsFieldEvent {
    field: '$.hops[].steps'
    value: number
    index: number
  }

  export interface ClosedHopsTokensFieldEvent {
    field: '$.hops[].tokens'
    value: number
    index: number
  }

  export interface ClosedHopsComputeMsFieldEvent {
    field: '$.hops[].computeMs'
    value: number
    index: number
  }

  export interface ClosedHopsQueueMsFieldEvent {
    field: '$.hops[].queueMs'
    value: number
    index: number
  }

  export interface ClosedHopsBytesInFieldEvent {
    field: '$.hops[].bytesIn'
    value: number
    index: number
  }

  export interface ClosedHopsBytesOutFieldEvent {
    field: '$.hops[].bytesOut'
    value: number
    index: number
  }

  export interface ClosedHopsBytesBackFieldEvent {
    field: '$.hops[].bytesBack'
    value: number
    index: number
  }

  export interface ClosedHopsReplayedFieldEvent {
    field: '$.hops[].replayed'
    value: number
    index: number
  }

  export interface ClosedHopsRowsFieldEvent {
    field: '$.hops[].rows'
    value: number
    index: number
  }

  export interface ClosedHopsGatherMsFieldEvent {
    field: '$.hops[].gatherMs'
    value: number
    index: number
  }

  export interface ClosedHopsReusedFieldEvent {
    field: '$.hops[].reused'
    value: number
    index: number
  }

  export interface ClosedCommitmentsCommitmentFieldEvent {
    field: '$.commitments[].commitment'
    value: Uint8Array<ArrayBuffer>
    index: number
  }

  export interface ClosedCommitmentsSignatureFieldEvent {
    field: '$.commitments[].signature'
    value: Uint8Array<ArrayBuffer>
    index: number
  }

  export function encode (obj: Partial<Closed>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, Closed.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Closed>): Closed {
    return decodeMessage(buf, Closed.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Closed>): Generator<ClosedHopsHopFieldEvent | ClosedHopsStepsFieldEvent | ClosedHopsTokensFieldEvent | ClosedHopsComputeMsFieldEvent | ClosedHopsQueueMsFieldEvent | ClosedHopsBytesInFieldEvent | ClosedHopsBytesOutFieldEvent | ClosedHopsBytesBackFieldEvent | ClosedHopsReplayedFieldEvent | ClosedHopsRowsFieldEvent | ClosedHopsGatherMsFieldEvent | ClosedHopsReusedFieldEvent | ClosedCommitmentsCommitmentFieldEvent | ClosedCommitmentsSignatureFieldEvent> {
    return streamMessage(buf, Closed.codec(), opts)
  }
}

export interface Commit {
  epoch: number
  tokens: number
}

export namespace Commit {
  let _codec: Codec<Commit>

  export const codec = (): Codec<Commit> => {
    if (_codec == null) {
      _codec = message<Commit>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.epoch != null && obj.epoch !== 0)) {
          w.uint32(8)
          w.uint32(obj.epoch)
        }

        if ((obj.tokens != null && obj.tokens !== 0)) {
          w.uint32(16)
          w.uint32(obj.tokens)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          epoch: 0,
          tokens: 0
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.epoch = reader.uint32()
              break
            }
            case 2: {
              obj.tokens = reader.uint32()
              break
            }
            default: {
              reader.skipType(tag & 7)
              break
            }
          }
        }

        return obj
      }, function * (reader, length, prefix, opts = {}) {
        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              yield {
                field: `${prefix}.epoch`,
                value: reader.uint32()
              }
              break
            }
            case 2: {
              yield {
                field: `${prefix}.tokens`,
                value: reader.uint32()
              }
              break
            }
            default: {
              reader.skipType(tag & 7)
              break
            }
          }
        }
      })
    }

    return _codec
  }

  export interface CommitEpochFieldEvent {
    field: '$.epoch'
    value: number
  }

  export interface CommitTokensFieldEvent {
    field: '$.tokens'
    value: number
  }

  export function encode (obj: Partial<Commit>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, Commit.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Commit>): Commit {
    return decodeMessage(buf, Commit.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Commit>): Generator<CommitEpochFieldEvent | CommitTokensFieldEvent> {
    return streamMessage(buf, Commit.codec(), opts)
  }
}

export interface Committed {
  epoch: number
  commitment?: SignedCommitment
}

export namespace Committed {
  let _codec: Codec<Committed>

  export const codec = (): Codec<Committed> => {
    if (_codec == null) {
      _codec = message<Committed>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.epoch != null && obj.epoch !== 0)) {
          w.uint32(8)
          w.uint32(obj.epoch)
        }

        if (obj.commitment != null) {
          w.uint32(18)
          SignedCommitment.codec().encode(obj.commitment, w)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          epoch: 0
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.epoch = reader.uint32()
              break
            }
            case 2: {
              obj.commitment = SignedCommitment.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.commitment
              })
              break
            }
            default: {
              reader.skipType(tag & 7)
              break
            }
          }
        }

        return obj
      }, function * (reader, length, prefix, opts = {}) {
        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              yield {
                field: `${prefix}.epoch`,
                value: reader.uint32()
              }
              break
            }
            case 2: {
              yield * SignedCommitment.codec().stream(reader, reader.uint32(), `${prefix}.commitment`, {
                limits: opts.limits?.commitment
              })

              break
            }
            default: {
              reader.skipType(tag & 7)
              break
            }
          }
        }
      })
    }

    return _codec
  }

  export interface CommittedEpochFieldEvent {
    field: '$.epoch'
    value: number
  }

  export interface CommittedCommitmentCommitmentFieldEvent {
    field: '$.commitment.commitment'
    value: Uint8Array<ArrayBuffer>
  }

  export interface CommittedCommitmentSignatureFieldEvent {
    field: '$.commitment.signature'
    value: Uint8Array<ArrayBuffer>
  }

  export function encode (obj: Partial<Committed>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, Committed.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Committed>): Committed {
    return decodeMessage(buf, Committed.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Committed>): Generator<CommittedEpochFieldEvent | CommittedCommitmentCommitmentFieldEvent | CommittedCommitmentSignatureFieldEvent> {
    return streamMessage(buf, Committed.codec(), opts)
  }
}

export interface SignedCommitment {
  commitment: Uint8Array<ArrayBuffer>
  signature: Uint8Array<ArrayBuffer>
}

export namespace SignedCommitment {
  let _codec: Codec<SignedCommitment>

  export const codec = (): Codec<SignedCommitment> => {
    if (_codec == null) {
      _codec = message<SignedCommitment>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.commitment != null && obj.commitment.byteLength > 0)) {
          w.uint32(10)
          w.bytes(obj.commitment)
        }

        if ((obj.signature != null && obj.signature.byteLength > 0)) {
          w.uint32(18)
          w.bytes(obj.signature)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          commitment: uint8ArrayAlloc(0),
          signature: uint8ArrayAlloc(0)
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.commitment = reader.bytes()
              break
            }
            case 2: {
              obj.signature = reader.bytes()
              break
            }
            default: {
              reader.skipType(tag & 7)
              break
            }
          }
        }

        return obj
      }, function * (reader, length, prefix, opts = {}) {
        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              yield {
                field: `${prefix}.commitment`,
                value: reader.bytes()
              }
              break
            }
            case 2: {
              yield {
                field: `${prefix}.signature`,
                value: reader.bytes()
              }
              break
            }
            default: {
              reader.skipType(tag & 7)
              break
            }
          }
        }
      })
    }

    return _codec
  }

  export interface SignedCommitmentCommitmentFieldEvent {
    field: '$.commitment'
    value: Uint8Array<ArrayBuffer>
  }

  export interface SignedCommitmentSignatureFieldEvent {
    field: '$.signature'
    value: Uint8Array<ArrayBuffer>
  }

  export function encode (obj: Partial<SignedCommitment>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, SignedCommitment.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<SignedCommitment>): SignedCommitment {
    return decodeMessage(buf, SignedCommitment.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<SignedCommitment>): Generator<SignedCommitmentCommitmentFieldEvent | SignedCommitmentSignatureFieldEvent> {
    return streamMessage(buf, SignedCommitment.codec(), opts)
  }
}

export interface Commitment {
  terms: Uint8Array<ArrayBuffer>
  hop: number
  tokens: number
  input: Uint8Array<ArrayBuffer>
  output: Uint8Array<ArrayBuffer>
  numericClass: string
}

export namespace Commitment {
  let _codec: Codec<Commitment>

  export const codec = (): Codec<Commitment> => {
    if (_codec == null) {
      _codec = message<Commitment>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.terms != null && obj.terms.byteLength > 0)) {
          w.uint32(10)
          w.bytes(obj.terms)
        }

        if ((obj.hop != null && obj.hop !== 0)) {
          w.uint32(16)
          w.uint32(obj.hop)
        }

        if ((obj.tokens != null && obj.tokens !== 0)) {
          w.uint32(24)
          w.uint32(obj.tokens)
        }

        if ((obj.input != null && obj.input.byteLength > 0)) {
          w.uint32(34)
          w.bytes(obj.input)
        }

        if ((obj.output != null && obj.output.byteLength > 0)) {
          w.uint32(42)
          w.bytes(obj.output)
        }

        if ((obj.numericClass != null && obj.numericClass !== '')) {
          w.uint32(50)
          w.string(obj.numericClass)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          terms: uint8ArrayAlloc(0),
          hop: 0,
          tokens: 0,
          input: uint8ArrayAlloc(0),
          output: uint8ArrayAlloc(0),
          numericClass: ''
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.terms = reader.bytes()
              break
            }
            case 2: {
              obj.hop = reader.uint32()
              break
            }
            case 3: {
              obj.tokens = reader.uint32()
              break
            }
            case 4: {
              obj.input = reader.bytes()
              break
            }
            case 5: {
              obj.output = reader.bytes()
              break
            }
            case 6: {
              obj.numericClass = reader.string()
              break
            }
            default: {
              reader.skipType(tag & 7)
              break
            }
          }
        }

        return obj
      }, function * (reader, length, prefix, opts = {}) {
        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              yield {
                field: `${prefix}.terms`,
                value: reader.bytes()
              }
              break
            }
            case 2: {
              yield {
                field: `${prefix}.hop`,
                value: reader.uint32()
              }
              break
            }
            case 3: {
              yield {
                field: `${prefix}.tokens`,
                value: reader.uint32()
              }
              break
            }
            case 4: {
              yield {
                field: `${prefix}.input`,
                value: reader.bytes()
              }
              break
            }
            case 5: {
              yield {
                field: `${prefix}.output`,
                value: reader.bytes()
              }
              break
            }
            case 6: {
              yield {
                field: `${prefix}.numericClass`,
                value: reader.string()
              }
              break
            }
            default: {
              reader.skipType(tag & 7)
              break
            }
          }
        }
      })
    }

    return _codec
  }

  export interface CommitmentTermsFieldEvent {
    field: '$.terms'
    value: Uint8Array<ArrayBuffer>
  }

  export interface CommitmentHopFieldEvent {
    field: '$.hop'
    value: number
  }

  export interface CommitmentTokensFieldEvent {
    field: '$.tokens'
    value: number
  }

  export interface CommitmentInputFieldEvent {
    field: '$.input'
    value: Uint8Array<ArrayBuffer>
  }

  export interface CommitmentOutputFieldEvent {
    field: '$.output'
    value: Uint8Array<ArrayBuffer>
  }

  export interface CommitmentNumericClassFieldEvent {
    field: '$.numericClass'
    value: string
  }

  export function encode (obj: Partial<Commitment>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, Commitment.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Commitment>): Commitment {
    return decodeMessage(buf, Commitment.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Commitment>): Generator<CommitmentTermsFieldEvent | CommitmentHopFieldEvent | CommitmentTokensFieldEvent | CommitmentInputFieldEvent | CommitmentOutputFieldEvent | CommitmentNumericClassFieldEvent> {
    return streamMessage(buf, Commitment.codec(), opts)
  }
}

export interface HopStats {
  hop: number
  steps: number
  tokens: number
  computeMs: number
  queueMs: number
  bytesIn: number
  bytesOut: number
  bytesBack: number
  replayed: number
  rows: number
  gatherMs: number
  reused: number
}

export namespace HopStats {
  let _codec: Codec<HopStats>

  export const codec = (): Codec<HopStats> => {
    if (_codec == null) {
      _codec = message<HopStats>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.hop != null && obj.hop !== 0)) {
          w.uint32(8)
          w.uint32(obj.hop)
        }

        if ((obj.steps != null && obj.steps !== 0)) {
          w.uint32(16)
          w.uint32(obj.steps)
        }

        if ((obj.tokens != null && obj.tokens !== 0)) {
          w.uint32(24)
          w.uint32(obj.tokens)
        }

        if ((obj.computeMs != null && obj.computeMs !== 0)) {
          w.uint32(33)
          w.double(obj.computeMs)
        }

        if ((obj.queueMs != null && obj.queueMs !== 0)) {
          w.uint32(41)
          w.double(obj.queueMs)
        }

        if ((obj.bytesIn != null && obj.bytesIn !== 0)) {
          w.uint32(48)
          w.uint64Number(obj.bytesIn)
        }

        if ((obj.bytesOut != null && obj.bytesOut !== 0)) {
          w.uint32(56)
          w.uint64Number(obj.bytesOut)
        }

        if ((obj.bytesBack != null && obj.bytesBack !== 0)) {
          w.uint32(64)
          w.uint64Number(obj.bytesBack)
        }

        if ((obj.replayed != null && obj.replayed !== 0)) {
          w.uint32(72)
          w.uint32(obj.replayed)
        }

        if ((obj.rows != null && obj.rows !== 0)) {
          w.uint32(80)
          w.uint64Number(obj.rows)
        }

        if ((obj.gatherMs != null && obj.gatherMs !== 0)) {
          w.uint32(89)
          w.double(obj.gatherMs)
        }

        if ((obj.reused != null && obj.reused !== 0)) {
          w.uint32(96)
          w.uint32(obj.reused)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          hop: 0,
          steps: 0,
          tokens: 0,
          computeMs: 0,
          queueMs: 0,
          bytesIn: 0,
          bytesOut: 0,
          bytesBack: 0,
          replayed: 0,
          rows: 0,
          gatherMs: 0,
          reused: 0
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.hop = reader.uint32()
              break
            }
            case 2: {
              obj.steps = reader.uint32()
              break
            }
            case 3: {
              obj.tokens = reader.uint32()
              break
            }
            case 4: {
              obj.computeMs = reader.double()
              break
            }
            case 5: {
              obj.queueMs = reader.double()
              break
            }
            case 6: {
              obj.bytesIn = reader.uint64Number()
              break
            }
            case 7: {
              obj.bytesOut = reader.uint64Number()
              break
            }
            case 8: {
              obj.bytesBack = reader.uint64Number()
              break
            }
            case 9: {
              obj.replayed = reader.uint32()
              break
            }
            case 10: {
              obj.rows = reader.uint64Number()
              break
            }
            case 11: {
              obj.gatherMs = reader.double()
              break
            }
            case 12: {
              obj.reused = reader.uint32()
              break
            }
            default: {
              reader.skipType(tag & 7)
              break
            }
          }
        }

        return obj
      }, function * (reader, length, prefix, opts = {}) {
        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              yield {
                field: `${prefix}.hop`,
                value: reader.uint32()
              }
              break
            }
            case 2: {
              yield {
                field: `${prefix}.steps`,
                value: reader.uint32()
              }
              break
            }
            case 3: {
              yield {
                field: `${prefix}.tokens`,
                value: reader.uint32()
              }
              break
            }
            case 4: {
              yield {
                field: `${prefix}.computeMs`,
                value: reader.double()
              }
              break
            }
            case 5: {
              yield {
                field: `${prefix}.queueMs`,
                value: reader.double()
              }
              break
            }
            case 6: {
              yield {
                field: `${prefix}.bytesIn`,
                value: reader.uint64Number()
              }
              break
            }
            case 7: {
              yield {
                field: `${prefix}.bytesOut`,
                value: reader.uint64Number()
              }
              break
            }
            case 8: {
              yield {
                field: `${prefix}.bytesBack`,
                value: reader.uint64Number()
              }
              break
            }
            case 9: {
              yield {
                field: `${prefix}.replayed`,
                value: reader.uint32()
              }
              break
            }
            case 10: {
              yield {
                field: `${prefix}.rows`,
                value: reader.uint64Number()
              }
              break
            }
            case 11: {
              yield {
                field: `${prefix}.gatherMs`,
                value: reader.double()
              }
              break
            }
            case 12: {
              yield {
                field: `${prefix}.reused`,
                value: reader.uint32()
              }
              break
            }
            default: {
              reader.skipType(tag & 7)
              break
            }
          }
        }
      })
    }

    return _codec
  }

  export interface HopStatsHopFieldEvent {
    field: '$.hop'
    value: number
  }

  export interface HopStatsStepsFieldEvent {
    field: '$.steps'
    value: number
  }

  export interface HopStatsTokensFieldEvent {
    field: '$.tokens'
    value: number
  }

  export interface HopStatsComputeMsFieldEvent {
    field: '$.computeMs'
    value: number
  }

  export interface HopStatsQueueMsFieldEvent {
    field: '$.queueMs'
    value: number
  }

  export interface HopStatsBytesInFieldEvent {
    field: '$.bytesIn'
    value: number
  }

  export interface HopStatsBytesOutFieldEvent {
    field: '$.bytesOut'
    value: number
  }

  export interface HopStatsBytesBackFieldEvent {
    field: '$.bytesBack'
    value: number
  }

  export interface HopStatsReplayedFieldEvent {
    field: '$.replayed'
    value: number
  }

  export interface HopStatsRowsFieldEvent {
    field: '$.rows'
    value: number
  }

  export interface HopStatsGatherMsFieldEvent {
    field: '$.gatherMs'
    value: number
  }

  export interface HopStatsReusedFieldEvent {
    field: '$.reused'
    value: number
  }

  export function encode (obj: Partial<HopStats>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, HopStats.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<HopStats>): HopStats {
    return decodeMessage(buf, HopStats.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<HopStats>): Generator<HopStatsHopFieldEvent | HopStatsStepsFieldEvent | HopStatsTokensFieldEvent | HopStatsComputeMsFieldEvent | HopStatsQueueMsFieldEvent | HopStatsBytesInFieldEvent | HopStatsBytesOutFieldEvent | HopStatsBytesBackFieldEvent | HopStatsReplayedFieldEvent | HopStatsRowsFieldEvent | HopStatsGatherMsFieldEvent | HopStatsReusedFieldEvent> {
    return streamMessage(buf, HopStats.codec(), opts)
  }
}

export interface Prepare {
  epoch: number
  hop: number
  terms: Uint8Array<ArrayBuffer>
  signature: Uint8Array<ArrayBuffer>
}

export namespace Prepare {
  let _codec: Codec<Prepare>

  export const codec = (): Codec<Prepare> => {
    if (_codec == null) {
      _codec = message<Prepare>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.epoch != null && obj.epoch !== 0)) {
          w.uint32(8)
          w.uint32(obj.epoch)
        }

        if ((obj.hop != null && obj.hop !== 0)) {
          w.uint32(16)
          w.uint32(obj.hop)
        }

        if ((obj.terms != null && obj.terms.byteLength > 0)) {
          w.uint32(26)
          w.bytes(obj.terms)
        }

        if ((obj.signature != null && obj.signature.byteLength > 0)) {
          w.uint32(34)
          w.bytes(obj.signature)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          epoch: 0,
          hop: 0,
          terms: uint8ArrayAlloc(0),
          signature: uint8ArrayAlloc(0)
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.epoch = reader.uint32()
              break
            }
            case 2: {
              obj.hop = reader.uint32()
              break
            }
            case 3: {
              obj.terms = reader.bytes()
              break
            }
            case 4: {
              obj.signature = reader.bytes()
              break
            }
            default: {
              reader.skipType(tag & 7)
              break
            }
          }
        }

        return obj
      }, function * (reader, length, prefix, opts = {}) {
        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              yield {
                field: `${prefix}.epoch`,
                value: reader.uint32()
              }
              break
            }
            case 2: {
              yield {
                field: `${prefix}.hop`,
                value: reader.uint32()
              }
              break
            }
            case 3: {
              yield {
                field: `${prefix}.terms`,
                value: reader.bytes()
              }
              break
            }
            case 4: {
              yield {
                field: `${prefix}.signature`,
                value: reader.bytes()
              }
              break
            }
            default: {
              reader.skipType(tag & 7)
              break
            }
          }
        }
      })
    }

    return _codec
  }

  export interface PrepareEpochFieldEvent {
    field: '$.epoch'
    value: number
  }

  export interface PrepareHopFieldEvent {
    field: '$.hop'
    value: number
  }

  export interface PrepareTermsFieldEvent {
    field: '$.terms'
    value: Uint8Array<ArrayBuffer>
  }

  export interface PrepareSignatureFieldEvent {
    field: '$.signature'
    value: Uint8Array<ArrayBuffer>
  }

  export function encode (obj: Partial<Prepare>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, Prepare.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Prepare>): Prepare {
    return decodeMessage(buf, Prepare.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Prepare>): Generator<PrepareEpochFieldEvent | PrepareHopFieldEvent | PrepareTermsFieldEvent | PrepareSignatureFieldEvent> {
    return streamMessage(buf, Prepare.codec(), opts)
  }
}

export interface Prepared {
  epoch: number
  next: number
  failed: boolean
  message: string
}

export namespace Prepared {
  let _codec: Codec<Prepared>

  export const codec = (): Codec<Prepared> => {
    if (_codec == null) {
      _codec = message<Prepared>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.epoch != null && obj.epoch !== 0)) {
          w.uint32(8)
          w.uint32(obj.epoch)
        }

        if ((obj.next != null && obj.next !== 0)) {
          w.uint32(16)
          w.uint32(obj.next)
        }

        if ((obj.failed != null && obj.failed !== false)) {
          w.uint32(24)
          w.bool(obj.failed)
        }

        if ((obj.message != null && obj.message !== '')) {
          w.uint32(34)
          w.string(obj.message)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          epoch: 0,
          next: 0,
          failed: false,
          message: ''
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.epoch = reader.uint32()
              break
            }
            case 2: {
              obj.next = reader.uint32()
              break
            }
            case 3: {
              obj.failed = reader.bool()
              break
            }
            case 4: {
              obj.message = reader.string()
              break
            }
            default: {
              reader.skipType(tag & 7)
              break
            }
          }
        }

        return obj
      }, function * (reader, length, prefix, opts = {}) {
        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              yield {
                field: `${prefix}.epoch`,
                value: reader.uint32()
              }
              break
            }
            case 2: {
              yield {
                field: `${prefix}.next`,
                value: reader.uint32()
              }
              break
            }
            case 3: {
              yield {
                field: `${prefix}.failed`,
                value: reader.bool()
              }
              break
            }
            case 4: {
              yield {
                field: `${prefix}.message`,
                value: reader.string()
              }
              break
            }
            default: {
              reader.skipType(tag & 7)
              break
            }
          }
        }
      })
    }

    return _codec
  }

  export interface PreparedEpochFieldEvent {
    field: '$.epoch'
    value: number
  }

  export interface PreparedNextFieldEvent {
    field: '$.next'
    value: number
  }

  export interface PreparedFailedFieldEvent {
    field: '$.failed'
    value: boolean
  }

  export interface PreparedMessageFieldEvent {
    field: '$.message'
    value: string
  }

  export function encode (obj: Partial<Prepared>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, Prepared.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Prepared>): Prepared {
    return decodeMessage(buf, Prepared.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Prepared>): Generator<PreparedEpochFieldEvent | PreparedNextFieldEvent | PreparedFailedFieldEvent | PreparedMessageFieldEvent> {
    return streamMessage(buf, Prepared.codec(), opts)
  }
}

export interface Ask {
  epoch: number
  round: number
}

export namespace Ask {
  let _codec: Codec<Ask>

  export const codec = (): Codec<Ask> => {
    if (_codec == null) {
      _codec = message<Ask>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.epoch != null && obj.epoch !== 0)) {
          w.uint32(8)
          w.uint32(obj.epoch)
        }

        if ((obj.round != null && obj.round !== 0)) {
          w.uint32(16)
          w.uint32(obj.round)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          epoch: 0,
          round: 0
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.epoch = reader.uint32()
              break
            }
            case 2: {
              obj.round = reader.uint32()
              break
            }
            default: {
              reader.skipType(tag & 7)
              break
            }
          }
        }

        return obj
      }, function * (reader, length, prefix, opts = {}) {
        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              yield {
                field: `${prefix}.epoch`,
                value: reader.uint32()
              }
              break
            }
            case 2: {
              yield {
                field: `${prefix}.round`,
                value: reader.uint32()
              }
              break
            }
            default: {
              reader.skipType(tag & 7)
              break
            }
          }
        }
      })
    }

    return _codec
  }

  export interface AskEpochFieldEvent {
    field: '$.epoch'
    value: number
  }

  export interface AskRoundFieldEvent {
    field: '$.round'
    value: number
  }

  export function encode (obj: Partial<Ask>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, Ask.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Ask>): Ask {
    return decodeMessage(buf, Ask.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Ask>): Generator<AskEpochFieldEvent | AskRoundFieldEvent> {
    return streamMessage(buf, Ask.codec(), opts)
  }
}

export interface Standing {
  epoch: number
  round: number
  hop: number
  arrived: number
  length: number
  busyMs: number
  steps: number
  computeMs: number
  queueMs: number
  rows: number
  gatherMs: number
  place: number
  placeMs: number
}

export namespace Standing {
  let _codec: Codec<Standing>

  export const codec = (): Codec<Standing> => {
    if (_codec == null) {
      _codec = message<Standing>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.epoch != null && obj.epoch !== 0)) {
          w.uint32(8)
          w.uint32(obj.epoch)
        }

        if ((obj.round != null && obj.round !== 0)) {
          w.uint32(16)
          w.uint32(obj.round)
        }

        if ((obj.hop != null && obj.hop !== 0)) {
          w.uint32(24)
          w.uint32(obj.hop)
        }

        if ((obj.arrived != null && obj.arrived !== 0)) {
          w.uint32(32)
          w.uint32(obj.arrived)
        }

        if ((obj.length != null && obj.length !== 0)) {
          w.uint32(40)
          w.uint32(obj.length)
        }

        if ((obj.busyMs != null && obj.busyMs !== 0)) {
          w.uint32(49)
          w.double(obj.busyMs)
        }

        if ((obj.steps != null && obj.steps !== 0)) {
          w.uint32(56)
          w.uint32(obj.steps)
        }

        if ((obj.computeMs != null && obj.computeMs !== 0)) {
          w.uint32(65)
          w.double(obj.computeMs)
        }

        if ((obj.queueMs != null && obj.queueMs !== 0)) {
          w.uint32(73)
          w.double(obj.queueMs)
        }

        if ((obj.rows != null && obj.rows !== 0)) {
          w.uint32(80)
          w.uint64Number(obj.rows)
        }

        if ((obj.gatherMs != null && obj.gatherMs !== 0)) {
          w.uint32(89)
          w.double(obj.gatherMs)
        }

        if ((obj.place != null && obj.place !== 0)) {
          w.uint32(96)
          w.uint32(obj.place)
        }

        if ((obj.placeMs != null && obj.placeMs !== 0)) {
          w.uint32(105)
          w.double(obj.placeMs)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          epoch: 0,
          round: 0,
          hop: 0,
          arrived: 0,
          length: 0,
          busyMs: 0,
          steps: 0,
          computeMs: 0,
          queueMs: 0,
          rows: 0,
          gatherMs: 0,
          place: 0,
          placeMs: 0
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.epoch = reader.uint32()
              break
            }
            case 2: {
              obj.round = reader.uint32()
              break
            }
            case 3: {
              obj.hop = reader.uint32()
              break
            }
            case 4: {
              obj.arrived = reader.uint32()
              break
            }
            case 5: {
              obj.length = reader.uint32()
              break
            }
            case 6: {
              obj.busyMs = reader.double()
              break
            }
            case 7: {
              obj.steps = reader.uint32()
              break
            }
            case 8: {
              obj.computeMs = reader.double()
              break
            }
            case 9: {
              obj.queueMs = reader.double()
              break
            }
            case 10: {
              obj.rows = reader.uint64Number()
              break
            }
            case 11: {
              obj.gatherMs = reader.double()
              break
            }
            case 12: {
              obj.place = reader.uint32()
              break
            }
            case 13: {
              obj.placeMs = reader.double()
              break
            }
            default: {
              reader.skipType(tag & 7)
              break
            }
          }
        }

        return obj
      }, function * (reader, length, prefix, opts = {}) {
        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              yield {
                field: `${prefix}.epoch`,
                value: reader.uint32()
              }
              break
            }
            case 2: {
              yield {
                field: `${prefix}.round`,
                value: reader.uint32()
              }
              break
            }
            case 3: {
              yield {
                field: `${prefix}.hop`,
                value: reader.uint32()
              }
              break
            }
            case 4: {
              yield {
                field: `${prefix}.arrived`,
                value: reader.uint32()
              }
              break
            }
            case 5: {
              yield {
                field: `${prefix}.length`,
                value: reader.uint32()
              }
              break
            }
            case 6: {
              yield {
                field: `${prefix}.busyMs`,
                value: reader.double()
              }
              break
            }
            case 7: {
              yield {
                field: `${prefix}.steps`,
                value: reader.uint32()
              }
              break
            }
            case 8: {
              yield {
                field: `${prefix}.computeMs`,
                value: reader.double()
              }
              break
            }
            case 9: {
              yield {
                field: `${prefix}.queueMs`,
                value: reader.double()
              }
              break
            }
            case 10: {
              yield {
                field: `${prefix}.rows`,
                value: reader.uint64Number()
              }
              break
            }
            case 11: {
              yield {
                field: `${prefix}.gatherMs`,
                value: reader.double()
              }
              break
            }
            case 12: {
              yield {
                field: `${prefix}.place`,
                value: reader.uint32()
              }
              break
            }
            case 13: {
              yield {
                field: `${prefix}.placeMs`,
                value: reader.double()
              }
              break
            }
            default: {
              reader.skipType(tag & 7)
              break
            }
          }
        }
      })
    }

    return _codec
  }

  export interface StandingEpochFieldEvent {
    field: '$.epoch'
    value: number
  }

  export interface StandingRoundFieldEvent {
    field: '$.round'
    value: number
  }

  export interface StandingHopFieldEvent {
    field: '$.hop'
    value: number
  }

  export interface StandingArrivedFieldEvent {
    field: '$.arrived'
    value: number
  }

  export interface StandingLengthFieldEvent {
    field: '$.length'
    value: number
  }

  export interface StandingBusyMsFieldEvent {
    field: '$.busyMs'
    value: number
  }

  export interface StandingStepsFieldEvent {
    field: '$.steps'
    value: number
  }

  export interface StandingComputeMsFieldEvent {
    field: '$.computeMs'
    value: number
  }

  export interface StandingQueueMsFieldEvent {
    field: '$.queueMs'
    value: number
  }

  export interface StandingRowsFieldEvent {
    field: '$.rows'
    value: number
  }

  export interface StandingGatherMsFieldEvent {
    field: '$.gatherMs'
    value: number
  }

  export interface StandingPlaceFieldEvent {
    field: '$.place'
    value: number
  }

  export interface StandingPlaceMsFieldEvent {
    field: '$.placeMs'
    value: number
  }

  export function encode (obj: Partial<Standing>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, Standing.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Standing>): Standing {
    return decodeMessage(buf, Standing.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Standing>): Generator<StandingEpochFieldEvent | StandingRoundFieldEvent | StandingHopFieldEvent | StandingArrivedFieldEvent | StandingLengthFieldEvent | StandingBusyMsFieldEvent | StandingStepsFieldEvent | StandingComputeMsFieldEvent | StandingQueueMsFieldEvent | StandingRowsFieldEvent | StandingGatherMsFieldEvent | StandingPlaceFieldEvent | StandingPlaceMsFieldEvent> {
    return streamMessage(buf, Standing.codec(), opts)
  }
}

import { expect, it } from 'vitest'
import { Message } from '../../src/engine/onnx/protobuf.ts'

/** The examples of protobuf.dev's "Encoding", and values at the borders. */
it.each<[string, Message, string]>([
  ['a varint', new Message().int(1, 150), '089601'],
  ['zero', new Message().int(1, 0), '0800'],
  ['one byte', new Message().int(1, 127), '087f'],
  ['two bytes', new Message().int(1, 128), '088001'],
  ['beyond 32 bits', new Message().int(1, 2 ** 40), '08808080808020'],
  ['a negative number, as 64 bits', new Message().int(1, -2), '08feffffffffffffffff01'],
  ['a field above 15', new Message().int(20, 7), 'a00107'],
  ['a string', new Message().string(2, 'testing'), '120774657374696e67'],
  ['text beyond ASCII', new Message().string(2, 'é'), '1202c3a9'],
  ['a float', new Message().float(2, 1), '150000803f'],
  ['an embedded message', new Message().message(3, new Message().int(1, 150)), '1a03089601'],
  ['fields in the order of the calls', new Message().int(2, 1).int(1, 2), '10010802'],
  ['nothing', new Message(), '']
])('writes %s', (_what, message, hex) => {
  expect(Buffer.from(message.finish()).toString('hex')).toBe(hex)
})

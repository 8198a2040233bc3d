import fc from 'fast-check'
import { expect, test } from 'vitest'
import { creditStepsMax, creditTokensMax } from '../../src/stage/limits.ts'
import { ReceiveCredit, SendCredit } from '../../src/stage/credit.ts'

test('S5: any steps get through, in any interleaving of sending, computing and acknowledging, and no credit is passed', () => {
  const sizes = fc.array(fc.integer({ min: 1, max: 128 }), { minLength: 1, maxLength: 200 })
  fc.assert(
    fc.property(sizes, fc.infiniteStream(fc.nat({ max: 2 })), (steps, choices) => {
      const sender = new SendCredit()
      const receiver = new ReceiveCredit()
      const queue: number[] = []
      const acks: [number, number][] = []
      let sent = 0
      let done = 0
      while (done < steps.length) {
        const able = [sent < steps.length && sender.allows(steps[sent]!), queue.length > 0, acks.length > 0]
        // Something can always happen: no state of the window is a dead end.
        expect(able).toContain(true)
        let choice = choices.next().value!
        while (!able[choice]) choice = (choice + 1) % 3
        if (choice === 0) {
          const tokens = steps[sent++]!
          sender.sent(tokens)
          expect(receiver.arrived(tokens)).toBe(true)
          queue.push(tokens)
        } else if (choice === 1) {
          receiver.done(queue.shift()!)
          done++
          if (receiver.takeAck()) acks.push([receiver.steps, receiver.tokens])
        } else {
          expect(sender.acked(...acks.shift()!)).toBe(true)
        }
        expect(queue.length).toBeLessThanOrEqual(creditStepsMax)
        expect(queue.reduce((sum, n) => sum + n, 0)).toBeLessThanOrEqual(creditTokensMax)
      }
    })
  )
})

test('S5: an ack that runs backwards or ahead is no ack', () => {
  const sender = new SendCredit()
  sender.sent(10)
  sender.sent(10)
  expect(sender.acked(1, 10)).toBe(true)
  expect(sender.acked(0, 10)).toBe(false)
  expect(sender.acked(1, 9)).toBe(false)
  expect(sender.acked(3, 20)).toBe(false)
  expect(sender.acked(2, 21)).toBe(false)
  expect(sender.acked(2, 20)).toBe(true)
})

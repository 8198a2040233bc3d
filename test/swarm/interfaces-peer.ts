/** Run as a process of its own, with few descriptors: lists this machine's addresses with and without any left. */
import { openSync } from 'node:fs'
import { interfacesFreshMs } from '../../src/swarm/limits.ts'
import { listingProblem, ownAddresses } from '../../src/swarm/interfaces.ts'

const before = ownAddresses()
for (;;) {
  try {
    openSync('/dev/null', 'r')
  } catch {
    break
  }
}
await new Promise(resolve => setTimeout(resolve, interfacesFreshMs + 50))
const after = ownAddresses()
process.stdout.write(
  JSON.stringify({ same: JSON.stringify(before) === JSON.stringify(after), problem: listingProblem() })
)

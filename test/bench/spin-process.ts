/** Child of `threads.ts`: takes a processor for itself until it is told to stop. */
process.on('message', () => process.exit())
process.once('disconnect', () => process.exit())
process.send?.({ kind: 'up' })

/** Between two looks at messages. */
const spinMs = 50

function spin(): void {
  const until = performance.now() + spinMs
  while (performance.now() < until);
  setImmediate(spin)
}
spin()

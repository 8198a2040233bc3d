/** The page that `browser.test.ts` opens: computes the classes of this browser, and says them to whom the page is from. */
import { cacheTypes } from '../../../src/base/cache-type.ts'
import { formsHere } from '../../../src/engine/wasm/forms.ts'
import { computeClass } from '../../../src/engine/wasm/numeric-class.ts'

declare const crossOriginIsolated: boolean

function told(): object {
  try {
    const forms = [formsHere(), { dot: 'plain', streams: 1, attention: 'words' } as const]
    const classes = Object.fromEntries(cacheTypes.map(type => [type, forms.map(form => computeClass(form, type))]))
    // Without it there is no shared memory, and no second thread.
    return { isolated: crossOriginIsolated, classes }
  } catch (error) {
    return { error: (error as Error).stack }
  }
}

await fetch('/told', { method: 'POST', body: JSON.stringify(told()) })

/** The page that `browser.test.ts` opens: computes the classes of this browser, and says them to whom the page is from. */
import { classesHere } from './classes.ts'

declare const crossOriginIsolated: boolean

function told(): object {
  try {
    // Without it there is no shared memory, and no second thread.
    return { isolated: crossOriginIsolated, classes: classesHere() }
  } catch (error) {
    return { error: (error as Error).stack }
  }
}

await fetch('/told', { method: 'POST', body: JSON.stringify(told()) })

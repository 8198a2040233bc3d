/** What an ONNX file says of itself, read in a thread of its own. */
import type { GraphFacts } from './formats/onnx.ts'
import { graphReadIdleMs, graphReadMs, graphStartMs } from './limits.ts'
import { Thread } from './thread.ts'

/**
 * Reads an ONNX file.
 *
 * @param name what sentences call it. @default its path
 * @throws {ImportError} as `readOnnx`, {DeadlineError}, the file system's error; the signal's reason
 */
export async function readGraph(
  file: string,
  { name = file, signal }: { readonly name?: string; readonly signal: AbortSignal }
): Promise<GraphFacts> {
  const own = import.meta.url.endsWith('.ts') ? './graph-worker.ts' : './graph-worker.js'
  const thread = new Thread({
    file: new URL(own, import.meta.url),
    name: 'the thread that reads graphs',
    startMs: graphStartMs,
    idleMs: graphReadIdleMs,
    data: async () => ({ workerData: undefined })
  })
  try {
    return (await thread.ask({ file, name }, { what: `read ${name}`, deadlineMs: graphReadMs, signal })) as GraphFacts
  } finally {
    await thread.close()
  }
}

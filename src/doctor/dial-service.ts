/** Tries whether a connection of TCP can be made. */
import { createConnection } from 'node:net'
import { dialMs } from './limits.ts'

/** Connects and hangs up. Returns the system's code, or undefined where it worked. */
export function dial(host: string, port: number, signal: AbortSignal): Promise<string | undefined> {
  return new Promise(resolve => {
    const socket = createConnection({ host, port })
    const end = (problem: string | undefined): void => {
      signal.removeEventListener('abort', onAbort)
      socket.destroy()
      resolve(problem)
    }
    const onAbort = (): void => end('ABORTED')
    signal.addEventListener('abort', onAbort, { once: true })
    socket.setTimeout(dialMs, () => end('no answer'))
    socket.once('connect', () => end(undefined))
    socket.on('error', error => end(codeOf(error)))
  })
}

/** The system's code for an error, or its message. */
export function codeOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException
  return code ?? message
}

/** The real `skein` on a terminal of its own, which Python's `pty` makes. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const bin = fileURLToPath(new URL('../../bin/skein.js', import.meta.url))

/**
 * Runs a command on a new terminal of 100 columns: what comes on stdin is typed there, what it shows goes to stdout. Its exit code is the
 * command's.
 */
const python = `
import fcntl, os, pty, select, struct, sys, termios
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack('HHHH', 30, 100, 0, 0))
typed = 0
while True:
    ready, _, _ = select.select([terminal, typed] if typed is not None else [terminal], [], [])
    if terminal in ready:
        try:
            shown = os.read(terminal, 65536)
        except OSError:
            break
        if not shown:
            break
        os.write(1, shown)
    if typed is not None and typed in ready:
        keys = os.read(typed, 65536)
        if keys:
            os.write(terminal, keys)
        else:
            typed = None
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) & 255)
`

/** Why no terminal can be made here, or undefined. */
export function whyNoTerminal(): string | undefined {
  try {
    execFileSync('python3', ['-c', 'import pty, os; os.close(pty.openpty()[0]); os.waitstatus_to_exitcode'])
    return undefined
  } catch {
    return 'no terminal can be made: that takes python3 (3.9 or newer) and a system with pseudo-terminals'
  }
}

/** A `skein` on a terminal. */
export class Terminal {
  readonly child: ChildProcess
  readonly ended: Promise<number | null>
  /** All that was shown, escape sequences included. */
  raw = ''

  constructor(args: readonly string[], env: NodeJS.ProcessEnv = {}) {
    const own = { ...process.env, SKEIN_DATA: '', XDG_DATA_HOME: '', TERM: 'xterm-256color', NO_COLOR: '1', ...env }
    this.child = spawn('python3', ['-c', python, process.execPath, bin, ...args], { env: own, stdio: 'pipe' })
    this.child.stdin!.on('error', () => {})
    this.child.stdout!.setEncoding('utf8').on('data', text => {
      this.raw += text
    })
    this.ended = new Promise(resolve => this.child.once('close', code => resolve(code)))
  }

  /** What was shown, without escape sequences. */
  get shown(): string {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what they begin with
    return this.raw.replaceAll(/\x1b\[[0-9;?]*[A-Za-z]/g, '').replaceAll('\r\n', '\n')
  }

  /** Presses keys. */
  type(keys: string): void {
    this.child.stdin!.write(keys)
  }
}

export const keys = { enter: '\r', ctrlC: '\x03', ctrlD: '\x04', up: '\x1b[A' } as const

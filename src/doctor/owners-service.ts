/** Whose a port is, as Linux tells it to who may look at other processes. */
import { readdir, readlink } from 'node:fs/promises'
import { readPlainText } from '../base/plain-file.ts'
import { shown } from '../base/shown.ts'
import { processesMax, procBytesMax } from './limits.ts'

/** TCP's state LISTEN, and UDP's only one, as the kernel's tables give them. */
const states = { tcp: '0A', udp: '07' } as const

/** `process 1234 (nginx)`, or undefined where nobody is found. */
export async function ownerOfPort(kind: 'tcp' | 'udp', port: number): Promise<string | undefined> {
  const inodes = new Set<string>()
  for (const table of [kind, `${kind}6`]) {
    const text = await readPlainText(`/proc/net/${table}`, procBytesMax).catch(() => '')
    for (const line of text.split('\n')) {
      const [, local = '', , state, , , , , , inode = '0'] = line.trim().split(/\s+/)
      if (Number.parseInt(local.split(':')[1] ?? '', 16) === port && state === states[kind]) inodes.add(inode)
    }
  }
  if (inodes.size === 0) return undefined
  const pids = (await readdir('/proc').catch(() => [])).filter(name => /^\d+$/.test(name)).slice(0, processesMax)
  for (const pid of pids) {
    if (Number(pid) === process.pid) continue
    for (const fd of await readdir(`/proc/${pid}/fd`).catch(() => [])) {
      const target = await readlink(`/proc/${pid}/fd/${fd}`).catch(() => '')
      const inode = /^socket:\[(\d+)\]$/.exec(target)?.[1]
      if (inode === undefined || !inodes.has(inode)) continue
      const name = await readPlainText(`/proc/${pid}/comm`, procBytesMax).catch(() => '')
      return `process ${pid} (${shown(name.trim())})`
    }
  }
  return undefined
}

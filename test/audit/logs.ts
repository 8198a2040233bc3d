/** Audit logs for tests: real files, a real key, a clock that the test moves. */
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { AuditRequest } from '../../src/audit/entry.ts'
import { AuditLog, type AuditLogInit } from '../../src/audit/service.ts'
import type { ModelId, PeerId } from '../../src/base/ids.ts'
import { systemClock } from '../../src/base/clock.ts'
import { Keeping } from '../../src/disk/keeping.ts'
import { type VerifiedAudit, verifyAudit } from '../../src/index.ts'
import { loadIdentity } from '../../src/swarm/identity.ts'

export const hop = (peer: string, start: number, end: number, of: string | null = 'wasm:1') => ({
  ...{ peer: peer as PeerId, start, end },
  class: of
})

export function request(name: string, more: Partial<AuditRequest> = {}): AuditRequest {
  return {
    request: name,
    operation: 'chat',
    client: 'local',
    model: 'a'.repeat(64) as ModelId,
    modelName: 'stories',
    precision: 'q8',
    route: [hop('12D3KooWHead', 0, 3), hop('12D3KooWTail', 3, 6)],
    changes: [],
    promptTokens: 7,
    tokens: 12,
    outcome: 'stop',
    ms: 340,
    answer: 'b'.repeat(64),
    ...more
  }
}

export interface TestLog {
  readonly log: AuditLog
  readonly peer: PeerId
  readonly warnings: string[]
}

export async function openLog(dataDir: string, more: Partial<AuditLogInit> = {}): Promise<TestLog> {
  const { id, sign } = await loadIdentity(dataDir)
  const warnings: string[] = []
  const keeping = new Keeping(message => warnings.push(message))
  const log = await AuditLog.start({ dataDir, member: id, sign, keeping, clock: systemClock, ...more })
  return { log, peer: id, warnings }
}

/** A log of so many requests, written a few at a time, whose peer has stopped. */
export async function writeLog(dataDir: string, requests: number, more: Partial<AuditLogInit> = {}): Promise<void> {
  const { log } = await openLog(dataDir, more)
  for (let i = 0; i < requests; i++) log.add(request(`r${i}`))
  await log.stop()
}

export async function filesIn(dataDir: string): Promise<string[]> {
  return (await readdir(join(dataDir, 'audit'))).sort()
}

export async function linesIn(dataDir: string, file = '000001.jsonl'): Promise<string[]> {
  return (await readFile(join(dataDir, 'audit', file), 'utf8')).split('\n').slice(0, -1)
}

/** Replaces the lines of a file by others. */
export async function rewrite(
  dataDir: string,
  change: (lines: string[]) => readonly string[],
  file = '000001.jsonl'
): Promise<VerifiedAudit> {
  const lines = change(await linesIn(dataDir, file))
  await writeFile(join(dataDir, 'audit', file), lines.map(line => `${line}\n`).join(''))
  return verifyAudit(dataDir)
}

/** What a machine that has joined knows of members, whether a peer runs there or not. */
import { writeWhole } from '../disk/whole-file.ts'
import { InvalidMembershipError, ProtocolError } from '../errors.ts'
import { checkOpened } from '../disk/vault.ts'
import { openDataDir } from '../swarm/data-dir.ts'
import {
  ledgerFileBytes,
  ledgerPath,
  type MemberFile,
  type MembersConfig,
  readLedgerFile,
  readMemberFile
} from '../swarm/member-file.ts'
import { readCertificate, swarmIdOf } from '../trust/grant.ts'
import { itemOfCertificate } from '../trust/item.ts'
import { keyText, peerOfKey } from '../trust/keys.ts'
import { Ledger } from '../trust/ledger.ts'
import {
  type DeputyFacts,
  deputyFacts,
  type MemberFacts,
  memberFacts,
  type ModelKeyFacts,
  modelKeyFacts
} from '../trust/members.ts'
import { verifyKey } from '../trust/signing-key.ts'

/** What is known in one data directory. */
export interface KnownMembers {
  /** The swarm's. */
  readonly name: string
  /** The machine itself. */
  readonly self: MemberFacts | undefined
  readonly members: readonly MemberFacts[]
  readonly deputies: readonly DeputyFacts[]
  /** Keys that may sign models. */
  readonly modelKeys: readonly ModelKeyFacts[]
  /** What an operator has to know of those who sign, a sentence each. */
  readonly alarms: readonly string[]
  /** The latest moment at which somebody signed, in ms since 1970: it is no earlier now. */
  readonly signedMs: number
}

/** Who is known to be a member, and who was one. @throws {InvalidMembershipError} when the machine has joined no swarm */
export async function membersOf(dataDir: string, nowMs = Date.now()): Promise<KnownMembers> {
  const { ledger, file } = await openLedger(dataDir, nowMs)
  const members = memberFacts(ledger, nowMs)
  const own = readCertificate(file.certificate, ledger.roots, verifyKey).last.subject
  const self = peerOfKey(Buffer.from(own, 'hex'))
  return {
    name: file.name,
    self: members.find(({ peer }) => peer === self),
    signedMs: ledger.signedMs,
    members,
    deputies: deputyFacts(ledger, nowMs),
    modelKeys: modelKeyFacts(ledger, nowMs),
    alarms: ledger.alarms()
  }
}

/** Puts items into the data directory of a peer that does not run: it tells the others when it starts. @throws {DataDirectoryError} while one does */
export async function keepItems(dataDir: string, items: readonly Uint8Array[], nowMs = Date.now()): Promise<void> {
  const dir = await openDataDir(dataDir)
  try {
    const { ledger } = await openLedger(dir.path, nowMs)
    for (const item of items) ledger.add(item, nowMs)
    await writeWhole(ledgerPath(dir.path), ledgerFileBytes(ledger.items()))
  } finally {
    await dir.close()
  }
}

/** @throws {InvalidMembershipError} when the machine has joined no swarm with members */
export async function openLedger(dataDir: string, nowMs: number): Promise<{ ledger: Ledger; file: MemberFile }> {
  await checkOpened(dataDir)
  const file = await readMemberFile(dataDir)
  if (file === undefined)
    throw new InvalidMembershipError(`${dataDir} has joined no swarm with members: use skein join`)
  const items = [...(await readLedgerFile(dataDir)), itemOfCertificate(file.certificate)]
  return { ledger: ledgerOf(file, items, nowMs), file }
}

/** A ledger of these items; what is no item of this swarm is passed over. */
export function ledgerOf(
  config: Pick<MembersConfig, 'authority' | 'recovery'>,
  items: readonly Uint8Array[],
  nowMs: number
): Ledger {
  const ledger = new Ledger({
    swarm: idOf(config),
    authority: keyText(config.authority),
    recovery: keyText(config.recovery),
    verify: verifyKey
  })
  for (const item of items) {
    try {
      ledger.add(item, nowMs)
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
    }
  }
  return ledger
}

/** The id of a swarm with members. */
export function idOf({ authority, recovery }: Pick<MembersConfig, 'authority' | 'recovery'>): string {
  return swarmIdOf(authority, recovery)
}

/** What lies on the disk of this machine's membership. */
import { type KnownMembers, membersOf } from '../peer/known-members.ts'
import { readMemberFile } from '../swarm/member-file.ts'

/** @returns undefined where it has joined no swarm with members */
export async function membershipFacts(
  dataDir: string
): Promise<KnownMembers | { readonly problem: string } | undefined> {
  try {
    if ((await readMemberFile(dataDir)) === undefined) return undefined
    return await membersOf(dataDir)
  } catch (error) {
    return { problem: (error as Error).message }
  }
}

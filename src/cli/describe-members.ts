/** The commands about who is a member of a swarm. */
import type { Command } from 'commander'
import { powers, roles } from '../index.ts'
import type { CommandContext } from './context.ts'
import { command, data, json, openedData, seal } from './describe.ts'
import { duration, listOf, peerName, peerOrKey, registers, repeated, words } from './flags.ts'
import { grantLifeMaxMs, grantLifeMinMs } from './limits.ts'

export function describeMembers(program: Command, context: CommandContext): void {
  const invitation = command(
    program,
    'invite',
    'Make a line for one machine to join a swarm with members by: a secret until it has.'
  )
  machine(grants(invitation)).action(async options => {
    const { invite } = await import('./members.ts')
    await invite(options)
  })
  command(
    program,
    'join <file>',
    'Make this machine a member by an invitation, or renew it by a certificate; - reads it from stdin.'
  )
    .addOption(data())
    .addOption(seal())
    .addOption(json('print one JSON object'))
    .action(async (file: string, options) => {
      const { joinBy } = await import('./members.ts')
      await joinBy(file, { ...options, data: await openedData(options, { make: true }) })
    })
  describeAttest(program)
  command(program, 'members', 'List who is known here to be a member, and who was one.')
    .addOption(data())
    .addOption(seal())
    .addOption(json('print one JSON object'))
    .action(async options => {
      const { members } = await import('./members.ts')
      await members({ ...options, data: await openedData(options) })
    })
  revokes(
    command(
      program,
      'revoke <peer>',
      'Put a member out for good, everywhere, and change the secret for those who remain; or a deputy or a key that signs models, by that key.'
    ).option('--last', 'it may be the last deputy that may revoke')
  ).action(async (peer: string, options) => {
    const { revoke } = await import('./members.ts')
    await revoke(peerOrKey(peer), { ...options, data: await openedData(options) }, context)
  })
  machine(
    grants(
      command(
        program,
        'renew <peer>',
        'Give a member another certificate: through the peer of --data, or as a line for skein join there.'
      )
        .option('--data <dir>', 'directory of a member that passes it on')
        .addOption(seal())
    )
  ).action(async (peer: string, options) => {
    if (options.data !== undefined) await openedData(options)
    const { renew } = await import('./members.ts')
    await renew(peerName(peer), options, context)
  })
  describeKeys(program, context)
}

/** Keys that may do what the authority may. */
function describeKeys(program: Command, context: CommandContext): void {
  grants(
    command(
      program,
      'deputy [file]',
      'Make a key that may invite or revoke for a time, for a ground station: in this file, else on stdout; with --data members hear of it.'
    )
      .requiredOption('--may <powers>', 'what it may: invite, revoke or both', listOf('--may', powers))
      .option('--data <dir>', 'directory of a member that tells the others')
      .addOption(seal())
  ).action(async (file: string | undefined, options) => {
    if (options.data !== undefined) await openedData(options)
    const { deputy } = await import('./members.ts')
    await deputy(file, options, context)
  })
  revokes(
    command(
      program,
      'rotate <file>',
      'Make another authority, whose key goes into this file, by the one before it or by the recovery key.'
    ).option('--revoke-first', 'void the authorities before it, and all whom they named: their keys are stolen')
  ).action(async (file: string, options) => {
    const { rotate } = await import('./members.ts')
    await rotate(file, { ...options, data: await openedData(options) }, context)
  })
}

function grants(made: Command): Command {
  return made
    .requiredOption(
      '--authority <key>',
      'key file of the authority, or of a deputy that may invite',
      words('--authority')
    )
    .option(
      '--role <roles>',
      `what it may do: ${roles.join(', ')} (default: what it may so far, else driver,stage,keeper,source)`,
      listOf('--role', roles)
    )
    .option(
      '--label <name=value>',
      'what it is said to be, such as zone=air; may be repeated',
      repeated(words('--label'))
    )
    .requiredOption(
      '--for <time>',
      'for how long, such as 12h or 30d',
      duration('--for', grantLifeMinMs, grantLifeMaxMs)
    )
    .addOption(json('print one JSON object'))
}

/** Evidence of this machine. */
function describeAttest(program: Command): void {
  const attest = program.command('attest').description('What this machine can show of itself.')
  command(attest, 'show', "Show the key by which this machine's TPM gives evidence of it, and what its registers hold.")
    .option('--pcrs <list>', 'registers for the policy of others, such as 0,7', registers('--pcrs'), [0, 7])
    .addOption(json('print one JSON object'))
    .action(async options => {
      const { attestShow } = await import('./attest.ts')
      await attestShow(options)
    })
}

/** A grant for a machine. */
function machine(made: Command): Command {
  return made.option(
    '--attest <key>',
    'what its machine gives evidence by: the key that skein attest show prints there (default: what it was so far, else none)',
    words('--attest')
  )
}

function revokes(made: Command): Command {
  return made
    .requiredOption(
      '--authority <key>',
      'key file of the authority, of a deputy that may revoke, or the recovery key',
      words('--authority')
    )
    .addOption(data())
    .addOption(seal())
    .option('--reason <text>', 'what members are told', words('--reason'))
    .addOption(json('print one JSON object'))
}

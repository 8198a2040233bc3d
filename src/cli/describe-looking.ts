/** The commands that look and change nothing. */
import { Argument, type Command } from 'commander'
import type { CommandContext } from './context.ts'
import { describeAudit, describeReport } from './describe-audit.ts'
import { shells } from './shells.ts'
import { command, data, dataOf, json, openedData, seal } from './describe.ts'
import { repeated, tcpAddress, words } from './flags.ts'
import { write } from './output.ts'

/** @param end told the exit code of a command that has one of its own */
export function describeLooking(program: Command, context: CommandContext, end: (code: number) => void): void {
  command(program, 'status', 'Show the swarm as the running peer sees it: peers, stages, coverage of every layer.')
    .addOption(data())
    .option(
      '--watch',
      'go on showing it, drawn anew twice a second, until Ctrl-C; a line for each change where that is no terminal'
    )
    .addOption(json('print one JSON object; with --watch one each half a second'))
    .action(async options => {
      if (options.watch === true) {
        const { watchStatus } = await import('./status-watch.ts')
        await watchStatus({ ...options, data: dataOf(options) }, context)
        return
      }
      const { status } = await import('./status.ts')
      await status({ ...options, data: dataOf(options) }, context)
    })
  command(
    program,
    'doctor',
    'Say what is wrong with this machine, its network, its disk and its peer, and what to do about it. Ends with 1 where something fails.'
  )
    .addOption(data())
    .addOption(seal())
    .option('--swarm <file>', 'look for peers of this swarm, too', words('--swarm'))
    .option(
      '--listen <multiaddr>',
      'an address that a peer is to listen at, as with up; may be repeated',
      repeated(tcpAddress('--listen', 'listen'))
    )
    .addOption(json('print one JSON object with all findings'))
    .action(async options => {
      const { doctor } = await import('./doctor.ts')
      end(await doctor({ ...options, data: await openedData(options) }, context))
    })
  command(
    program,
    'trace [request]',
    'Show where the time of a request of the running peer went: its first token, pauses, losses, and hop by hop what they did (default: the last one).'
  )
    .addOption(data())
    .option('--list', 'list the requests that the peer knows: its last 32')
    .option('--perfetto <file.json>', 'write it to a file that ui.perfetto.dev opens, too', words('--perfetto'))
    .addOption(json('print one JSON object; with --list one a line'))
    .action(async (request: string | undefined, options) => {
      const { trace } = await import('./request-trace.ts')
      await trace(request, { ...options, data: dataOf(options) }, context)
    })
  describeAudit(program, context, end)
  describeReport(program, context)
  describeCompletion(program)
}

function describeCompletion(program: Command): void {
  command(
    program,
    'completion',
    'Print a script that has a shell complete commands, flags, files and names of models: eval "$(skein completion bash)".'
  )
    .addArgument(new Argument('<shell>').choices(shells))
    .action(async (shell: (typeof shells)[number]) => {
      const { completionScript } = await import('./completion.ts')
      const { commandTree } = await import('./command-tree.ts')
      write(completionScript(shell, commandTree(program)))
    })
}

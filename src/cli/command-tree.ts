/** The commands of `skein` as their description has them: what each takes, for whoever completes a command line. */
import type { Argument, Command, Option } from 'commander'

/** What a value is: `model` is the name of one that is here; a list holds all values there are. */
export type Takes = 'file' | 'directory' | 'model' | 'any' | readonly string[]

export interface FlagSpec {
  /** `--memory`, and a short one where it has one. */
  readonly names: readonly string[]
  readonly text: string
  /** Its value; undefined where it takes none. */
  readonly takes: Takes | undefined
}

export interface CommandSpec {
  /** Words after `skein`: empty, `up`, `model pull`. */
  readonly path: string
  /** The last of these words, or `skein`. */
  readonly name: string
  readonly text: string
  readonly flags: readonly FlagSpec[]
  /** What each argument is, in order. */
  readonly arguments: readonly Takes[]
  readonly commands: readonly CommandSpec[]
}

/** Commands whose first argument is the name of a model that is here. */
const ofModels = ['serve', 'unserve', 'infer', 'model show', 'model sign', 'model verify', 'model rm']
/** Flags whose value is one. */
const modelFlags = ['--model', '--draft']
/** Flags whose `<file>` is one on a hub, not one that is here. */
const hubFlags = ['model pull --file', 'model show --file']

/** A command with all below it; what help hides is left out. */
export function commandTree(command: Command, path = ''): CommandSpec {
  const flags = [...command.options, ...command.createHelp().visibleOptions(command)]
  const visible = [...new Map(flags.filter(({ hidden }) => !hidden).map(flag => [flag.flags, flag])).values()]
  return {
    path,
    name: command.name(),
    text: command.description(),
    flags: visible.map(flag => flagSpec(flag, path)),
    arguments: command.registeredArguments.map((argument, i) => argumentTakes(argument, i, path)),
    commands: command.commands
      .filter(each => each.name() !== 'help')
      .map(each => commandTree(each, path === '' ? each.name() : `${path} ${each.name()}`))
  }
}

/** A command and all below it, itself first. */
export function allCommands(spec: CommandSpec): CommandSpec[] {
  return [spec, ...spec.commands.flatMap(allCommands)]
}

function flagSpec(flag: Option, path: string): FlagSpec {
  const names = [flag.short, flag.long].filter(name => name !== undefined && name !== null)
  const hasValue = flag.required || flag.optional
  return { names, text: flag.description, takes: hasValue ? flagTakes(flag, path) : undefined }
}

function flagTakes({ long, flags, parseArg, argChoices }: Option, path: string): Takes {
  const { words } = (parseArg ?? {}) as { words?: readonly string[] }
  const choices = words ?? argChoices
  if (choices !== undefined) return choices
  if (modelFlags.includes(long ?? '')) return 'model'
  const isLocal = !hubFlags.includes(`${path} ${long}`)
  return placeholderTakes(/[<[]([^>\]]*)[>\]]/.exec(flags)?.[1] ?? '', isLocal)
}

function argumentTakes(argument: Argument, index: number, path: string): Takes {
  if (argument.argChoices !== undefined) return argument.argChoices
  if (index === 0 && ofModels.includes(path)) return 'model'
  return argument.name() === 'source' ? 'file' : placeholderTakes(argument.name(), true)
}

function placeholderTakes(placeholder: string, isLocal: boolean): Takes {
  if (placeholder === 'dir') return 'directory'
  return isLocal && /^file(\.|$)/.test(placeholder) ? 'file' : 'any'
}

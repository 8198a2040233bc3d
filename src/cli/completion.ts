/** `skein completion`: scripts that have a shell complete commands, flags, files and names of models. */
import { allCommands, type CommandSpec, type FlagSpec, type Takes } from './command-tree.ts'
import type { Shell } from './shells.ts'

/** A shell's script for a whole command line. */
export function completionScript(shell: Shell, program: CommandSpec): string {
  return { bash: bashScript, zsh: zshScript, fish: fishScript }[shell](program)
}

/** What a script says of a value: a word of its own, or all values. */
function wordOf(takes: Takes): string {
  return typeof takes === 'string' ? takes : `=${takes.join(' ')}`
}

/**
 * Two functions that the scripts of bash and zsh share, in what both shells understand. `_skein_flag PATH FLAG` says what the value of
 * a flag is, and fails where it has none; `_skein_argument PATH N` says it of the n-th argument, from 0.
 */
function sharedFunctions(program: CommandSpec): string {
  const commands = allCommands(program)
  const flags = commands.flatMap(({ path, flags }) =>
    flags.flatMap(({ names, takes }) =>
      takes === undefined
        ? []
        : [`    ${names.map(name => quote(`${path} ${name}`)).join('|')}) echo ${quote(wordOf(takes))} ;;`]
    )
  )
  const args = commands.flatMap(({ path, arguments: list }) =>
    list.map((takes, i) => `    ${quote(`${path} ${i}`)}) echo ${quote(wordOf(takes))} ;;`)
  )
  const paths = commands.filter(({ path }) => path !== '').map(({ path }) => quote(path))
  return `_skein_flag() {
  case "$1 $2" in
${flags.join('\n')}
    *) return 1 ;;
  esac
}
_skein_argument() {
  case "$1 $2" in
${args.join('\n')}
    *) return 1 ;;
  esac
}
_skein_is_command() {
  case "$1" in
    ${paths.join('|')}) ;;
    *) return 1 ;;
  esac
}
_skein_models() {
  skein model ls --json "$@" 2>/dev/null | sed -n 's/^{"name":"\\([^"]*\\)".*/\\1/p; s/.*,"name":"\\([^"]*\\)".*/\\1/p'
}
# Reads the words before the one that is completed: the command that they name, its arguments so far, --data, and the flag whose value comes.
_skein_read() {
  _skein_path= _skein_count=0 _skein_data= _skein_open=
  local word
  for word in "$@"; do
    if [ -n "$_skein_open" ]; then
      [ "$word" = '=' ] && continue
      [ "$_skein_open" = --data ] && _skein_data=$word
      _skein_open=
      continue
    fi
    case "$word" in
      --*=*) ;;
      -*) _skein_flag "$_skein_path" "$word" >/dev/null && _skein_open=$word ;;
      *)
        if _skein_is_command "\${_skein_path:+$_skein_path }$word"; then
          _skein_path="\${_skein_path:+$_skein_path }$word"
        else
          _skein_count=$((_skein_count + 1))
        fi
        ;;
    esac
  done
}
# What the word that is completed is: a flag's value, or an argument.
_skein_kind() {
  if [ -n "$_skein_open" ]; then _skein_flag "$_skein_path" "$_skein_open"
  else _skein_argument "$_skein_path" "$_skein_count"
  fi
}`
}

function bashScript(program: CommandSpec): string {
  const words = allCommands(program).map(({ path, commands, flags }) => {
    const all = [...commands.map(({ name }) => name), ...flags.flatMap(({ names }) => names)]
    return `    ${quote(path)}) echo ${quote(all.join(' '))} ;;`
  })
  return `# Completion of skein for bash: eval "$(skein completion bash)", or put this into ~/.local/share/bash-completion/completions/skein
${sharedFunctions(program)}
_skein_words() {
  case "$1" in
${words.join('\n')}
  esac
}
_skein() {
  local current=\${COMP_WORDS[COMP_CWORD]} kind
  local IFS=$'\\n'
  COMPREPLY=()
  _skein_read "\${COMP_WORDS[@]:1:COMP_CWORD-1}"
  [ "$current" = '=' ] && [ -n "$_skein_open" ] && current=
  kind=$(_skein_kind)
  case "$kind" in
    file) compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- "$current")) ;;
    directory) compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -d -- "$current")) ;;
    model) COMPREPLY=($(compgen -W "$(_skein_models \${_skein_data:+--data} \${_skein_data:+"$_skein_data"})" -- "$current")) ;;
    '='*) COMPREPLY=($(compgen -W "$(printf %s "\${kind#?}" | tr ' ' '\\n')" -- "$current")) ;;
  esac
  [ -n "$_skein_open" ] && return
  COMPREPLY+=($(compgen -W "$(_skein_words "$_skein_path" | tr ' ' '\\n')" -- "$current"))
}
complete -F _skein skein
`
}

function zshScript(program: CommandSpec): string {
  const described = (name: string, text: string): string => quote(`${name.replaceAll(':', '\\:')}:${summary(text)}`)
  const words = allCommands(program).map(({ path, commands, flags }) => {
    const names = commands.map(({ name, text }) => described(name, text))
    const options = flags.flatMap(({ names, text }) => names.map(name => described(name, text)))
    return `    ${quote(path)}) subcommands=(${names.join(' ')}) flags=(${options.join(' ')}) ;;`
  })
  return `#compdef skein
# Completion of skein for zsh: put this into a file _skein in a directory of $fpath, or eval "$(skein completion zsh)" after compinit
${sharedFunctions(program)}
_skein_describe() {
  local -a subcommands flags
  case "$1" in
${words.join('\n')}
  esac
  (( $#subcommands )) && _describe command subcommands
  [[ $2 = -* ]] && _describe flag flags
}
_skein() {
  local kind
  local -a models
  _skein_read "\${(@)words[2,CURRENT-1]}"
  kind=$(_skein_kind)
  case "$kind" in
    file) _files ;;
    directory) _files -/ ;;
    model)
      models=("\${(@f)$(_skein_models \${_skein_data:+--data} \${_skein_data:+"$_skein_data"})}")
      compadd -a models
      ;;
    '='*) compadd -- \${(s: :)kind#?} ;;
  esac
  [[ -n $_skein_open ]] && return
  _skein_describe "$_skein_path" "\${words[CURRENT]}"
}
if [[ $funcstack[1] = _skein ]]; then _skein "$@"; else compdef _skein skein; fi
`
}

function fishScript(program: CommandSpec): string {
  const lines = allCommands(program).flatMap(({ path, commands, flags, arguments: list }) => {
    const at = `-n ${quoteFish(`__skein_at ${quoteFish(path)}`)}`
    return [
      ...commands.map(
        ({ name, text }) => `complete -c skein -f ${at} -a ${quoteFish(name)} -d ${quoteFish(summary(text))}`
      ),
      ...flags.map(flag => fishFlag(flag, at)),
      ...list.slice(0, 1).map(takes => `complete -c skein ${at} ${fishValues(takes)}`)
    ]
  })
  const paths = allCommands(program)
    .filter(({ path }) => path !== '')
    .map(({ path }) => quoteFish(path))
  return `# Completion of skein for fish: skein completion fish > ~/.config/fish/completions/skein.fish
function __skein_at
    set -l path
    set -l tokens (commandline -opc)
    for word in $tokens[2..-1]
        set -l longer (string trim -- "$path $word")
        contains -- $longer ${paths.join(' ')}; and set path $longer
    end
    test "$path" = "$argv[1]"
end
function __skein_models
    set -l tokens (commandline -opc)
    set -l at (contains -i -- --data $tokens)
    set -l data
    test -n "$at"; and set data --data $tokens[(math $at + 1)]
    skein model ls --json $data 2>/dev/null | string match -rg '[{,]"name":"([^"]*)"'
end
complete -c skein -f
${lines.join('\n')}
`
}

function fishFlag({ names, text, takes }: FlagSpec, at: string): string {
  const flags = names.map(name => (name.startsWith('--') ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`))
  const value = takes === undefined ? '' : ` -r ${fishValues(takes)}`
  return `complete -c skein ${at} ${flags.join(' ')} -d ${quoteFish(summary(text))}${value}`
}

function fishValues(takes: Takes): string {
  if (takes === 'file') return '-F'
  if (takes === 'directory') return "-f -a '(__fish_complete_directories)'"
  if (takes === 'model') return "-f -a '(__skein_models)'"
  return takes === 'any' ? '-f' : `-f -a ${quoteFish(takes.join(' '))}`
}

/** The first words of a description, as far as they stand for themselves. */
function summary(text: string): string {
  return text.split(/[:;.(]\s|[:;.(]$/, 1)[0]!.trim()
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`
}

function quoteFish(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`
}

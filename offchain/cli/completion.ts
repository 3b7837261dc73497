/**
 * Shell completion, generated from the command tree itself, so that it cannot miss a command or an option.
 *
 * Each script walks the words before the cursor, skips values of options, and so knows the command it is in. Global
 * options are offered in every command. `npx tallystick` is completed unless another completion of npx is in place.
 */
import type { Command, Option } from "commander";
import { InvalidInputError } from "../core/errors.ts";

interface OptionWords {
  readonly flags: readonly string[];
  readonly description: string;
  readonly takesValue: boolean;
  readonly takesFile: boolean;
}

/** What may follow in one command. */
interface Place {
  /** Names of the command and those above it, without the program's own. */
  readonly path: string;
  readonly commands: readonly { readonly name: string; readonly description: string }[];
  readonly options: readonly OptionWords[];
  /** Whether its arguments are files. */
  readonly takesFiles: boolean;
  /** Its argument when that is one of some words. */
  readonly words: readonly string[];
}

const SHELLS = ["bash", "zsh", "fish"] as const;
const HELP: OptionWords = {
  flags: ["-h", "--help"],
  description: "display help for command",
  takesValue: false,
  takesFile: false,
};

function optionWords(option: Option): OptionWords {
  const takesValue = option.required || option.optional;
  return {
    flags: [option.short, option.long].filter((flag) => flag !== undefined),
    description: option.description,
    takesValue,
    takesFile: takesValue && /<(?:file|directory)>/.test(option.flags),
  };
}

function placesOf(command: Command, path: readonly string[], inherited: readonly OptionWords[]): Place[] {
  const own = command.options.filter((option) => !option.hidden).map(optionWords);
  const options = [...own, ...inherited];
  const place: Place = {
    path: path.join(" "),
    commands: command.commands.map((child) => ({ name: child.name(), description: child.description() })),
    options: [...options, HELP],
    takesFiles: command.registeredArguments.some((argument) => /path|file/.test(argument.name())),
    words: command.registeredArguments.some((argument) => argument.name() === "shell") ? SHELLS : [],
  };
  return [place, ...command.commands.flatMap((child) => placesOf(child, [...path, child.name()], options))];
}

const flagsOf = (options: readonly OptionWords[]) => options.flatMap(({ flags }) => flags);

/** The table that the scripts of bash and zsh share: what follows in each command. */
function cases(places: readonly Place[]): string {
  return places
    .map(({ path, commands, options, takesFiles, words }) => {
      const lists = [
        `subs=(${[...commands.map(({ name }) => name), ...words].join(" ")})`,
        `opts=(${flagsOf(options).join(" ")})`,
        `valued=(${flagsOf(options.filter(({ takesValue }) => takesValue)).join(" ")})`,
        `filed=(${flagsOf(options.filter(({ takesFile }) => takesFile)).join(" ")})`,
        `files=${takesFiles ? 1 : ""}`,
      ];
      return `    "${path}") ${lists.join("; ")} ;;`;
    })
    .join("\n");
}

/** Walks the words before the cursor, in the common language of bash and zsh. `$@` are those words. */
const WALK = `  local at="" skip="" word
  for word in "$@"; do
    if [[ -n $skip ]]; then skip=""; continue; fi
    _tallystick_place "$at"
    if [[ " \${valued[*]} " == *" $word "* ]]; then skip="$word"
    elif [[ $word != -* && " \${subs[*]} " == *" $word "* ]]; then at="\${at:+$at }$word"; fi
  done
  _tallystick_place "$at"`;

function bash(places: readonly Place[]): string {
  return `# bash completion of tallystick: source <(tallystick completion bash)
_tallystick_place() {
  case "$1" in
${cases(places)}
    *) subs=(); opts=(); valued=(); filed=(); files= ;;
  esac
}
_tallystick_walk() {
${WALK}
  _tallystick_skip="$skip"
}
_tallystick_from() {
  local -a subs opts valued filed typed
  local files _tallystick_skip word current="\${COMP_WORDS[COMP_CWORD]}" candidates=""
  COMPREPLY=()
  # Bash cuts --option=value at the equals sign.
  [[ $current == "=" ]] && current=""
  for word in "\${COMP_WORDS[@]:$1:COMP_CWORD-$1}"; do [[ $word == "=" ]] || typed+=("$word"); done
  _tallystick_walk "\${typed[@]}"
  if [[ -n $_tallystick_skip ]]; then
    [[ " \${filed[*]} " == *" $_tallystick_skip "* ]] && files=1 || files=
  else
    [[ $current == -* ]] && candidates="\${opts[*]}" || candidates="\${subs[*]}"
    [[ -z $current && -z $candidates && -z $files ]] && candidates="\${opts[*]}"
  fi
  while IFS= read -r word; do COMPREPLY+=("$word"); done < <(
    compgen -W "$candidates" -- "$current"
    [[ -n $files && $current != -* ]] && compgen -f -- "$current"
  )
  # Names with blanks and quotes are escaped by bash itself.
  if [[ -n $files ]]; then compopt -o filenames 2>/dev/null; fi
}
_tallystick() { _tallystick_from 1; }
_tallystick_npx() {
  if [[ $COMP_CWORD -ge 2 && \${COMP_WORDS[1]} == tallystick ]]; then _tallystick_from 2; fi
}
complete -F _tallystick tallystick
complete -p npx >/dev/null 2>&1 || complete -o default -F _tallystick_npx npx
`;
}

function zsh(places: readonly Place[]): string {
  return `#compdef tallystick
# zsh completion of tallystick: source <(tallystick completion zsh)
_tallystick_place() {
  case "$1" in
${cases(places)}
    (*) subs=(); opts=(); valued=(); filed=(); files= ;;
  esac
}
_tallystick_walk() {
${WALK}
  _tallystick_skip="$skip"
}
_tallystick_from() {
  local -a subs opts valued filed
  local files _tallystick_skip current="\${words[CURRENT]}"
  _tallystick_walk "\${(@)words[$1,CURRENT-1]}"
  if [[ -n $_tallystick_skip ]]; then
    [[ " \${filed[*]} " == *" $_tallystick_skip "* ]] && _files
    return
  fi
  if [[ $current == --*=* ]]; then
    [[ " \${filed[*]} " == *" \${current%%=*} "* ]] && { compset -P '*='; _files }
    return
  fi
  [[ $current == -* ]] && compadd -- $opts || compadd -- $subs
  [[ -n $files && $current != -* ]] && _files
  return 0
}
_tallystick() { _tallystick_from 2 }
_tallystick_npx() {
  if (( CURRENT >= 3 )) && [[ \${words[2]} == tallystick ]]; then _tallystick_from 3; else _files; fi
}
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
compdef _tallystick tallystick
(( $+_comps[npx] )) || compdef _tallystick_npx npx
`;
}

function quoted(text: string): string {
  return `'${text.replace(/['\\]/g, (character) => `\\${character}`)}'`;
}

function fishOption(at: string, { flags, description, takesValue, takesFile }: OptionWords): string {
  const names = flags.map((flag) => (flag.startsWith("--") ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`));
  const value = takesFile ? " -r -F" : takesValue ? " -x" : "";
  return `complete -c tallystick -n ${at} ${names.join(" ")}${value} -d ${quoted(description)}`;
}

function fish(places: readonly Place[]): string {
  const lines = places.flatMap(({ path, commands, options, takesFiles, words }) => {
    const at = quoted(`__tallystick_in "${path}"`);
    return [
      ...commands.map(
        ({ name, description }) => `complete -c tallystick -n ${at} -a ${name} -d ${quoted(description)}`,
      ),
      ...words.map((word) => `complete -c tallystick -n ${at} -a ${word}`),
      ...(takesFiles ? [`complete -c tallystick -n ${at} -F`] : []),
      ...options.map((option) => fishOption(at, option)),
    ];
  });
  const valued = [...new Set(places.flatMap(({ options }) => flagsOf(options.filter((one) => one.takesValue))))];
  const known = places.map(({ path }) => quoted(path)).join(" ");
  return `# fish completion of tallystick: tallystick completion fish | source
function __tallystick_in
  set -l at
  set -l skip 0
  for word in (commandline -opc)[2..-1]
    if test $skip = 1
      set skip 0
    else if contains -- $word ${valued.join(" ")}
      set skip 1
    else if contains -- (string join ' ' -- $at $word) ${known}
      set at $at $word
    end
  end
  test "$at" = "$argv[1]"
end
complete -c tallystick -f
${lines.join("\n")}
complete -c npx -n 'test "$(commandline -opc)[2]" = tallystick' -f \\
  -a '(complete -C (commandline -cp | string replace -r "^\\s*npx\\s+" ""))'
`;
}

/** @returns the completion script of one shell @throws InvalidInputError for a shell that is not known */
export function completionScript(program: Command, shell: string): string {
  const places = placesOf(program, [], []);
  switch (shell) {
    case "bash":
      return bash(places);
    case "zsh":
      return zsh(places);
    case "fish":
      return fish(places);
    default:
      throw new InvalidInputError("no completion for this shell", {
        party: "you",
        expected: SHELLS.join(", "),
        received: shell,
      });
  }
}

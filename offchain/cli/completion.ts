/**
 * Shell completion, generated from the command tree itself, so that it cannot fall behind it.
 */
import type { Command } from "commander";
import { InvalidInputError } from "../core/errors.ts";

interface Words {
  readonly path: string;
  readonly words: readonly string[];
}

function wordsOf(command: Command, path: readonly string[]): Words[] {
  const options = command.options.flatMap((option) => (option.hidden || !option.long ? [] : [option.long]));
  const children = command.commands.map((child) => child.name());
  const own = { path: path.join(" "), words: [...children, ...options, "--help"] };
  return [own, ...command.commands.flatMap((child) => wordsOf(child, [...path, child.name()]))];
}

function bash(tree: readonly Words[]): string {
  const cases = tree.map(({ path, words }) => `    "${path}") words="${words.join(" ")}" ;;`).join("\n");
  return `# bash completion of tallystick: source <(tallystick completion bash)
_tallystick() {
  local current="\${COMP_WORDS[COMP_CWORD]}" path="" words="" word
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$word" in -*) ;; *) case " $(_tallystick_words "$path") " in *" $word "*) path="\${path:+$path }$word" ;; esac ;; esac
  done
  words="$(_tallystick_words "$path")"
  COMPREPLY=($(compgen -W "$words" -- "$current") $(compgen -f -- "$current"))
}
_tallystick_words() {
  local words=""
  case "$1" in
${cases}
  esac
  printf '%s' "$words"
}
complete -o filenames -F _tallystick tallystick
`;
}

function zsh(tree: readonly Words[]): string {
  return `# zsh completion of tallystick: source <(tallystick completion zsh)
autoload -U +X bashcompinit && bashcompinit
${bash(tree)}`;
}

function fish(tree: readonly Words[]): string {
  const lines = tree.flatMap(({ path, words }) => {
    const parts = path.split(" ").filter((part) => part !== "");
    const condition =
      parts.length === 0 ? "__fish_use_subcommand" : `__fish_seen_subcommand_from ${parts.at(-1) ?? ""}`;
    return words.map((word) =>
      word.startsWith("--")
        ? `complete -c tallystick -n "${condition}" -l ${word.slice(2)}`
        : `complete -c tallystick -n "${condition}" -a ${word}`,
    );
  });
  return `# fish completion of tallystick: tallystick completion fish | source\n${lines.join("\n")}\n`;
}

/** @returns the completion script of one shell @throws InvalidInputError for a shell that is not known */
export function completionScript(program: Command, shell: string): string {
  const tree = wordsOf(program, []);
  switch (shell) {
    case "bash":
      return bash(tree);
    case "zsh":
      return zsh(tree);
    case "fish":
      return fish(tree);
    default:
      throw new InvalidInputError("no completion for this shell", {
        party: "you",
        expected: "bash, zsh or fish",
        received: shell,
      });
  }
}

/** `tallystick completion`: prints a completion script for a shell. */
import type { Command } from "commander";
import { completionScript } from "../completion.ts";
import { surroundings } from "../surroundings.ts";

export function registerCompletion(program: Command): void {
  program
    .command("completion")
    .description("print a completion script for bash, zsh or fish")
    .argument("<shell>", "bash, zsh or fish")
    .addHelpText("after", "\nExample:\n  $ source <(tallystick completion bash)")
    .action((shell: string, _options: unknown, command: Command) => {
      const script = completionScript(program, shell);
      surroundings(command).output.result({ shell, script }, [script.trimEnd()]);
    });
}

/** `tallystick rotate`: a new identity in place of one that somebody else may have. */
import type { Command } from "commander";
import type { RotateFlags } from "./rotate-run.ts";

export function registerRotate(program: Command): void {
  program
    .command("rotate")
    .description(
      "replace the identity by a new one, when its phrase may be known to somebody else; run again to resume",
    )
    .option("--yes", "carry out what an earlier run has shown, without asking")
    .option("--remove-old", "remove the files of the old identity at the end")
    .option(
      "--collect",
      "move what replaced accounts still have to this one, such as what data sets left that ended since",
    )
    .addHelpText(
      "after",
      "\nThe old key then opens no session and gets no release. What its thief has read already, and the keys of\n" +
        "files that were stored before, stay with the thief.\n" +
        "\nExamples:\n  $ tallystick rotate          # shows the new phrase and the cost\n  $ tallystick rotate --yes",
    )
    .action(async (flags: RotateFlags, command: Command) => {
      const { rotateIdentity } = await import("./rotate-run.ts");
      await rotateIdentity(flags, command);
    });
}

/** `tallystick phrase`: shows the recovery phrase of the identity again. */
import type { Command } from "commander";
import { phraseOfEntropy } from "../../core/identity/identity.ts";
import { surroundings, withIdentity } from "../surroundings.ts";
import { phraseLines } from "./init.ts";

export function registerPhrase(program: Command): void {
  program
    .command("phrase")
    .description("show the recovery phrase again; asks for what opens the keystore")
    .addHelpText("after", "\nExample:\n  $ tallystick phrase")
    .action(async (_options: unknown, command: Command) => {
      const around = surroundings(command);
      await withIdentity(around, async ({ account, phraseEntropy }) => {
        const recoveryPhrase = phraseOfEntropy(phraseEntropy);
        await around.output.confirmedResult({ account, recoveryPhrase }, [
          `account   ${account}`,
          "",
          ...phraseLines(recoveryPhrase),
        ]);
      });
    });
}

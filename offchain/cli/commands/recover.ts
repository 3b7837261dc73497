/**
 * `tallystick recover`: a device that has only the recovery phrase gets its identity back, and the list of what the account has
 * stored from the ledger. With an identity in place it renews the list.
 */
import type { Command } from "commander";
import { createIdentity, hasIdentity } from "../../agent/node/identity-store.ts";
import { formatBytes, printable } from "../output.ts";
import { readNewPassphrase, readRecoveryPhrase } from "../secrets.ts";
import { type AgentSession, surroundings, withAgent } from "../session.ts";
import { fundOnDevelopmentChain } from "./init.ts";

export function registerRecover(program: Command): void {
  program
    .command("recover")
    .description("restore the identity from its recovery phrase, and the list of what is stored from the ledger")
    .option("--phrase-file <file>", "read the recovery phrase from this file")
    .addHelpText(
      "after",
      "\nExample:\n  $ tallystick recover --home ~/.tallystick-new\n  $ tallystick ls --home ~/.tallystick-new",
    )
    .action(async (options: { phraseFile?: string }, command: Command) => {
      const around = surroundings(command);
      let passphrase: string | undefined;
      if (!hasIdentity(around.homeDir)) {
        const phrase = await readRecoveryPhrase(options.phraseFile);
        passphrase = await readNewPassphrase(around.options.passphraseFile);
        const { identity, keystoreFile } = await createIdentity(around.homeDir, passphrase, phrase);
        const { account } = identity;
        identity.wipe();
        around.output.say(`tallystick: identity ${account} restored to ${keystoreFile}`);
        await fundOnDevelopmentChain(around, account);
      }
      const listAgain = async ({ agent, output, signal }: AgentSession) => {
        const report = await agent.recover({ signal });
        output.result({ account: agent.account, ...report }, [
          `account  ${agent.account}`,
          ...report.recovered.map((put) => `${put.dataId}  ${formatBytes(put.totalBytes)}  ${printable(put.name)}`),
          ...report.failed.map(
            ({ recordId, error }) => `record ${recordId} cannot be had now: ${printable(error.message)}`,
          ),
        ]);
      };
      await withAgent(command, listAgain, passphrase);
    });
}

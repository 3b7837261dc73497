/** `tallystick init`: a new identity, its recovery phrase shown this once. */
import type { Command } from "commander";
import { giveDevelopmentFunds } from "../../agent/development-funds.ts";
import { NoDeploymentError } from "../../agent/index.ts";
import { findDeployment } from "../../agent/node/deployment-file.ts";
import { createIdentity, hasIdentity, keystorePath } from "../../agent/node/identity-store.ts";
import { TallystickError } from "../../core/errors.ts";
import { identityFromPhrase, newRecoveryPhrase } from "../../core/identity/identity.ts";
import { readNewPassphrase } from "../secrets.ts";
import { type Surroundings, surroundings } from "../session.ts";

export function registerInit(program: Command): void {
  program
    .command("init")
    .description("make a new identity and show its recovery phrase, once")
    .addHelpText(
      "after",
      "\nExample:\n  $ tallystick init\n  $ TALLYSTICK_PASSPHRASE=… tallystick init --json > phrase.json",
    )
    .action(async (_options: unknown, command: Command) => {
      const around = surroundings(command);
      refuseExisting(around.homeDir);
      const passphrase = await readNewPassphrase(around.options.passphraseFile);
      const phrase = newRecoveryPhrase();
      const { account } = identityFromPhrase(phrase);
      // The network comes first: once the keystore is written, nothing may keep the phrase from being shown.
      const funded = await fundOnDevelopmentChain(around, account);
      const { identity, keystoreFile } = await createIdentity(around.homeDir, passphrase, phrase);
      identity.wipe();
      around.output.result({ account, recoveryPhrase: phrase, keystore: keystoreFile, developmentFunds: funded }, [
        `account   ${account}`,
        `keystore  ${keystoreFile}`,
        "",
        "Your recovery phrase. Write it down; it is shown only now. Whoever has it has your files, and without it and without",
        "this device nobody can restore them:",
        "",
        ...rows(phrase.split(" "), 6).map((row) => `  ${row.join(" ")}`),
      ]);
    });
}

/** Looked at before the passphrase is asked for. */
export function refuseExisting(homeDir: string): void {
  if (!hasIdentity(homeDir)) return;
  throw new TallystickError(`there is an identity already: ${keystorePath(homeDir)}`, {
    code: "CONFLICT",
    party: "you",
    check: "existing keystore",
    hint: "name another folder with --home; an identity is never overwritten",
  });
}

/**
 * A devnet gives coins to accounts that have none: new ones, and those of an earlier devnet whose chain is gone. Without a network
 * there is nothing to give, and an identity needs none: whatever fails here must not keep a new recovery phrase, which is shown
 * this once, from being shown.
 */
export async function fundOnDevelopmentChain(around: Surroundings, account: string): Promise<boolean> {
  const { options, output, homeDir } = around;
  try {
    const { deployment } = findDeployment({ named: options.deployment, homeDir });
    const funded = await giveDevelopmentFunds(deployment, account);
    if (funded) output.say("tallystick: this is a development chain: the account was given 100 coins");
    return funded;
  } catch (error) {
    if (!(error instanceof TallystickError)) throw error;
    const isNamed = options.deployment !== undefined;
    if (isNamed || !(error instanceof NoDeploymentError))
      output.say(`tallystick: no coins were given: ${error.message}`);
    return false;
  }
}

function rows(words: readonly string[], perRow: number): string[][] {
  const count = Math.ceil(words.length / perRow);
  return Array.from({ length: count }, (_, row) => words.slice(row * perRow, (row + 1) * perRow));
}

/**
 * `tallystick init`: a new identity. Its keystore counts only once its recovery phrase was written and, on a terminal,
 * confirmed.
 */
import type { Command } from "commander";
import { hasIdentity, keystorePath, stageIdentity } from "../../agent/node/identity-store.ts";
import { InvalidInputError, TallystickError } from "../../core/errors.ts";
import type { KeystoreKey } from "../../core/identity/keystore.ts";
import { interruptible } from "../interrupt.ts";
import { setUpWalletKey } from "../keystore-key.ts";
import { ask, isTerminal, readNewPassphrase } from "../secrets.ts";
import { type Surroundings, surroundings, wipeKey } from "../surroundings.ts";
import { address } from "../values.ts";

/** Words that are typed again on a terminal. */
export const CONFIRMED_WORDS = 2;

const HELP = `
Example:
  $ tallystick init
  $ tallystick init --wallet 0x7099… --wallet-url http://127.0.0.1:1248
  $ (umask 077; TALLYSTICK_PASSPHRASE=… tallystick init --json > phrase.json)`;

interface InitOptions {
  readonly wallet?: string;
}

export function registerInit(program: Command): void {
  program
    .command("init")
    .description("create an identity and show its recovery phrase")
    .option(
      "--wallet <address>",
      "have this wallet open the keystore, by its signature, in place of a passphrase",
      address,
    )
    .addHelpText("after", HELP)
    .action(async ({ wallet }: InitOptions, command: Command) => {
      const around = surroundings(command);
      const { output, homeDir } = around;
      refuseExisting(homeDir);
      const key = await newKeystoreKey(around, wallet);
      const staged = await stageIdentity(homeDir, key).finally(() => wipeKey(key));
      // Also when Ctrl-C ends the process while the work below still waits for something.
      process.once("exit", staged.release);
      try {
        await interruptible(async () => {
          const { identity, keystoreFile, phrase = "" } = staged;
          const { account } = identity;
          const developmentFunds = await fundOnDevelopmentChain(around, account);
          const asksWords = !output.json && isTerminal() && process.stdout.isTTY === true;
          await output.confirmedResult({ account, recoveryPhrase: phrase, keystore: keystoreFile, developmentFunds }, [
            `account   ${account}`,
            `keystore  ${keystoreFile}`,
            "",
            ...phraseLines(phrase),
            ...(asksWords ? ["", `You will be asked for ${CONFIRMED_WORDS} of these words now.`] : []),
          ]);
          if (asksWords) await confirmPhrase(around, phrase);
          staged.keep();
        });
      } finally {
        process.off("exit", staged.release);
        staged.release();
      }
    });
}

/**
 * What is to open a new keystore: a passphrase, or the wallet that is named.
 * @throws InvalidInputError for options that would have no effect; as `setUpWalletKey`
 */
export async function newKeystoreKey({ options }: Surroundings, wallet: string | undefined): Promise<KeystoreKey> {
  const { passphraseFile, signatureFile, walletUrl } = options;
  const idle = Object.entries({
    "--passphrase-file": wallet !== undefined && passphraseFile !== undefined,
    "--signature-file": signatureFile !== undefined,
    "--wallet-url": wallet === undefined && walletUrl !== undefined,
  }).flatMap(([option, isIdle]) => (isIdle ? [option] : []));
  if (idle.length > 0) {
    throw new InvalidInputError("options of the keystore would have no effect", {
      party: "you",
      check: "options that go together",
      expected: "--passphrase-file alone, or the wallet with --wallet-url, since a new wallet signs a new message",
      received: idle.join(", "),
      hint: "more than one way to open it is added afterwards, with `tallystick identity`",
    });
  }
  return wallet === undefined ? await readNewPassphrase(passphraseFile) : await setUpWalletKey(wallet, options);
}

/** The recovery phrase for people, each word with its number, and what it is. */
export function phraseLines(phrase: string): string[] {
  const numbered = phrase.split(" ").map((word, place) => `${String(place + 1).padStart(2)} ${word}`);
  const width = Math.max(...numbered.map((word) => word.length));
  return [
    "Your recovery phrase. Write it down and keep it offline. Whoever has it can read your files. If you lose it and",
    "this device, nobody can restore them. On this device, `tallystick phrase` shows it again to you.",
    "",
    ...rows(numbered, 6).map(
      (row) =>
        `  ${row
          .map((word) => word.padEnd(width))
          .join("  ")
          .trimEnd()}`,
    ),
  ];
}

/**
 * Asks for some of the words until they are right.
 * @throws InterruptedError when the user ends it; nothing is kept then
 */
export async function confirmPhrase({ output }: Surroundings, phrase: string): Promise<void> {
  const words = phrase.split(" ");
  for (const place of randomPlaces(words.length, CONFIRMED_WORDS)) {
    const question = `Word ${place + 1} of the recovery phrase`;
    while ((await ask(question)).trim().toLowerCase() !== words[place]) {
      output.say("tallystick: that is not the word at this place; look at the phrase again (Ctrl-C keeps no identity)");
    }
  }
}

/** Different places in ascending order. The choice needs no secrecy. */
function randomPlaces(count: number, wanted: number): number[] {
  const places = Array.from({ length: count }, (_, place) => place);
  while (places.length > wanted) places.splice(Math.floor(Math.random() * places.length), 1);
  return places;
}

/** Called before the passphrase is asked for. @throws TallystickError CONFLICT */
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
 * A devnet gives coins to accounts that have none: new ones, and those of an earlier devnet whose chain is gone. An
 * identity needs no network, so failures here are only reported.
 */
export async function fundOnDevelopmentChain(around: Surroundings, account: string): Promise<boolean> {
  const { options, output } = around;
  const { requireDeployment } = await import("../agent-session.ts");
  const { giveDevelopmentFunds } = await import("../../agent/development-funds.ts");
  try {
    const { deployment } = requireDeployment(around);
    const funded = await giveDevelopmentFunds(deployment, account);
    if (funded) output.say("tallystick: this is a development chain: the account was given 100 coins");
    return funded;
  } catch (error) {
    if (!(error instanceof TallystickError)) throw error;
    const isNamed = options.deployment !== undefined;
    if (isNamed || error.code !== "NO_DEPLOYMENT") {
      output.say(`tallystick: no coins were given: ${error.message}`);
    }
    return false;
  }
}

function rows(words: readonly string[], perRow: number): string[][] {
  const count = Math.ceil(words.length / perRow);
  return Array.from({ length: count }, (_, row) => words.slice(row * perRow, (row + 1) * perRow));
}

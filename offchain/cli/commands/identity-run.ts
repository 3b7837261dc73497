/** The work of `tallystick identity`. */
import type { Command } from "commander";
import { addIdentityOpener, removeIdentityOpener } from "../../agent/node/identity-openers.ts";
import { identityOpeners, loadIdentity, requireIdentity } from "../../agent/node/identity-store.ts";
import type { KeystoreKey, KeystoreOpeners } from "../../core/identity/keystore.ts";
import { keystoreMessage } from "../../core/identity/keystore-message.ts";
import { type KeystoreOptions, readAddersKey, readKeystoreKey, setUpWalletKey } from "../keystore-key.ts";
import { readChangedPassphrase } from "../secrets.ts";
import { type Surroundings, surroundings, wipeKey } from "../surroundings.ts";

export interface NewPassphraseFlags {
  readonly newPassphraseFile?: string;
}

export function showOpeners(command: Command): void {
  const around = surroundings(command);
  requireIdentity(around.homeDir);
  tell(around, identityOpeners(around.homeDir));
}

export async function addWallet(wallet: string, command: Command): Promise<void> {
  await withKey(command, readAddersKey, async (around, key) => {
    const { homeDir, options } = around;
    // Before the new wallet has to sign.
    (await loadIdentity(homeDir, key)).wipe();
    const added = await setUpWalletKey(wallet, options);
    try {
      tell(around, await addIdentityOpener(homeDir, key, added));
    } finally {
      added.wipe();
    }
  });
}

export async function setPassphrase({ newPassphraseFile }: NewPassphraseFlags, command: Command): Promise<void> {
  await withKey(command, readKeystoreKey, async (around, key) => {
    const isChanged = identityOpeners(around.homeDir).passphrase;
    const added = await readChangedPassphrase(newPassphraseFile);
    const openers = await addIdentityOpener(around.homeDir, key, added);
    if (isChanged)
      around.output.say("tallystick: copies of the keystore that were made before still open with the old one");
    tell(around, openers);
  });
}

/** @param opener account of a wallet, or `passphrase` */
export async function removeOpener(opener: string, command: Command): Promise<void> {
  await withKey(command, readKeystoreKey, async (around, key) => {
    const openers = await removeIdentityOpener(around.homeDir, key, opener);
    around.output.say("tallystick: copies of the keystore that were made before still open with it");
    tell(around, openers);
  });
}

async function withKey(
  command: Command,
  read: (homeDir: string, options: KeystoreOptions) => Promise<KeystoreKey>,
  work: (around: Surroundings, key: KeystoreKey) => Promise<void>,
): Promise<void> {
  const around = surroundings(command);
  requireIdentity(around.homeDir);
  const key = await read(around.homeDir, around.options);
  try {
    await work(around, key);
  } finally {
    wipeKey(key);
  }
}

function tell({ output }: Surroundings, { passphrase, wallets }: KeystoreOpeners): void {
  const shown = wallets.map((opener) => ({ wallet: opener.wallet, typedData: keystoreMessage(opener) }));
  output.result({ passphrase, wallets: shown }, [
    ...(passphrase ? ["the keystore opens with its passphrase"] : []),
    ...shown.flatMap(({ wallet, typedData }) => [
      `the keystore opens with wallet ${wallet}, by its signature over this EIP-712 message:`,
      `  ${JSON.stringify(typedData)}`,
    ]),
  ]);
}

/**
 * What opens the keystore of the home folder: the passphrase, or a wallet. A wallet is asked at its URL, its signature
 * comes from a file or the environment, or a person brings it: the terminal shows the message, which any program of the
 * wallet signs. All commands load this module, so what wallets need loads when one is used.
 */
import { identityOpeners } from "../agent/node/identity-store.ts";
import { readPrivateFile } from "../agent/node/private-file.ts";
import { secretLine } from "../core/encoding/secret-text.ts";
import { InvalidInputError } from "../core/errors.ts";
import type { KeystoreKey, KeystoreOpeners } from "../core/identity/keystore.ts";
import type { KeystoreMessage } from "../core/identity/keystore-message.ts";
import type { WalletKey, WalletOpener } from "../core/identity/wallet-key.ts";
import type { WalletSigner } from "../core/identity/wallet-signature.ts";
import { isPassphraseGiven, isTerminal, PASSPHRASE_ENVIRONMENT, prompt, readPassphrase } from "./secrets.ts";

const SIGNATURE_ENVIRONMENT = "TALLYSTICK_WALLET_SIGNATURE";
const URL_ENVIRONMENT = "TALLYSTICK_WALLET_URL";
const WAYS = `pass --wallet-url or --signature-file, or set ${URL_ENVIRONMENT} or ${SIGNATURE_ENVIRONMENT}`;

/** The global options about keystores. */
export interface KeystoreOptions {
  readonly passphraseFile?: string | undefined;
  readonly walletUrl?: string | undefined;
  readonly signatureFile?: string | undefined;
}

/** Whether the key is there without asking anybody, or nobody can be asked. */
export function isKeyGiven({ passphraseFile, walletUrl, signatureFile }: KeystoreOptions): boolean {
  if (signatureFile !== undefined) return true;
  return walletUrl === undefined && (isPassphraseGiven(passphraseFile) || isSet(SIGNATURE_ENVIRONMENT));
}

/**
 * Options come before the environment, and the passphrase before a wallet. Whoever is at the terminal is asked for what
 * opens the keystore.
 *
 * @returns the key; the caller wipes that of a wallet
 * @throws TallystickError NO_IDENTITY before anybody is asked; as the wallet, WRONG_WALLET
 */
export async function readKeystoreKey(homeDir: string, options: KeystoreOptions): Promise<KeystoreKey> {
  return await readKeyFor(identityOpeners(homeDir), options);
}

/**
 * The same for another keystore. @param openers what opens it
 * @throws as `readKeystoreKey`
 */
export async function readKeyFor(openers: KeystoreOpeners, options: KeystoreOptions): Promise<KeystoreKey> {
  const { passphrase, wallets } = openers;
  const { passphraseFile, walletUrl, signatureFile } = options;
  const isWalletNamed = walletUrl !== undefined || signatureFile !== undefined;
  if (isWalletNamed && wallets.length === 0) throw noWallet();
  const isPassphraseNamed = passphraseFile !== undefined || (passphrase && isSet(PASSPHRASE_ENVIRONMENT));
  const isWalletInEnvironment = isSet(SIGNATURE_ENVIRONMENT) || isSet(URL_ENVIRONMENT);
  const isByWallet =
    isWalletNamed || (!isPassphraseNamed && wallets.length > 0 && (isWalletInEnvironment || !passphrase));
  return isByWallet ? await keyOfWallet(wallets, options) : await readPassphrase(passphraseFile);
}

/**
 * The key with which a keystore is opened to add a wallet. `--wallet-url` is the address of the added one, and of one
 * that opens the keystore when there is one and no passphrase is given.
 * @throws as `readKeystoreKey`
 */
export async function readAddersKey(homeDir: string, options: KeystoreOptions): Promise<KeystoreKey> {
  const { passphrase, wallets } = identityOpeners(homeDir);
  const isGiven = options.passphraseFile !== undefined || isSet(PASSPHRASE_ENVIRONMENT);
  const isByPassphrase = passphrase && (isGiven || wallets.length === 0);
  return await readKeystoreKey(homeDir, isByPassphrase ? { ...options, walletUrl: undefined } : options);
}

/**
 * The key of a wallet that is to open a keystore from then on. The wallet signs twice: at its URL, or by whoever is at
 * the terminal.
 * @throws as `setUpWallet`
 */
export async function setUpWalletKey(wallet: string, { walletUrl }: KeystoreOptions): Promise<WalletKey> {
  const { setUpWallet } = await import("../core/identity/wallet-signature.ts");
  return await setUpWallet((await signerAt(walletUrl)) ?? signerOnTerminal(wallet), wallet);
}

async function keyOfWallet(wallets: readonly WalletOpener[], options: KeystoreOptions): Promise<WalletKey> {
  const { openByWallet, walletKeyOf } = await import("../core/identity/wallet-signature.ts");
  const { keystoreMessage } = await import("../core/identity/keystore-message.ts");
  const signature = await givenSignature(options);
  if (signature !== undefined) return walletKeyOf(wallets, signature);
  const signer = await signerAt(options.walletUrl);
  if (signer !== undefined) return await openByWallet(wallets, signer);
  return walletKeyOf(wallets, await askSignature(wallets.map(keystoreMessage), "Signature of the wallet"));
}

async function givenSignature({ signatureFile, walletUrl }: KeystoreOptions): Promise<string | undefined> {
  if (signatureFile !== undefined) {
    const what = "signature file";
    const hint = "write what the wallet returned, from 0x on, as one line";
    const text = readPrivateFile(signatureFile, { what, hint, party: "you" });
    return secretLine(text, { what, path: signatureFile, facts: { party: "you", hint } }).trim();
  }
  if (walletUrl !== undefined || !isSet(SIGNATURE_ENVIRONMENT)) return undefined;
  return process.env[SIGNATURE_ENVIRONMENT]?.trim();
}

async function signerAt(named: string | undefined): Promise<WalletSigner | undefined> {
  const url = named ?? (isSet(URL_ENVIRONMENT) ? process.env[URL_ENVIRONMENT] : undefined);
  if (url === undefined) return undefined;
  const { eip1193Signer } = await import("../agent/wallet/eip1193.ts");
  const { httpWallet } = await import("../agent/node/http-wallet.ts");
  const signer = eip1193Signer(httpWallet(url));
  return {
    accounts: async () => await signer.accounts(),
    sign: async (wallet, message) => {
      process.stderr.write(`tallystick: sign in the wallet with ${wallet}: ${message.message.statement}\n`);
      return await signer.sign(wallet, message);
    },
  };
}

/** For set-up, where one message is signed twice. */
function signerOnTerminal(wallet: string): WalletSigner {
  let asked = 0;
  return {
    accounts: () => Promise.resolve([wallet]),
    sign: async (_wallet, message) => {
      asked += 1;
      return await askSignature(asked === 1 ? [message] : [], asked === 1 ? "Signature" : "Signed once more");
    },
  };
}

/** @param messages of which one is to be signed; shown before the prompt */
async function askSignature(messages: readonly KeystoreMessage[], question: string): Promise<string> {
  if (!isTerminal()) {
    throw new InvalidInputError("a wallet has to sign, and there is no terminal to ask on", {
      party: "you",
      check: "signature of the wallet",
      hint: WAYS,
    });
  }
  const [first] = messages;
  if (first !== undefined) {
    const which = messages.length === 1 ? "this EIP-712 message" : "one of these EIP-712 messages";
    const wallets = messages.map(({ message }) => message.wallet).join(" or ");
    process.stderr.write(`tallystick: have wallet ${wallets} sign ${which}, and paste the signature:\n`);
    for (const message of messages) process.stderr.write(`${JSON.stringify(message)}\n`);
  }
  return (await prompt(question)).trim();
}

function isSet(variable: string): boolean {
  return (process.env[variable] ?? "") !== "";
}

function noWallet(): InvalidInputError {
  return new InvalidInputError("no wallet opens this keystore", {
    party: "you",
    check: "slots of the keystore",
    expected: "the passphrase",
    hint: "add the wallet with `tallystick identity add-wallet`",
  });
}

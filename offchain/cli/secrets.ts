/**
 * Where secrets come from: an environment variable, a file, or a prompt on the terminal. Never argv, which other users
 * of the machine can read.
 */
import { readPrivateFile } from "../agent/node/private-file.ts";
import { fromHex } from "../core/encoding/hex.ts";
import { PASSPHRASE_HINT, secretLine } from "../core/encoding/secret-text.ts";
import { InvalidInputError } from "../core/errors.ts";
import { InterruptedError } from "./interrupt.ts";

interface SecretSource {
  readonly what: string;
  readonly environment: string;
  readonly option: string;
  readonly file: string | undefined;
  /** Whether the file may have several lines. */
  readonly lines: "one" | "all";
  /** What to do about a file that is no text, or has several lines. */
  readonly hint: string;
}

async function readSecret(source: SecretSource, askFor: () => Promise<string>): Promise<string> {
  if (source.file !== undefined) {
    const { hint } = source;
    const what = `${source.what} file`;
    const text = readPrivateFile(source.file, { what, hint, party: "you" });
    const file = { what, path: source.file, facts: { party: "you", hint } };
    return source.lines === "all" ? text : secretLine(text, file);
  }
  const fromEnvironment = process.env[source.environment];
  if (fromEnvironment !== undefined && fromEnvironment !== "") return fromEnvironment;
  if (!isTerminal()) {
    throw new InvalidInputError(`no ${source.what} given, and there is no terminal to ask on`, {
      party: "you",
      hint: `set ${source.environment} or pass ${source.option} <path>`,
    });
  }
  return askFor();
}

/** Whether somebody can be asked: prompts are shown on stderr and answered on stdin. */
export function isTerminal(): boolean {
  return process.stdin.isTTY === true && process.stderr.isTTY === true;
}

/** @throws InterruptedError at Ctrl-C, and at Ctrl-D or when the terminal is closed */
export async function prompt(message: string): Promise<string> {
  // Loaded when somebody is there to be asked: it takes longer than most commands' own work.
  const { password } = await import("@inquirer/prompts");
  return await answered(() => password({ message, mask: "*" }, { output: process.stderr }));
}

/**
 * Asks for something that is no secret, and shows what is typed.
 * @throws InterruptedError as `prompt`
 */
export async function ask(message: string): Promise<string> {
  const { input } = await import("@inquirer/prompts");
  return await answered(() => input({ message }, { output: process.stderr }));
}

/**
 * Ctrl-D closes the input without an answer. Nothing is left then that could settle the prompt; `beforeExit` reports
 * that.
 */
async function answered(show: () => Promise<string>): Promise<string> {
  const closed = Promise.withResolvers<never>();
  const giveUp = () => closed.reject(new InterruptedError());
  process.once("beforeExit", giveUp);
  try {
    return await Promise.race([show(), closed.promise]);
  } finally {
    process.off("beforeExit", giveUp);
  }
}

/** How often a new passphrase is asked for when its repetition differs. */
const PASSPHRASE_ATTEMPTS = 3;

export const PASSPHRASE_ENVIRONMENT = "TALLYSTICK_PASSPHRASE";

function passphraseFrom(file: string | undefined): SecretSource {
  return {
    what: "passphrase",
    environment: PASSPHRASE_ENVIRONMENT,
    option: "--passphrase-file",
    file,
    lines: "one",
    hint: PASSPHRASE_HINT,
  };
}

/** Whether `readPassphrase` answers without asking anybody. */
export function isPassphraseGiven(file: string | undefined): boolean {
  return file !== undefined || (process.env[PASSPHRASE_ENVIRONMENT] ?? "") !== "" || !isTerminal();
}

/** @returns the passphrase that opens the keystore */
export function readPassphrase(file: string | undefined): Promise<string> {
  return readSecret(passphraseFrom(file), () => prompt("Passphrase"));
}

/**
 * Asks twice on a terminal, because a mistyped new passphrase would lock its owner out; again when the two differ.
 * @returns the passphrase for a new keystore
 */
export function readNewPassphrase(file: string | undefined): Promise<string> {
  return readSecret(passphraseFrom(file), askNewPassphrase);
}

/** As `readNewPassphrase`, beside the passphrase that opens the keystore now. */
export function readChangedPassphrase(file: string | undefined): Promise<string> {
  const source = {
    ...passphraseFrom(file),
    environment: "TALLYSTICK_NEW_PASSPHRASE",
    option: "--new-passphrase-file",
    what: "new passphrase",
  };
  return readSecret(source, askNewPassphrase);
}

async function askNewPassphrase(): Promise<string> {
  for (let left = PASSPHRASE_ATTEMPTS; left > 0; left--) {
    const first = await prompt("New passphrase");
    if (first.length === 0) throw new InvalidInputError("the passphrase is empty", { party: "you" });
    if ((await prompt("Again")) === first) return first;
    if (left > 1) process.stderr.write("tallystick: the two passphrases differ; type the new passphrase again\n");
  }
  throw new InvalidInputError("the two passphrases differ", { party: "you" });
}

const PHRASE_ENVIRONMENT = "TALLYSTICK_RECOVERY_PHRASE";
const PHRASE_WORDS = 24;

/** @returns the recovery phrase, words separated by single spaces */
export async function readRecoveryPhrase(file: string | undefined): Promise<string> {
  const phrase = await readSecret(
    {
      what: "recovery phrase",
      environment: PHRASE_ENVIRONMENT,
      option: "--phrase-file",
      file,
      lines: "all",
      hint: "write the words as plain text",
    },
    () => promptWords("Recovery phrase", PHRASE_WORDS),
  );
  return wordsOf(phraseIn(phrase)).join(" ").toLowerCase();
}

/** Of a document that `init --json` or `phrase --json` has printed, its phrase; any other text as it is. */
function phraseIn(text: string): string {
  if (!text.trimStart().startsWith("{")) return text;
  try {
    const { recoveryPhrase } = JSON.parse(text) as { recoveryPhrase?: unknown };
    return typeof recoveryPhrase === "string" ? recoveryPhrase : text;
  } catch {
    // Said below, of whatever it is: these are not the words of a phrase.
    return text;
  }
}

/** The words without the numbers that `init` shows before them, so that its rows can be pasted as they are. */
function wordsOf(text: string): string[] {
  return text.split(/\s+/).filter((word) => word !== "" && !/^\d+$/.test(word));
}

/**
 * Reads lines without showing them until they hold enough words. `init` prints the phrase in several rows, and rows
 * that nobody reads would be executed, and remembered, by the shell.
 *
 * @throws InterruptedError at Ctrl-C and Ctrl-D
 */
async function promptWords(message: string, count: number): Promise<string> {
  const { createInterface } = await import("node:readline");
  const { Writable } = await import("node:stream");
  const unseen = new Writable({ write: (_piece, _encoding, done) => done() });
  const reader = createInterface({ input: process.stdin, output: unseen, terminal: true });
  process.stderr.write(`${message} (${count} words, in one line or several; they are not shown): `);
  const words: string[] = [];
  try {
    return await new Promise<string>((resolve, reject) => {
      reader.on("line", (line) => {
        words.push(...wordsOf(line));
        if (words.length >= count) resolve(words.join(" "));
        else process.stderr.write(`\n${words.length} of ${count} words: `);
      });
      reader.on("SIGINT", () => reject(new InterruptedError()));
      reader.on("close", () => reject(new InterruptedError()));
    });
  } finally {
    reader.close();
    process.stderr.write("\n");
  }
}

const WALLET_KEY_ENVIRONMENT = "TALLYSTICK_WALLET_KEY";

/** @returns the private key of a wallet, 32 bytes, if a file or the environment has one; nobody is asked */
export async function givenWalletKey(file: string | undefined): Promise<Uint8Array | undefined> {
  if (file === undefined && (process.env[WALLET_KEY_ENVIRONMENT] ?? "") === "") return undefined;
  const hint = "write the key as 64 hex digits, with or without 0x";
  const text = await readSecret(
    { what: "wallet key", environment: WALLET_KEY_ENVIRONMENT, option: "--wallet-key-file", file, lines: "one", hint },
    () => prompt("Key of the wallet"),
  );
  const [, digits] = /^(?:0x)?([0-9a-fA-F]{64})$/.exec(text.trim()) ?? [];
  // What was given is a secret in whatever form, so it is not repeated.
  if (digits === undefined) throw new InvalidInputError("the wallet key is no private key", { party: "you", hint });
  return fromHex(`0x${digits}`);
}

/** @returns the recovery phrase if a file or the environment has one; nobody is asked */
export async function givenRecoveryPhrase(file: string | undefined): Promise<string | undefined> {
  const isGiven = file !== undefined || (process.env[PHRASE_ENVIRONMENT] ?? "") !== "";
  return isGiven ? await readRecoveryPhrase(file) : undefined;
}

/**
 * The text of a file with a secret. Nothing in it is replaced or left out: two files that differ must not open the same
 * keystore, and a secret must not be weaker than its file looks.
 */
import { type ErrorFacts, InvalidInputError } from "../errors.ts";

/** What a message says about the file; never what is in it. */
export interface SecretFile {
  /** Names the file, for example `passphrase file`. */
  readonly what: string;
  readonly path: string;
  readonly facts?: Pick<ErrorFacts, "party" | "hint">;
}

export const PASSPHRASE_HINT = "make a random passphrase with `openssl rand -base64 32`, and write it as one line";

const TEXT = "UTF-8 without NUL characters";

function refuse({ what, path, facts }: SecretFile, reason: string, expected: string): InvalidInputError {
  return new InvalidInputError(`${what} ${path} ${reason}`, { ...facts, check: what, expected });
}

/**
 * Decodes the content of a file.
 * @returns its text, without a byte order mark
 * @throws InvalidInputError for what is no UTF-8, or has a NUL character
 */
export function secretText(bytes: Uint8Array, file: SecretFile): string {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw refuse(file, "is no text", TEXT);
  }
  if (text.includes("\0")) throw refuse(file, "is no text", TEXT);
  return text;
}

/**
 * Returns the one line of a file; line ends after it do not count.
 * @param text from `secretText`
 * @throws InvalidInputError for a second line that is not empty, and for a carriage return that ends no line
 */
export function secretLine(text: string, file: SecretFile): string {
  const [line = "", ...others] = text.split(/\r?\n/);
  if (line.includes("\r") || others.some((other) => other !== "")) {
    throw refuse(file, "has more than one line", "one line of text");
  }
  return line;
}

/**
 * The arguments of this process as bytes. Node decodes them as UTF-8 and replaces what is not, so that a file with a
 * name in another encoding could not be named. Linux tells the bytes; elsewhere such arguments are refused.
 */
import { readFileSync } from "node:fs";
import { InvalidInputError } from "../core/errors.ts";
import { pathFromBytes } from "../core/recipe/path-name.ts";

const COMMAND_LINE = "/proc/self/cmdline";
/** What Node puts in the place of bytes that are not UTF-8. */
const REPLACEMENT = "\ufffd";

/**
 * @param decoded the arguments as Node shows them, without those of Node itself
 * @param readCommandLine each argument of the process followed by a zero byte
 * @returns the arguments in the string form of core/recipe/path-name.ts
 * @throws InvalidInputError when the bytes of an argument cannot be known
 */
export function exactArguments(
  decoded: readonly string[],
  readCommandLine: () => Uint8Array = () => readFileSync(COMMAND_LINE),
): string[] {
  if (!decoded.some((argument) => argument.includes(REPLACEMENT))) return [...decoded];
  const all = splitAtZeros(readOrNothing(readCommandLine)).slice(-decoded.length);
  const isSame = all.length === decoded.length && all.every((bytes, index) => isShownAs(bytes, decoded[index]));
  if (!isSame) {
    throw new InvalidInputError("an argument is not UTF-8, and this system does not tell its bytes", {
      party: "you",
      check: "arguments",
      hint: "name the folder that holds the file, or give the file a name in UTF-8",
    });
  }
  return all.map((bytes) => pathFromBytes(bytes));
}

function isShownAs(bytes: Uint8Array, decoded: string | undefined): boolean {
  return Buffer.from(bytes).toString("utf8") === decoded;
}

function readOrNothing(read: () => Uint8Array): Uint8Array {
  try {
    return read();
  } catch {
    return new Uint8Array();
  }
}

function splitAtZeros(bytes: Uint8Array): Uint8Array[] {
  const parts: Uint8Array[] = [];
  for (let start = 0; start < bytes.length; ) {
    const zero = bytes.indexOf(0, start);
    const end = zero === -1 ? bytes.length : zero;
    parts.push(bytes.subarray(start, end));
    start = end + 1;
  }
  return parts;
}

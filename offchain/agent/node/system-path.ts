/** Paths as the file system takes them: the very bytes of the names. */
import { pathFromBytes, pathToBytes } from "../../core/recipe/path-name.ts";

/** Characters of one byte each, in UTF-8 and in Latin-1. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: the range is what ASCII is
const ASCII = /^[\x00-\x7f]*$/;

/**
 * @param path in the string form of core/recipe/path-name.ts
 * @returns the string where Node encodes it to the same bytes, which is faster; bytes otherwise
 */
export function systemPath(path: string): string | Buffer {
  return path.isWellFormed() ? path : Buffer.from(pathToBytes(path));
}

/** The name that Node read as Latin-1, one character per byte, in the string form of core/recipe/path-name.ts. */
export function nameFromLatin1(name: string): string {
  return ASCII.test(name) ? name : pathFromBytes(Buffer.from(name, "latin1"));
}

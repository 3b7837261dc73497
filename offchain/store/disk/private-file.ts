/** Files with secrets, which nobody but their owner may be able to read. */
import { readFileSync, statSync } from "node:fs";
import { secretText } from "../../core/encoding/secret-text.ts";
import { InvalidInputError, TallystickError } from "../../core/errors.ts";

/**
 * Reads a file with a secret.
 * @param what names the file in messages, for example `passphrase file` @param hint for a file that is no text
 * @returns its text, without a byte order mark
 * @throws InvalidInputError when others can read it, or it is no text; TallystickError FILE_UNREADABLE
 */
export function readPrivateFile(file: string, what: string, hint = "write it as text in UTF-8"): string {
  let bytes: Uint8Array | undefined;
  try {
    // Windows keeps permissions elsewhere; its mode bits say nothing.
    if (process.platform === "win32" || (statSync(file).mode & 0o077) === 0) bytes = readFileSync(file);
  } catch (cause) {
    throw new TallystickError(`the ${what} cannot be read`, {
      code: "FILE_UNREADABLE",
      received: file,
      hint: "check its path, on the command line or in the configuration, and its permissions",
      cause,
    });
  }
  if (bytes !== undefined) return secretText(bytes, { what, path: file, facts: { hint } });
  throw new InvalidInputError(`${what} ${file} is readable by others`, {
    check: "file mode",
    expected: "mode 0600",
    received: `mode 0${(statSync(file).mode & 0o777).toString(8)}`,
    hint: `chmod 600 ${file}`,
  });
}

/** Files with secrets, which nobody but their owner may be able to read. */
import { readFileSync, statSync } from "node:fs";
import { InvalidInputError, TallystickError } from "../../core/errors.ts";

/**
 * Reads a file with a secret.
 * @param what names the file in messages, for example `passphrase file`
 * @returns its text, without a byte order mark
 * @throws InvalidInputError when others can read it, TallystickError FILE_UNREADABLE
 */
export function readPrivateFile(file: string, what: string): string {
  try {
    // Windows keeps permissions elsewhere; its mode bits say nothing.
    if (process.platform === "win32" || (statSync(file).mode & 0o077) === 0)
      return readFileSync(file, "utf8").replace(/^\uFEFF/, "");
  } catch (cause) {
    throw new TallystickError(`the ${what} cannot be read`, {
      code: "FILE_UNREADABLE",
      received: file,
      hint: "check its path, on the command line or in the configuration, and its permissions",
      cause,
    });
  }
  throw new InvalidInputError(`${what} ${file} is readable by others`, {
    check: "file mode",
    expected: "mode 0600",
    received: `mode 0${(statSync(file).mode & 0o777).toString(8)}`,
    hint: `chmod 600 ${file}`,
  });
}

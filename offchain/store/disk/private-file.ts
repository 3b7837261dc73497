/**
 * Files with secrets, which nobody may be able to read but the account that runs the program. Two more are accepted,
 * because whoever runs the program cannot give them another mode, and nobody else gets at them:
 *
 * - A file of root that the program reads through its group (mode 0640 or stricter): Kubernetes makes secrets so with
 *   `fsGroup`, and systemd credentials look like it. PostgreSQL has the same rule for its keys.
 * - A file in a read-only mount in memory, which is how Docker (mode 0444) and Kubernetes (mode 0644) give a container
 *   its secrets: "others" are accounts of that container.
 */
import { closeSync, fstatSync, openSync, readFileSync, realpathSync, type Stats } from "node:fs";
import { secretText } from "../../core/encoding/secret-text.ts";
import { type ErrorFacts, InvalidInputError, TallystickError } from "../../core/errors.ts";

export interface PrivateFile {
  /** Names the file in messages, for example `passphrase file`. */
  readonly what: string;
  /** For a file that is no text. */
  readonly hint?: string;
  /** Whose file it is; default nobody in particular. */
  readonly party?: ErrorFacts["party"];
}

/**
 * Reads a file with a secret.
 * @returns its text, without a byte order mark
 * @throws InvalidInputError when others can read it, or it is no text; TallystickError FILE_UNREADABLE
 */
export function readPrivateFile(
  file: string,
  { what, hint = "write it as text in UTF-8", party }: PrivateFile,
): string {
  const whose = party === undefined ? {} : { party };
  const { bytes, stats } = read(file, what, whose);
  if (isExposed(stats, process.geteuid?.()) && !isMountedSecret(file)) {
    throw new InvalidInputError(`${what} ${file} is readable by others`, {
      ...whose,
      check: "file mode",
      expected: "mode 0600",
      received: `mode 0${(stats.mode & 0o777).toString(8)}`,
      hint: `chmod 600 ${file}`,
    });
  }
  return secretText(bytes, { what, path: file, facts: { ...whose, hint } });
}

function read(file: string, what: string, whose: Pick<ErrorFacts, "party">): { bytes: Uint8Array; stats: Stats } {
  try {
    // The mode is that of the file that is read, also when the name means another one meanwhile.
    const handle = openSync(file, "r");
    try {
      return { stats: fstatSync(handle), bytes: readFileSync(handle) };
    } finally {
      closeSync(handle);
    }
  } catch (cause) {
    throw new TallystickError(`the ${what} cannot be read`, {
      ...whose,
      code: "FILE_UNREADABLE",
      received: file,
      hint: "check its path, on the command line or in the configuration, and its permissions",
      cause,
    });
  }
}

/**
 * Whether a file's mode lets others read it. A terminal keeps nothing.
 * @param user that runs the program; absent on Windows, which keeps permissions elsewhere
 */
export function isExposed(stats: Pick<Stats, "mode" | "uid" | "isCharacterDevice">, user: number | undefined): boolean {
  if (user === undefined || stats.isCharacterDevice() || (stats.mode & 0o077) === 0) return false;
  return !(stats.uid === 0 && user !== 0 && (stats.mode & 0o037) === 0);
}

function isMountedSecret(file: string): boolean {
  try {
    return isInSecretMount(realpathSync(file), readFileSync("/proc/self/mountinfo", "utf8"));
  } catch {
    // Not Linux.
    return false;
  }
}

/**
 * Whether a file lies in a read-only mount in memory.
 * @param path absolute, without links
 * @param mountInfo as in proc_pid_mountinfo(5): one mount a line, later ones cover earlier ones
 */
export function isInSecretMount(path: string, mountInfo: string): boolean {
  let best = { length: 0, isSecret: false };
  for (const line of mountInfo.split("\n")) {
    const [mount = "", system = ""] = line.split(" - ");
    const [, , , , point = "", options = ""] = mount.split(" ");
    const [kind = ""] = system.split(" ");
    // Blanks and the like are octal there.
    const at = point.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
    const isOn = at !== "" && (path === at || path.startsWith(at.endsWith("/") ? at : `${at}/`));
    if (!isOn || at.length < best.length) continue;
    const isSecret = options.split(",").includes("ro") && (kind === "tmpfs" || kind === "ramfs");
    best = { length: at.length, isSecret };
  }
  return best.isSecret;
}

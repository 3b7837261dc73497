/**
 * Extended attributes, among them access control lists and capabilities. Node has no call for them, so the system's
 * `getfattr` and `setfattr` (Debian package `attr`) are run for many files at once.
 */
import { spawn, spawnSync } from "node:child_process";
import { pathFromBytes, pathToBytes } from "../../core/recipe/path-name.ts";

export type Attributes = ReadonlyMap<string, Uint8Array>;

/** Linux allows a name of 255 bytes and a value of 64 KiB; a file system may allow more. */
const MAXIMUM_DUMP_BYTES = 64 * 1024 * 1024;

/** Whether the two commands are there. Asked once per process. */
let available: boolean | undefined;

export function hasAttributeCommands(): boolean {
  available ??= ["getfattr", "setfattr"].every(
    (name) => spawnSync(name, ["--version"], { stdio: "ignore" }).status === 0,
  );
  return available;
}

/**
 * The attributes of files, folders and links (not followed). Files that have none, or that are gone, have no entry.
 *
 * @param paths absolute
 */
export async function readAttributes(paths: readonly string[]): Promise<Map<string, Attributes>> {
  // Paths go through standard input, because Node hands over arguments as UTF-8 only.
  const command = ["-0", "-r", "getfattr", "-h", "-d", "-m", "-", "-e", "base64", "--absolute-names", "--"];
  const { output } = await run("xargs", command, pathList(paths));
  return parseDump(output);
}

/**
 * Sets attributes, adding to those that are there.
 *
 * @returns for each file with attributes that could not be set, what the command said
 */
export async function writeAttributes(files: ReadonlyMap<string, Attributes>): Promise<string[]> {
  const { errors } = await run("setfattr", ["-h", "--restore=-"], writeDump(files));
  return errors.split("\n").filter((line) => line !== "");
}

/** @param dump lines `# file: <path>` and `<name>=0s<base64>`, files separated by an empty line */
export function parseDump(dump: Uint8Array): Map<string, Attributes> {
  const files = new Map<string, Attributes>();
  let path: string | undefined;
  let found: [string, Uint8Array][] = [];
  const close = () => {
    // Sorted by bytes: one character is one byte here.
    found.sort(([a], [b]) => (a < b ? -1 : 1));
    const named = found.map(([name, value]) => [pathFromBytes(Buffer.from(name, "latin1")), value] as const);
    if (path !== undefined && found.length > 0) files.set(path, new Map(named));
    path = undefined;
    found = [];
  };
  for (const line of Buffer.from(dump.buffer, dump.byteOffset, dump.length).toString("latin1").split("\n")) {
    if (line.startsWith("# file: ")) {
      close();
      path = pathFromBytes(Buffer.from(unquoted(line.slice("# file: ".length)), "latin1"));
      continue;
    }
    const equals = line.indexOf("=");
    const name = equals === -1 ? line : line.slice(0, equals);
    if (name === "") continue;
    const value = equals === -1 ? "" : line.slice(equals + 1);
    const bytes = value.startsWith("0s") ? Buffer.from(value.slice(2), "base64") : Buffer.from(value, "latin1");
    found.push([unquoted(name), new Uint8Array(bytes)]);
  }
  close();
  return files;
}

/** The inverse of `parseDump`. */
export function writeDump(files: ReadonlyMap<string, Attributes>): Buffer {
  const lines: string[] = [];
  for (const [path, attributes] of files) {
    lines.push(`# file: ${quoted(path)}`);
    for (const [name, value] of attributes) lines.push(`${quoted(name)}=0s${Buffer.from(value).toString("base64")}`);
    lines.push("");
  }
  return Buffer.from(`${lines.join("\n")}\n`, "latin1");
}

/** Backslash and three octal digits stand for bytes that would end a line or a name. */
function quoted(text: string): string {
  const bytes = Buffer.from(pathToBytes(text)).toString("latin1");
  return bytes.replace(/[\n\r\\=]/g, (byte) => `\\${byte.charCodeAt(0).toString(8).padStart(3, "0")}`);
}

function unquoted(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

/** Each path with a zero byte after it. */
function pathList(paths: readonly string[]): Buffer {
  const text = `${paths.join("\0")}\0`;
  return text.isWellFormed() ? Buffer.from(text) : Buffer.from(pathToBytes(text));
}

/** Runs a command to its end. What it says about single files is in `errors`. */
async function run(
  command: string,
  parameters: readonly string[],
  input: Uint8Array,
): Promise<{ output: Buffer; errors: string }> {
  const child = spawn(command, parameters, { stdio: ["pipe", "pipe", "pipe"], env: { ...process.env, LC_ALL: "C" } });
  const output: Buffer[] = [];
  const errors: Buffer[] = [];
  let length = 0;
  const keep = (into: Buffer[]) => (piece: Buffer) => {
    length += piece.length;
    if (length > MAXIMUM_DUMP_BYTES) child.kill();
    else into.push(piece);
  };
  child.stdout.on("data", keep(output));
  child.stderr.on("data", keep(errors));
  // A command that ends early says why by itself.
  child.stdin.on("error", () => undefined);
  child.stdin.end(input);
  await new Promise<void>((resolve) => {
    child.on("error", (error) => {
      errors.push(Buffer.from(error.message));
      resolve();
    });
    child.on("close", () => resolve());
  });
  return { output: Buffer.concat(output), errors: Buffer.concat(errors).toString("utf8") };
}

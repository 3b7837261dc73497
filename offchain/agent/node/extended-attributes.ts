/**
 * Extended attributes, among them access control lists and capabilities. Node has no call for them, so the system's
 * `getfattr` and `setfattr` (Debian package `attr`) are run for many files at once.
 */
import { spawn, spawnSync } from "node:child_process";
import { pathFromBytes, pathToBytes } from "../../core/recipe/path-name.ts";

export type Attributes = ReadonlyMap<string, Uint8Array>;

/**
 * Dump of one run of the command that is kept. Linux allows a value of 64 KiB, a file system may allow many per file,
 * and base64 adds a third: what does not fit is asked for in smaller parts.
 */
const MAXIMUM_DUMP_BYTES = 64 * 1024 * 1024;
/** What the command says of files that are gone, and where the file system has no such attributes: there are none. */
const NOTHING_THERE = /: (No such file or directory|Not a directory|No data available|Operation not supported)$/;

/** What is known of consecutive ones of the paths that were asked for. */
export interface AttributesPart {
  readonly paths: readonly string[];
  /** Files that have none, or that are gone, have no entry. */
  readonly found: ReadonlyMap<string, Attributes>;
  /** Why not all attributes of a file could be read. Those in `found` are the others. */
  readonly unread: ReadonlyMap<string, string>;
}

/** Whether the two commands are there. Asked once per process. */
let available: boolean | undefined;

export function hasAttributeCommands(): boolean {
  available ??= ["getfattr", "setfattr"].every(
    (name) => spawnSync(name, ["--version"], { stdio: "ignore" }).status === 0,
  );
  return available;
}

/**
 * The attributes of files, folders and links (not followed), in parts, so that no more than one dump is in memory.
 *
 * @param paths absolute
 * @param maximumDumpBytes of one part; the dump of a single file may not be longer
 */
export async function* attributesInParts(
  paths: readonly string[],
  maximumDumpBytes = MAXIMUM_DUMP_BYTES,
): AsyncGenerator<AttributesPart, void, undefined> {
  const part = await readPart(paths, maximumDumpBytes);
  if (part !== undefined) {
    yield part;
    return;
  }
  const middle = Math.ceil(paths.length / 2);
  yield* attributesInParts(paths.slice(0, middle), maximumDumpBytes);
  yield* attributesInParts(paths.slice(middle), maximumDumpBytes);
}

/** As `attributesInParts`, all of it at once: for few files. */
export async function readAttributes(paths: readonly string[]): Promise<Map<string, Attributes>> {
  const all = new Map<string, Attributes>();
  for await (const { found } of attributesInParts(paths)) for (const [path, each] of found) all.set(path, each);
  return all;
}

/** @returns undefined when more than one file is asked for, and something cannot be said of each of them */
async function readPart(paths: readonly string[], maximumDumpBytes: number): Promise<AttributesPart | undefined> {
  // Paths go through standard input, because Node hands over arguments as UTF-8 only.
  const command = ["-0", "-r", "getfattr", "-h", "-d", "-m", "-", "-e", "base64", "--absolute-names", "--"];
  const { output, errors, failure, isTooMuch } = await run("xargs", command, pathList(paths), maximumDumpBytes);
  const [only = ""] = paths;
  if (isTooMuch && paths.length > 1) return undefined;
  if (failure !== undefined) return { paths, found: new Map(), unread: new Map(paths.map((path) => [path, failure])) };
  const unread = new Map<string, string>();
  const complaints = errors.split("\n").filter((line) => line !== "" && !NOTHING_THERE.test(line));
  if (complaints.length > 0) {
    const known = new Map(paths.map((path) => [Buffer.from(pathToBytes(path)).toString("latin1"), path]));
    for (const line of complaints) {
      const said = complaintOf(line, known) ?? (paths.length === 1 ? { path: only, reason: asText(line) } : undefined);
      if (said === undefined) return undefined;
      unread.set(said.path, said.reason);
    }
  }
  return { paths, found: parseDump(output), unread };
}

/**
 * @param line of getfattr: `getfattr: <path>: <reason>` or `<path>: <attribute>: <reason>`
 * @param known paths by their bytes
 */
function complaintOf(
  line: string,
  known: ReadonlyMap<string, string>,
): { readonly path: string; readonly reason: string } | undefined {
  const about = line.replace(/^getfattr: /, "");
  // The longest one, because a path may be the beginning of another.
  for (let end = about.lastIndexOf(": "); end > 0; end = about.lastIndexOf(": ", end - 1)) {
    const path = known.get(unquoted(about.slice(0, end)));
    if (path !== undefined) return { path, reason: asText(about.slice(end + 2)) };
  }
  return undefined;
}

function asText(latin1: string): string {
  return Buffer.from(latin1, "latin1").toString("utf8");
}

/**
 * Sets attributes, adding to those that are there.
 *
 * @returns for each file with attributes that could not be set, what the command said
 */
export async function writeAttributes(files: ReadonlyMap<string, Attributes>): Promise<string[]> {
  return saidBy(await run("setfattr", ["-h", "--restore=-"], writeDump(files)));
}

/**
 * Removes one attribute of files that have it.
 *
 * @param paths absolute
 * @returns for each file that keeps it, what the command said
 */
export async function removeAttribute(name: string, paths: readonly string[]): Promise<string[]> {
  return saidBy(await run("xargs", ["-0", "-r", "setfattr", "-h", "-x", name, "--"], pathList(paths)));
}

function saidBy({ errors, failure }: { readonly errors: string; readonly failure?: string }): string[] {
  const said = asText(errors)
    .split("\n")
    .filter((line) => line !== "");
  return failure === undefined ? said : [...said, failure];
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

/**
 * Runs a command to its end. What it says about single files is in `errors`, one character per byte; `failure` is why
 * it could not do its work.
 */
async function run(
  command: string,
  parameters: readonly string[],
  input: Uint8Array,
  maximumBytes = MAXIMUM_DUMP_BYTES,
): Promise<{ output: Buffer; errors: string; failure?: string; isTooMuch: boolean }> {
  const child = spawn(command, parameters, { stdio: ["pipe", "pipe", "pipe"], env: { ...process.env, LC_ALL: "C" } });
  const output: Buffer[] = [];
  const errors: Buffer[] = [];
  let length = 0;
  let failure: string | undefined;
  const keep = (into: Buffer[]) => (piece: Buffer) => {
    length += piece.length;
    if (length <= maximumBytes) {
      into.push(piece);
      return;
    }
    failure ??= `more than ${maximumBytes} bytes of attributes`;
    child.kill();
    // What it runs may hold its output open, and would not end before it has written all of it.
    child.stdout.destroy();
    child.stderr.destroy();
  };
  child.stdout.on("data", keep(output));
  child.stderr.on("data", keep(errors));
  // A command that ends early says why by itself.
  child.stdin.on("error", () => undefined);
  child.stdin.end(input);
  await new Promise<void>((resolve) => {
    child.on("error", (error) => {
      failure ??= error.message;
      resolve();
    });
    child.on("close", (status, signal) => {
      // Of xargs: 123 when a command failed for single files, which it names. Others: it did not run to its end.
      if (signal !== null) failure ??= `${command} was ended by ${signal}`;
      else if (command === "xargs" && status !== 0 && status !== 123) failure ??= `${command} failed (${status})`;
      resolve();
    });
  });
  const said = Buffer.concat(errors).toString("latin1");
  const isTooMuch = length > maximumBytes;
  return { output: Buffer.concat(output), errors: said, isTooMuch, ...(failure === undefined ? {} : { failure }) };
}

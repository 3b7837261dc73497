/**
 * The parts of the demonstration's story: people with their own homes, waiting for the chain, damage on a disk, and the
 * comparison of what came back with what was stored.
 */
import { createHash } from "node:crypto";
import { lstatSync, readdirSync, readFileSync, readlinkSync, statSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import {
  bodyBytes,
  decodeHead,
  decodePackHeader,
  headBytes,
  MAX_HEAD_BYTES,
  PACK_HEADER_BYTES,
} from "../../offchain/store/object/pack/pack-codec.ts";
import { type CommandResult, type CommandUser, tallystick } from "./command.ts";

/** Prints the story as it goes: headings, the commands that run, and what came of them. */
export class Teller {
  #step = 0;

  heading(text: string): void {
    this.#step += 1;
    process.stdout.write(`\n${this.#step}. ${text}\n`);
  }

  line(text: string): void {
    process.stdout.write(`   ${text}\n`);
  }
}

/** Somebody who uses the command line. */
export class Person {
  readonly name: string;
  readonly user: CommandUser;
  readonly #teller: Teller;

  constructor(name: string, user: CommandUser, teller: Teller) {
    this.name = name;
    this.user = user;
    this.#teller = teller;
  }

  /** Runs a command and expects it to succeed. @throws Error with what the command said when it does not */
  async run(...args: string[]): Promise<Record<string, unknown>> {
    const { exitCode, document, stderr } = await this.attempt(...args);
    if (exitCode !== 0) throw new Error(`tallystick ${args.join(" ")} ended with ${exitCode}\n${stderr}`);
    return document;
  }

  /** Runs a command whatever its end. */
  async attempt(...args: string[]): Promise<CommandResult> {
    this.#teller.line(`${this.name}$ tallystick ${args.map((arg) => (/\s/.test(arg) ? `'${arg}'` : arg)).join(" ")}`);
    return await tallystick(this.user, args);
  }
}

/** Waits until `condition` holds. @throws Error naming what was waited for when it does not within `seconds` */
export async function until(what: string, seconds: number, condition: () => Promise<boolean>): Promise<void> {
  for (const end = Date.now() + seconds * 1000; !(await condition()); await pause(200)) {
    if (Date.now() > end) throw new Error(`after ${seconds} seconds still waiting: ${what}`);
  }
}

/**
 * Flips a byte in every fourth stored object, in all of them when there are few.
 * @returns how many were damaged, and of how many
 */
export function damageObjects(storeDirectory: string): { damaged: number; objects: number } {
  const objects = storedObjects(storeDirectory);
  const victims = objects.length < 40 ? objects : objects.filter((_, position) => position % 4 === 0);
  for (const { file, offset, lengthBytes } of victims) {
    const bytes = readFileSync(file);
    const middle = offset + Math.floor(lengthBytes / 2);
    bytes[middle] = (bytes[middle] ?? 0) ^ 1;
    writeFileSync(file, bytes);
  }
  return { damaged: victims.length, objects: objects.length };
}

/** Where the bytes of the objects are in the provider's packs. */
function storedObjects(storeDirectory: string): { file: string; offset: number; lengthBytes: number }[] {
  const folder = join(storeDirectory, "packs");
  const files = readdirSync(folder).filter((name) => name.endsWith(".pack"));
  return files.flatMap((name) => {
    const file = join(folder, name);
    const bytes = readFileSync(file);
    const { salt } = decodePackHeader(bytes) ?? {};
    if (salt === undefined) return [];
    const objects = [];
    for (let at = PACK_HEADER_BYTES; ; ) {
      const head = decodeHead(bytes.subarray(at, at + MAX_HEAD_BYTES), salt);
      if (head === undefined || head.kind === "contents") return objects;
      const offset = at + headBytes(head);
      if (head.kind === "object") objects.push({ file, offset, lengthBytes: head.lengthBytes });
      at = offset + bodyBytes(head);
    }
  });
}

/**
 * Everything that a restored tree must have in common with its original, entry by entry. Times are stored to the
 * microsecond.
 */
function describeTree(root: string): Map<string, string> {
  const entries = new Map<string, string>();
  const visit = (path: string) => {
    const facts = lstatSync(path, { bigint: true });
    const mode = (facts.mode & 0o7777n).toString(8);
    const name = relative(root, path);
    const micros = facts.mtimeNs / 1000n;
    if (facts.isSymbolicLink()) {
      entries.set(name, `link ${readlinkSync(path)}`);
    } else if (facts.isDirectory()) {
      entries.set(name, `folder ${mode} ${micros}`);
      for (const child of readdirSync(path).sort()) visit(join(path, child));
    } else if (facts.isFile()) {
      const digest = createHash("sha256").update(readFileSync(path)).digest("hex");
      entries.set(name, `file ${mode} ${micros} ${facts.size} ${digest}`);
    }
  };
  visit(root);
  return entries;
}

/** @returns the entries that differ between two trees, by name; none when they are the same */
export function differences(original: string, restored: string): string[] {
  const [left, right] = [describeTree(original), describeTree(restored)];
  const names = new Set([...left.keys(), ...right.keys()]);
  return [...names].filter((name) => left.get(name) !== right.get(name));
}

/** @throws Error when the path is no folder that can be read */
export function requireFolder(path: string): void {
  if (!statSync(path).isDirectory()) throw new Error(`${path} is not a folder`);
}

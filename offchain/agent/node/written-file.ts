/** A file that a restore has written, to read its bytes again: by its own descriptor until it has its name. */
import { type BigIntStats, closeSync, constants, fstatSync, openSync, read } from "node:fs";
import type { WrittenFile } from "../platform.ts";
import { systemPath } from "./system-path.ts";

/** What is opened is the file itself, whoever has replaced it by a link or a pipe. Not a use of the file. */
const READ_FLAGS =
  constants.O_RDONLY |
  constants.O_NOFOLLOW |
  constants.O_NONBLOCK |
  ("O_NOATIME" in constants ? constants.O_NOATIME : 0);

interface Finished {
  readonly path: string;
  readonly dev: bigint;
  readonly ino: bigint;
}

export class WrittenLocalFile implements WrittenFile {
  /** Descriptor of the file while it is written. */
  #descriptor: (() => number | undefined) | undefined;
  #finished: Finished | undefined;
  /** Readings by the descriptor, which is not to be closed meanwhile. */
  readonly #underWay = new Set<Promise<boolean>>();

  constructor(descriptor: () => number | undefined) {
    this.#descriptor = descriptor;
  }

  async read(into: Uint8Array, offset: number): Promise<boolean> {
    const file = this.#descriptor?.();
    if (file === undefined) return this.#finished !== undefined && (await readFinished(this.#finished, into, offset));
    const reading = readUnfinished(file, into, offset);
    this.#underWay.add(reading);
    try {
      return await reading;
    } finally {
      this.#underWay.delete(reading);
    }
  }

  /** Before the descriptor is closed: waits for those who read by it, and lets nobody begin. */
  async end(): Promise<void> {
    this.#descriptor = undefined;
    await Promise.all(this.#underWay);
  }

  /** Once the file has its name. */
  finishedAs(path: string, { dev, ino }: BigIntStats): void {
    this.#finished = { path, dev, ino };
  }
}

async function readFinished({ path, dev, ino }: Finished, into: Uint8Array, offset: number): Promise<boolean> {
  let file: number;
  try {
    file = openSync(systemPath(path), READ_FLAGS);
  } catch {
    return false;
  }
  try {
    const stat = fstatSync(file, { bigint: true });
    return stat.dev === dev && stat.ino === ino && (await readFully(file, into, offset));
  } finally {
    closeSync(file);
  }
}

async function readFully(file: number, into: Uint8Array, offset: number): Promise<boolean> {
  return (await readUpTo(file, into, offset)) === into.length;
}

/**
 * A file with holes gets its length at its end only, so the zeros after what was written last are beyond it until then.
 * Where it is shorter for another reason, zeros are not what was written there, which whoever reads verifies.
 */
async function readUnfinished(file: number, into: Uint8Array, offset: number): Promise<boolean> {
  const length = await readUpTo(file, into, offset);
  if (length === undefined) return false;
  into.fill(0, length);
  return true;
}

/** @returns how much there is; undefined when the disk fails: what cannot be read is downloaded */
async function readUpTo(file: number, into: Uint8Array, offset: number): Promise<number | undefined> {
  let end = 0;
  while (end < into.length) {
    const start = end;
    const length = await new Promise<number | undefined>((resolve) => {
      read(file, into, start, into.length - start, offset + start, (error, count) =>
        resolve(error ? undefined : count),
      );
    });
    if (length === undefined) return undefined;
    if (length === 0) break;
    end += length;
  }
  return end;
}

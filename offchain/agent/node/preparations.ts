/**
 * Prepared data sets in the home folder: a folder per salt with the files `tags` and `manifest`. The manifest is
 * written last, and only a preparation that has one counts.
 */

import { existsSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import { asDiskError } from "../../store/disk/disk-errors.ts";
import { replaceDurably, syncFolder } from "../../store/disk/durable-file.ts";
import { makeFolders } from "../../store/disk/make-folders.ts";
import type { PreparationStore, PreparationWriter, StoredPreparation } from "../platform.ts";

const FOLDER = "preparations";

export class FolderPreparations implements PreparationStore {
  readonly #folder: string;

  constructor(homeDir: string) {
    this.#folder = join(homeDir, FOLDER);
  }

  /** @throws DiskFullError, DiskFailedError */
  async create(salt: string): Promise<PreparationWriter> {
    const folder = this.#pathOf(salt);
    return await onDisk(folder, async () => {
      makeFolders(folder, 0o700);
      return new FolderPreparationWriter(this.#folder, folder, await open(join(folder, "tags"), "w", 0o600));
    });
  }

  async find(salt: string): Promise<StoredPreparation | undefined> {
    const folder = this.#pathOf(salt);
    const manifestFile = join(folder, "manifest");
    if (!existsSync(manifestFile)) return undefined;
    return await onDisk(folder, async () => {
      const manifest = new Uint8Array(readFileSync(manifestFile));
      return { salt, manifest, readTags: (offset, length) => readPart(join(folder, "tags"), offset, length) };
    });
  }

  async remove(salt: string): Promise<void> {
    rmSync(this.#pathOf(salt), { recursive: true, force: true });
  }

  async removeAbandoned(needed: ReadonlySet<string>, before: number): Promise<void> {
    if (!existsSync(this.#folder)) return;
    for (const name of readdirSync(this.#folder)) {
      // Another run may remove it at the same time.
      const writtenAt = statSync(join(this.#folder, name), { throwIfNoEntry: false })?.mtimeMs;
      if (writtenAt !== undefined && writtenAt < before && !needed.has(name)) await this.remove(name);
    }
  }

  #pathOf(salt: string): string {
    return join(this.#folder, salt);
  }
}

class FolderPreparationWriter implements PreparationWriter {
  readonly #parent: string;
  readonly #folder: string;
  readonly #tags: FileHandle;

  constructor(parent: string, folder: string, tags: FileHandle) {
    this.#parent = parent;
    this.#folder = folder;
    this.#tags = tags;
  }

  async append(tags: Uint8Array): Promise<void> {
    await onDisk(this.#folder, async () => {
      await this.#tags.writeFile(tags);
    });
  }

  async finish(manifest: Uint8Array): Promise<void> {
    await onDisk(this.#folder, async () => {
      await this.#tags.sync();
      await this.#tags.close();
      replaceDurably(join(this.#folder, "manifest"), manifest);
      syncFolder(this.#parent);
    });
  }

  async discard(): Promise<void> {
    await this.#tags.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

async function readPart(file: string, offset: number, length: number): Promise<Uint8Array> {
  return await onDisk(file, async () => {
    const handle = await open(file, "r");
    try {
      const bytes = new Uint8Array(length);
      const { bytesRead } = await handle.read(bytes, 0, length, offset);
      return bytes.subarray(0, bytesRead);
    } finally {
      await handle.close();
    }
  });
}

async function onDisk<Result>(what: string, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    throw asDiskError(error, `preparation ${what}`);
  }
}

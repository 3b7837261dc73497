/**
 * Checks a folder of packs that no process uses: derives a new index from the packs, reading every byte if asked to,
 * and
 * compares it with the one that is there. Repair is to put the new one in its place: what is damaged is in it no more,
 * so it is never served, and the next upload of an object stores it again.
 */
import { readdirSync, renameSync } from "node:fs";
import * as nodeFileSystem from "node:fs/promises";
import { join } from "node:path";
import { asDiskError } from "../../disk/disk-errors.ts";
import { syncFile, syncFolder } from "../../disk/durable-file.ts";
import { removeDatabase } from "./index-file.ts";
import { checksumOf, decodePackHeader, digestIn, HEAD_BYTES, PACK_HEADER_BYTES } from "./pack-codec.ts";
import type { PackEntry } from "./pack-contents.ts";
import type { Report } from "./pack-findings.ts";
import { PackFolder, packName, packNumber } from "./pack-folder.ts";
import { type IndexedObject, isDamagedIndex, PackIndex } from "./pack-index.ts";
import { recoverPacks } from "./pack-recovery.ts";

/** File of the index that a check derives. */
const DERIVED_FILE = "index-of-check.db";

export interface PackCheckOptions {
  readonly report: Report;
  readonly readData: boolean;
  readonly progress?: (bytes: number) => void;
}

export interface PackCheck {
  /** Length of an object that can be read; undefined for others. */
  sizeOf(id: string): number | undefined;
  /** Puts the derived index in place. The next start cuts off torn tails. */
  repair(): void;
  close(): void;
}

/** @param root of a store that is locked by the caller @throws DiskFailedError, DiskFullError, UnknownVersionError */
export async function checkPacks(root: string, indexFile: string, options: PackCheckOptions): Promise<PackCheck> {
  const { report, readData, progress } = options;
  const derivedPath = join(root, DERIVED_FILE);
  removeDatabase(derivedPath);
  const folder = new PackFolder(root, nodeFileSystem);
  const derived = new PackIndex(derivedPath, true);
  const present = openPresent(join(root, indexFile), indexFile, report);
  let isOpen = true;
  const close = (): void => {
    if (!isOpen) return;
    isOpen = false;
    derived.close();
    present?.close();
    folder.close();
  };
  try {
    await folder.prepare();
    reportForeignFiles(folder.folder, report);
    const packs = new Set(await folder.numbers());
    if (present !== undefined) await comparePacks(folder, present, packs, report);
    const reported = new Set<string>();
    await recoverPacks(folder, derived, packs, {
      readData,
      keepPacks: true,
      report: (finding) => {
        if (finding.id !== undefined) reported.add(finding.id);
        report(finding);
      },
      ...(present === undefined ? {} : knownFrom(present)),
      ...(progress === undefined ? {} : { progress }),
    });
    if (present !== undefined) compareIndexes(present, derivedPath, reported, indexFile, report);
  } catch (error) {
    close();
    removeDatabase(derivedPath);
    throw asDiskError(error, `checking ${root}`);
  }
  return {
    sizeOf: (id) => derived.find(id)?.lengthBytes,
    repair: () => {
      derived.reopenLastPack();
      close();
      syncFile(derivedPath);
      removeDatabase(join(root, indexFile));
      renameSync(derivedPath, join(root, indexFile));
      syncFolder(root);
    },
    close: () => {
      close();
      removeDatabase(derivedPath);
    },
  };
}

/** @returns undefined for an index that is damaged, which is reported */
function openPresent(path: string, file: string, report: Report): PackIndex | undefined {
  try {
    const index = new PackIndex(path);
    const problem = index.problem();
    if (problem === undefined) return index;
    index.close();
    report({ damage: "index damaged", file, detail: problem });
  } catch (error) {
    if (!isDamagedIndex(error)) throw error;
    report({ damage: "index damaged", file });
  }
  return undefined;
}

function reportForeignFiles(folder: string, report: Report): void {
  for (const name of readdirSync(folder).sort()) {
    if (packNumber(name) === undefined) report({ damage: "foreign file", file: name });
  }
}

/** Compares what the index says about whole packs with the files. */
async function comparePacks(
  folder: PackFolder,
  present: PackIndex,
  packs: ReadonlySet<number>,
  report: Report,
): Promise<void> {
  const rows = present.packs();
  for (const { number, bytes, salt } of rows) {
    const file = packName(number);
    if (!packs.has(number)) {
      const objects = present.inPack(number);
      if (objects.length > 0) report({ damage: "pack missing", file, objects: objects.length });
      continue;
    }
    const sizeBytes = await folder.size(number);
    if (sizeBytes < bytes) {
      report({ damage: "pack too short", file, bytes: sizeBytes, detail: `${bytes} bytes were stored` });
    }
    const header = decodePackHeader((await folder.read(number, 0, PACK_HEADER_BYTES)) ?? new Uint8Array(0));
    if (header !== undefined && Buffer.compare(header.salt, salt) !== 0) {
      report({ damage: "pack unknown", file, detail: "it is another pack than the index knows" });
    }
  }
  const known = new Set(rows.map(({ number }) => number));
  const newest = rows.at(-1)?.number ?? 0;
  for (const number of packs) {
    if (known.has(number) || number > newest) continue;
    report({ damage: "pack unknown", file: packName(number), detail: "the index does not know it" });
  }
}

/** What the present index can tell about packs that are damaged. */
function knownFrom(present: PackIndex): {
  known: (number: number) => PackEntry[];
  saltOf: (number: number) => Uint8Array | undefined;
} {
  const salts = new Map(present.packs().map(({ number, salt }) => [number, salt]));
  return {
    known: (number) => present.inPack(number).flatMap(asEntry),
    saltOf: (number) => salts.get(number),
  };
}

/** The record of an object whose id says what its bytes must be. */
function asEntry({ id, offset, lengthBytes }: IndexedObject): PackEntry[] {
  const digest = digestIn(id);
  if (digest === undefined) return [];
  const head = { kind: "object", id, lengthBytes, checksum: checksumOf(digest) } as const;
  return [{ head, offset: offset - HEAD_BYTES - id.length }];
}

/** @param reported ids that need no second finding */
function compareIndexes(
  present: PackIndex,
  derivedPath: string,
  reported: ReadonlySet<string>,
  file: string,
  report: Report,
): void {
  for (const { id, here, there } of present.differences(derivedPath)) {
    if (here === undefined) {
      report({ damage: "index entry wrong", file, id, detail: "the index has no entry" });
    } else if (there !== undefined) {
      report({ damage: "index entry wrong", file, id, detail: "the object is in another place" });
    } else if (!reported.has(id)) {
      report({ damage: "object missing", file: packName(here.pack), id, offset: here.offset });
    }
  }
}

/**
 * Brings the index up to date with the packs at a start: reads what was written after the last transaction of the
 * index, or all of it where the index is new. A write that a crash cut off is removed from the end of its pack.
 */
import { UnknownVersionError } from "../../../core/errors.ts";
import { PackChanges } from "./pack-changes.ts";
import { bodyBytes, fitsDigest, HEAD_BYTES, headBytes, PACK_HEADER_BYTES, PACK_VERSION } from "./pack-codec.ts";
import { decodeContents, PackContents, type PackEntry } from "./pack-contents.ts";
import type { Report } from "./pack-findings.ts";
import { type PackFolder, packName } from "./pack-folder.ts";
import type { PackIndex, PackRow } from "./pack-index.ts";
import { type PackFrame, type ReadAt, readPackFrame, walkPack } from "./pack-walk.ts";
import type { ActivePack } from "./pack-writer.ts";

/** Objects in one transaction of the index. */
const REPLAYED_AT_ONCE = 4096;

interface Recovery {
  readonly folder: PackFolder;
  readonly index: PackIndex;
  readonly packs: Set<number>;
  readonly report: Report;
}

/** @returns whether the packs can follow from this index: it is not older than a pack that it does not know */
export function fitsIndex(numbers: readonly number[], index: PackIndex): boolean {
  const rows = index.packs();
  const known = new Set(rows.map(({ number }) => number));
  const newest = rows.at(-1)?.number ?? 0;
  return numbers.every((number) => known.has(number) || number > newest);
}

/**
 * @param packs numbers of the packs that are there; those that hold nothing are removed from it
 * @returns the pack that takes the next records
 * @throws UnknownVersionError for a pack of a later format
 */
export async function recoverPacks(
  folder: PackFolder,
  index: PackIndex,
  packs: Set<number>,
  report: Report,
): Promise<ActivePack | undefined> {
  const recovery = { folder, index, packs, report };
  const rows = new Map(index.packs().map((row) => [row.number, row]));
  let active: ActivePack | undefined;
  for (const number of [...packs].sort((a, b) => a - b)) {
    const row = rows.get(number);
    if (row?.complete) continue;
    const recovered = await recoverPack(recovery, number, row);
    if (!packs.has(number)) continue;
    if (active !== undefined) {
      await active.handle.close();
      index.completePack(active.number, active.bytes);
    }
    active = recovered;
  }
  for (const { number } of rows.values()) {
    if (packs.has(number)) continue;
    const { ids, count } = index.removePack(number);
    // Without objects it is a pack whose removal the index had not noted.
    if (count > 0) {
      report({ damage: "pack missing", file: packName(number), objects: count, detail: `first: ${ids[0] ?? ""}` });
    }
  }
  return active;
}

async function recoverPack(
  recovery: Recovery,
  number: number,
  row: PackRow | undefined,
): Promise<ActivePack | undefined> {
  const { folder, index, packs, report } = recovery;
  const file = packName(number);
  const sizeBytes = await folder.size(number);
  const read = folder.reader(number);
  const frame = await readPackFrame(read, sizeBytes);
  if (frame.version !== undefined && frame.version !== PACK_VERSION) {
    throw new UnknownVersionError(`pack ${file}`, frame.version, [PACK_VERSION]);
  }
  const salt = frame.salt ?? row?.salt;
  if (frame.version === undefined && row === undefined && sizeBytes <= PACK_HEADER_BYTES) {
    // A crash while the pack was created.
    await folder.remove(number);
    packs.delete(number);
    return undefined;
  }
  if (frame.version === undefined) report({ damage: "pack header damaged", file });
  if (salt === undefined) return undefined;
  if (row === undefined) index.addPack(number, salt, PACK_HEADER_BYTES);
  const from = row?.bytes ?? PACK_HEADER_BYTES;
  if (sizeBytes < from) {
    report({ damage: "pack too short", file, bytes: sizeBytes, detail: `${from} bytes were stored` });
    index.completePack(number, sizeBytes);
    return undefined;
  }
  if (row === undefined && (await replayContents(recovery, number, read, frame, salt))) {
    index.completePack(number, sizeBytes);
    return undefined;
  }
  return replay(recovery, number, { read, frame, salt, from, sizeBytes });
}

/** Takes a complete pack into the index by its contents. @returns false when they are damaged, or there are none */
async function replayContents(
  { index, packs, report }: Recovery,
  number: number,
  read: ReadAt,
  { contentsOffset, end }: PackFrame,
  salt: Uint8Array,
): Promise<boolean> {
  if (contentsOffset === undefined) return false;
  const entries = await readContents(read, contentsOffset, end, salt);
  if (entries === undefined) {
    report({ damage: "pack contents damaged", file: packName(number) });
    return false;
  }
  for (let first = 0; first < entries.length; first += REPLAYED_AT_ONCE) {
    const changes = new PackChanges(index, number, (pack) => packs.has(pack));
    let at = 0;
    for (const entry of entries.slice(first, first + REPLAYED_AT_ONCE)) {
      addEntry(changes, entry);
      at = entry.offset + headBytes(entry.head) + bodyBytes(entry.head);
    }
    index.apply(changes.toIndex(at));
  }
  return true;
}

/** @param end where the footer starts @returns undefined when the contents are damaged */
export async function readContents(
  read: ReadAt,
  contentsOffset: number,
  end: number,
  salt: Uint8Array,
): Promise<PackEntry[] | undefined> {
  for await (const piece of walkPack(read, { salt, from: contentsOffset, end, hashBodies: false })) {
    if (piece.kind !== "record" || piece.head.kind !== "contents") return undefined;
    const body = await read(contentsOffset + HEAD_BYTES, piece.head.lengthBytes);
    return decodeContents(piece.head, body, salt);
  }
  return undefined;
}

function addEntry(changes: PackChanges, { head, offset }: PackEntry): void {
  if (head.kind === "object") changes.addObject(head, offset);
  else if (head.kind === "removal") changes.addRemoval(head);
}

interface Replayed {
  readonly read: ReadAt;
  readonly frame: PackFrame;
  readonly salt: Uint8Array;
  /** Bytes that are in the index. */
  readonly from: number;
  readonly sizeBytes: number;
}

/** Reads a pack from head to head; what is not in the index yet is checked and added to it. */
async function replay(recovery: Recovery, number: number, replayed: Replayed): Promise<ActivePack | undefined> {
  const { folder, index, packs, report } = recovery;
  const { read, frame, salt, from, sizeBytes } = replayed;
  const file = packName(number);
  const contents = new PackContents();
  for await (const piece of walkPack(read, { salt, end: from, hashBodies: false })) {
    if (piece.kind === "record") contents.add(piece, salt);
    else report({ damage: "record unreadable", file, offset: piece.offset, bytes: piece.lengthBytes });
  }
  let good = from;
  let changes = new PackChanges(index, number, (pack) => packs.has(pack));
  /** Damage counts when a good record follows; else it is the end of a write that was cut off. */
  let suspects: Parameters<Report>[0][] = [];
  for await (const piece of walkPack(read, { salt, from, end: frame.end, hashBodies: true })) {
    if (piece.kind === "gap") {
      suspects.push({ damage: "record unreadable", file, offset: piece.offset, bytes: piece.lengthBytes });
      continue;
    }
    const { head, offset, digest } = piece;
    if (head.kind !== "removal" && (digest === undefined || !fitsDigest(head, digest))) {
      suspects.push({ damage: "object damaged", file, offset, ...(head.kind === "object" ? { id: head.id } : {}) });
      continue;
    }
    for (const finding of suspects) report(finding);
    suspects = [];
    good = offset + headBytes(head) + bodyBytes(head);
    if (head.kind === "contents") {
      index.apply(changes.toIndex(good));
      index.completePack(number, sizeBytes);
      return undefined;
    }
    addEntry(changes, piece);
    contents.add(piece, salt);
    if (changes.count < REPLAYED_AT_ONCE) continue;
    index.apply(changes.toIndex(good));
    changes = new PackChanges(index, number, (pack) => packs.has(pack));
  }
  index.apply(changes.toIndex(good));
  return open(folder, { number, salt, contents, bytes: good }, sizeBytes, report);
}

/** Opens a pack for further records, without what follows the last good one. */
async function open(
  folder: PackFolder,
  pack: Omit<ActivePack, "handle">,
  sizeBytes: number,
  report: Report,
): Promise<ActivePack> {
  const handle = await folder.openForWriting(pack.number);
  try {
    if (sizeBytes > pack.bytes) {
      report({ damage: "torn tail", file: packName(pack.number), offset: pack.bytes, bytes: sizeBytes - pack.bytes });
      await handle.truncate(pack.bytes);
    }
    // What was read back may be in memory alone: a process was killed before its sync.
    await handle.sync();
    return { ...pack, handle };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

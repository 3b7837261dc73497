/**
 * Gives back the space of packs that hold much garbage: their objects are stored again by the writer, in its order, and
 * the pack is removed when all of them are durable elsewhere. A crash in between leaves both, and the later record
 * counts. An object that cannot be read keeps its pack where it is.
 */
import { sha256 } from "#primitives";
import type { NamedBytes } from "../object-store.ts";
import { bodyBytes, fitsDigest, headBytes, type ObjectHead, PACK_HEADER_BYTES } from "./pack-codec.ts";
import type { Report } from "./pack-findings.ts";
import { type PackFolder, packName } from "./pack-folder.ts";
import type { Location, PackIndex, PackRow } from "./pack-index.ts";
import { walkPack } from "./pack-walk.ts";
import { isNeeded, type Operation, type PackWriter } from "./pack-writer.ts";

/** A pack is compacted when this part of it is garbage. */
const GARBAGE_PART = 0.3;
/** Objects are moved in commits of this size. */
const MOVED_BYTES = 8 * 1024 * 1024;
const MOVED_OPERATIONS = 1024;

export interface CompactionParts {
  readonly folder: PackFolder;
  readonly index: PackIndex;
  readonly writer: PackWriter;
  readonly packs: Set<number>;
  readonly report: Report;
}

/** Bytes of a pack that are neither the latest record of an object nor a removal. */
const garbageOf = ({ bytes, liveBytes, removalBytes }: PackRow): number =>
  bytes - PACK_HEADER_BYTES - liveBytes - removalBytes;

/** A removal is garbage too when the packs that it speaks of are gone, which takes a look at each of them. */
async function isWorthwhile({ folder, packs }: CompactionParts, row: PackRow): Promise<boolean> {
  const enough = GARBAGE_PART * row.bytes;
  if (garbageOf(row) >= enough) return true;
  if (garbageOf(row) + row.removalBytes < enough) return false;
  const others = without(packs, row.number);
  let neededBytes = 0;
  const read = folder.reader(row.number);
  for await (const piece of walkPack(read, { salt: row.salt, end: row.bytes, hashBodies: false })) {
    if (piece.kind === "gap" || piece.head.kind !== "removal" || !isNeeded(piece.head, others)) continue;
    neededBytes += headBytes(piece.head);
  }
  return garbageOf(row) + row.removalBytes - neededBytes >= enough;
}

function without(packs: ReadonlySet<number>, number: number): ReadonlySet<number> {
  const others = new Set(packs);
  others.delete(number);
  return others;
}

/**
 * Compacts what is worth it, the packs with the least to move first: on a disk that is nearly full these give back
 * space before others need some.
 * @returns bytes that were given back
 * @throws DiskFullError, DiskFailedError
 */
export async function compactPacks(parts: CompactionParts, signal?: AbortSignal): Promise<number> {
  const { index, writer, packs } = parts;
  const active = index.packs().find(({ number }) => number === writer.activePack);
  if (active !== undefined && garbageOf(active) >= GARBAGE_PART * active.bytes) await writer.startNewPack();
  let gained = 0;
  const candidates = index.packs().filter((row) => row.complete && packs.has(row.number));
  for (const row of candidates.sort((a, b) => a.liveBytes - b.liveBytes)) {
    if (signal?.aborted) return gained;
    if (await isWorthwhile(parts, row)) gained += await compactPack(parts, row, signal);
  }
  return gained;
}

async function compactPack(parts: CompactionParts, row: PackRow, signal?: AbortSignal): Promise<number> {
  const { folder, index, packs, report } = parts;
  const { number, salt } = row;
  const read = folder.reader(number);
  let moves: Operation[] = [];
  let movingBytes = 0;
  let movedBytes = 0;
  const flush = async (): Promise<void> => {
    await parts.writer.submit(moves);
    movedBytes += movingBytes;
    moves = [];
    movingBytes = 0;
  };
  const others = without(packs, number);
  for await (const piece of walkPack(read, { salt, end: row.bytes, hashBodies: false })) {
    if (signal?.aborted) return 0;
    if (piece.kind === "gap") continue;
    const { head, offset } = piece;
    if (head.kind === "removal") {
      // What it says about this pack itself goes with the pack.
      if (!isNeeded(head, others)) continue;
      moves.push({ ...head, kind: "keep-removal" });
      movingBytes += headBytes(head);
    } else if (head.kind === "object") {
      const from = index.find(head.id);
      if (from === undefined || from.pack !== number || from.offset !== offset + headBytes(head)) continue;
      const object = await readObject(folder, head, from);
      if (object === undefined) {
        report({ damage: "object damaged", file: packName(number), id: head.id, offset });
        return 0;
      }
      moves.push({ kind: "move", object, from });
      movingBytes += headBytes(head) + bodyBytes(head);
    }
    if (movingBytes >= MOVED_BYTES || moves.length >= MOVED_OPERATIONS) await flush();
  }
  await flush();
  const left = index.packs().find((pack) => pack.number === number)?.liveBytes ?? 0;
  // Objects whose heads are damaged: the index still reads them here.
  if (left > 0) {
    report({ damage: "record unreadable", file: packName(number), bytes: left });
    return 0;
  }
  packs.delete(number);
  await folder.remove(number);
  index.removeEmptyPack(number);
  return Math.max(row.bytes - movedBytes, 0);
}

/** @returns undefined when the bytes are not what was stored */
async function readObject(folder: PackFolder, head: ObjectHead, at: Location): Promise<NamedBytes | undefined> {
  const bytes = await folder.read(at.pack, at.offset, at.lengthBytes);
  if (bytes?.length !== head.lengthBytes) return undefined;
  return fitsDigest(head, sha256(bytes)) ? { id: head.id, bytes } : undefined;
}

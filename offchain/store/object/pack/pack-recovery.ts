/**
 * Brings the index up to date with the packs at a start: reads what was written after the last transaction of the
 * index, or all of it where the index is new. A write that a crash cut off is removed from the end of its pack.
 */
import { sha256 } from "#primitives";
import { UnknownVersionError } from "../../../core/errors.ts";
import { PackChanges } from "./pack-changes.ts";
import {
  bodyBytes,
  fitsDigest,
  HEAD_BYTES,
  headBytes,
  PACK_HEADER_BYTES,
  PACK_VERSION,
  SALT_BYTES,
} from "./pack-codec.ts";
import { decodeContents, PackContents, type PackEntry } from "./pack-contents.ts";
import type { PackFinding, Report } from "./pack-findings.ts";
import { type PackFolder, packName } from "./pack-folder.ts";
import type { PackIndex, PackRow } from "./pack-index.ts";
import { type PackFrame, type ReadAt, readPackFrame, walkPack } from "./pack-walk.ts";
import type { ActivePack } from "./pack-writer.ts";

/** Objects in one transaction of the index. */
const REPLAYED_AT_ONCE = 4096;

export interface RecoveryOptions {
  readonly report: Report;
  /**
   * Every byte is read and hashed; else a complete pack is taken by its contents, and its objects are checked later.
   */
  readonly readData?: boolean;
  /** Nothing is changed but the index, and no pack is opened for writing. */
  readonly keepPacks?: boolean;
  /** Records that another index has in a pack, to find what lies behind a damaged head. */
  readonly known?: (number: number) => readonly PackEntry[];
  /** The salt that another index has of a pack whose ends are both damaged. */
  readonly saltOf?: (number: number) => Uint8Array | undefined;
  /** Is told how far the reading is. */
  readonly progress?: (bytes: number) => void;
}

interface Recovery extends RecoveryOptions {
  readonly folder: PackFolder;
  readonly index: PackIndex;
  readonly packs: Set<number>;
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
  options: RecoveryOptions,
): Promise<ActivePack | undefined> {
  const recovery = { ...options, folder, index, packs };
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
    if (count === 0) continue;
    options.report({
      damage: "pack missing",
      file: packName(number),
      objects: count,
      detail: `first: ${ids[0] ?? ""}`,
    });
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
  const salt = frame.salt ?? row?.salt ?? recovery.saltOf?.(number);
  if (frame.version === undefined && row === undefined && sizeBytes <= PACK_HEADER_BYTES) {
    // A crash while the pack was created.
    if (!recovery.keepPacks) await folder.remove(number);
    packs.delete(number);
    return undefined;
  }
  if (frame.version === undefined) report({ damage: "pack header damaged", file });
  if (salt === undefined) {
    index.addPack(number, new Uint8Array(SALT_BYTES), sizeBytes);
    index.completePack(number, sizeBytes);
    return undefined;
  }
  if (row === undefined) index.addPack(number, salt, PACK_HEADER_BYTES);
  const from = row?.bytes ?? PACK_HEADER_BYTES;
  if (sizeBytes < from) {
    report({ damage: "pack too short", file, bytes: sizeBytes, detail: `${from} bytes were stored` });
    index.completePack(number, sizeBytes);
    return undefined;
  }
  const contents = await contentsOf(read, frame, salt);
  if (frame.contentsOffset !== undefined && contents === undefined) report({ damage: "pack contents damaged", file });
  if (row === undefined && contents !== undefined && !recovery.readData) {
    new Replay(recovery, number).addAll(contents);
    index.completePack(number, sizeBytes);
    return undefined;
  }
  return replay(recovery, number, { read, frame, salt, from, sizeBytes, contents });
}

/** The contents of a complete pack. @returns undefined when they are damaged, or there are none */
async function contentsOf(
  read: ReadAt,
  { contentsOffset, end }: PackFrame,
  salt: Uint8Array,
): Promise<PackEntry[] | undefined> {
  return contentsOffset === undefined ? undefined : readContents(read, contentsOffset, end, salt);
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

const endOf = ({ head, offset }: PackEntry): number => offset + headBytes(head) + bodyBytes(head);

/** Adds records of one pack to the index, some thousand in a transaction. */
class Replay {
  readonly #recovery: Recovery;
  readonly #pack: number;
  #entries: PackEntry[] = [];

  constructor(recovery: Recovery, pack: number) {
    this.#recovery = recovery;
    this.#pack = pack;
  }

  add(entry: PackEntry): void {
    this.#entries.push(entry);
    if (this.#entries.length >= REPLAYED_AT_ONCE) this.flush(endOf(entry));
  }

  addAll(entries: readonly PackEntry[]): void {
    for (const entry of entries) this.add(entry);
    const last = entries.at(-1);
    if (last !== undefined) this.flush(endOf(last));
  }

  /** @param bytes length of the pack with what was added */
  flush(bytes: number): void {
    const { index, packs } = this.#recovery;
    // One query for all of them: a query for each object takes longer than hashing some kibibytes.
    const before = index.findMany(this.#entries.flatMap(({ head }) => (head.kind === "contents" ? [] : [head.id])));
    const changes = new PackChanges({ find: (id) => before.get(id) }, this.#pack, (pack) => packs.has(pack));
    for (const { head, offset } of this.#entries) {
      if (head.kind === "object") changes.addObject(head, offset);
      else if (head.kind === "removal") changes.addRemoval(head);
    }
    index.apply(changes.toIndex(bytes));
    this.#entries = [];
  }
}

interface Replayed {
  readonly read: ReadAt;
  readonly frame: PackFrame;
  readonly salt: Uint8Array;
  /** Bytes that are in the index. */
  readonly from: number;
  readonly sizeBytes: number;
  readonly contents: readonly PackEntry[] | undefined;
}

/** Reads a pack from head to head; what is not in the index yet is checked and added to it. */
async function replay(recovery: Recovery, number: number, replayed: Replayed): Promise<ActivePack | undefined> {
  const { index, report } = recovery;
  const { read, frame, salt, from, sizeBytes } = replayed;
  const file = packName(number);
  const contents = new PackContents();
  // Needed where the pack takes further records.
  const note = (entry: PackEntry): void => {
    if (!recovery.keepPacks) contents.add(entry, salt);
  };
  for await (const piece of walkPack(read, { salt, end: Math.min(from, frame.end), hashBodies: false })) {
    if (piece.kind === "record") note(piece);
    else report({ damage: "record unreadable", file, offset: piece.offset, bytes: piece.lengthBytes });
  }
  let good = from;
  const target = new Replay(recovery, number);
  /** Damage counts when a good record follows; else it is the end of a write that was cut off. */
  let suspects: PackFinding[] = [];
  const accept = (entry: PackEntry, end: number): void => {
    for (const finding of suspects) report(finding);
    suspects = [];
    good = end;
    note(entry);
    target.add(entry);
  };
  for await (const piece of walkPack(read, { salt, from, end: frame.end, hashBodies: true })) {
    if (piece.kind === "gap") {
      const end = piece.offset + piece.lengthBytes;
      const hidden = hiddenRecords(recovery, number, replayed, piece.offset, end);
      if (hidden.length === 0)
        suspects.push({ damage: "record unreadable", file, offset: piece.offset, bytes: piece.lengthBytes });
      for (const entry of hidden) {
        const isIntact = await hasIntactBody(read, entry);
        suspects.push(findingOf(file, entry, isIntact));
        if (isIntact) accept(entry, end);
      }
      continue;
    }
    const { head, offset, digest } = piece;
    if (head.kind !== "removal" && (digest === undefined || !fitsDigest(head, digest))) {
      suspects.push(findingOf(file, piece, false));
      continue;
    }
    if (head.kind === "contents") {
      for (const finding of suspects) report(finding);
      target.flush(endOf(piece));
      index.completePack(number, sizeBytes);
      return undefined;
    }
    accept(piece, endOf(piece));
    recovery.progress?.(endOf(piece) - offset);
  }
  target.flush(good);
  if (frame.contentsOffset !== undefined) {
    // A pack that was complete was not cut off by a crash.
    for (const finding of suspects) if (finding.damage !== "pack contents damaged") report(finding);
    index.completePack(number, sizeBytes);
    return undefined;
  }
  if (sizeBytes > good) report({ damage: "torn tail", file, offset: good, bytes: sizeBytes - good });
  if (recovery.keepPacks) {
    index.completePack(number, good);
    return undefined;
  }
  return openForRecords(recovery.folder, { number, salt, contents, bytes: good }, sizeBytes);
}

/** Records that the contents, or another index, have in a range of bytes whose heads cannot be read. */
function hiddenRecords(
  { known }: Recovery,
  number: number,
  { contents }: Replayed,
  start: number,
  end: number,
): PackEntry[] {
  const entries = contents ?? known?.(number) ?? [];
  return entries.filter((entry) => entry.offset >= start && endOf(entry) <= end);
}

async function hasIntactBody(read: ReadAt, { head, offset }: PackEntry): Promise<boolean> {
  if (head.kind !== "object") return true;
  const bytes = await read(offset + headBytes(head), head.lengthBytes);
  return bytes.length === head.lengthBytes && fitsDigest(head, sha256(bytes));
}

function findingOf(file: string, { head, offset }: PackEntry, isIntact: boolean): PackFinding {
  if (head.kind === "contents") return { damage: "pack contents damaged", file, offset };
  const found = { file, offset, id: head.id, bytes: headBytes(head) + bodyBytes(head) };
  if (!isIntact) return { damage: "object damaged", ...found };
  return { damage: "record unreadable", ...found, detail: "the bytes of the object are intact" };
}

/** Opens a pack for further records, without what follows the last good one. */
async function openForRecords(
  folder: PackFolder,
  pack: Omit<ActivePack, "handle">,
  sizeBytes: number,
): Promise<ActivePack> {
  const handle = await folder.openForWriting(pack.number);
  try {
    if (sizeBytes > pack.bytes) await handle.truncate(pack.bytes);
    // What was read back may be in memory alone: a process was killed before its sync.
    await handle.sync();
    return { ...pack, handle };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/**
 * What a revocation costs: the parts of it that depend on the file and on the number of owners, made durable; and what
 * packages cost beside plain sealed chunks.
 */
import { join } from "node:path";
import { sha256 } from "#primitives";
import { CHUNK_OVERHEAD_BYTES, openChunkInPlace, sealChunkInPlace } from "../../offchain/core/crypto/encryption.ts";
import { contentId, contentIdFromDigest } from "../../offchain/core/encoding/content-id.ts";
import { TallystickError } from "../../offchain/core/errors.ts";
import { epochKey } from "../../offchain/core/revocable/epoch-key.ts";
import { GroupMember } from "../../offchain/core/revocable/group-member.ts";
import { encodeRow } from "../../offchain/core/revocable/group-state.ts";
import {
  type GroupChange,
  type GroupRekey,
  type NewOwner,
  OwnerGroup,
} from "../../offchain/core/revocable/owner-group.ts";
import {
  PACKAGE_OVERHEAD_BYTES,
  packInPlace,
  STUB_BYTES,
  unpackInPlace,
} from "../../offchain/core/revocable/package.ts";
import { MAX_JOINS } from "../../offchain/core/revocable/rekey-message.ts";
import { openStubFile, sealStubFile, stubFileBytes } from "../../offchain/core/revocable/stub-file.ts";
import { replaceDurably } from "../../offchain/store/disk/durable-file.ts";
import { aesCtrStream } from "../demo/keystream.ts";
import { median } from "./data-figures.ts";
import { cpuMilliseconds } from "./process-cost.ts";

const MIB = 1024 * 1024;
export const FILE_CHUNKS = 1024;
export const GROUP_SIZES = [10, 100, 1000, 10_000];
/** The size that the bars are about. */
export const BAR_OWNERS = 1000;

export interface RevocationFigure {
  readonly owners: number;
  readonly chunks: number;
  /** Medians. From the decision until everything is on disk. */
  readonly milliseconds: number;
  /** Until one remaining owner, which has the message and the stub file, has the stubs. */
  readonly ownerMilliseconds: number;
  /** The largest of all revocations. */
  readonly messages: number;
  readonly rekeyBytes: number;
  /** Stub file, rekey message, and rows of the group's state. */
  readonly rewrittenBytes: number;
  /** Former owners that got a key or a stub after they were revoked. */
  readonly leaks: number;
  readonly runs: number;
}

export interface PackageFigure {
  readonly what: "sealed chunk" | "package";
  readonly sealSecondsPerGib: number;
  readonly openSecondsPerGib: number;
  /** Bytes stored beyond the frames, and for each owner. */
  readonly overheadBytesPerGib: number;
  readonly ownerBytesPerGib: number;
}

const accountOf = (owner: number): string => `0x${owner.toString(16).padStart(40, "0")}`;
const secretOf = (owner: number): Uint8Array => aesCtrStream(`secret of owner ${owner}`, 32);

const newOwner = (owner: number): NewOwner => ({ account: accountOf(owner), secret: secretOf(owner) });

/** A group with the stub file of one file, on disk. */
class SharedFile {
  readonly group = OwnerGroup.create(aesCtrStream("manager", 32));
  readonly #folder: string;
  readonly #dataId = contentId(Uint8Array.of(1));
  readonly #fileKey = aesCtrStream("file key", 32);
  #sealed: Uint8Array = new Uint8Array(0);

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /** @returns with the owners from 1 on, the first of which follows the group from here on */
  static create(folder: string, owners: number, chunks: number): { file: SharedFile; member: GroupMember } {
    const file = new SharedFile(folder);
    let member: GroupMember | undefined;
    for (let first = 1; first <= owners; first += MAX_JOINS) {
      const count = Math.min(MAX_JOINS, owners - first + 1);
      const { bytes } = file.group.change({ join: Array.from({ length: count }, (_, at) => newOwner(first + at)) });
      if (member === undefined) member = GroupMember.join(bytes, file.group, accountOf(1), secretOf(1));
      else member.apply(bytes);
    }
    if (member === undefined) throw new Error("a group without owners");
    file.#seal(aesCtrStream("stubs", chunks * STUB_BYTES));
    return { file, member };
  }

  /** What the manager does, until everything is on disk. @returns bytes that were written */
  change(change: GroupChange): { rekey: GroupRekey; rewrittenBytes: number } {
    const stubs = this.open(this.group);
    const rekey = this.group.change(change);
    this.#seal(stubs);
    return { rekey, rewrittenBytes: this.#write(rekey) };
  }

  /** Opens the stub file with what an owner knows, or with what it has kept. */
  open(known: KnownKey): Uint8Array {
    return openStubFile(this.#keyOf(known), { dataId: this.#dataId, epoch: known.epoch }, this.#sealed, "bench");
  }

  #keyOf({ groupKey, epoch }: KnownKey): Uint8Array {
    return epochKey(this.#fileKey, groupKey, { dataId: this.#dataId, epoch });
  }

  #seal(stubs: Uint8Array): void {
    const { group } = this;
    this.#sealed = sealStubFile(this.#keyOf(group), { dataId: this.#dataId, epoch: group.epoch }, stubs);
  }

  /** Three files; a database would take the rows one by one. */
  #write({ bytes, changed }: GroupRekey): number {
    const wanted = new Set(changed);
    const rows = [...this.group.state.tree.nodes()].filter(({ id }) => wanted.has(id)).map(encodeRow);
    const parts = { rows: Buffer.concat(rows), rekey: bytes, stubs: this.#sealed };
    for (const [name, content] of Object.entries(parts)) replaceDurably(join(this.#folder, name), content);
    return Object.values(parts).reduce((sum, { length }) => sum + length, 0);
  }
}

type KnownKey = Pick<GroupMember, "groupKey" | "epoch">;

function succeeds(work: () => unknown): boolean {
  try {
    work();
    return true;
  } catch (error) {
    if (!(error instanceof TallystickError)) throw error;
    return false;
  }
}

/** Revokes one owner after the other, spread over the tree; each joins again before the next. */
export function measureRevocations(
  folder: string,
  owners: number,
  { chunks = FILE_CHUNKS, runs = 10 }: { readonly chunks?: number; readonly runs?: number } = {},
): RevocationFigure {
  const { file, member } = SharedFile.create(folder, owners, chunks);
  const samples: { milliseconds: number; ownerMilliseconds: number; rekey: GroupRekey; rewrittenBytes: number }[] = [];
  let leaks = 0;
  for (let run = 0; run < runs; run += 1) {
    const number = 2 + ((run * 617) % (owners - 1));
    // Its keys, from here on.
    const { bytes } = file.change({ leave: [accountOf(number)], join: [newOwner(number)] }).rekey;
    member.apply(bytes);
    const former = GroupMember.join(bytes, file.group, accountOf(number), secretOf(number));
    file.open(former);
    const started = performance.now();
    const { rekey, rewrittenBytes } = file.change({ leave: [accountOf(number)] });
    const done = performance.now();
    member.apply(rekey.bytes);
    file.open(member);
    samples.push({ milliseconds: done - started, ownerMilliseconds: performance.now() - done, rekey, rewrittenBytes });
    const kept = [former.epoch, file.group.epoch].map((epoch) => () => file.open({ groupKey: former.groupKey, epoch }));
    leaks += [() => former.apply(rekey.bytes), ...kept].filter(succeeds).length;
    member.apply(file.change({ join: [newOwner(number)] }).rekey.bytes);
  }
  return {
    owners,
    chunks,
    milliseconds: median(samples.map(({ milliseconds }) => milliseconds)),
    ownerMilliseconds: median(samples.map(({ ownerMilliseconds }) => ownerMilliseconds)),
    messages: Math.max(...samples.map(({ rekey }) => rekey.messages)),
    rekeyBytes: Math.max(...samples.map(({ rekey }) => rekey.bytes.length)),
    rewrittenBytes: Math.max(...samples.map(({ rewrittenBytes }) => rewrittenBytes)),
    leaks,
    runs,
  };
}

/**
 * Seals and opens chunks of 1 MiB, as sealed chunks and as packages in turns, so that noise hits both. What a chunk is
 * sealed to is the frame of the next one: making frames takes no time, and no two are equal.
 */
export function measurePackages(chunks: number, runs: number): PackageFigure[] {
  const memory = new Uint8Array(MIB + CHUNK_OVERHEAD_BYTES);
  memory.set(aesCtrStream("frame", MIB));
  const key = aesCtrStream("key", 32);
  const id = contentId(Uint8Array.of(1));
  const kinds = {
    "sealed chunk": () => {
      const sealed = sealChunkInPlace(key, memory, MIB);
      contentId(sealed);
      return () => {
        contentId(sealed);
        openChunkInPlace(key, sealed, sealed.length, id);
      };
    },
    package: () => {
      const { object, stub, digest } = packInPlace(key, memory, MIB);
      return () => unpackInPlace(stub, object, sha256(object), object.length, contentIdFromDigest(digest));
    },
  } as const;
  const names = ["sealed chunk", "package"] as const;
  const times = { "sealed chunk": emptyTimes(), package: emptyTimes() };
  for (let run = 0; run < runs; run += 1) {
    for (const what of names) {
      let [sealing, opening] = [0, 0];
      for (let chunk = 0; chunk < chunks; chunk += 1) {
        // Opened, it would be the frame of the one before; one byte makes it another.
        memory[0] = ((memory[0] ?? 0) + 1) & 255;
        const started = cpuMilliseconds();
        const open = kinds[what]();
        const sealed = cpuMilliseconds();
        open();
        sealing += sealed - started;
        opening += cpuMilliseconds() - sealed;
      }
      times[what].sealing.push((sealing / chunks) * (FILE_CHUNKS / 1000));
      times[what].opening.push((opening / chunks) * (FILE_CHUNKS / 1000));
    }
  }
  return names.map((what) => ({
    what,
    sealSecondsPerGib: median(times[what].sealing),
    openSecondsPerGib: median(times[what].opening),
    overheadBytesPerGib: FILE_CHUNKS * (what === "package" ? PACKAGE_OVERHEAD_BYTES : CHUNK_OVERHEAD_BYTES),
    ownerBytesPerGib: what === "package" ? stubFileBytes(FILE_CHUNKS) : 0,
  }));
}

function emptyTimes(): { sealing: number[]; opening: number[] } {
  return { sealing: [], opening: [] };
}

export interface RevocationBar {
  readonly name: string;
  readonly unit: string;
  readonly limit: number;
  readonly of: (figure: RevocationFigure) => number;
}

/** Users rely on these limits. Loosen one only by a decision of the project, never to make the benchmark pass. */
export const REVOCATION_BARS: readonly RevocationBar[] = [
  { name: "time, everything on disk", unit: " ms", limit: 1000, of: ({ milliseconds }) => milliseconds },
  { name: "bytes rewritten", unit: " bytes", limit: 100 * 1024, of: ({ rewrittenBytes }) => rewrittenBytes },
  { name: "rekey messages", unit: "", limit: 2 * Math.log2(BAR_OWNERS), of: ({ messages }) => messages },
  { name: "keys and stubs that a former owner got", unit: "", limit: 0, of: ({ leaks }) => leaks },
];

export interface RevocationVerdict extends Pick<RevocationBar, "name" | "unit" | "limit"> {
  readonly measured?: number;
  readonly met: boolean;
}

/** @returns a bar that nothing was measured for counts as not met */
export function judgeRevocations(figures: readonly RevocationFigure[], bars = REVOCATION_BARS): RevocationVerdict[] {
  const figure = figures.find(({ owners, chunks }) => owners === BAR_OWNERS && chunks === FILE_CHUNKS);
  return bars.map(({ name, unit, limit, of }) => {
    const measured = figure === undefined ? undefined : of(figure);
    const met = measured !== undefined && measured <= limit;
    return { name, unit, limit, ...(measured === undefined ? {} : { measured }), met };
  });
}

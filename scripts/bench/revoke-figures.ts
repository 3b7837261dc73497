/**
 * What a revocation costs at a provider, which keeps the group of owners in its database on disk; and what packages
 * cost beside plain sealed chunks.
 */
import { sha256 } from "#primitives";
import { CHUNK_OVERHEAD_BYTES, openChunkInPlace, sealChunkInPlace } from "../../offchain/core/crypto/encryption.ts";
import { contentId, contentIdFromDigest } from "../../offchain/core/encoding/content-id.ts";
import { fromHex, toHex } from "../../offchain/core/encoding/hex.ts";
import { TallystickError } from "../../offchain/core/errors.ts";
import { epochKey } from "../../offchain/core/revocable/epoch-key.ts";
import type { GroupMember } from "../../offchain/core/revocable/group-member.ts";
import { groupAccessKey, unwrapGroupStubs } from "../../offchain/core/revocable/group-stubs.ts";
import { openMemberPath } from "../../offchain/core/revocable/member-path.ts";
import {
  PACKAGE_OVERHEAD_BYTES,
  packInPlace,
  STUB_BYTES,
  unpackInPlace,
} from "../../offchain/core/revocable/package.ts";
import { openStubFile, sealStubFile, stubFileBytes } from "../../offchain/core/revocable/stub-file.ts";
import type { GroupChangeAnswer, OwnerGroupAnswer } from "../../offchain/core/wire/owner-groups.ts";
import { ProviderDatabase } from "../../offchain/csp/database.ts";
import { OwnerGroupService } from "../../offchain/csp/owner-groups/owner-groups.ts";
import type { ProviderIndex } from "../../offchain/store/index/provider-index.ts";
import { aesCtrStream } from "../demo/keystream.ts";
import { median } from "./data-figures.ts";
import { cpuMilliseconds } from "./process-cost.ts";

const MIB = 1024 * 1024;
export const FILE_CHUNKS = 1024;
export const GROUP_SIZES = [10, 100, 1000];
/** The size that the bars are about. */
export const BAR_OWNERS = 1000;

export interface RevocationCounts {
  readonly owners: number;
  readonly chunks: number;
  /** Medians. From the founder's request until everything is on disk, and the founder knows. */
  readonly milliseconds: number;
  /** Until one remaining owner has fetched message and stub file, and has the stubs. */
  readonly ownerMilliseconds: number;
  /** The largest of all revocations. */
  readonly messages: number;
  readonly rekeyBytes: number;
  /** Rekey message, and rows of the key tree. */
  readonly rewrittenBytes: number;
  /** Former owners that got a key or a stub after they were revoked. */
  readonly leaks: number;
  readonly runs: number;
}

/** Of the provider's service, in this process. */
export type RevocationFigure = RevocationCounts;

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

const DATA_ID = contentId(Uint8Array.of(1));
const SCOPE = { dataId: DATA_ID, epoch: 1 };

/** What a new group, and each member of it, is asked for beside the measured path: no claims, quotas or budgets. */
const ADMITTED = {
  quotas: { requireStubFile: async () => undefined },
  budgets: { take: async () => undefined },
};

/** A provider's service on a database on disk, with a group of many owners. */
class SharedFile {
  readonly groups: OwnerGroupService;
  readonly #database: ProviderDatabase;
  readonly #fileKey = aesCtrStream("file key", 32);
  #group: OwnerGroupAnswer | undefined;

  private constructor(database: ProviderDatabase) {
    const { index } = database;
    const owned = { owned: [DATA_ID], missing: [] };
    // What is not measured: that members own the objects of the put.
    const chunks = { owns: async () => [true] } as unknown as ProviderIndex["chunks"];
    const claims = { answer: async () => owned };
    const parts = { index: { ownerGroups: index.ownerGroups, chunks }, claims, ...ADMITTED };
    this.groups = new OwnerGroupService({ ...parts, operatorSecret: aesCtrStream("operator", 32) }, () => 1);
    this.#database = database;
  }

  /** @returns with the owners from 1 on, the first of which has founded the group */
  static async create(folder: string, owners: number, chunks: number): Promise<SharedFile> {
    const file = new SharedFile(await ProviderDatabase.open({ kind: "sqlite" }, folder));
    file.#group = await file.groups.found(accountOf(1), {
      dataId: DATA_ID,
      nonce: toHex(aesCtrStream("nonce", 32)),
      secret: toHex(secretOf(1)),
      rejoin: "proof",
      objects: [{ id: DATA_ID, sizeBytes: 1 }],
    });
    const sealed = sealStubFile(file.#innerKey(), SCOPE, aesCtrStream("stubs", chunks * STUB_BYTES));
    await file.groups.replaceStubFile(accountOf(1), file.groupId, 0, inOnePiece(sealed));
    for (let owner = 2; owner <= owners; owner += 1) await file.join(owner);
    return file;
  }

  get groupId(): string {
    return this.#shown.groupId;
  }

  get #shown(): OwnerGroupAnswer {
    if (this.#group === undefined) throw new Error("no group");
    return this.#group;
  }

  async join(owner: number): Promise<void> {
    const request = { claimId: "", answers: [], secret: toHex(secretOf(owner)) };
    await this.groups.join(accountOf(owner), this.groupId, request);
  }

  /** What an owner knows from its path, as on a new device. */
  async member(owner: number): Promise<GroupMember> {
    const { groupId, managerKey } = this.#shown;
    const path = await this.groups.path(accountOf(owner), groupId);
    return openMemberPath(path, { groupId: fromHex(groupId), managerKey: fromHex(managerKey) }, secretOf(owner));
  }

  /** The stubs, from what is served to an owner. */
  open({ groupKey, epoch }: Pick<GroupMember, "groupKey" | "epoch">, wrapped: Uint8Array): Uint8Array {
    const inner = unwrapGroupStubs({ groupId: fromHex(this.groupId), epoch, groupKey }, wrapped, "bench");
    return openStubFile(this.#innerKey(), SCOPE, inner, "bench");
  }

  #innerKey(): Uint8Array {
    return epochKey(this.#fileKey, groupAccessKey(fromHex(this.groupId), SCOPE), SCOPE);
  }

  async close(): Promise<void> {
    await this.#database.close();
  }
}

async function* inOnePiece(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/** @throws what is no `TallystickError` */
export async function succeeds(work: () => unknown): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (error) {
    if (!(error instanceof TallystickError)) throw error;
    return false;
  }
}

/**
 * Revokes one owner after the other, spread over the tree; each joins again before the next. The provider's part is
 * what it does between a request and its answer: the rows are durable.
 */
export async function measureRevocations(
  folder: string,
  owners: number,
  { chunks = FILE_CHUNKS, runs = 10 }: { readonly chunks?: number; readonly runs?: number } = {},
): Promise<RevocationFigure> {
  const file = await SharedFile.create(folder, owners, chunks);
  const { groups, groupId } = file;
  const samples: (GroupChangeAnswer & { milliseconds: number; ownerMilliseconds: number; rekeyBytes: number })[] = [];
  let leaks = 0;
  for (let run = 0; run < runs; run += 1) {
    const number = 2 + ((run * 617) % (owners - 1));
    const account = accountOf(number);
    // Its keys, from here on.
    const former = await file.member(number);
    file.open(former, await groups.stubFile(account, groupId));
    const owner = await file.member(1);
    const started = performance.now();
    const change = await groups.revoke(accountOf(1), groupId, account);
    const done = performance.now();
    const message = await groups.rekey(accountOf(1), groupId, owner.epoch + 1);
    const wrapped = await groups.stubFile(accountOf(1), groupId);
    owner.apply(message);
    file.open(owner, wrapped);
    const ownerMilliseconds = performance.now() - done;
    samples.push({ ...change, milliseconds: done - started, ownerMilliseconds, rekeyBytes: message.length });
    for (const attempt of [
      () => groups.stubFile(account, groupId),
      () => groups.path(account, groupId),
      () => groups.rekey(account, groupId, change.epoch),
      () => former.apply(message),
      () => file.open(former, wrapped),
      () => file.open({ groupKey: former.groupKey, epoch: change.epoch }, wrapped),
    ]) {
      if (await succeeds(attempt)) leaks += 1;
    }
    await file.join(number);
  }
  await file.close();
  return {
    owners,
    chunks,
    milliseconds: median(samples.map(({ milliseconds }) => milliseconds)),
    ownerMilliseconds: median(samples.map(({ ownerMilliseconds }) => ownerMilliseconds)),
    messages: Math.max(...samples.map(({ messages }) => messages)),
    rekeyBytes: Math.max(...samples.map(({ rekeyBytes }) => rekeyBytes)),
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
  readonly of: (figure: RevocationCounts) => number;
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
  return judge(
    figures.find(({ owners, chunks }) => owners === BAR_OWNERS && chunks === FILE_CHUNKS),
    bars,
  );
}

/** @param figure of the size that the bars are about; every bar counts as not met without */
export function judge(figure: RevocationCounts | undefined, bars = REVOCATION_BARS): RevocationVerdict[] {
  return bars.map(({ name, unit, limit, of }) => {
    const measured = figure === undefined ? undefined : of(figure);
    const met = measured !== undefined && measured <= limit;
    return { name, unit, limit, ...(measured === undefined ? {} : { measured }), met };
  });
}

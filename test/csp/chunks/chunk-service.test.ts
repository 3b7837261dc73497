import { appendFileSync } from "node:fs";
import * as nodeFileSystem from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { digestOf } from "../../../offchain/core/encoding/content-id.ts";
import { reconcileChunks } from "../../../offchain/csp/chunks/reconcile.ts";
import { scrubObjects } from "../../../offchain/csp/chunks/scrub.ts";
import { readChunkFrames } from "../../../offchain/http/chunk-frames.ts";
import type { FileSystem } from "../../../offchain/store/object/file-object-store.ts";
import { packFiles, rotObject } from "../../helpers/pack-files.ts";
import {
  ALICE,
  answersFor,
  BOB,
  frame,
  framesOf,
  openProvider,
  randomChunk,
  refusal,
  type TestChunk,
  type TestProvider,
  temporaryFolder,
} from "../provider-fixture.ts";

async function idsIn(provider: TestProvider): Promise<string[]> {
  const ids = [];
  for await (const id of provider.store.list()) ids.push(id);
  return ids.sort();
}

async function isStored(provider: TestProvider, chunk: TestChunk): Promise<boolean | undefined> {
  const [row] = await provider.index.chunks.find([digestOf(chunk.id)]);
  return row?.stored;
}

const CAROL = `0x${"ca".repeat(20)}`;
const body = (...chunks: TestChunk[]) => framesOf(...chunks.map((chunk) => frame(chunk)));

describe("chunks of a provider", () => {
  const folder = temporaryFolder();

  it("are stored, indexed, and served to their owner", async () => {
    const provider = await openProvider(folder());
    const chunks = [randomChunk(100_000), randomChunk(1), randomChunk(2_097_152)];
    expect(await provider.chunks.store(ALICE, body(...chunks))).to.deep.equal(chunks.map(({ id }) => id));
    for (const { id, bytes } of chunks) {
      expect(await provider.chunks.serve(ALICE, id)).to.deep.equal(bytes);
      const [row] = await provider.index.chunks.find([digestOf(id)]);
      expect(row).to.include({ sizeBytes: bytes.length, stored: true });
    }
    expect(await provider.index.chunks.totals()).to.deep.equal({
      chunks: 3,
      storedBytes: 2_197_153,
      ownedBytes: 2_197_153,
      lostChunks: 0,
    });
  });

  it("are refused to others, with the same answer whether they exist or not", async () => {
    const provider = await openProvider(folder());
    const [known, unknown] = [randomChunk(10), randomChunk(10)];
    await provider.chunks.store(ALICE, body(known));
    const answers = [known, unknown].map(({ id }) => refusal(provider.chunks.serve(BOB, id), "NOT_OWNER"));
    const [first, second] = await Promise.all(answers);
    expect(first?.toJSON()).to.deep.equal(second?.toJSON());
  });

  it("keep nothing of a body whose bytes are not what an id names, not even the frames before", async () => {
    const provider = await openProvider(folder());
    const [good, wrong, other] = [randomChunk(50), randomChunk(50), randomChunk(50)];
    const error = await refusal(
      provider.chunks.store(ALICE, framesOf(frame(good), frame(wrong, other.id))),
      "INTEGRITY",
    );
    expect(error).to.include({ check: "content id", expected: other.id, received: wrong.id });
    expect(await idsIn(provider)).to.deep.equal([]);
    expect((await provider.index.chunks.totals()).chunks).to.equal(0);
    await refusal(provider.chunks.serve(ALICE, good.id), "NOT_OWNER");
  });

  it("keep what others own when a body that repeats it is refused", async () => {
    const provider = await openProvider(folder());
    const [kept, wrong] = [randomChunk(50), randomChunk(50)];
    await provider.chunks.store(ALICE, body(kept));
    await refusal(provider.chunks.store(BOB, framesOf(frame(kept), frame(wrong, kept.id))), "INTEGRITY");
    expect(await provider.chunks.serve(ALICE, kept.id)).to.deep.equal(kept.bytes);
    await refusal(provider.chunks.serve(BOB, kept.id), "NOT_OWNER");
  });

  it("are stored once for two owners", async () => {
    const provider = await openProvider(folder());
    const chunk = randomChunk(1000);
    await provider.chunks.store(ALICE, body(chunk));
    await provider.chunks.store(BOB, body(chunk, chunk));
    expect(await provider.index.chunks.totals()).to.deep.include({ chunks: 1, storedBytes: 1000, ownedBytes: 2000 });
  });

  it("survive when one of two uploads of the same chunk fails at the same time", async () => {
    const provider = await openProvider(folder());
    for (let round = 0; round < 20; round++) {
      const [shared, wrong] = [randomChunk(5000), randomChunk(10)];
      const [failed, stored] = await Promise.allSettled([
        provider.chunks.store(BOB, framesOf(frame(shared), frame(wrong, shared.id))),
        provider.chunks.store(ALICE, body(shared)),
      ]);
      expect(failed.status).to.equal("rejected");
      expect(stored.status).to.equal("fulfilled");
      expect(await provider.chunks.serve(ALICE, shared.id)).to.deep.equal(shared.bytes);
    }
  });

  it("acknowledge nothing and keep nothing when the disk is full, and work again when it is not", async () => {
    let full = false;
    const fileSystem: FileSystem = {
      ...nodeFileSystem,
      open: async (...parameters: Parameters<typeof nodeFileSystem.open>) => {
        const handle = await nodeFileSystem.open(...parameters);
        const write = handle.writev.bind(handle);
        handle.writev = async (...pieces: Parameters<typeof write>) => {
          if (!full) return write(...pieces);
          throw Object.assign(new Error("ENOSPC: no space left on device, write"), {
            code: "ENOSPC",
            syscall: "write",
          });
        };
        return handle;
      },
    };
    const provider = await openProvider(folder(), undefined, { files: fileSystem });
    const chunks = [randomChunk(10), randomChunk(20)];
    const pieces = async function* () {
      yield frame(chunks[0] ?? randomChunk(1));
      full = true;
      yield frame(chunks[1] ?? randomChunk(1));
    };
    await refusal(
      provider.chunks.store(ALICE, (allocate) => readChunkFrames(pieces(), allocate)),
      "DISK_FULL",
    );
    expect(await idsIn(provider)).to.deep.equal([]);
    expect((await provider.index.chunks.totals()).chunks).to.equal(0);
    full = false;
    await provider.chunks.store(ALICE, body(...chunks));
    expect((await idsIn(provider)).length).to.equal(2);
  });

  it("that are damaged are not served, count as lost, and are repaired by the next upload", async () => {
    const clock = { seconds: 1_000_000 };
    const provider = await openProvider(folder(), clock);
    const chunk = randomChunk(3000);
    await provider.chunks.store(ALICE, body(chunk));
    await provider.store.put(chunk.id, randomChunk(3000).bytes);
    clock.seconds += 100_000;
    expect((await refusal(provider.chunks.serve(ALICE, chunk.id), "OBJECT_LOST")).party).to.equal("provider");
    expect((await provider.index.chunks.totals()).lostChunks).to.equal(1);
    expect(await provider.index.chunks.addOwner(BOB, [digestOf(chunk.id)], 1)).to.deep.equal([false]);
    await provider.chunks.store(BOB, body(chunk));
    expect(await provider.chunks.serve(ALICE, chunk.id)).to.deep.equal(chunk.bytes);
    expect((await provider.index.chunks.totals()).lostChunks).to.equal(0);
  });
});

describe("chunks that rot on the disk", () => {
  const folder = temporaryFolder();

  /** Flips a byte of the stored object, behind the provider's back. */
  const rot = (chunk: TestChunk): void => rotObject(join(folder(), "store"), chunk.id, 1234);

  it("are rewritten by the next upload, whether or not the damage was noticed before", async () => {
    const provider = await openProvider(folder());
    const chunk = randomChunk(3000);
    await provider.chunks.store(ALICE, body(chunk));
    for (const noticed of [true, false]) {
      rot(chunk);
      if (noticed) expect(await provider.chunks.inspectFor(ALICE, [chunk.id])).to.deep.equal([chunk.id]);
      // An owner who sends it again may have found it damaged, however short the last check is ago.
      await provider.chunks.store(noticed ? BOB : ALICE, body(chunk));
      for (const account of [ALICE, BOB]) {
        expect(await provider.chunks.serve(account, chunk.id)).to.deep.equal(chunk.bytes);
      }
      expect(await isStored(provider, chunk)).to.equal(true);
      expect((await provider.index.chunks.totals()).lostChunks).to.equal(0);
    }
  });

  /** Counts what a provider's store is asked for. */
  function counted({ store }: TestProvider): { writes: number; reads: number } {
    const counts = { writes: 0, reads: 0 };
    const [putMany, get] = [store.putMany.bind(store), store.get.bind(store)];
    store.putMany = async (objects) => {
      counts.writes += objects.length;
      await putMany(objects);
    };
    store.get = async (id) => {
      counts.reads += 1;
      return get(id);
    };
    return counts;
  }

  it("are not written again while they are right, and not read again when they were checked lately", async () => {
    const clock = { seconds: 1_000_000 };
    const provider = await openProvider(folder(), clock);
    const chunk = randomChunk(3000);
    await provider.chunks.store(ALICE, body(chunk));
    const counts = counted(provider);
    await provider.chunks.store(BOB, body(chunk));
    expect(counts).to.deep.equal({ writes: 0, reads: 0 });
    await provider.chunks.store(BOB, body(chunk));
    expect(counts).to.deep.equal({ writes: 0, reads: 1 });
    rot(chunk);
    await provider.chunks.store(BOB, body(chunk));
    expect(counts).to.deep.equal({ writes: 1, reads: 2 });
    clock.seconds += 100_000;
    rot(chunk);
    await provider.chunks.store(CAROL, body(chunk));
    expect(counts).to.deep.equal({ writes: 2, reads: 3 });
    expect(await provider.chunks.serve(CAROL, chunk.id)).to.deep.equal(chunk.bytes);
  });

  it("are served unchecked while a check is recent, and as lost from the moment their owner tells", async () => {
    const clock = { seconds: 1_000_000 };
    const provider = await openProvider(folder(), clock);
    const chunks = [randomChunk(3000), randomChunk(3000)] as const;
    await provider.chunks.store(ALICE, body(...chunks));
    for (const chunk of chunks) rot(chunk);
    const [told, due] = chunks;
    expect(await provider.chunks.serve(ALICE, told.id)).to.not.deep.equal(told.bytes);
    await refusal(provider.chunks.inspectFor(BOB, [told.id]), "NOT_OWNER");
    expect(await isStored(provider, told)).to.equal(true);
    expect(await provider.chunks.inspectFor(ALICE, [told.id])).to.deep.equal([told.id]);
    await refusal(provider.chunks.serve(ALICE, told.id), "OBJECT_LOST");
    clock.seconds += 100_000;
    await refusal(provider.chunks.serve(ALICE, due.id), "OBJECT_LOST");
    await provider.chunks.store(ALICE, body(...chunks));
    for (const { id, bytes } of chunks) expect(await provider.chunks.serve(ALICE, id)).to.deep.equal(bytes);
    expect(await provider.chunks.inspectFor(ALICE, [told.id])).to.deep.equal([]);
  });

  it("are written in one commit for a whole body, before their rows", async () => {
    const provider = await openProvider(folder());
    const counts = counted(provider);
    let commits = 0;
    const putMany = provider.store.putMany.bind(provider.store);
    provider.store.putMany = async (objects) => {
      commits += 1;
      expect((await provider.index.chunks.totals()).chunks).to.equal(0);
      await putMany(objects);
    };
    const chunks = Array.from({ length: 300 }, () => randomChunk(1000));
    await provider.chunks.store(ALICE, body(...chunks, chunks[0] ?? randomChunk(1)));
    expect([commits, counts.writes]).to.deep.equal([1, 300]);
    for (const { id, bytes } of chunks) expect(await provider.chunks.serve(ALICE, id)).to.deep.equal(bytes);
  });

  it("of several batches keep their own bytes, although the memory of a batch is used again", async () => {
    const provider = await openProvider(folder());
    const chunks = Array.from({ length: 9 }, (_, k) => randomChunk(2 * 1024 * 1024 - k));
    await Promise.all([
      provider.chunks.store(ALICE, body(...chunks)),
      provider.chunks.store(BOB, body(...chunks.toReversed())),
    ]);
    expect(
      await provider.chunks.inspectFor(
        ALICE,
        chunks.map(({ id }) => id),
      ),
    ).to.deep.equal([]);
  });

  it("are given the same answer when they are damaged and when they are missing", async () => {
    const clock = { seconds: 1_000_000 };
    const provider = await openProvider(folder(), clock);
    const [damaged, missing] = [randomChunk(3000), randomChunk(3000)];
    await provider.chunks.store(ALICE, body(damaged, missing));
    rot(damaged);
    await provider.store.delete(missing.id);
    clock.seconds += 100_000;
    const answers = [];
    for (const { id } of [damaged, missing]) {
      const answer = await refusal(provider.chunks.serve(ALICE, id), "OBJECT_LOST");
      expect(answer).to.include({ party: "provider", expected: id });
      answers.push({ ...answer.toJSON(), expected: "" });
    }
    expect(answers[0]).to.deep.equal(answers[1]);
  });

  const scrub = ({ index, chunks }: TestProvider, start?: Uint8Array) =>
    scrubObjects(index.chunks, chunks, 1e12, new AbortController().signal, start);

  it("are found by the scrub, not owned by a claim after it, and repaired by the upload that follows", async () => {
    const provider = await openProvider(folder());
    const { claims } = provider;
    const [rotten, fine] = [randomChunk(3000), randomChunk(3000)];
    await provider.chunks.store(ALICE, body(rotten, fine));
    rot(rotten);
    await scrub(provider);
    const request = { chunks: [rotten, fine].map(({ id, bytes }) => ({ id, sizeBytes: bytes.length })) };
    // Its owner, who puts the file again, and another account: both are asked to upload it.
    for (const account of [ALICE, BOB]) {
      const claim = await claims.open(account, request);
      const outcome = await claims.answer(account, claim.claimId, answersFor(claim, [rotten, fine]));
      expect(outcome).to.deep.equal({ owned: [fine.id], missing: [rotten.id] });
      expect((await provider.index.chunks.totals()).lostChunks).to.equal(1);
    }
    await provider.chunks.store(BOB, body(rotten));
    expect(await provider.chunks.serve(ALICE, rotten.id)).to.deep.equal(rotten.bytes);
    const again = await claims.open(ALICE, request);
    expect((await claims.answer(ALICE, again.claimId, answersFor(again, [rotten, fine]))).missing).to.deep.equal([]);
  });

  it("are read by the scrub up to where it started, in the order of the digests", async () => {
    // In base32 a digit stands for more than a letter does, and sorts before it.
    const [low, high] = [new Uint8Array(32).fill(0x39), new Uint8Array(32).fill(0xd2)];
    const read: Uint8Array[] = [];
    const index = {
      pages: async function* (after = new Uint8Array()) {
        const rows = [low, high].map((digest) => ({ digest, sizeBytes: 1, stored: true }));
        yield rows.filter(({ digest }) => Buffer.compare(digest, after) > 0);
      },
    };
    const chunks = { readIntact: async (_: string, digest: Uint8Array) => void read.push(digest) as undefined };
    await scrubObjects(index, chunks, 1e12, new AbortController().signal, new Uint8Array(32).fill(0x3a));
    expect(read).to.deep.equal([high, low]);
  });

  it("are found wherever the scrub starts", async () => {
    const provider = await openProvider(folder());
    const chunks = Array.from({ length: 12 }, () => randomChunk(3000));
    await provider.chunks.store(ALICE, body(...chunks));
    for (const [k, chunk] of chunks.entries()) {
      rot(chunk);
      await scrub(provider, new Uint8Array(32).fill(20 * k));
      expect(await isStored(provider, chunk)).to.equal(false);
    }
  });
});

describe("chunks on a failing medium", () => {
  const folder = temporaryFolder();

  it("count as lost when they cannot be read, until the next upload; other failures say nothing", async () => {
    let failure = "";
    const unreadable = async (): Promise<never> => {
      throw Object.assign(new Error(`${failure}: read`), { code: failure, syscall: "read" });
    };
    const fileSystem: FileSystem = {
      ...nodeFileSystem,
      open: async (...parameters: Parameters<typeof nodeFileSystem.open>) => {
        const handle = await nodeFileSystem.open(...parameters);
        if (failure !== "" && parameters[1] === "r") handle.read = unreadable;
        return handle;
      },
    };
    const provider = await openProvider(folder(), undefined, { files: fileSystem });
    const chunk = randomChunk(3000);
    await provider.chunks.store(ALICE, body(chunk));
    failure = "ENOMEM";
    await refusal(provider.chunks.serve(ALICE, chunk.id), "DISK_FAILED");
    expect((await provider.index.chunks.totals()).lostChunks).to.equal(0);
    failure = "EIO";
    expect((await refusal(provider.chunks.serve(ALICE, chunk.id), "OBJECT_LOST")).party).to.equal("provider");
    expect((await provider.index.chunks.totals()).lostChunks).to.equal(1);
    failure = "";
    await provider.chunks.store(ALICE, body(chunk));
    expect((await provider.index.chunks.totals()).lostChunks).to.equal(0);
    expect(await provider.chunks.serve(ALICE, chunk.id)).to.deep.equal(chunk.bytes);
  });
});

describe("index and store after a start", () => {
  const folder = temporaryFolder();
  const reconcile = ({ store, index, chunks, logger }: TestProvider) =>
    reconcileChunks(store, index.chunks, chunks, logger, { isAlone: () => true });

  it("loses what was never acknowledged and keeps what was", async () => {
    const provider = await openProvider(folder());
    const [acknowledged, halfDone] = [randomChunk(500), randomChunk(600)];
    await provider.chunks.store(ALICE, body(acknowledged));
    await provider.store.put(halfDone.id, halfDone.bytes);
    await provider.store.put("not-a-chunk", halfDone.bytes);
    await provider.close();
    for (const file of packFiles(join(folder(), "store"))) appendFileSync(file, "half a record");

    const restarted = await openProvider(folder());
    expect(await reconcile(restarted)).to.deep.equal({ removed: 2, lost: 0, found: 0 });
    expect(await idsIn(restarted)).to.deep.equal([acknowledged.id]);
    expect(await restarted.chunks.serve(ALICE, acknowledged.id)).to.deep.equal(acknowledged.bytes);
  });

  it("removes nothing once another process may have put bytes, however late the store gets to it", async () => {
    const provider = await openProvider(folder());
    const halfDone = randomChunk(600);
    await provider.store.put(halfDone.id, halfDone.bytes);
    const { store, index, chunks, logger } = provider;
    let isAlone = true;
    const deleteMany = store.deleteMany.bind(store);
    store.deleteMany = (...parameters) => {
      isAlone = false;
      return deleteMany(...parameters);
    };
    const outcome = await reconcileChunks(store, index.chunks, chunks, logger, { isAlone: () => isAlone });
    expect(outcome).to.deep.equal({ removed: 0, lost: 0, found: 0 });
    expect(await idsIn(provider)).to.deep.equal([halfDone.id]);
  });

  it("stops claiming bytes that are missing or cut short, and claims them again when they are back", async () => {
    const provider = await openProvider(folder());
    const [missing, short, fine] = [randomChunk(500), randomChunk(600), randomChunk(700)];
    await provider.chunks.store(ALICE, body(missing, short, fine));
    await provider.store.delete(missing.id);
    await provider.store.put(short.id, short.bytes.subarray(1));
    expect(await reconcile(provider)).to.deep.equal({ removed: 0, lost: 2, found: 0 });
    expect(await isStored(provider, missing)).to.equal(false);
    expect(await isStored(provider, short)).to.equal(false);
    expect(await isStored(provider, fine)).to.equal(true);

    await provider.store.put(missing.id, missing.bytes);
    await provider.store.put(short.id, randomChunk(600).bytes);
    expect(await reconcile(provider)).to.deep.equal({ removed: 0, lost: 0, found: 1 });
    expect(await isStored(provider, missing)).to.equal(true);
    expect(await isStored(provider, short)).to.equal(false);
  });
});

import { expect } from "chai";
import { randomBytes } from "#primitives";
import { digestOf } from "../../../offchain/core/encoding/content-id.ts";
import { ChunkService, LONGEST_UPLOAD_SECONDS } from "../../../offchain/csp/chunks/chunk-service.ts";
import { collectGarbage, type GarbageReport, unusedSince } from "../../../offchain/csp/chunks/garbage.ts";
import { UnpaidAccounts } from "../../../offchain/csp/chunks/unpaid.ts";
import { readChunkFrames } from "../../../offchain/http/chunk-frames.ts";
import type { FileStoreOptions } from "../../../offchain/store/object/file-object-store.ts";
import { type MayRemove, type ObjectStore, RemovalStoppedError } from "../../../offchain/store/object/object-store.ts";
import { failure } from "../../helpers/promises.ts";
import { AGREED, FIRST_STATE } from "../agreed-set.ts";
import { manifestFacts } from "../manifest-facts.ts";
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

const GRACE_SECONDS = 1000;
const RELEASE_SECONDS = 500;
const DAY_SECONDS = 86_400;

describe("objects that nobody needs", () => {
  const folder = temporaryFolder();
  let provider: TestProvider;
  const open = async (options?: FileStoreOptions): Promise<void> => {
    provider = await openProvider(folder(), { seconds: 1_000_000 }, options);
  };
  beforeEach(() => open());

  const store = (account: string, ...chunks: TestChunk[]) =>
    provider.chunks.store(account, framesOf(...chunks.map((chunk) => frame(chunk))));
  const release = (account: string, ...chunks: TestChunk[]) =>
    provider.index.chunks.release(
      account,
      chunks.map(({ id }) => digestOf(id)),
      provider.clock.seconds,
    );
  const collect = (dryRun = false, mayRemove: MayRemove = () => true): Promise<GarbageReport> =>
    collectGarbage(
      { index: provider.index.chunks, chunks: provider.chunks, store: provider.store },
      {
        releasedAt: provider.clock.seconds - RELEASE_SECONDS,
        now: provider.clock.seconds,
        since: provider.clock.seconds - GRACE_SECONDS,
        dryRun,
        mayRemove,
      },
    );
  const isThere = async ({ id }: TestChunk): Promise<boolean> => {
    const [row] = await provider.index.chunks.find([digestOf(id)]);
    const has = await provider.store.has(id);
    expect(has).to.equal(row !== undefined);
    return has;
  };
  /** A segment over chunks, in a data set of its own. */
  async function named(...chunks: TestChunk[]): Promise<{ dataSet: number; segment: number }> {
    const { dataSets, segments } = provider.index;
    const bytes = randomBytes(32);
    const key = { X: bytes, XA: bytes, XB: bytes };
    const facts = { account: ALICE, salt: bytes, key, auditKeyHash: bytes, touchedAt: 1 };
    const set = await dataSets.begin({ ...facts, sliceElements: 1024, phase: 0 }, 9);
    if (set.outcome !== "created") throw new Error(set.outcome);
    const begun = {
      dataSetId: set.id,
      name: bytes,
      manifestHash: bytes,
      commitmentSeed: bytes,
      firstIndex: 1,
      touchedAt: 1,
    };
    const segment = await segments.begin(begun, 9);
    if (segment.outcome !== "created") throw new Error(segment.outcome);
    await segments.addToManifest(
      segment.id,
      chunks.map((chunk) => ({ digest: digestOf(chunk.id), sizeBytes: chunk.bytes.length })),
    );
    await segments.complete(segment.id, manifestFacts(1));
    return { dataSet: set.id, segment: segment.id };
  }
  const claim = async (account: string, chunk: TestChunk): Promise<boolean> => {
    const opened = await provider.claims.open(account, { chunks: [{ id: chunk.id, sizeBytes: chunk.bytes.length }] });
    const { owned } = await provider.claims.answer(account, opened.claimId, answersFor(opened, [chunk]));
    return owned.length > 0;
  };

  it("are removed when the last owner has released them and the grace period is over, and no others", async () => {
    const [gone, shared, kept] = [randomChunk(200_000), randomChunk(3000), randomChunk(3000)];
    await store(ALICE, gone, shared, kept);
    await store(BOB, shared);
    expect(await release(ALICE, gone, shared, gone, randomChunk(9))).to.equal(2);
    expect(await release(ALICE, gone)).to.equal(0);
    expect(await provider.index.chunks.usageOf(ALICE)).to.deep.equal({ chunks: 1, bytes: 3000 });
    expect(await collect()).to.deep.equal({ objects: 0, bytes: 0, compactedBytes: 0 });
    provider.clock.seconds += GRACE_SECONDS;
    expect(await collect(true)).to.deep.equal({ objects: 1, bytes: 200_000, compactedBytes: 0 });
    expect(await isThere(gone)).to.equal(true);
    const report = await collect();
    expect(report).to.deep.include({ objects: 1, bytes: 200_000 });
    expect(report.compactedBytes).to.be.greaterThan(200_000);
    expect(await Promise.all([gone, shared, kept].map(isThere))).to.deep.equal([false, true, true]);
    expect(await provider.index.chunks.totals()).to.deep.equal({
      chunks: 2,
      storedBytes: 6000,
      ownedBytes: 6000,
      lostChunks: 0,
    });
    await refusal(provider.chunks.serve(ALICE, shared.id), "NOT_OWNER");
    await store(ALICE, gone);
    expect(await provider.chunks.serve(ALICE, gone.id)).to.deep.equal(gone.bytes);
  });

  it("are removed once a release of theirs is over, unless their owner needs them again", async () => {
    const [gone, claimed] = [randomChunk(3000), randomChunk(3000)];
    await store(ALICE, gone, claimed);
    await provider.index.heads.replace(
      ALICE,
      { version: 0, releases: await provider.index.heads.releasesOf(ALICE) },
      { version: 1, sealed: new Uint8Array(1) },
    );
    const digests = [gone, claimed].map(({ id }) => digestOf(id));
    expect(await provider.index.chunks.noteRelease(ALICE, digests, 1, provider.clock.seconds)).to.equal(2);
    provider.clock.seconds += RELEASE_SECONDS - 1;
    await collect();
    expect(await provider.index.chunks.owns(ALICE, digests)).to.deep.equal([true, true]);
    expect(await claim(ALICE, claimed)).to.equal(true);
    provider.clock.seconds += 1;
    await collect(true);
    expect(await provider.index.chunks.owns(ALICE, digests)).to.deep.equal([true, true]);
    await collect();
    expect(await provider.index.chunks.owns(ALICE, digests)).to.deep.equal([false, true]);
    provider.clock.seconds += GRACE_SECONDS;
    await collect();
    expect(await Promise.all([gone, claimed].map(isThere))).to.deep.equal([false, true]);
  });

  it("stay while a segment names them, whoever has released them", async () => {
    const chunks = [randomChunk(3000), randomChunk(3000)];
    await store(ALICE, ...chunks);
    const { segment } = await named(...chunks);
    await release(ALICE, ...chunks);
    provider.clock.seconds += 10 * GRACE_SECONDS;
    expect((await collect()).objects).to.equal(0);
    await provider.index.segments.delete(segment);
    expect((await collect()).objects).to.equal(0);
    provider.clock.seconds += GRACE_SECONDS;
    expect((await collect()).objects).to.equal(2);
    expect(await Promise.all(chunks.map(isThere))).to.deep.equal([false, false]);
  });

  it("are removed in many small steps, lost ones too", async () => {
    const chunks = Array.from({ length: 700 }, () => randomChunk(100));
    await store(ALICE, ...chunks);
    const [first = randomChunk(1)] = chunks;
    await provider.store.delete(first.id);
    await provider.chunks.inspect(digestOf(first.id));
    expect((await provider.index.chunks.totals()).lostChunks).to.equal(1);
    await release(ALICE, ...chunks);
    provider.clock.seconds += GRACE_SECONDS;
    expect((await collect()).objects).to.equal(700);
    expect(await provider.index.chunks.totals()).to.include({ chunks: 0, storedBytes: 0, lostChunks: 0 });
  });

  describe("at the same time as somebody needs them again", () => {
    let chunk: TestChunk;
    beforeEach(async () => {
      chunk = randomChunk(3000);
      await store(ALICE, chunk);
      await release(ALICE, chunk);
      provider.clock.seconds += GRACE_SECONDS;
    });

    /** Runs `work` after garbage was looked for and before it is removed. */
    const between = (work: () => Promise<unknown>): void => {
      const removeUnused = provider.chunks.removeUnused.bind(provider.chunks);
      provider.chunks.removeUnused = async (...parameters) => {
        await work();
        return removeUnused(...parameters);
      };
    };

    it("stay when a claim, an upload or a manifest comes first", async () => {
      for (const work of [() => claim(BOB, chunk), () => store(BOB, chunk), async () => void (await named(chunk))]) {
        between(work);
        expect((await collect()).objects).to.equal(0);
        expect(await isThere(chunk)).to.equal(true);
        await release(BOB, chunk);
        provider.clock.seconds += GRACE_SECONDS;
      }
    });

    it("stay while an upload of them is under way, which counts on their bytes", async () => {
      const body = async function* () {
        yield frame(chunk);
        // Ends the first batch: the chunk was looked up, and is not written again.
        for (let k = 0; k < 3; k++) yield frame(randomChunk(2_000_000));
        expect((await collect()).objects).to.equal(0);
        yield frame(randomChunk(100));
      };
      await provider.chunks.store(BOB, (allocate) => readChunkFrames(body(), allocate));
      expect(await isThere(chunk)).to.equal(true);
      expect(await provider.chunks.serve(BOB, chunk.id)).to.deep.equal(chunk.bytes);
    });

    it("are missing for a claim, and stored again by an upload, once they are being removed", async () => {
      const deleteMany = provider.store.deleteMany.bind(provider.store);
      let upload: Promise<unknown> = Promise.resolve();
      provider.store.deleteMany = async (ids) => {
        expect(await claim(BOB, chunk)).to.equal(false);
        upload = store(BOB, chunk);
        await new Promise((resolve) => setTimeout(resolve, 20));
        return deleteMany(ids);
      };
      expect((await collect()).objects).to.equal(1);
      await upload;
      expect(await isThere(chunk)).to.equal(true);
      expect(await provider.chunks.serve(BOB, chunk.id)).to.deep.equal(chunk.bytes);
    });

    it("keep their bytes when another process may have gone on with the removal", async () => {
      const since = provider.clock.seconds - GRACE_SECONDS;
      const unused = await provider.index.chunks.unused(since, 10);
      for (let allowed = 0; allowed < 2; allowed++) {
        let asked = 0;
        const error = await failure(provider.chunks.removeUnused(unused, since, () => asked++ < allowed));
        expect(error).to.be.instanceOf(RemovalStoppedError).and.to.include({ retryable: true });
        expect(await provider.store.has(chunk.id)).to.equal(true);
      }
      // It has begun: uploads are refused until a round ends it, and a round that cannot is no success.
      await refusal(store(BOB, chunk), "CONFLICT");
      expect(await failure(collect(false, () => false))).to.be.instanceOf(RemovalStoppedError);
      expect((await collect()).objects).to.equal(1);
      expect(await isThere(chunk)).to.equal(false);
    });

    it("stay when they are stored again while the store was slow, and another process went on meanwhile", async () => {
      const { store: objects, index, challenges, logger, clock } = provider;
      const process = (store: ObjectStore) =>
        new ChunkService(store, index.chunks, challenges, logger, () => clock.seconds);
      let hasLease = true;
      const slow: ObjectStore = Object.create(objects, {
        deleteMany: {
          value: async (...parameters: Parameters<ObjectStore["deleteMany"]>) => {
            hasLease = false;
            const unused = await index.chunks.unused(since, 10);
            expect(await process(objects).removeUnused(unused, since)).to.have.length(1);
            await process(objects).store(BOB, framesOf(frame(chunk)));
            return await objects.deleteMany(...parameters);
          },
        },
      });
      const since = clock.seconds - GRACE_SECONDS;
      const removal = process(slow).removeUnused(await index.chunks.unused(since, 10), since, () => hasLease);
      expect(await failure(removal)).to.be.instanceOf(RemovalStoppedError);
      expect(await isThere(chunk)).to.equal(true);
      expect(await provider.chunks.serve(BOB, chunk.id)).to.deep.equal(chunk.bytes);
    });

    it("keep their rows for the process that goes on, when the lease ends after the bytes are removed", async () => {
      let hasLease = true;
      const deleteMany = provider.store.deleteMany.bind(provider.store);
      provider.store.deleteMany = async (...parameters) => {
        const removed = await deleteMany(...parameters);
        hasLease = false;
        return removed;
      };
      expect(await failure(collect(false, () => hasLease))).to.be.instanceOf(RemovalStoppedError);
      expect(await provider.index.chunks.find([digestOf(chunk.id)]))
        .to.have.length(1)
        .and.not.include(undefined);
      await refusal(store(BOB, chunk), "CONFLICT");
      expect((await collect()).objects).to.equal(1);
      expect(await isThere(chunk)).to.equal(false);
    });

    it("make an upload by another process begin anew when its row was removed meanwhile", async () => {
      const challenges = provider.challenges.prepare(digestOf(chunk.id), chunk.bytes);
      const recorded = { digest: digestOf(chunk.id), sizeBytes: chunk.bytes.length, challenges };
      const since = provider.clock.seconds - GRACE_SECONDS;
      expect((await provider.index.chunks.beginRemoval([recorded.digest], since)).length).to.equal(1);
      const record = (hadRow: boolean) =>
        provider.index.chunks.record(BOB, [{ ...recorded, hadRow }], provider.clock.seconds);
      expect((await refusal(record(true), "CONFLICT")).retryable).to.equal(true);
      await refusal(record(false), "CONFLICT");
      await provider.index.chunks.endRemoval([recorded.digest]);
      await refusal(record(true), "CONFLICT");
      await record(false);
      expect(await provider.index.chunks.ownersOf([recorded.digest])).to.deep.equal([1]);
    });
  });

  it("are kept for longer than an upload lasts where processes share them; those that stand still end", async () => {
    const ended: number[] = [];
    const leases = { endLapsed: async (seconds: number) => ended.push(seconds) };
    expect(await unusedSince(leases, 10_000, { graceSeconds: 5, isShared: false })).to.equal(9995);
    expect(ended).to.deep.equal([]);
    const since = await unusedSince(leases, 10_000, { graceSeconds: 5, isShared: true });
    const [stoodStill = 0] = ended;
    expect(10_000 - since).to.be.greaterThan(LONGEST_UPLOAD_SECONDS + 1800 + stoodStill);
    expect(await unusedSince(leases, 100_000, { graceSeconds: 90_000, isShared: true })).to.equal(10_000);
    expect(ended).to.have.length(2);
    const dry = await unusedSince(leases, 10_000, { graceSeconds: 5, isShared: true, dryRun: true });
    expect(dry, "a dry run ends nobody's life").to.equal(since);
    expect(ended).to.have.length(2);
  });

  it("are not taken from an upload by another process when a manifest over them ends meanwhile", async () => {
    const { index, challenges, logger, clock } = provider;
    const shared = { life: "process" };
    provider.database.exec(`INSERT INTO leases (name, holder, expires_at) VALUES ('${shared.life}', '', 0)`);
    const process = () =>
      new ChunkService(provider.store, index.chunks, challenges, logger, () => clock.seconds, { shared });
    const [uploading, collecting, other] = [process(), process(), process()];
    const chunk = randomChunk(3000);
    const body = async function* () {
      yield frame(chunk);
      // Ends the first batch: the chunk had no row, and its bytes are in the store.
      for (let k = 0; k < 3; k++) yield frame(randomChunk(2_000_000));
      await other.store(BOB, framesOf(frame(chunk)));
      const { segment } = await named(chunk);
      await release(BOB, chunk);
      await index.segments.delete(segment);
      clock.seconds += 30;
      const leases = { endLapsed: async () => 0 };
      const since = await unusedSince(leases, clock.seconds, { graceSeconds: DAY_SECONDS, isShared: true });
      const options = { releasedAt: 0, now: clock.seconds, since };
      await collectGarbage({ index: index.chunks, chunks: collecting, store: provider.store }, options);
      yield frame(randomChunk(100));
    };
    await uploading.store(ALICE, (allocate) => readChunkFrames(body(), allocate));
    expect(await uploading.serve(ALICE, chunk.id)).to.deep.equal(chunk.bytes);
  });

  it("are removed by the next run when a crash came between any two steps", async () => {
    for (const step of ["begun", "bytes removed", "rows removed"] as const) {
      const chunk = randomChunk(3000);
      await store(ALICE, chunk);
      await release(ALICE, chunk);
      provider.clock.seconds += GRACE_SECONDS;
      const crash = async (): Promise<never> => {
        throw new Error("crash");
      };
      const { seconds } = provider.clock;
      if (step === "begun") provider.store.deleteMany = crash;
      if (step === "bytes removed") provider.index.chunks.endRemoval = crash;
      if (step === "rows removed") provider.store.compact = crash;
      await collect().catch(() => undefined);
      await provider.close();
      await open();
      provider.clock.seconds = seconds;
      expect((await collect()).objects).to.equal(step === "rows removed" ? 0 : 1);
      expect(await isThere(chunk)).to.equal(false);
      await store(ALICE, chunk);
      expect(await provider.chunks.serve(ALICE, chunk.id)).to.deep.equal(chunk.bytes);
    }
  });

  describe("of accounts that pay for nothing", () => {
    const unpaid = (days: number) =>
      new UnpaidAccounts(
        {
          chunks: provider.index.chunks,
          dataSets: provider.index.dataSets,
          logger: provider.logger,
        },
        days,
        () => provider.clock.seconds,
      );

    it("are released after a notice, and not while a data set of the account covers something", async () => {
      const [free, paid] = [randomChunk(3000), randomChunk(3000)];
      await store(BOB, free);
      await store(ALICE, paid);
      const { dataSet, segment } = await named(paid);
      // A segment alone pays for nothing.
      expect((await provider.index.dataSets.coveredOf(ALICE)).chunks).to.equal(0);
      await provider.index.segments.setVerified(segment);
      const context = { agreed: AGREED, segments: [segment], provingMilliseconds: 1 };
      expect(await provider.index.dataSets.recordState(dataSet, FIRST_STATE, context)).to.equal("recorded");
      const accounts = unpaid(30);
      expect(await accounts.expiryOf(BOB)).to.equal(undefined);
      await accounts.expire();
      const expiresAt = provider.clock.seconds + 30 * DAY_SECONDS;
      expect(await accounts.expiryOf(BOB)).to.equal(expiresAt);
      expect(await accounts.expiryOf(ALICE)).to.equal(undefined);
      provider.clock.seconds += 30 * DAY_SECONDS - 1;
      await accounts.expire();
      expect(await accounts.expiryOf(BOB)).to.equal(expiresAt);
      expect((await provider.index.chunks.usageOf(BOB)).chunks).to.equal(1);
      provider.clock.seconds += 1;
      await accounts.expire();
      expect(await provider.index.chunks.usageOf(BOB)).to.deep.equal({ chunks: 0, bytes: 0 });
      expect((await provider.index.chunks.usageOf(ALICE)).chunks).to.equal(1);
      // When nothing of the set is left, the notice begins; another state takes it back.
      await provider.index.segments.freeChunks(segment, 0, paid.bytes.length);
      await accounts.expire();
      expect(await accounts.expiryOf(ALICE)).to.equal(provider.clock.seconds + 30 * DAY_SECONDS);
      const again = await named(paid);
      await provider.index.segments.setVerified(again.segment);
      const other = { agreed: { ...AGREED, id: `0x${"22".repeat(32)}` }, segments: [again.segment] };
      await provider.index.dataSets.recordState(again.dataSet, FIRST_STATE, { ...context, ...other });
      await accounts.expire();
      expect(await accounts.expiryOf(ALICE)).to.equal(undefined);
    });

    it("are told anew when an account that had nothing left stores again", async () => {
      const [old, fresh] = [randomChunk(3000), randomChunk(3000)];
      await store(BOB, old);
      const accounts = unpaid(30);
      await accounts.expire();
      await provider.index.chunks.release(BOB, [digestOf(old.id)], provider.clock.seconds);
      provider.clock.seconds += 40 * DAY_SECONDS;
      await store(BOB, fresh);
      await accounts.expire();
      expect((await provider.index.chunks.usageOf(BOB)).chunks).to.equal(1);
      expect(await accounts.expiryOf(BOB)).to.equal(provider.clock.seconds + 30 * DAY_SECONDS);
    });

    it("are kept when the operator has set nothing", async () => {
      await store(BOB, randomChunk(3000));
      const accounts = unpaid(0);
      for (let k = 0; k < 3; k++) {
        await accounts.expire();
        provider.clock.seconds += 1000 * DAY_SECONDS;
      }
      expect(await accounts.expiryOf(BOB)).to.equal(undefined);
      expect((await provider.index.chunks.usageOf(BOB)).chunks).to.equal(1);
    });
  });
});

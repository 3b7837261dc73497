/** Data sets and segments at a provider before a state includes them: what a client sends, gets wrong, resumes. */
import { appendFileSync, readdirSync, rmSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { randomBytes } from "#primitives";
import { auditPublicKey } from "../../../offchain/core/audit/keys.ts";
import { encodeManifest } from "../../../offchain/core/audit/manifest.ts";
import { auditReady } from "../../../offchain/core/audit/ready.ts";
import { digestOf } from "../../../offchain/core/encoding/content-id.ts";
import { fromHex, toHex } from "../../../offchain/core/encoding/hex.ts";
import { ChunkService } from "../../../offchain/csp/chunks/chunk-service.ts";
import { SegmentVerification } from "../../../offchain/csp/data-sets/verification.ts";
import { VerificationWorkers } from "../../../offchain/csp/data-sets/verification-workers.ts";
import { MemoryObjectStore } from "../../helpers/memory-object-store.ts";
import { AGREED, FIRST_STATE } from "../agreed-set.ts";
import { type AuditedSegment, AuditedSet, segmentBody } from "../audited-data.ts";
import {
  ALICE,
  BOB,
  EXPIRY_SECONDS,
  frame,
  framesOf,
  openProvider,
  randomChunk,
  refusal,
  streamOf,
  type TestProvider,
  temporaryFolder,
} from "../provider-fixture.ts";

const SLICE_ELEMENTS = 1024;
const SLICE_BYTES = 31 * SLICE_ELEMENTS;
const MAXIMUM_INDEX = 256;
/** Most segments that no state includes. */
const UNUSED = 4;

describe("segments of data sets", () => {
  const folder = temporaryFolder();
  const chunks = [randomChunk(200_000), randomChunk(300), randomChunk(90_001)];
  const [first = randomChunk(1)] = chunks;
  let audited: AuditedSet;
  let segment: AuditedSegment;
  before(async () => {
    await auditReady();
    audited = new AuditedSet(SLICE_ELEMENTS);
    segment = audited.segmentOf(chunks);
  });

  const storeAll = (provider: TestProvider, account: string, ...some: readonly { id: string; bytes: Uint8Array }[]) =>
    provider.chunks.store(account, framesOf(...some.map((chunk) => frame(chunk))));
  /** A provider that has the chunks, and a data set that is begun. */
  const stored = async (): Promise<TestProvider> => {
    const provider = await openProvider(folder());
    await storeAll(provider, ALICE, ...chunks);
    await provider.sets.begin(ALICE, audited.saltHex, audited.request);
    return provider;
  };
  const rowOf = ({ sets }: TestProvider, one = audited) => sets.require(ALICE, one.saltHex);
  const begin = async (provider: TestProvider, one = segment, body = streamOf(one.body), set = audited) =>
    provider.segments.begin(await rowOf(provider, set), one.name, one.firstIndex, body);
  const powers = (provider: TestProvider, part: "powers-a" | "powers-b", offset: number, bytes: Uint8Array) =>
    provider.sets.append(ALICE, audited.saltHex, part, offset, streamOf(bytes));
  const sendTags = async (provider: TestProvider, one: AuditedSegment, bytes = one.tags, offset = 0) =>
    provider.segments.append(await rowOf(provider), one.name, offset, streamOf(bytes));
  const sendAll = async (provider: TestProvider, one = segment) => {
    await powers(provider, "powers-a", 0, audited.powersA);
    await powers(provider, "powers-b", 0, audited.powersB(1, one.firstIndex + one.sliceCount - 1));
    await sendTags(provider, one);
  };
  const found = async (provider: TestProvider, one = segment) =>
    provider.segments.require(await rowOf(provider), one.name);
  const verify = async (provider: TestProvider, one = segment, waitSeconds = 60) =>
    provider.verification.verify(await rowOf(provider), await found(provider, one), waitSeconds);
  const path = (...parts: string[]) => join(folder(), "data-sets", ...parts);

  it("are begun, filled, checked against the stored bytes, and say so at each step", async () => {
    const provider = await stored();
    const begun = await begin(provider);
    expect(provider.segments.status(begun, undefined)).to.deep.equal({
      segment: segment.name,
      state: "open",
      firstIndex: 1,
      sliceCount: 10,
      manifestHash: segment.manifestHash,
      commitmentsRoot: segment.commitmentsRoot,
      tagsExpectedBytes: 960,
      tagsBytes: 0,
      checkedSlices: 0,
      expiresAt: provider.clock.seconds + EXPIRY_SECONDS,
    });
    await sendAll(provider);
    expect(await verify(provider)).to.equal(true);
    expect(provider.segments.status(await found(provider), undefined)).to.include({
      state: "verified",
      tagsBytes: 960,
      checkedSlices: 10,
    });
  });

  it("go on where they were cut off, in a new process too, and overwrite what was not acknowledged", async () => {
    const provider = await stored();
    const { tags } = segment;
    const { powersA } = audited;
    await begin(provider);
    await sendTags(provider, segment, tags.subarray(0, 50));
    await powers(provider, "powers-a", 0, powersA.subarray(0, 1000));
    await provider.close();
    for (const stream of ["tags-1", "powers-a"]) {
      appendFileSync(path("1", stream), "written but never acknowledged");
    }

    const restarted = await openProvider(folder());
    await restarted.sets.reconcile();
    expect((await begin(restarted)).tagsBytes).to.equal(50);
    const error = await refusal(sendTags(restarted, segment), "CONFLICT");
    expect(error.details).to.deep.equal({ received: 50 });
    expect((await refusal(powers(restarted, "powers-a", 0, powersA), "CONFLICT")).details).to.deep.equal({
      received: 1000,
    });
    await sendTags(restarted, segment, tags.subarray(50), 50);
    await powers(restarted, "powers-b", 0, audited.powersB(1, 10));
    expect((await refusal(verify(restarted), "CONFLICT")).check).to.equal("powers-a");
    await powers(restarted, "powers-a", 1000, powersA.subarray(1000));
    expect(await verify(restarted)).to.equal(true);
  });

  it("count only what their files hold after a start", async () => {
    const provider = await stored();
    await begin(provider);
    await sendAll(provider);
    expect(await verify(provider)).to.equal(true);
    truncateSync(path("1", "tags-1"), 100);
    truncateSync(path("1", "powers-b"), 200);
    await provider.streams.write(99, "tags-1", 0, streamOf(Uint8Array.of(1)), 1);
    await provider.sets.reconcile();
    expect(await found(provider)).to.include({ tagsBytes: 96, verified: false });
    const shortened = { powersABytes: SLICE_ELEMENTS * 96, verifiedA: true, powersBBytes: 192, verifiedB: 2 };
    expect(await rowOf(provider)).to.include(shortened);
    expect(readdirSync(path())).to.deep.equal(["1"]);
    rmSync(path("1"), { recursive: true });
    await provider.sets.reconcile();
    expect(await found(provider)).to.include({ tagsBytes: 0 });
    expect(await rowOf(provider)).to.include({ powersABytes: 0, verifiedA: false, powersBBytes: 0, verifiedB: 0 });
    await sendAll(provider);
    expect(await verify(provider)).to.equal(true);
  });

  it("are removed at a start when a crash came before their manifest was complete", async () => {
    const provider = await stored();
    const { id: dataSetId } = await rowOf(provider);
    const facts = {
      dataSetId,
      name: fromHex(segment.name),
      manifestHash: fromHex(segment.manifestHash),
      commitmentSeed: segment.seed,
    };
    await provider.index.segments.begin({ ...facts, firstIndex: 1, touchedAt: provider.clock.seconds }, 9);
    await provider.close();
    const restarted = await openProvider(folder());
    await restarted.sets.reconcile();
    expect((await begin(restarted)).sliceCount).to.equal(10);
  });

  it("are begun once by requests at the same time", async () => {
    const provider = await openProvider(folder());
    await storeAll(provider, ALICE, ...chunks);
    const begun = await Promise.all([1, 2, 3].map(() => provider.sets.begin(ALICE, audited.saltHex, audited.request)));
    expect(new Set(begun.map(({ id }) => id)).size).to.equal(1);
    const segments = await Promise.all([1, 2, 3].map(() => begin(provider)));
    expect(new Set(segments.map(({ id }) => id)).size).to.equal(1);
    const { id } = await rowOf(provider);
    expect((await provider.index.segments.ofDataSet(id)).length).to.equal(1);
  });

  it("work on any object store", async () => {
    const provider = await openProvider(folder());
    const { index, challenges, logger, clock, parts, data, threads } = provider;
    const store = new MemoryObjectStore();
    const service = new ChunkService(store, index.chunks, challenges, logger, () => clock.seconds);
    await service.store(ALICE, framesOf(...chunks.map((chunk) => frame(chunk))));
    const verification = new SegmentVerification(parts, { ...data, store }, service, new VerificationWorkers(threads));
    await provider.sets.begin(ALICE, audited.saltHex, audited.request);
    await begin(provider);
    await sendAll(provider);
    expect(await verification.verify(await rowOf(provider), await found(provider), 60)).to.equal(true);
  });

  it("refuse a body longer than what is missing, and count nothing of it", async () => {
    const provider = await stored();
    await begin(provider);
    const longer = new Uint8Array(segment.tags.length + 1);
    await refusal(sendTags(provider, segment, longer), "INVALID_INPUT");
    expect(await found(provider)).to.include({ tagsBytes: 0 });
    const powersLonger = new Uint8Array(SLICE_ELEMENTS * 96 + 1);
    await refusal(powers(provider, "powers-a", 0, powersLonger), "INVALID_INPUT");
    await refusal(powers(provider, "powers-b", 0, new Uint8Array(MAXIMUM_INDEX * 96 + 1)), "INVALID_INPUT");
    expect(await rowOf(provider)).to.include({ powersABytes: 0, powersBBytes: 0 });
  });

  it("refuse chunks that the account does not own, does not have here, or has with another size", async () => {
    const provider = await stored();
    const other = new AuditedSet(SLICE_ELEMENTS);
    const bobs = await provider.sets.begin(BOB, other.saltHex, other.request);
    await refusal(provider.segments.begin(bobs, segment.name, 1, streamOf(segment.body)), "NOT_OWNER");
    const foreign = randomChunk(10);
    await storeAll(provider, BOB, foreign);
    const error = await refusal(begin(provider, audited.segmentOf([...chunks, foreign])), "NOT_OWNER");
    expect(error.received).to.contain(foreign.id);
    const resized = encodeManifest({ version: 1, chunks: [{ id: first.id, sizeBytes: 199_999 }] });
    await refusal(begin(provider, segment, streamOf(segmentBody(resized))), "NOT_OWNER");
    await provider.index.chunks.markLost([digestOf(first.id)]);
    await refusal(begin(provider), "NOT_OWNER");
    expect((await rowOf(provider)).givenIndex).to.equal(0);
  });

  it("refuse malformed manifests, indices above the highest, and names used for something else", async () => {
    const provider = await stored();
    const withManifest = (bytes: Uint8Array, firstIndex = 1) =>
      begin(provider, { ...segment, firstIndex }, streamOf(segmentBody(bytes)));
    const valid = segment.manifest;
    for (const bytes of [valid.subarray(0, -1), new Uint8Array([1, 0, 0, 0, 0]), new Uint8Array([...valid, 0])]) {
      await refusal(withManifest(bytes), "INVALID_INPUT");
    }
    const newer = valid.slice();
    newer[0] = 2;
    await refusal(withManifest(newer), "UNKNOWN_VERSION");
    const sized = (sizeBytes: number) => encodeManifest({ version: 1, chunks: [{ id: first.id, sizeBytes }] });
    for (const [bytes, firstIndex, last] of [
      [sized(MAXIMUM_INDEX * SLICE_BYTES + 1), 1, 257],
      [valid, 248, 257],
    ] as const) {
      const error = await refusal(withManifest(bytes, firstIndex), "INVALID_INPUT");
      expect(error).to.include({ check: "highest index", expected: "at most 256", received: `at least ${last}` });
    }
    await begin(provider);
    const reordered = audited.segmentOf(chunks.toReversed()).manifest;
    expect((await refusal(withManifest(reordered), "CONFLICT")).check).to.equal("manifest hash");
    expect((await refusal(withManifest(valid, 20), "CONFLICT")).check).to.equal("first index");
    // The salt of the set as well.
    const X = auditPublicKey(audited.secrets, 12345n).X;
    const { request } = audited;
    const otherKey = { ...request, key: { ...request.key, X: toHex(X) } };
    const again = (body: typeof request) => provider.sets.begin(ALICE, audited.saltHex, body);
    expect((await refusal(again(otherKey), "CONFLICT")).check).to.equal("audit key hash");
    expect((await refusal(again({ ...request, sliceElements: 4096 }), "CONFLICT")).check).to.equal("slice size");
    const odd = provider.sets.begin(ALICE, new AuditedSet().saltHex, { ...request, sliceElements: 2048 });
    expect((await refusal(odd, "INVALID_INPUT")).check).to.equal("slice size");
  });

  it("get indices behind all that were given, once, also at the same time", async () => {
    const provider = await stored();
    await begin(provider);
    const taken = audited.segmentOf(chunks, 10);
    expect((await refusal(begin(provider, taken), "CONFLICT")).details).to.deep.equal({ firstFree: 11 });
    const rivals = [audited.segmentOf(chunks, 11), audited.segmentOf(chunks.slice(0, 1), 15)];
    const outcomes = await Promise.allSettled(rivals.map((one) => begin(provider, one)));
    const refused = outcomes.filter((outcome) => outcome.status === "rejected");
    const known = await provider.index.segments.ofDataSet((await rowOf(provider)).id);
    // One comes first; the other one is refused, unless it lies behind the first.
    expect(known.length + refused.length).to.equal(3);
    for (const [k, one] of known.entries()) {
      const before = known[k - 1];
      if (before !== undefined) expect(one.firstIndex).to.be.at.least(before.firstIndex + before.sliceCount);
    }
    for (const { reason } of refused) expect(reason).to.include({ code: "CONFLICT", check: "first index" });
    expect(refused.length).to.equal(1);
  });

  it("are limited in number while no state includes them", async () => {
    const provider = await stored();
    for (let k = 0; k < UNUSED; k++) await begin(provider, audited.segmentOf([first], 1 + 10 * k));
    const one = audited.segmentOf([first], 100);
    expect(await refusal(begin(provider, one), "RATE_LIMITED")).to.include({ retryable: true });
    await provider.index.segments.setVerified(1);
    await provider.index.dataSets.recordState((await rowOf(provider)).id, FIRST_STATE, {
      agreed: AGREED,
      segments: [1],
      provingMilliseconds: 1,
    });
    await begin(provider, one);
    for (let k = 1; k < UNUSED; k++) {
      const other = new AuditedSet(SLICE_ELEMENTS);
      await provider.sets.begin(ALICE, other.saltHex, other.request);
    }
    const other = new AuditedSet(SLICE_ELEMENTS);
    await refusal(provider.sets.begin(ALICE, other.saltHex, other.request), "RATE_LIMITED");
    await provider.sets.begin(BOB, other.saltHex, other.request);
  });

  it("refuse a manifest that names a chunk twice, whatever comes between, and keep nothing of it", async () => {
    const provider = await stored();
    const entries = [...chunks, first].map(({ id, bytes }) => {
      const entry = new Uint8Array(36);
      entry.set(digestOf(id));
      new DataView(entry.buffer).setUint32(32, bytes.length);
      return entry;
    });
    const manifest = new Uint8Array([1, 0, 0, 0, entries.length, ...entries.flatMap((entry) => [...entry])]);
    const body = segmentBody(manifest);
    // In one piece, and byte by byte.
    for (const pieces of [[body], Array.from(body, (byte) => Uint8Array.of(byte))]) {
      const error = await refusal(begin(provider, segment, streamOf(...pieces)), "INVALID_INPUT");
      expect(error).to.include({ check: "distinct chunks", received: first.id });
    }
    for (const table of ["segments", "segment_chunks"]) {
      expect(provider.database.prepare(`SELECT count(*) AS n FROM ${table}`).get()?.n, table).to.equal(0);
    }
    await begin(provider);
  });

  it("do not have their manifest read when they are known, nor under a name of something else", async () => {
    const provider = await stored();
    await begin(provider);
    const unread = (hash: Uint8Array, seed = segment.seed) =>
      (async function* () {
        yield hash;
        yield seed;
        throw new Error("the manifest was read");
      })();
    await begin(provider, segment, unread(fromHex(segment.manifestHash)));
    await refusal(begin(provider, segment, unread(randomBytes(32))), "CONFLICT");
    // Another seed makes other commitments, so it is another segment; neither seed is told.
    const other = unread(fromHex(segment.manifestHash), randomBytes(32));
    const error = await refusal(begin(provider, segment, other), "CONFLICT");
    expect(error.check).to.equal("seed of the commitments");
    expect(JSON.stringify(error)).not.to.include(toHex(segment.seed).slice(2));
    const late = { ...audited.segmentOf(chunks, 5), firstIndex: 5 };
    await refusal(begin(provider, late, unread(fromHex(late.manifestHash))), "CONFLICT");
  });

  it("refuse bodies that are cut off or state another hash", async () => {
    const provider = await stored();
    const { body } = segment;
    for (const length of [0, 31, 32, 36, body.length - 1]) {
      await refusal(begin(provider, segment, streamOf(body.subarray(0, length))), "INVALID_INPUT");
    }
    const lying = body.slice();
    lying[0] = (lying[0] ?? 0) ^ 1;
    const error = await refusal(begin(provider, segment, streamOf(lying)), "INVALID_INPUT");
    expect(error.check).to.equal("manifest hash");
    expect((await rowOf(provider)).givenIndex).to.equal(0);
  });

  it("refuse an audit key with the identity, a point off the curve, or a point outside the subgroup", async () => {
    const { sets } = await openProvider(folder());
    const offCurve = new Uint8Array(256);
    offCurve[63] = 1;
    for (const [name, point] of Object.entries({
      identity: new Uint8Array(256),
      "off the curve": offCurve,
      "outside the subgroup": pointOutsideSubgroup(),
    })) {
      for (const part of ["X", "XA", "XB"]) {
        const { request } = audited;
        const key = { ...request.key, [part]: toHex(point) };
        const error = await refusal(sets.begin(ALICE, audited.saltHex, { ...request, key }), "INVALID_POINT");
        expect(error.message, name).to.contain(part);
      }
    }
    await refusal(sets.require(ALICE, audited.saltHex), "NOT_FOUND");
  });

  it("refuse powers of other secrets, and ask for what was wrong of them again", async () => {
    const provider = await stored();
    await begin(provider);
    const other = new AuditedSet(SLICE_ELEMENTS);
    await powers(provider, "powers-a", 0, other.powersA);
    await powers(provider, "powers-b", 0, audited.powersB(1, 10));
    await sendTags(provider, segment);
    expect((await refusal(verify(provider), "INVALID_PROOF")).check).to.equal("powers of alpha");
    const received = { powersABytes: 0, verifiedA: false, powersBBytes: 960, verifiedB: 0 };
    expect(await rowOf(provider)).to.include(received);
    expect(await found(provider)).to.include({ tagsBytes: 960, verified: false });
    await powers(provider, "powers-a", 0, audited.powersA);
    expect(await verify(provider)).to.equal(true);
  });

  for (const isSentAnew of [false, true]) {
    const what = isSentAnew ? "are replaced by right ones while they are checked" : "another check refuses meanwhile";
    it(`are not verified against wrong powers that ${what}`, async () => {
      const forged = new AuditedSet(SLICE_ELEMENTS, { ...audited.secrets, beta: audited.secrets.beta + 5n });
      const [one, two] = [[randomChunk(200_000)], [randomChunk(300_000)]];
      const before = forged.segmentOf(one, 1);
      const after = forged.segmentOf(two, 1 + before.sliceCount);
      const count = before.sliceCount + after.sliceCount;
      const provider = await stored();
      await storeAll(provider, ALICE, ...one, ...two);
      await powers(provider, "powers-a", 0, audited.powersA);
      await powers(provider, "powers-b", 0, forged.powersB(1, count));
      for (const wrong of [before, after]) {
        await begin(provider, wrong);
        await sendTags(provider, wrong);
      }
      const checks = Promise.allSettled([before, after].map((wrong) => verify(provider, wrong)));
      let isDone = false;
      const sendAnew = async () => {
        while (!isDone) {
          const isSent = await powers(provider, "powers-b", 0, audited.powersB(1, count)).then(
            () => true,
            () => false,
          );
          if (isSent) return;
          await new Promise((resolve) => setTimeout(resolve, 1));
        }
      };
      const sent = isSentAnew ? sendAnew() : undefined;
      const outcomes = await checks;
      isDone = true;
      await sent;
      expect(outcomes.map(({ status }) => status)).to.deep.equal(["rejected", "rejected"]);
      for (const wrong of [before, after]) expect((await found(provider, wrong)).verified).to.equal(false);
    });
  }

  it("refuse tags of which one is wrong, and tags of another data set or other indices", async () => {
    const provider = await stored();
    await begin(provider);
    await sendAll(provider);
    const { tags } = segment;
    const swapped = new Uint8Array([...tags.subarray(96, 192), ...tags.subarray(0, 96), ...tags.subarray(192)]);
    const foreign = new AuditedSet(SLICE_ELEMENTS).segmentOf(chunks).tags;
    const shifted = audited.segmentOf(chunks, 2).tags;
    for (const wrong of [swapped, foreign, shifted]) {
      await provider.segments.rows.setTags(1, 0);
      await sendTags(provider, segment, wrong);
      expect((await refusal(verify(provider), "INVALID_PROOF")).check).to.equal("tags");
      expect(await found(provider)).to.include({ tagsBytes: 0, verified: false });
      // Nothing was wrong with the powers.
      expect(await rowOf(provider)).to.include({ verifiedA: true, verifiedB: 10 });
    }
    await sendTags(provider, segment);
    expect(await verify(provider)).to.equal(true);
  });

  it("do not have their tags blamed when the stored bytes are what is wrong", async () => {
    const provider = await stored();
    await begin(provider);
    await sendAll(provider);
    await provider.store.put(first.id, randomChunk(200_000).bytes);
    const error = await refusal(verify(provider), "OBJECT_LOST");
    expect(error).to.include({ party: "provider", expected: first.id });
    expect(await found(provider)).to.include({ tagsBytes: 960, verified: false });
    await storeAll(provider, ALICE, first);
    expect(await verify(provider)).to.equal(true);
  });

  it("are answered in time while a long check goes on, whose outcome is kept for the next request", async () => {
    const provider = await stored();
    const { verification, segments } = provider;
    await begin(provider);
    await sendAll(provider);
    await segments.rows.setTags(1, 0);
    await sendTags(provider, segment, new AuditedSet(SLICE_ELEMENTS).segmentOf(chunks).tags);
    expect(await verify(provider, segment, 0)).to.equal(false);
    expect(segments.status(await found(provider), verification.progressOf(1)).state).to.equal("verifying");
    await refusal(sendTags(provider, segment, new Uint8Array(0), 960), "CONFLICT");
    while (verification.progressOf(1) !== undefined) await new Promise((resolve) => setTimeout(resolve, 10));
    await refusal(verify(provider, segment, 0), "INVALID_PROOF");
  });

  it("have powers checked once for the set: further segments need the further ones only", async () => {
    const provider = await stored();
    await begin(provider);
    await sendAll(provider);
    await verify(provider);
    expect(await rowOf(provider)).to.include({ verifiedA: true, verifiedB: 10 });
    const more = audited.segmentOf([first], 21);
    await begin(provider, more);
    await sendTags(provider, more);
    // The gap is paid for in powers.
    expect(await refusal(verify(provider, more), "CONFLICT")).to.include({ check: "powers-b", expected: "2592 bytes" });
    await powers(provider, "powers-b", 960, audited.powersB(12, 17));
    await refusal(verify(provider, more), "INVALID_PROOF");
    expect(await rowOf(provider)).to.include({ verifiedA: true, verifiedB: 10, powersBBytes: 960 });
    expect(await found(provider, more)).to.include({ tagsBytes: more.tags.length });
    await powers(provider, "powers-b", 960, audited.powersB(11, 17));
    expect(await verify(provider, more)).to.equal(true);
    expect(await rowOf(provider)).to.include({ verifiedB: 27 });
  });

  it("are checked in every tag, whichever thread does it", async () => {
    const provider = await stored();
    const large = [randomChunk(1_900_000), randomChunk(1_900_000)];
    await storeAll(provider, ALICE, ...large);
    await begin(provider);
    await powers(provider, "powers-a", 0, audited.powersA);
    await powers(provider, "powers-b", 0, audited.powersB(1, 130));
    await sendTags(provider, segment);
    await verify(provider);
    // All powers are checked, so that both threads check tags from the start: four pages of 32 slices.
    const again = audited.segmentOf(large, 11);
    await begin(provider, again);
    expect(again.sliceCount).to.equal(120);
    for (const wrong of [0, 40, 70, 118]) {
      const tags = again.tags.slice();
      tags.copyWithin(wrong * 96, (wrong + 1) * 96, (wrong + 2) * 96);
      await sendTags(provider, again, tags);
      expect((await refusal(verify(provider, again), "INVALID_PROOF")).check, `tag ${wrong}`).to.equal("tags");
    }
    await sendTags(provider, again);
    expect(await verify(provider, again)).to.equal(true);
  });

  it("expire with their set when nobody comes back for them, files and rows", async () => {
    const provider = await stored();
    const { sets, clock, database } = provider;
    await begin(provider);
    clock.seconds += EXPIRY_SECONDS;
    await sets.expire();
    await sendTags(provider, segment);
    clock.seconds += EXPIRY_SECONDS;
    await sets.expire();
    await found(provider);
    clock.seconds += 1;
    await sets.expire();
    await refusal(sets.require(ALICE, audited.saltHex), "NOT_FOUND");
    expect(readdirSync(path())).to.deep.equal([]);
    expect(database.prepare("SELECT count(*) AS left FROM segment_chunks").get()?.left).to.equal(0);
    // The salt is free again.
    await provider.sets.begin(ALICE, audited.saltHex, audited.request);
    await begin(provider);
  });

  it("do not expire when they were taken up, or included in a state, while others were being removed", async () => {
    const provider = await stored();
    const { sets, streams, clock, index } = provider;
    const [gone, touched, included] = [1, 11, 21].map((firstIndex) => audited.segmentOf(chunks, firstIndex)) as [
      AuditedSegment,
      AuditedSegment,
      AuditedSegment,
    ];
    for (const one of [gone, touched, included]) {
      await begin(provider, one);
      await sendTags(provider, one);
    }
    clock.seconds += EXPIRY_SECONDS + 1;
    const remove = streams.removeStream.bind(streams);
    let calls = 0;
    streams.removeStream = async (id, stream) => {
      // The row of the first one is gone; its file is next.
      calls += 1;
      if (calls === 1) {
        await begin(provider, touched);
        const { id: segment } = await found(provider, included);
        await index.segments.setVerified(segment);
        const context = { agreed: AGREED, segments: [segment], provingMilliseconds: 1 };
        expect(await index.dataSets.recordState(id, FIRST_STATE, context)).to.equal("recorded");
      }
      await remove(id, stream);
    };
    await sets.expire();
    expect(calls).to.equal(2);
    await refusal(found(provider, gone), "NOT_FOUND");
    await found(provider, touched);
    expect(await found(provider, included)).to.include({ included: true });
    expect(readdirSync(path("1")).sort()).to.deep.equal(["leaves-2", "leaves-3", "tags-2", "tags-3"]);
    clock.seconds += EXPIRY_SECONDS + 1;
    await sets.expire();
    await refusal(found(provider, touched), "NOT_FOUND");
    await found(provider, included);
    expect(readdirSync(path("1")).sort()).to.deep.equal(["leaves-3", "tags-3"]);
  });
});

/**
 * A point of the twist E': y² = x³ + 4(1 + i) that is not in the subgroup of order r: the first with x = (k, 0), since
 * the cofactor of G2 is about 2^507 and nearly no point of the curve is in the subgroup.
 */
function pointOutsideSubgroup(): Uint8Array {
  const p = BASE_FIELD_ORDER;
  const power = (base: bigint, exponent: bigint): bigint => {
    let result = 1n;
    for (let b = base % p, e = exponent; e > 0n; e >>= 1n, b = (b * b) % p) if (e & 1n) result = (result * b) % p;
    return result;
  };
  const root = (a: bigint): bigint | undefined => {
    const candidate = power(a, (p + 1n) / 4n);
    return (candidate * candidate - a) % p === 0n ? candidate : undefined;
  };
  for (let x = 1n; ; x++) {
    // y² = (x³ + 4) + 4i. With n = |y²| = sqrt(re² + im²), y.re = sqrt((re + n)/2) and y.im = im/(2·y.re).
    const re = (x * x * x + 4n) % p;
    const norm = root((re * re + 16n) % p);
    if (norm === undefined) continue;
    for (const n of [norm, p - norm]) {
      const yRe = root(((re + n) * power(2n, p - 2n)) % p);
      if (yRe === undefined || yRe === 0n) continue;
      const yIm = (2n * power(yRe, p - 2n)) % p;
      const coordinates = [x, 0n, yRe, yIm].map((c) => c.toString(16).padStart(128, "0")).join("");
      return new Uint8Array(Buffer.from(coordinates, "hex"));
    }
  }
}

const BASE_FIELD_ORDER =
  0x1a0111ea397fe69a4b1ba7b6434bacd764774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaabn;

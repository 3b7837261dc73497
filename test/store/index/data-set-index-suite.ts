/** What an index of a provider must do about data sets and their segments; part of `provider-index-suite.ts`. */
import { expect } from "chai";
import fc from "fast-check";
import { sliceBytes } from "../../../offchain/core/audit/field.ts";
import { sliceLayout } from "../../../offchain/core/audit/manifest.ts";
import type { DataSetAuditTerms, DataSetTerms } from "../../../offchain/core/data-set/terms.ts";
import { contentIdFromDigest } from "../../../offchain/core/encoding/content-id.ts";
import { TallystickError } from "../../../offchain/core/errors.ts";
import type {
  AgreedSet,
  CosignedState,
  NewDataSet,
  ProvingLoad,
} from "../../../offchain/store/index/data-set-index.ts";
import type { ProviderIndex } from "../../../offchain/store/index/provider-index.ts";
import type { ManifestChunk } from "../../../offchain/store/index/segment-index.ts";
import { manifestFacts } from "../../csp/manifest-facts.ts";
import { expectAsyncRejection } from "../../helpers/rejection.ts";
import { PLACE_SECONDS } from "./places.ts";

const ALICE = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
const BOB = `0x${"b0".repeat(20)}`;
const ZERO = `0x${"00".repeat(20)}`;
const bytes32 = (k: number) => new Uint8Array(32).fill(k);
const hash = (k: number) => `0x${k.toString(16).padStart(2, "0").repeat(32)}`;
const digest = (k: number) => bytes32(k + 1);
const SLICE_ELEMENTS = 1024;
const SLICE_BYTES = sliceBytes(SLICE_ELEMENTS);
const chunk = (k: number) => ({ digest: digest(k), sizeBytes: 100 + k, challenges: [] });

const newSet = (k: number, facts: Partial<NewDataSet> = {}): NewDataSet => ({
  account: ALICE,
  salt: bytes32(k),
  key: { X: Uint8Array.of(1), XA: Uint8Array.of(2), XB: Uint8Array.of(3) },
  auditKeyHash: bytes32(1),
  sliceElements: 1024,
  phase: k,
  touchedAt: 1000,
  ...facts,
});

const terms: DataSetTerms = {
  user: ALICE,
  provider: BOB,
  token: ZERO,
  mode: "every-epoch",
  feeFloor: 1n,
  feePerSlice: 2n ** 79n,
  feePerIndex: 0n,
  feeCap: 2n ** 80n - 1n,
  collateralPercent: 300,
  compensationPercent: 100,
  bountyPercent: 0,
  latePercent: 50,
  breachLimit: 3,
  auditHash: hash(1),
};
const audit: DataSetAuditTerms = {
  randomness: BOB,
  verifier: BOB,
  keyHash: hash(2),
  sliceElements: 1024,
  sampleCount: 20,
  phase: 1,
  windowBlocks: 5,
  graceBlocks: 2,
  disputeBond: 7n,
  predecessor: hash(0),
  salt: hash(3),
};
const agreed: AgreedSet = { id: hash(9), terms, audit, fromBlock: 12 };

const state = (version: bigint, facts: Partial<CosignedState> = {}): CosignedState => ({
  version,
  retirements: 0,
  ranges: Uint8Array.of(1, 2, 3),
  contentHash: hash(4),
  deadlineBlock: 100,
  userSignature: "0x01",
  providerSignature: "0x02",
  transaction: undefined,
  ...facts,
});

/** @param opened the index under test, and the same one after its process has ended */
/** Of the commitments of a segment. */
const ROOT = new Uint8Array(32).fill(0xc0);

export function describeDataSets(opened: { index: () => ProviderIndex; reopen: () => Promise<void> }): void {
  const index = opened.index;

  async function begun(k: number, facts: Partial<NewDataSet> = {}): Promise<number> {
    const outcome = await index().dataSets.begin(newSet(k, facts), 256);
    if (outcome.outcome !== "created") throw new Error(outcome.outcome);
    return outcome.id;
  }

  async function segment(
    dataSetId: number,
    k: number,
    firstIndex: number,
    chunks: readonly ManifestChunk[],
  ): Promise<number> {
    const facts = {
      dataSetId,
      name: bytes32(k),
      manifestHash: bytes32(k + 1),
      commitmentSeed: bytes32(k + 2),
      firstIndex,
      touchedAt: 1000,
    };
    const outcome = await index().segments.begin(facts, 256);
    if (outcome.outcome !== "created") throw new Error(outcome.outcome);
    await index().segments.addToManifest(outcome.id, chunks);
    expect(await index().segments.complete(outcome.id, manifestFacts(chunks.length, ROOT))).to.equal("given");
    return outcome.id;
  }

  const unused = async () => (await index().chunks.unused(PLACE_SECONDS, 10)).map((each) => each.digest);

  describe("data sets", () => {
    it("are begun once per account and salt, and limited while they are not opened", async () => {
      const id = await begun(1);
      expect(await index().dataSets.begin(newSet(1), 256)).to.deep.equal({ outcome: "exists" });
      expect((await index().dataSets.begin(newSet(1, { account: BOB }), 256)).outcome).to.equal("created");
      expect(await index().dataSets.begin(newSet(2), 1)).to.deep.equal({ outcome: "too-many" });
      await opened.reopen();
      const row = await index().dataSets.findBySalt(ALICE.toLowerCase(), bytes32(1));
      expect(row).to.deep.include({
        id,
        account: ALICE,
        state: "preparing",
        phase: 1,
        signedVersion: 0n,
        verifiedB: 0,
      });
      expect(row).to.include({ agreed: undefined, scheduled: undefined });
      await index().dataSets.setPowers(id, "powers-a", 96);
      await index().dataSets.setPowers(id, "powers-b", 192);
      await index().dataSets.setVerified(id, { a: true, b: 2 });
      expect(await index().dataSets.find(id)).to.include({ powersABytes: 96, powersBBytes: 192, verifiedB: 2 });
    });

    it("are begun once, and within the limit, also by requests at the same time", async () => {
      const same = await Promise.all([1, 2, 3].map(() => index().dataSets.begin(newSet(1), 256)));
      expect(same.map(({ outcome }) => outcome).sort()).to.deep.equal(["created", "exists", "exists"]);
      const many = await Promise.all(Array.from({ length: 8 }, (_, k) => index().dataSets.begin(newSet(10 + k), 4)));
      expect(many.filter(({ outcome }) => outcome === "created").length).to.equal(3);
      expect(many.filter(({ outcome }) => outcome === "too-many").length).to.equal(5);
      expect((await index().dataSets.begin(newSet(99, { account: BOB }), 4)).outcome).to.equal("created");
      // One that is on chain counts no longer.
      const [first] = same.flatMap((one) => (one.outcome === "created" ? [one.id] : []));
      await index().dataSets.recordState(first ?? 0, state(1n), { agreed, segments: [], provingMilliseconds: 1 });
      expect(await index().dataSets.begin(newSet(50), 4)).to.deep.equal({ outcome: "too-many" });
      const scheduled = { schedule: Uint8Array.of(5), ranges: new Uint8Array(), blockNumber: 40, blockHash: hash(40) };
      await index().dataSets.setSchedule(first ?? 0, scheduled);
      expect((await index().dataSets.begin(newSet(50), 4)).outcome).to.equal("created");
    });

    it("are walked in the order of their ids, each once", async () => {
      const ids = [];
      for (let k = 1; k <= 5; k++) ids.push(await begun(k));
      const seen: number[] = [];
      for await (const page of index().dataSets.pages()) seen.push(...page.map(({ id }) => id));
      expect(seen).to.deep.equal(ids.sort((left, right) => left - right));
    });

    it("record a state once per version, above all that were ever signed", async () => {
      const id = await begun(1);
      const context = { agreed, segments: [], provingMilliseconds: 30 };
      expect(await index().dataSets.recordState(id, state(2n ** 63n), context)).to.equal("recorded");
      await opened.reopen();
      const row = await index().dataSets.find(id);
      expect(row).to.include({ state: "opening", signedVersion: 2n ** 63n, provingMilliseconds: 30 });
      expect(row?.agreed).to.deep.equal(agreed);
      const both = await Promise.all(
        [1, 2].map((k) =>
          index().dataSets.recordState(id, state(2n ** 63n + 1n, { contentHash: hash(k) }), {
            segments: [],
            provingMilliseconds: 1,
          }),
        ),
      );
      expect(both.sort()).to.deep.equal(["recorded", "stale"]);
      await index().dataSets.setMined(id, 2n ** 63n, { hash: hash(7), blockNumber: 30 });
      const states = await index().dataSets.statesOf(id);
      expect(states.map(({ version }) => version)).to.deep.equal([2n ** 63n, 2n ** 63n + 1n]);
      expect(states[0]).to.deep.equal(state(2n ** 63n, { transaction: { hash: hash(7), blockNumber: 30 } }));
      // Forgotten states free no version.
      const forgotten = { included: [], abandonedAt: 3000 };
      await index().dataSets.forgetStates(id, [2n ** 63n], forgotten);
      expect(await index().dataSets.find(id), "one is left").to.include({ state: "opening", provingMilliseconds: 1 });
      await index().dataSets.forgetStates(id, [2n ** 63n + 1n], forgotten);
      const abandoned = { state: "preparing", agreed: undefined, provingMilliseconds: 0, touchedAt: 3000 };
      expect(await index().dataSets.find(id)).to.include(abandoned);
      expect(await index().dataSets.recordState(id, state(5n), context)).to.equal("stale");
      // None of its signatures can reach the chain: it expires like one without any.
      expect(await index().dataSets.beginRemoval(id, 3000)).to.equal(false);
      expect(await index().dataSets.abandoned(3001)).to.deep.equal([id]);
      expect(await index().dataSets.beginRemoval(id, 3001)).to.equal(true);
      await index().dataSets.delete(id);
      // The escrow punishes two states of one version, however old they are: begun again, it goes on behind them.
      await opened.reopen();
      const again = await begun(1);
      expect(await index().dataSets.find(again)).to.include({ state: "preparing", signedVersion: 2n ** 63n + 1n });
      expect(await index().dataSets.recordState(again, state(2n ** 63n + 1n), context)).to.equal("stale");
      expect(await index().dataSets.recordState(again, state(2n ** 63n + 2n), context)).to.equal("recorded");
    });

    it("keep one piece of evidence each, until they have ended", async () => {
      const [id, other] = [await begun(1), await begun(2)];
      const [first, second] = [Uint8Array.of(1, 2), Uint8Array.of(3)];
      expect(await index().dataSets.keepEvidence(id, first)).to.equal(true);
      await opened.reopen();
      const { dataSets } = index();
      expect(await dataSets.keepEvidence(id, second)).to.equal(false);
      expect([...((await dataSets.evidenceOf(id)) ?? [])]).to.deep.equal([1, 2]);
      expect(await dataSets.evidenceOf(other)).to.equal(undefined);
      expect(await dataSets.keepEvidence(other, second)).to.equal(true);
      await dataSets.dropEvidence(id);
      expect(await dataSets.evidenceOf(id)).to.equal(undefined);
      expect(await dataSets.keepEvidence(id, first)).to.equal(true);
      await dataSets.end(id);
      expect(await dataSets.evidenceOf(id)).to.equal(undefined);
      expect([...((await dataSets.evidenceOf(other)) ?? [])]).to.deep.equal([3]);
    });

    it("get a phase, and room for their proofs, as the loads of all sets are at that moment", async () => {
      const byLoads = (loads: readonly ProvingLoad[]) => 10 * loads.length;
      await Promise.all([1, 2, 3, 4].map((k) => begun(k, { phase: byLoads })));
      const sets = await index().dataSets.inState("preparing");
      expect(sets.map(({ phase }) => phase)).to.deep.equal([0, 10, 20, 30]);
      const room = 100;
      const requireRoom = (loads: readonly ProvingLoad[]) => {
        const promised = loads.reduce((sum, { milliseconds }) => sum + milliseconds, 0);
        if (promised + 40 > room) throw new TallystickError("no room", { code: "RATE_LIMITED" });
      };
      const outcomes = await Promise.allSettled(
        sets.map(({ id }, k) =>
          index().dataSets.recordState(id, state(1n), {
            agreed: { ...agreed, id: hash(20 + k) },
            segments: [],
            provingMilliseconds: 40,
            requireRoom,
          }),
        ),
      );
      expect(outcomes.filter(({ status }) => status === "fulfilled").length).to.equal(2);
      for (const each of outcomes) if (each.status === "rejected") expect(each.reason.code).to.equal("RATE_LIMITED");
      const milliseconds = (await index().dataSets.loads()).map((load) => load.milliseconds);
      expect(milliseconds.sort()).to.deep.equal([0, 0, 40, 40]);
      // A refused one changed nothing.
      const refused = sets[outcomes.findIndex(({ status }) => status === "rejected")]?.id ?? 0;
      expect(await index().dataSets.find(refused)).to.include({ state: "preparing", signedVersion: 0n });
      // What is reserved falls, unless another state was signed since it was computed.
      const kept = sets[outcomes.findIndex(({ status }) => status === "fulfilled")]?.id ?? 0;
      const reserved = async (to: number, signedVersion: bigint) => {
        await index().dataSets.lowerReservation(kept, to, signedVersion);
        return (await index().dataSets.find(kept))?.provingMilliseconds;
      };
      expect([await reserved(30, 0n), await reserved(50, 1n), await reserved(30, 1n)]).to.deep.equal([40, 40, 30]);
    });

    it("count how many states are signed and sent in an epoch", async () => {
      const id = await begun(1);
      const record = (version: bigint, epoch: number) =>
        index().dataSets.recordState(id, state(version), {
          agreed,
          segments: [],
          provingMilliseconds: 1,
          rate: { epoch, limit: 2 },
        });
      expect(await record(1n, 5)).to.equal("recorded");
      expect(await record(2n, 5)).to.equal("recorded");
      expect(await record(3n, 5)).to.equal("too-many");
      // An endpoint that lags does not begin the count anew.
      expect(await record(3n, 4)).to.equal("too-many");
      expect(await index().dataSets.find(id)).to.include({ signedVersion: 2n });
      const rates = (epoch: number) => index().dataSets.rates(id, epoch);
      expect([await rates(5), await rates(6)]).to.deep.equal([
        { signed: 2, sent: 0 },
        { signed: 0, sent: 0 },
      ]);
      const take = (version: bigint, epoch = 5) => index().dataSets.takeSending(id, { epoch, limit: 2, version });
      expect([await take(1n), await take(1n), (await rates(5)).sent]).to.deep.equal([true, true, 1]);
      await index().dataSets.countSendingAgain(id);
      expect([await take(1n), (await rates(5)).sent]).to.deep.equal([true, 2]);
      await opened.reopen();
      expect([await take(2n), await take(1n), await take(2n, 4)]).to.deep.equal([false, true, false]);
      expect([await take(2n, 6), (await rates(6)).sent]).to.deep.equal([true, 1]);
      expect(await record(3n, 6)).to.equal("recorded");
    });

    it("are opening again when the block of their opening was replaced", async () => {
      const id = await begun(1);
      await index().dataSets.recordState(id, state(1n), { agreed, segments: [], provingMilliseconds: 30 });
      await index().dataSets.setMined(id, 1n, { hash: hash(7), blockNumber: 40 });
      const scheduled = { schedule: Uint8Array.of(5), ranges: new Uint8Array(), blockNumber: 40, blockHash: hash(40) };
      await index().dataSets.setSchedule(id, scheduled);
      await index().dataSets.addRanges(id, new Map([[hash(1), Uint8Array.of(1)]]));
      await index().dataSets.recordProven(id, 3, { epoch: 3, transactionHash: hash(8), blockNumber: 50, gasUsed: 1n });
      expect(await index().dataSets.forgetSchedule(id, hash(41))).to.equal(false);
      expect(await index().dataSets.find(id)).to.deep.include({ state: "running", scheduled });
      expect(await index().dataSets.forgetSchedule(id, hash(40))).to.equal(true);
      await opened.reopen();
      const row = await index().dataSets.find(id);
      expect(row).to.include({ state: "opening", scheduled: undefined, provingMilliseconds: 30 });
      expect(row?.agreed).to.deep.equal(agreed);
      expect((await index().dataSets.statesOf(id))[0]?.transaction).to.equal(undefined);
      expect([...(await index().dataSets.rangesOf(id))]).to.deep.equal([]);
      expect(await index().dataSets.summaryOf(id)).to.include({ proven: 0 });
    });

    it("reserve time at their phase, or, on demand, at any, until they may be opened on other terms", async () => {
      const [every, onDemand] = [await begun(1), await begun(2)];
      const other = { ...agreed, id: hash(10), terms: { ...agreed.terms, mode: "on-demand" as const } };
      for (const [id, terms] of [
        [every, agreed],
        [onDemand, other],
      ] as const) {
        await index().dataSets.recordState(id, state(1n), { agreed: terms, segments: [], provingMilliseconds: 30 });
      }
      await opened.reopen();
      const loads = async () => (await index().dataSets.loads()).sort((left, right) => left.id - right.id);
      expect(await loads()).to.deep.equal([
        { id: every, phase: 1, mode: "every-epoch", milliseconds: 30 },
        { id: onDemand, phase: 2, mode: "on-demand", milliseconds: 30 },
      ]);
      await index().dataSets.forgetStates(onDemand, [1n], { included: [], abandonedAt: 3000 });
      expect((await loads())[1]).to.include({ mode: "every-epoch", milliseconds: 0 });
    });

    it("keep the newest schedule, the ranges of its levels, and the outcome of epochs", async () => {
      const id = await begun(1);
      const context = { agreed, segments: [], provingMilliseconds: 30 };
      await index().dataSets.recordState(id, state(1n), context);
      const scheduled = { schedule: Uint8Array.of(5), ranges: new Uint8Array(), blockNumber: 40, blockHash: hash(40) };
      await index().dataSets.setSchedule(id, scheduled);
      await index().dataSets.addRanges(id, new Map([1, 2].map((k) => [hash(k), Uint8Array.of(k)])));
      await index().dataSets.addRanges(id, new Map([[hash(1), Uint8Array.of(9)]]));
      await index().dataSets.removeRanges(id, [hash(2)]);
      await opened.reopen();
      expect([...(await index().dataSets.rangesOf(id))]).to.deep.equal([[hash(1), Uint8Array.of(1)]]);
      const row = await index().dataSets.find(id);
      expect(row).to.include({ state: "running" });
      expect(row?.scheduled).to.deep.equal(scheduled);
      expect((await index().dataSets.inState("running", "opening")).map((each) => each.id)).to.deep.equal([id]);
      await index().dataSets.recordNotProven(id, 3, "failed", "damaged");
      await index().dataSets.recordNotProven(id, 4, "missed", "nothing");
      const proof = { epoch: 3, transactionHash: hash(8), blockNumber: 50, gasUsed: 260_000n };
      await index().dataSets.recordProven(id, 3, proof);
      expect(await index().dataSets.epochState(id, 3)).to.equal("proven");
      expect(await index().dataSets.summaryOf(id)).to.deep.equal({ proven: 1, notProven: 1, lastProof: proof });
      await index().dataSets.setHealth(id, "damaged", "why");
      expect(await index().dataSets.counts()).to.deep.equal({ running: 1, damaged: 1 });
      expect(await index().dataSets.tokens()).to.deep.equal([ZERO]);
      expect(await index().dataSets.loads()).to.deep.equal([{ id, phase: 1, mode: "every-epoch", milliseconds: 30 }]);
      await index().dataSets.end(id);
      expect(await index().dataSets.loads()).to.deep.equal([]);
    });

    it("expire when they are not opened and nobody asked for them", async () => {
      const [old, young, open] = [await begun(1), await begun(2, { touchedAt: 2000 }), await begun(3)];
      await index().dataSets.recordState(open, state(1n), { agreed, segments: [], provingMilliseconds: 1 });
      expect(await index().dataSets.abandoned(1500)).to.deep.equal([old]);
      expect(await index().dataSets.beginRemoval(young, 1500)).to.equal(false);
      expect(await index().dataSets.beginRemoval(old, 1500)).to.equal(true);
      await opened.reopen();
      expect(await index().dataSets.find(old)).to.equal(undefined);
      expect(await index().dataSets.touch(old, 3000)).to.equal(false);
      expect(await index().dataSets.abandoned(1500)).to.deep.equal([old]);
      const facts = {
        dataSetId: old,
        name: bytes32(1),
        manifestHash: bytes32(2),
        commitmentSeed: bytes32(2),
        firstIndex: 1,
        touchedAt: 1,
      };
      expect(await index().segments.begin(facts, 9)).to.deep.equal({ outcome: "no-set" });
      await index().dataSets.delete(old);
      expect(await index().dataSets.abandoned(1500)).to.deep.equal([]);
      expect(await index().dataSets.begin(newSet(1), 256)).to.include({ outcome: "created" });
    });
  });

  describe("segments", () => {
    const chunks = [1, 2, 3].map(chunk);
    beforeEach(() => index().chunks.record(ALICE, chunks, 5));

    it("get indices behind all that were given, whoever comes first", async () => {
      const set = await begun(1);
      const id = await segment(set, 1, 5, chunks);
      expect((await index().dataSets.find(set))?.givenIndex).to.equal(7);
      await opened.reopen();
      expect(await index().segments.findByName(set, bytes32(1))).to.deep.equal({
        id,
        dataSetId: set,
        name: bytes32(1),
        manifestHash: bytes32(2),
        commitmentSeed: bytes32(3),
        commitmentsRoot: ROOT,
        firstIndex: 5,
        sliceCount: 3,
        pieces: { pieces: 3, squares: 3, most: 1 },
        dataBytes: 306,
        tagsBytes: 0,
        verified: false,
        included: false,
        touchedAt: 1000,
      });
      const facts = { dataSetId: set, manifestHash: bytes32(2), commitmentSeed: bytes32(2), touchedAt: 1000 };
      expect(await index().segments.begin({ ...facts, name: bytes32(1), firstIndex: 9 }, 9)).to.deep.equal({
        outcome: "exists",
      });
      expect(await index().segments.begin({ ...facts, name: bytes32(2), firstIndex: 9 }, 1)).to.deep.equal({
        outcome: "too-many",
      });
      const late = await index().segments.begin({ ...facts, name: bytes32(3), firstIndex: 7 }, 9);
      if (late.outcome !== "created") throw new Error(late.outcome);
      expect(await index().segments.complete(late.id, manifestFacts(1))).to.equal("taken");
      expect(await index().segments.incomplete({ own: true })).to.deep.equal([{ id: late.id, dataSetId: set }]);
      await index().segments.delete(late.id);
      // Indices of a segment that expired are not given again.
      await index().segments.delete(id);
      expect((await index().dataSets.find(set))?.givenIndex).to.equal(7);
    });

    /** A segment whose manifest is not complete. */
    async function incomplete(set: number, k: number, firstIndex: number): Promise<number> {
      const facts = {
        dataSetId: set,
        name: bytes32(k),
        manifestHash: bytes32(2),
        commitmentSeed: bytes32(2),
        firstIndex,
        touchedAt: 1000,
      };
      const outcome = await index().segments.begin(facts, 256);
      if (outcome.outcome !== "created") throw new Error(outcome.outcome);
      return outcome.id;
    }

    it("name a chunk once, within and across calls, and only chunks that are indexed", async () => {
      const set = await begun(1);
      await expectAsyncRejection(() => segment(set, 1, 1, [...chunks, chunk(1)]), "INVALID_INPUT");
      const id = await incomplete(set, 2, 1);
      const add = (...list: ManifestChunk[]) => index().segments.addToManifest(id, list);
      await add(chunk(1));
      await expectAsyncRejection(() => add(chunk(2), chunk(1)), "INVALID_INPUT");
      let failed = false;
      await add(chunk(9)).catch(() => {
        failed = true; // No row for the chunk.
      });
      expect(failed).to.equal(true);
      await add(chunk(2));
      expect(await index().segments.complete(id, manifestFacts(1))).to.equal("given");
      expect((await index().segments.find(id))?.dataBytes).to.equal(203);
    });

    it("are unknown until their manifest is complete, and can be found after a crash", async () => {
      const set = await begun(1);
      const id = await incomplete(set, 1, 1);
      await index().segments.addToManifest(id, [chunk(1)]);
      await opened.reopen();
      expect(await index().segments.find(id)).to.equal(undefined);
      expect(await index().segments.findByName(set, bytes32(1))).to.equal(undefined);
      expect(await index().segments.ofDataSet(set)).to.deep.equal([]);
      expect(await index().segments.abandoned(5000)).to.deep.equal([]);
      expect(await index().segments.touch(id, 7)).to.equal(false);
      expect(await index().segments.incomplete({ own: true })).to.deep.equal([{ id, dataSetId: set }]);
      await index().segments.delete(id);
      expect(await index().segments.incomplete({ own: true })).to.deep.equal([]);
      await segment(set, 1, 1, [chunk(1)]);
    });

    it("give indices to one of several that are completed at the same time", async () => {
      const set = await begun(1);
      const ids = [await incomplete(set, 1, 1), await incomplete(set, 2, 1), await incomplete(set, 3, 2)];
      const outcomes = await Promise.all(ids.map((id) => index().segments.complete(id, manifestFacts(5))));
      expect(outcomes.filter((outcome) => outcome === "given").length).to.equal(1);
      const [known] = await index().segments.ofDataSet(set);
      expect((await index().dataSets.find(set))?.givenIndex).to.equal((known?.firstIndex ?? 0) + 4);
    });

    it("are removed with manifests of any size, while other work goes on", async () => {
      const many = Array.from({ length: 3500 }, (_, k) => {
        const bytes = new Uint8Array(32);
        new DataView(bytes.buffer).setUint32(0, k);
        return { digest: bytes, sizeBytes: 1, challenges: [] };
      });
      await index().chunks.record(ALICE, many, 5);
      const id = await incomplete(await begun(1), 1, 1);
      for (let k = 0; k < many.length; k += 500) await index().segments.addToManifest(id, many.slice(k, k + 500));
      await index().segments.complete(id, manifestFacts(1));
      let turns = 0;
      const counting = setInterval(() => turns++, 0);
      await index().segments.delete(id);
      clearInterval(counting);
      expect(turns).to.be.at.least(2);
      expect(await index().segments.find(id)).to.equal(undefined);
      expect(await index().segments.incomplete({ own: true })).to.deep.equal([]);
    });

    it("give the same pieces of chunks for every slice as the layout computed in memory", async () => {
      const set = await begun(1);
      let k = 0;
      let firstIndex = 1;
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.integer({ min: 1, max: 100_000 }), { minLength: 1, maxLength: 12 }),
          async (sizes) => {
            // Chunks of other sizes have other digests.
            k += 1;
            const own = sizes.map((sizeBytes, at) => {
              const name = bytes32(at + 1);
              name[0] = 100 + k;
              return { digest: name, sizeBytes };
            });
            await index().chunks.record(
              ALICE,
              own.map((one) => ({ ...one, challenges: [] })),
              5,
            );
            const layout = sliceLayout(
              {
                version: 1,
                chunks: own.map((one) => ({ id: contentIdFromDigest(one.digest), sizeBytes: one.sizeBytes })),
              },
              SLICE_ELEMENTS,
            );
            const id = await incomplete(set, k, firstIndex);
            await index().segments.addToManifest(id, own);
            expect(await index().segments.complete(id, manifestFacts(layout.sliceCount))).to.equal("given");
            firstIndex += layout.sliceCount;
            expect((await index().segments.find(id))?.dataBytes).to.equal(layout.sizeBytes);
            for (let slice = 0; slice < layout.sliceCount; slice++) {
              const expected = layout.segments(slice).map(({ chunk: at, offsetBytes, lengthBytes }) => ({
                digest: own[at]?.digest,
                offsetBytes,
                lengthBytes,
              }));
              expect(await index().segments.rangesOf(id, slice * SLICE_BYTES, SLICE_BYTES)).to.deep.equal(expected);
            }
          },
        ),
        { numRuns: 15 },
      );
    });

    it("give nothing beyond the end, nor of another segment, nor when they are gone", async () => {
      const set = await begun(1);
      const id = await segment(set, 1, 1, chunks);
      expect(await index().segments.rangesOf(id, 306, 10)).to.deep.equal([]);
      expect(await index().segments.rangesOf(id + 1, 0, 10)).to.deep.equal([]);
      await index().segments.delete(id);
      expect(await index().segments.rangesOf(id, 0, 10)).to.deep.equal([]);
      for await (const page of index().segments.manifestDigests(id)) expect(page).to.deep.equal([]);
    });

    it("may name as many chunks as a slice holds", async () => {
      const many = Array.from({ length: 255 }, (_, k) => {
        const name = bytes32(k);
        name[31] = 255;
        return { digest: name, sizeBytes: 125, challenges: [] };
      });
      const set = await begun(1);
      await index().chunks.record(ALICE, many, 5);
      const id = await segment(set, 1, 1, many);
      const ranges = await index().segments.rangesOf(id, 62, SLICE_BYTES);
      expect(ranges.length).to.equal(255);
      expect(ranges[0]).to.include({ offsetBytes: 62, lengthBytes: 63 });
      expect(ranges.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0)).to.equal(SLICE_BYTES);
      const found: number[] = [];
      for await (const page of index().segments.manifestDigests(id)) found.push(...page.map(([byte = -1]) => byte));
      expect(found).to.deep.equal(Array.from({ length: 255 }, (_, k) => k));
    });

    it("keep their chunks from being removed until they are gone or their slices are", async () => {
      const set = await begun(1);
      const [first, second] = [await segment(set, 1, 1, chunks), await segment(set, 2, 4, [chunk(1)])];
      await index().chunks.release(
        ALICE,
        chunks.map((one) => one.digest),
        5,
      );
      expect(await unused()).to.deep.equal([]);
      expect(await index().dataSets.coveredOf(ALICE)).to.deep.equal({ bytes: 0, chunks: 0 });
      await index().segments.setVerified(first);
      const context = { agreed, segments: [first], provingMilliseconds: 1 };
      await index().dataSets.recordState(set, state(1n), context);
      expect((await index().segments.find(first))?.included).to.equal(true);
      expect(await index().dataSets.coveredOf(ALICE.toLowerCase())).to.deep.equal({ bytes: 306, chunks: 3 });
      // Chunks 1 and 2 lie at 0 and 101; only what lies within the part in full is let go of.
      expect(await index().segments.freeChunks(first, 0, 202)).to.equal(1);
      expect(await unused()).to.deep.equal([]);
      expect(await index().segments.freeChunks(first, 101, 203)).to.equal(1);
      await opened.reopen();
      expect(await unused()).to.deep.equal([digest(2)]);
      expect(await index().dataSets.coveredOf(ALICE)).to.deep.equal({ bytes: 103, chunks: 1 });
      expect(await index().segments.rangesOf(first, 200, 50)).to.deep.equal([
        { digest: digest(3), offsetBytes: 0, lengthBytes: 47 },
      ]);
      await index().segments.delete(second);
      expect(await unused()).to.deep.equal([digest(1), digest(2)]);
      await index().segments.delete(first);
      expect(await unused()).to.deep.equal([digest(1), digest(2), digest(3)]);
    });

    it("are not promised unless they are verified, whole and there", async () => {
      const [set, other] = [await begun(1), await begun(2)];
      const [first, second] = [await segment(set, 1, 1, chunks), await segment(set, 2, 4, [chunk(1)])];
      const foreign = await segment(other, 3, 1, [chunk(1)]);
      const refuses = async (segments: number[]) => {
        const context = { agreed, segments, provingMilliseconds: 1 };
        const record = () => index().dataSets.recordState(set, state(1n), context);
        expect(await expectAsyncRejection(record, "CONFLICT")).to.include({ check: "verified segments" });
        expect(await index().dataSets.statesOf(set)).to.deep.equal([]);
        expect(await index().dataSets.find(set)).to.include({ state: "preparing", signedVersion: 0n });
        for (const { included } of await index().segments.ofDataSet(set)) expect(included).to.equal(false);
      };
      await refuses([first]);
      for (const id of [first, second, foreign]) await index().segments.setVerified(id);
      await refuses([first, foreign]);
      await index().segments.freeChunks(first, 0, 101);
      await refuses([first, second]);
      await index().segments.delete(second);
      await refuses([second]);
    });

    it("expire unless a state includes them", async () => {
      const set = await begun(1);
      const [first, second] = [await segment(set, 1, 1, chunks), await segment(set, 2, 4, [chunk(1)])];
      await index().segments.setVerified(first);
      const context = { agreed, segments: [first], provingMilliseconds: 1 };
      await index().dataSets.recordState(set, state(1n), context);
      expect((await index().segments.abandoned(2000)).map(({ id }) => id)).to.deep.equal([second]);
      expect(await index().segments.touch(second, 2000)).to.equal(true);
      expect((await index().dataSets.find(set))?.touchedAt).to.equal(2000);
      expect(await index().segments.deleteAbandoned(second, 2000)).to.equal(false);
      expect(await index().segments.deleteAbandoned(first, 2001)).to.equal(false);
      expect(await index().segments.deleteAbandoned(second, 2001)).to.equal(true);
      expect((await index().segments.ofDataSet(set)).map(({ id }) => id)).to.deep.equal([first]);
      // A state that never reached the chain leaves its segments to expire.
      await index().dataSets.forgetStates(set, [1n], { included: [], abandonedAt: 1000 });
      expect((await index().segments.abandoned(2000)).map(({ id }) => id)).to.deep.equal([first]);
    });

    it("count tags, and are verified anew when they change", async () => {
      const set = await begun(1);
      const id = await segment(set, 1, 1, chunks);
      await index().segments.setTags(id, 288);
      await index().segments.setVerified(id);
      expect(await index().segments.find(id)).to.include({ tagsBytes: 288, verified: true });
      await index().segments.setTags(id, 96);
      expect(await index().segments.find(id)).to.include({ tagsBytes: 96, verified: false });
    });
  });
}

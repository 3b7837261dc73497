/** When a provider lets go of a data set, told by an endpoint that lags or whose last blocks are being replaced. */
import { expect } from "chai";
import { getAddress } from "ethers";
import { escrowAbi } from "../../../offchain/chain/abis.ts";
import type { ChainReader } from "../../../offchain/chain/deployment.ts";
import type { DataSetBooks } from "../../../offchain/chain/escrow.ts";
import { REORGANISED_BLOCKS } from "../../../offchain/chain/logs.ts";
import { ChainRevertedError } from "../../../offchain/chain/revert.ts";
import type { TransactionSender } from "../../../offchain/chain/sender.ts";
import type { SliceRange } from "../../../offchain/core/audit/challenge.ts";
import { encodeSchedule } from "../../../offchain/core/data-set/schedule.ts";
import type { DataSetMode } from "../../../offchain/core/data-set/terms.ts";
import { digestOf } from "../../../offchain/core/encoding/content-id.ts";
import type { ChainView, Standing } from "../../../offchain/csp/data-sets/chain-view.ts";
import { DataSetSettlement } from "../../../offchain/csp/data-sets/settlement.ts";
import { FailureLog } from "../../../offchain/daemon/failure-log.ts";
import { AGREED, FIRST_STATE } from "../agreed-set.ts";
import { manifestFacts } from "../manifest-facts.ts";
import {
  ALICE,
  frame,
  framesOf,
  openProvider,
  PROVIDER,
  randomChunk,
  streamOf,
  temporaryFolder,
} from "../provider-fixture.ts";

const EPOCH_BLOCKS = 100;
/** A block of epoch 50. */
const HEAD = 50 * EPOCH_BLOCKS + 5;
const SLICE_BYTES = 31 * 1024;
const SETTLE_EPOCHS = 30;
const FEE = 7n;
const SETTLE_GAS = 60_000n;
const BOOKS: DataSetBooks = {
  status: "running",
  disputed: false,
  missed: 0,
  outcomes: ["unsettled", "unsettled"],
  settledThrough: 40,
  proven: 3,
  generation: 0,
};

/** What chain and endpoint say. */
interface Told {
  standing: Standing | undefined;
  /** Whether events of the set were seen. */
  isChanged: boolean;
  held: SliceRange[];
  readonly sent: string[];
  sends: boolean;
  /** What a transaction fails with. */
  refusal: Error | undefined;
  /** Unlocked collateral, in every token. */
  pool: number;
  /** A token that nobody can move now. */
  pausedToken: string | undefined;
  /** Per unit of gas. */
  baseFee: bigint;
  /** Block that challenges in a dispute. */
  challenged: number;
  /** The user's balance. */
  available: bigint;
}

describe("settlement of data sets", () => {
  const folder = temporaryFolder();

  async function open(mode: DataSetMode = "every-epoch") {
    const provider = await openProvider(folder());
    const { index, streams, locks, logger, chunks } = provider;
    const stored = [randomChunk(2 * SLICE_BYTES), randomChunk(SLICE_BYTES)];
    await chunks.store(ALICE, framesOf(...stored.map((chunk) => frame(chunk))));
    const bytes = new Uint8Array(32).fill(1);
    const facts = { account: ALICE, salt: bytes, key: { X: bytes, XA: bytes, XB: bytes }, auditKeyHash: bytes };
    const set = await index.dataSets.begin({ ...facts, sliceElements: 1024, phase: 0, touchedAt: 1 }, 9);
    if (set.outcome !== "created") throw new Error(set.outcome);
    const begun = {
      dataSetId: set.id,
      name: bytes,
      manifestHash: bytes,
      commitmentSeed: bytes,
      firstIndex: 1,
      touchedAt: 1,
    };
    const segment = await index.segments.begin(begun, 9);
    if (segment.outcome !== "created") throw new Error(segment.outcome);
    const manifest = stored.map((chunk) => ({ digest: digestOf(chunk.id), sizeBytes: chunk.bytes.length }));
    await index.segments.addToManifest(segment.id, manifest);
    await index.segments.complete(segment.id, manifestFacts(3));
    await index.segments.setVerified(segment.id);
    await streams.write(set.id, `tags-${segment.id}`, 0, streamOf(bytes), 32);
    await index.segments.setTags(segment.id, 32);
    await index.segments.setVerified(segment.id);
    const agreed = { ...AGREED, terms: { ...AGREED.terms, mode } };
    const context = { agreed, segments: [segment.id], provingMilliseconds: 1 };
    await index.dataSets.recordState(set.id, FIRST_STATE, context);
    const { contentHash } = FIRST_STATE;
    const level = { fromEpoch: 1, fee: FEE, sliceCount: 3, highestIndex: 3, rangesHash: contentHash };
    const schedule = encodeSchedule({ version: 1n, retirements: 0, contentHash, levels: [level] });
    await index.dataSets.setSchedule(set.id, {
      schedule,
      ranges: new Uint8Array(),
      blockNumber: 10,
      blockHash: `0x${"10".repeat(32)}`,
    });

    const held: SliceRange[] = [{ firstIndex: 1, count: 3 }];
    const told: Told = {
      standing: { books: BOOKS, lastEpoch: undefined },
      isChanged: true,
      held,
      sent: [],
      sends: true,
      refusal: undefined,
      pool: 0,
      pausedToken: undefined,
      baseFee: 0n,
      challenged: 0,
      available: 100n * FEE,
    };
    const view = {
      takeChanged: () => told.isChanged,
      refresh: async <Row>(row: Row) => row,
      standingOf: async () => told.standing,
      heldRanges: async () => told.held,
    } as unknown as ChainView;
    const call = async ({ data }: { data: string }) => {
      const name = escrowAbi().parseTransaction({ data })?.name;
      if (name === "EPOCH_BLOCKS") return escrowAbi().encodeFunctionResult("EPOCH_BLOCKS", [EPOCH_BLOCKS]);
      if (name === "NOTICE_EPOCHS") return escrowAbi().encodeFunctionResult("NOTICE_EPOCHS", [2]);
      if (name === "disputeOf") return escrowAbi().encodeFunctionResult("disputeOf", [[PROVIDER, told.challenged, 1]]);
      if (name === "accountOf") return escrowAbi().encodeFunctionResult("accountOf", [[told.available, FEE, 1000, 0]]);
      return escrowAbi().encodeFunctionResult("poolOf", [[told.pool, 0]]);
    };
    const estimate = async () => `0x${SETTLE_GAS.toString(16)}`;
    // Twice the base fee, and no tip.
    const getFeeData = async () => ({ maxFeePerGas: 2n * told.baseFee, maxPriorityFeePerGas: 0n });
    const chainProvider = { call, resolveName: async (name: string) => name, send: estimate, getFeeData };
    const deployment = { contracts: { storageEscrow: getAddress(`0x${"22".repeat(20)}`) } };
    const chain = {
      deployment,
      provider: Object.assign(chainProvider, { provider: chainProvider }),
    } as unknown as ChainReader;
    const sender = {
      address: PROVIDER,
      send: async ({ description, data }: { description: string; data: string }) => {
        told.sent.push(description);
        if (told.pausedToken !== undefined && data.includes(told.pausedToken.slice(2))) throw new Error("paused");
        if (!told.sends) throw new Error("the endpoint is down");
        if (told.refusal !== undefined) throw told.refusal;
        return { hash: "0x01", blockNumber: 1, gasUsed: SETTLE_GAS };
      },
    } as unknown as TransactionSender;
    const limitsOf = () => ({ collateralCap: 1n, reserve: 0n });
    const failures = new FailureLog(logger);
    const common = { chain, sender, index, streams, locks, view, limitsOf, logger, failures };
    const settlement = new DataSetSettlement({
      ...common,
      payoutAccount: PROVIDER,
      settleEpochs: SETTLE_EPOCHS,
    });
    const state = async () => (await index.dataSets.find(set.id))?.state;
    const tagsInRow = async () => (await index.segments.ofDataSet(set.id))[0]?.tagsBytes ?? 0;
    const kept = async () => ({
      segments: (await index.segments.ofDataSet(set.id)).length,
      // As the row says, which a start compares with the file.
      tagsBytes: Math.max(await streams.size(set.id, `tags-${segment.id}`), await tagsInRow()),
      covered: (await index.dataSets.coveredOf(ALICE)).chunks,
    });
    return { told, settlement, state, kept, index, streams, id: set.id };
  }

  const ALL = { segments: 1, tagsBytes: 32, covered: 2 };
  const NOTHING = { segments: 0, tagsBytes: 0, covered: 0 };

  it("ends a set when the chain says closed, not when it knows nothing of it", async () => {
    const { told, settlement, state, kept } = await open();
    told.standing = undefined;
    for (const head of [HEAD, HEAD + 1000]) await settlement.round(head);
    expect([await state(), await kept()]).to.deep.equal(["running", ALL]);
    told.standing = { books: { ...BOOKS, status: "closed" }, lastEpoch: 45 };
    await settlement.round(HEAD + 1001);
    expect([await state(), await kept(), told.sent]).to.deep.equal(["ended", NOTHING, []]);
  });

  it("goes on in the next round when ending a set was interrupted", async () => {
    const { told, settlement, state, kept, streams } = await open();
    told.standing = { books: { ...BOOKS, status: "closed" }, lastEpoch: 45 };
    const remove = streams.remove.bind(streams);
    streams.remove = () => Promise.reject(new Error("the disk is gone"));
    await settlement.round(HEAD);
    expect([await state(), (await kept()).tagsBytes]).to.deep.equal(["running", 32]);
    streams.remove = remove;
    await settlement.round(HEAD + 1);
    expect([await state(), await kept()]).to.deep.equal(["ended", NOTHING]);
  });

  it("pays out every token once per epoch, and one that fails again and again holds up no other", async () => {
    const { told, settlement, index } = await open();
    const [paused, paid] = [`0x${"aa".repeat(20)}`, `0x${"bb".repeat(20)}`];
    index.dataSets.tokens = async () => [paused, paid];
    told.pool = 5;
    told.pausedToken = paused;
    await settlement.round(HEAD);
    expect(told.sent.length).to.equal(2);
    await settlement.round(HEAD);
    expect(told.sent.length).to.equal(3);
    told.pausedToken = undefined;
    for (const _ of [1, 2]) await settlement.round(HEAD);
    expect(told.sent.length).to.equal(4);
  });

  /** Rounds at the beginning of epochs, one for each. */
  async function through(settlement: DataSetSettlement, epochs: number, first = 50): Promise<void> {
    for (let epoch = first; epoch < first + epochs; epoch++) await settlement.round(epoch * EPOCH_BLOCKS + 5);
  }

  it("does not settle a set that is proven in every epoch", async () => {
    const { told, settlement } = await open();
    told.standing = { books: { ...BOOKS, settledThrough: 1 }, lastEpoch: undefined };
    await through(settlement, 3);
    expect(told.sent).to.deep.equal([]);
  });

  it("settles what a set on demand has earned every so many epochs", async () => {
    const { told, settlement } = await open("on-demand");
    // 30 epochs behind the settled ones: 41 to 70, of which nothing can change the outcome in epoch 72.
    await through(settlement, 22);
    expect(told.sent).to.deep.equal([]);
    await settlement.round(72 * EPOCH_BLOCKS);
    expect(told.sent).to.deep.equal(["settling a data set"]);
    // The chain does not say so yet: not again in this epoch.
    await settlement.round(72 * EPOCH_BLOCKS + 9);
    expect(told.sent.length).to.equal(1);
    told.standing = { books: { ...BOOKS, settledThrough: 70 }, lastEpoch: undefined };
    await through(settlement, 29, 73);
    expect(told.sent.length).to.equal(1);
    await settlement.round(102 * EPOCH_BLOCKS);
    expect(told.sent.length).to.equal(2);
  });

  it("does not settle what is worth less than the gas, what is disputed, or what will be closed", async () => {
    const { told, settlement } = await open("on-demand");
    // 30 epochs, at gas that costs as much.
    told.baseFee = 1n;
    await settlement.round(72 * EPOCH_BLOCKS);
    expect(told.sent).to.deep.equal([]);
    told.baseFee = 0n;
    told.standing = { books: { ...BOOKS, disputed: true }, lastEpoch: undefined };
    await settlement.round(73 * EPOCH_BLOCKS);
    told.standing = { books: BOOKS, lastEpoch: 80 };
    await settlement.round(74 * EPOCH_BLOCKS);
    expect(told.sent).to.deep.equal([]);
    told.standing = { books: BOOKS, lastEpoch: undefined };
    await settlement.round(75 * EPOCH_BLOCKS);
    expect(told.sent).to.deep.equal(["settling a data set"]);
  });

  it("has a dispute decided that it has lost, when nobody else did for an epoch", async () => {
    const { told, settlement } = await open("on-demand");
    const { windowBlocks, graceBlocks } = AGREED.audit;
    // Answered until the last block of epoch 51.
    told.challenged = 52 * EPOCH_BLOCKS - 1 - windowBlocks - graceBlocks;
    told.standing = { books: { ...BOOKS, disputed: true }, lastEpoch: undefined };
    await through(settlement, 3, 50);
    expect(told.sent).to.deep.equal([]);
    await settlement.round(53 * EPOCH_BLOCKS);
    expect(told.sent).to.deep.equal(["upholding a dispute"]);
    // The chain does not say so yet: not again in this epoch.
    await settlement.round(53 * EPOCH_BLOCKS + 9);
    expect(told.sent.length).to.equal(1);
    // Also when the set is over, which cannot be closed before.
    told.standing = { books: { ...BOOKS, disputed: true }, lastEpoch: 48 };
    await settlement.round(54 * EPOCH_BLOCKS);
    expect(told.sent).to.deep.equal(["upholding a dispute", "upholding a dispute"]);
  });

  it("has the dispute that ends a set decided at once, since all that it would earn goes to the user", async () => {
    const { told, settlement } = await open("on-demand");
    const { windowBlocks, graceBlocks } = AGREED.audit;
    const lastBlock = 50 * EPOCH_BLOCKS + 40;
    told.challenged = lastBlock - windowBlocks - graceBlocks;
    const missed = AGREED.terms.breachLimit - 1;
    told.standing = { books: { ...BOOKS, disputed: true, missed }, lastEpoch: undefined };
    await settlement.round(50 * EPOCH_BLOCKS);
    // Nothing happens to the set until the window is over.
    told.isChanged = false;
    await settlement.round(lastBlock);
    expect(told.sent).to.deep.equal([]);
    told.sends = false;
    await settlement.round(lastBlock + 1);
    told.sends = true;
    for (const behind of [2, 3]) await settlement.round(lastBlock + behind);
    expect(told.sent).to.deep.equal(["upholding a dispute", "upholding a dispute"]);
  });

  it("shows that a user signed two states when the penalty is worth the gas, and the set has no end", async () => {
    const { told, settlement, index, id } = await open();
    const shown = "showing that a party signed two states";
    await settlement.round(HEAD);
    expect(told.sent).to.deep.equal([]);
    await index.dataSets.keepEvidence(id, new Uint8Array(64).fill(1));
    // 14 of notice, at gas that costs as much.
    told.baseFee = 1n;
    await settlement.round(HEAD + EPOCH_BLOCKS);
    told.baseFee = 0n;
    told.available = FEE - 1n;
    await settlement.round(HEAD + 2 * EPOCH_BLOCKS);
    told.available = FEE;
    told.standing = { books: BOOKS, lastEpoch: 70 };
    await settlement.round(HEAD + 3 * EPOCH_BLOCKS);
    expect(told.sent).to.deep.equal([]);
    told.standing = { books: BOOKS, lastEpoch: undefined };
    await settlement.round(HEAD + 4 * EPOCH_BLOCKS);
    expect(told.sent).to.deep.equal([shown]);
  });

  it("forgets evidence that the escrow refuses, and lets go of what is not held all the same", async () => {
    const { told, settlement, index, kept, id } = await open();
    await index.dataSets.keepEvidence(id, new Uint8Array(64).fill(1));
    told.held = [{ firstIndex: 9, count: 1 }];
    told.refusal = new Error("the endpoint is down");
    await settlement.round(HEAD);
    expect(await kept()).to.deep.equal({ segments: 1, tagsBytes: 0, covered: 0 });
    expect(await index.dataSets.evidenceOf(id)).to.not.equal(undefined);
    // The user has given notice meanwhile.
    const revert = { name: "DataSetEnded", args: {}, data: "0x" };
    told.refusal = new ChainRevertedError("showing that a party signed two states", revert);
    await settlement.round(HEAD + EPOCH_BLOCKS);
    expect(await index.dataSets.evidenceOf(id)).to.equal(undefined);
  });

  it("pays out a token in which all sets are on demand as seldom as it settles", async () => {
    const { told, settlement, index } = await open("on-demand");
    index.dataSets.tokens = async () => [AGREED.terms.token];
    told.pool = 5;
    told.standing = { books: { ...BOOKS, settledThrough: 70 }, lastEpoch: undefined };
    await through(settlement, SETTLE_EPOCHS);
    expect(told.sent).to.deep.equal(["withdrawing from a pool"]);
    await settlement.round((50 + SETTLE_EPOCHS) * EPOCH_BLOCKS);
    expect(told.sent.length).to.equal(2);
  });

  it("closes a set when its last epoch is two behind, and tries again when that fails", async () => {
    const { told, settlement, state, kept } = await open();
    for (const lastEpoch of [undefined, 49, 50]) {
      told.standing = { books: BOOKS, lastEpoch };
      await settlement.round(HEAD);
    }
    // A dispute may be about the last epoch.
    told.standing = { books: { ...BOOKS, disputed: true }, lastEpoch: 48 };
    await settlement.round(HEAD);
    expect([await state(), await kept(), told.sent]).to.deep.equal(["running", ALL, []]);
    told.standing = { books: BOOKS, lastEpoch: 48 };
    told.sends = false;
    await settlement.round(HEAD);
    expect([await state(), await kept(), told.sent.length]).to.deep.equal(["running", ALL, 1]);
    told.sends = true;
    await settlement.round(HEAD);
    expect([await state(), await kept(), told.sent.length]).to.deep.equal(["ended", NOTHING, 2]);
  });

  it("keeps a breached set until the blocks that say so are not replaced any more", async () => {
    const { told, settlement, state, kept } = await open();
    const breached = { books: { ...BOOKS, status: "breached" as const }, lastEpoch: undefined };
    told.standing = breached;
    for (const head of [HEAD, HEAD + REORGANISED_BLOCKS - 1]) await settlement.round(head);
    expect([await state(), await kept()]).to.deep.equal(["running", ALL]);
    // The miss was undone, and comes again: the time begins anew.
    told.standing = { books: BOOKS, lastEpoch: undefined };
    await settlement.round(HEAD + REORGANISED_BLOCKS);
    told.standing = breached;
    const again = HEAD + REORGANISED_BLOCKS + 1;
    for (const head of [again, again + REORGANISED_BLOCKS - 1]) await settlement.round(head);
    expect([await state(), await kept()]).to.deep.equal(["running", ALL]);
    await settlement.round(again + REORGANISED_BLOCKS);
    expect([await state(), await kept(), told.sent]).to.deep.equal(["ended", NOTHING, []]);
  });

  it("frees chunks of which no slice is held, in full and not in a dispute, and tags with the last one", async () => {
    const { told, settlement, state, kept } = await open();
    const holds = async (held: SliceRange[], books: DataSetBooks = BOOKS) => {
      told.held = held;
      told.standing = { books, lastEpoch: undefined };
      await settlement.round(HEAD);
      return kept();
    };
    // The first chunk has two slices.
    expect(await holds([{ firstIndex: 2, count: 2 }])).to.deep.equal(ALL);
    expect(await holds([{ firstIndex: 3, count: 1 }], { ...BOOKS, disputed: true })).to.deep.equal(ALL);
    expect(await holds([{ firstIndex: 3, count: 1 }])).to.deep.equal({ ...ALL, covered: 1 });
    expect(await holds([{ firstIndex: 9, count: 1 }])).to.deep.equal({ segments: 1, tagsBytes: 0, covered: 0 });
    expect(await state()).to.equal("running");
  });
});

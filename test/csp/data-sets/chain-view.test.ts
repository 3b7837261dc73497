/** What a provider may be asked for, while rounds bring what the chain says up to date. */
import { expect } from "chai";
import type { ChainReader } from "../../../offchain/chain/deployment.ts";
import { encodeLiveRanges } from "../../../offchain/core/data-set/ranges.ts";
import { encodeSchedule } from "../../../offchain/core/data-set/schedule.ts";
import { TallystickError } from "../../../offchain/core/errors.ts";
import { ChainView, packedHash } from "../../../offchain/csp/data-sets/chain-view.ts";
import { FailureLog } from "../../../offchain/daemon/failure-log.ts";
import { AGREED, FIRST_STATE } from "../agreed-set.ts";
import { ALICE, openProvider, temporaryFolder } from "../provider-fixture.ts";

const EPOCH = 50;

describe("what the chain says of data sets", () => {
  const folder = temporaryFolder();

  /** A schedule that is about one list of slices alone. */
  const scheduleOf = (version: bigint, packed: Uint8Array) => ({
    schedule: encodeSchedule({
      version,
      retirements: 0,
      contentHash: FIRST_STATE.contentHash,
      levels: [{ fromEpoch: 1, fee: 7n, sliceCount: 3, highestIndex: 9, rangesHash: packedHash(packed) }],
    }),
    ranges: packed,
    // Two states of one block.
    blockNumber: 10,
    blockHash: `0x${"10".repeat(32)}`,
  });

  async function open() {
    const { index, logger } = await openProvider(folder());
    const rows = index.dataSets;
    const view = new ChainView({ chain: {} as ChainReader, rows, logger, failures: new FailureLog(logger) });
    const bytes = new Uint8Array(32).fill(1);
    const facts = { account: ALICE, salt: bytes, key: { X: bytes, XA: bytes, XB: bytes }, auditKeyHash: bytes };
    const begun = await rows.begin({ ...facts, sliceElements: 1024, phase: 0, touchedAt: 1 }, 9);
    if (begun.outcome !== "created") throw new Error(begun.outcome);
    const { id } = begun;
    const state = { ...FIRST_STATE, ranges: encodeLiveRanges([{ firstIndex: 20, count: 1 }]) };
    await rows.recordState(id, state, { agreed: AGREED, segments: [], provingMilliseconds: 1 });
    const row = async () => {
      const found = await rows.find(id);
      if (found === undefined) throw new Error("no row");
      return found;
    };
    return { rows, view, row };
  }

  const first = encodeLiveRanges([{ firstIndex: 1, count: 3 }]);
  const second = encodeLiveRanges([{ firstIndex: 7, count: 3 }]);

  it("answer a request that found the row before a round stored another schedule in place of the old one", async () => {
    const { rows, view, row } = await open();
    await view.store(await row(), scheduleOf(1n, first));
    const before = await row();
    const held = await view.heldRanges(before, EPOCH);
    expect(held).to.deep.include({ firstIndex: 1, count: 3 });
    await view.store(before, scheduleOf(2n, second));
    expect([...(await rows.rangesOf(before.id)).keys()]).to.deep.equal([packedHash(second)]);
    expect(await view.heldRanges(before, EPOCH)).to.deep.equal(await view.heldRanges(await row(), EPOCH));
    expect(await view.heldRanges(before, EPOCH)).to.deep.include({ firstIndex: 7, count: 3 });
  });

  it("name the ranges that no log had, and do not wait for them", async () => {
    const { rows, view, row } = await open();
    await view.store(await row(), scheduleOf(1n, first));
    await rows.removeRanges((await row()).id, [packedHash(first)]);
    const error = await view.heldRanges(await row(), EPOCH).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(error).to.be.instanceOf(TallystickError);
    expect(error).to.include({ code: "CHAIN_UNAVAILABLE", retryable: true });
    expect((error as TallystickError).expected).to.contain(packedHash(first));
  });
});

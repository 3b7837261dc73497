/** Hashes and encodings of data sets against vectors of an independent implementation (derive-layouts.py). */

import { expect } from "chai";
import { TypedDataEncoder } from "ethers";
import { challengeSeed } from "../../../offchain/core/data-set/epochs.ts";
import { decodeLiveRanges, encodeLiveRanges, rangesHash } from "../../../offchain/core/data-set/ranges.ts";
import { decodeSchedule, encodeSchedule, scheduleHash } from "../../../offchain/core/data-set/schedule.ts";
import { auditTermsHash, dataSetId } from "../../../offchain/core/data-set/terms.ts";
import { fromHex, toHex } from "../../../offchain/core/encoding/hex.ts";
import { dataSetUpdateTypedData } from "../../../offchain/core/identity/typed-messages.ts";
import { expectRejection } from "../../helpers/rejection.ts";
import vectors from "../../vectors/data-set.json" with { type: "json" };

const sha256Of = async (text: string) =>
  new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));

describe("data set layouts", () => {
  const { auditTerms, terms } = vectors;
  const audit = {
    ...auditTerms,
    sliceElements: Number(auditTerms.sliceElements),
    sampleCount: Number(auditTerms.sampleCount),
    phase: Number(auditTerms.phase),
    windowBlocks: Number(auditTerms.windowBlocks),
    graceBlocks: Number(auditTerms.graceBlocks),
    disputeBond: BigInt(auditTerms.disputeBond),
  };
  const wholeTerms = {
    ...terms,
    mode: "on-demand" as const,
    feeFloor: BigInt(terms.feeFloor),
    feePerSlice: BigInt(terms.feePerSlice),
    feePerIndex: BigInt(terms.feePerIndex),
    feeCap: BigInt(terms.feeCap),
    collateralPercent: Number(terms.collateralPercent),
    compensationPercent: Number(terms.compensationPercent),
    bountyPercent: Number(terms.bountyPercent),
    latePercent: Number(terms.latePercent),
    breachLimit: Number(terms.breachLimit),
  };
  const levels = vectors.levels.map((level) => ({
    ...level,
    fromEpoch: Number(level.fromEpoch),
    fee: BigInt(level.fee),
    sliceCount: Number(level.sliceCount),
    highestIndex: Number(level.highestIndex),
  }));

  it("hash terms and audit terms", () => {
    expect(auditTermsHash(audit)).to.equal(vectors.auditHash);
    expect(dataSetId(BigInt(vectors.chainId), vectors.escrow, wholeTerms)).to.equal(vectors.id);
    // Every value counts.
    for (const name of Object.keys(wholeTerms) as (keyof typeof wholeTerms)[]) {
      const value = wholeTerms[name];
      let changed: unknown = "every-epoch";
      if (typeof value === "number") changed = value + 1;
      else if (typeof value === "bigint") changed = value - 1n;
      else if (name !== "mode") changed = `0x${"11".repeat((value.length - 2) / 2)}`;
      const other = { ...wholeTerms, [name]: changed };
      expect(dataSetId(BigInt(vectors.chainId), vectors.escrow, other), name).not.to.equal(vectors.id);
    }
    expect(dataSetId(1n, vectors.escrow, wholeTerms)).not.to.equal(vectors.id);
  });

  it("refuse values that do not fit their types", () => {
    const id = (changes: object) => () => dataSetId(1n, vectors.escrow, { ...wholeTerms, ...changes });
    expectRejection(id({ feeCap: 1n << 80n }), "INVALID_INPUT", /fee cap/);
    expectRejection(id({ breachLimit: 256 }), "INVALID_INPUT", /breach limit/);
    expectRejection(id({ latePercent: -1 }), "INVALID_INPUT", /late percentage/);
    expectRejection(id({ latePercent: 0.5 }), "INVALID_INPUT", /late percentage/);
    expectRejection(id({ user: "0x12" }), "INVALID_INPUT", /user/);
  });

  it("encode lists of ranges", () => {
    for (const { list, bytes, hash } of vectors.ranges) {
      expect(toHex(encodeLiveRanges(list))).to.equal(bytes);
      expect(decodeLiveRanges(fromHex(bytes))).to.deep.equal(list);
      expect(rangesHash(list)).to.equal(hash);
    }
  });

  it("encode a schedule", () => {
    const schedule = { version: 5n, retirements: 1, contentHash: vectors.contentHash, levels };
    expect(toHex(encodeSchedule(schedule))).to.equal(vectors.schedule);
    expect(decodeSchedule(fromHex(vectors.schedule))).to.deep.equal(schedule);
    expect(scheduleHash(fromHex(vectors.schedule))).to.equal(vectors.scheduleHash);
  });

  it("refuse malformed schedules", () => {
    const bytes = fromHex(vectors.schedule);
    const changed = (at: number, value: number) => {
      const copy = bytes.slice();
      copy[at] = value;
      return () => decodeSchedule(copy);
    };
    expectRejection(() => decodeSchedule(bytes.subarray(0, 44)), "INVALID_INPUT", /malformed/);
    expectRejection(() => decodeSchedule(bytes.subarray(1)), "INVALID_INPUT", /malformed/);
    const nine = Array.from({ length: 9 }, (_, k) => ({ ...levels[0], fromEpoch: k + 1 })) as typeof levels;
    const long = encodeSchedule({ version: 1n, retirements: 0, contentHash: vectors.contentHash, levels: nine });
    expectRejection(() => decodeSchedule(long), "INVALID_INPUT", /malformed/);
    // A second level that begins before the first one.
    expectRejection(changed(44 + 58 + 1, 0), "INVALID_INPUT", /malformed/);
    const wrong = (change: object) => () =>
      encodeSchedule({ version: 5n, retirements: 1, contentHash: vectors.contentHash, levels, ...change });
    expectRejection(wrong({ version: 1n << 64n }), "INVALID_INPUT", /version/);
    expectRejection(wrong({ levels: [{ ...levels[0], fee: 1n << 80n }] }), "INVALID_INPUT", /fee/);
  });

  it("give what both parties sign, and the seed of a challenge", async () => {
    const set = toHex(await sha256Of("set"));
    const { domain, types, message } = dataSetUpdateTypedData(31_337n, vectors.escrow, {
      dataSetId: set,
      version: 6n,
      retirements: 1n,
      rangesHash: vectors.ranges[1]?.hash ?? "",
      contentHash: toHex(await sha256Of("content")),
      deadlineBlock: 99n,
    });
    expect(TypedDataEncoder.hash(domain, types, message)).to.equal(vectors.updateDigest);
    const seed = challengeSeed(31_337n, vectors.escrow, set, 700_125, await sha256Of("randomness"));
    expect(toHex(seed)).to.equal(vectors.seed);
  });
});

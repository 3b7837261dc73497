/** Whether what a transaction brought to `prove` proves what the terms ask for, without a chain. */
import { expect } from "chai";
import type { Deployment } from "../../offchain/chain/deployment.ts";
import { type DataSetProof, parseProveCall, proveDataSetsCall } from "../../offchain/chain/escrow-calls.ts";
import { auditKeyHash } from "../../offchain/core/audit/keys.ts";
import { decodeAnswer, encodeAnswer } from "../../offchain/core/audit/proof.ts";
import { auditReady } from "../../offchain/core/audit/ready.ts";
import type { AuditAnswer } from "../../offchain/core/audit/verifier.ts";
import { challengeSeed } from "../../offchain/core/data-set/epochs.ts";
import { encodeLiveRanges, rangesHash } from "../../offchain/core/data-set/ranges.ts";
import { encodeSchedule } from "../../offchain/core/data-set/schedule.ts";
import { type DataSetAuditTerms, type DataSetTerms, dataSetId } from "../../offchain/core/data-set/terms.ts";
import { toHex } from "../../offchain/core/encoding/hex.ts";
import { challengeBlockOf, claimOf, verifyClaims } from "../../offchain/verifier/proof-check.ts";
import { agreedTerms } from "../helpers/agreed-terms.ts";
import { type AuditKeys, proveWithSecrets, sparseSlice, testKeys } from "../helpers/audit-set.ts";

const address = (digit: string) => `0x${digit.repeat(40)}`;
const word = (digit: string) => `0x${digit.repeat(64)}`;
const PLACE = { chainId: 31_337n, escrow: address("e"), epochBlocks: 100 };
const EPOCH = 7;
const RANDOMNESS = new Uint8Array(32).fill(0x77);
const RANGES = [{ firstIndex: 1, count: 9 }];

describe("recomputed proof", () => {
  let keys: AuditKeys;
  let audit: DataSetAuditTerms;
  let terms: DataSetTerms;
  let proof: DataSetProof;
  let context: Parameters<typeof claimOf>[1];

  before(async () => {
    await auditReady();
    keys = testKeys();
    audit = {
      randomness: address("3"),
      verifier: address("4"),
      keyHash: toHex(auditKeyHash(keys.publicKey)),
      sliceElements: 4096,
      sampleCount: 3,
      phase: 10,
      windowBlocks: 20,
      graceBlocks: 15,
      disputeBond: 5n,
      predecessor: word("0"),
      salt: word("5"),
    };
    terms = agreedTerms(audit, {
      user: address("1"),
      provider: address("2"),
      token: address("0"),
      feeFloor: 1n,
      feePerSlice: 2n,
      feePerIndex: 3n,
      feeCap: 400n,
    });
    const level = { fee: 5n, sliceCount: 9, highestIndex: 9, rangesHash: rangesHash(RANGES) };
    const later = {
      ...level,
      fromEpoch: EPOCH + 1,
      sliceCount: 4,
      rangesHash: rangesHash([{ firstIndex: 1, count: 4 }]),
    };
    const schedule = encodeSchedule({
      version: 2n,
      retirements: 0,
      contentHash: word("c"),
      levels: [{ ...level, fromEpoch: 3 }, later],
    });
    const id = dataSetId(PLACE.chainId, PLACE.escrow, terms);
    const seed = challengeSeed(PLACE.chainId, PLACE.escrow, id, 710, RANDOMNESS);
    const answered = proveWithSecrets(keys, { seed, sampleCount: 3, ranges: RANGES }, sparseSlice);
    const answer = encodeAnswer(keys.publicKey, answered);
    proof = { terms, audit, schedule, ranges: encodeLiveRanges(RANGES), answer, evidence: new Uint8Array() };
    context = { id, epoch: EPOCH, blockNumber: 715, schedule, disputedBlock: undefined };
  });

  const claim = (change: Partial<DataSetProof> = {}, other: Partial<typeof context> = {}, randomness = RANDOMNESS) =>
    claimOf({ ...proof, ...change }, { ...context, ...other }, PLACE, 710, randomness);

  it("is valid as it was made, also after its way through call data", () => {
    expect(challengeBlockOf(proof, context, PLACE.epochBlocks)).to.equal(710);
    const deployment = { contracts: { storageEscrow: PLACE.escrow } } as unknown as Deployment;
    const [read, ...more] = parseProveCall(proveDataSetsCall(deployment, [proof]).data) ?? [];
    expect([read, more]).to.deep.equal([proof, []]);
    expect(decodeAnswer(proof.answer)).to.deep.include({ key: keys.publicKey });
    const claimed = claim(read);
    expect(typeof claimed).to.equal("object");
    expect(verifyClaims([claimed as AuditAnswer])).to.deep.equal([undefined]);
    expect(verifyClaims([])).to.deep.equal([]);
  });

  it("is none when the call names something else than the chain fixed", () => {
    const changed = (bytes: Uint8Array, at: number) => bytes.map((byte, place) => (place === at ? byte ^ 1 : byte));
    const wrong: Record<string, ReturnType<typeof claim>> = {
      "audit terms are not those of the set": claim({ audit: { ...audit, sampleCount: 1 } }),
      "schedule is not the newest one": claim({ schedule: changed(proof.schedule, 31) }),
      "schedule has no level of epoch 2": claim({}, { epoch: 2 }),
      "live ranges are not those of the level": claim({}, { epoch: EPOCH + 1 }),
      "block 710 is outside the window of 710 to 745": claim({}, { blockNumber: 710 }),
      "block 746 is outside the window of 710 to 745": claim({}, { blockNumber: 746 }),
      "audit key is not that of the terms": claim({ answer: changed(proof.answer, 300) }),
      "answer to a challenge is malformed: answer length": claim({ answer: proof.answer.subarray(1) }),
    };
    for (const [reason, found] of Object.entries(wrong)) expect(found).to.equal(reason);
    expect(claim({ answer: changed(proof.answer, 768 + 127) })).to.match(/sigma/);
  });

  it("does not verify for another challenge, and does not spoil the others of its transaction", () => {
    const right = claim() as AuditAnswer;
    const wrong = claim({}, {}, new Uint8Array(32).fill(0x78)) as AuditAnswer;
    const [first, second, third] = verifyClaims([right, wrong, right]);
    expect([first, third]).to.deep.equal([undefined, undefined]);
    expect(second).to.match(/public possession equation/);
  });

  it("answers to the block of the dispute in mode on-demand, and to none without one", () => {
    const onDemand = { audit, terms: { ...terms, mode: "on-demand" as const } };
    expect(challengeBlockOf(onDemand, { epoch: EPOCH, disputedBlock: 733 }, 100)).to.equal(733);
    expect(challengeBlockOf(onDemand, { epoch: EPOCH, disputedBlock: undefined }, 100)).to.equal(undefined);
  });

  it("is not read from calls of other functions, or from what does not decode", () => {
    const deployment = { contracts: { storageEscrow: PLACE.escrow } } as unknown as Deployment;
    const { data } = proveDataSetsCall(deployment, [proof]);
    expect(parseProveCall("0x")).to.equal(undefined);
    expect(parseProveCall("0x12345678")).to.equal(undefined);
    expect(parseProveCall(data.slice(0, data.length - 640))).to.equal(undefined);
    // Whatever stands where an offset or a length is, also a negative one: errors of ethers differ.
    const refused = Array.from({ length: 40 }, (_, word) => {
      const [start, end] = [10 + 64 * word, 10 + 64 * (word + 1)];
      return parseProveCall(`${data.slice(0, start)}${"f".repeat(63)}0${data.slice(end)}`);
    }).filter((read) => read === undefined);
    expect(refused.length).to.be.greaterThan(5);
  });
});

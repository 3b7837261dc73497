/**
 * Possession proofs of data sets on a chain: deposit, collateral, a set, a challenge, a proof from stored slices, and
 * the payment. Then what proving costs, with proofs from the owner's secrets for sets that nobody wants to build.
 */
import { expect } from "chai";
import type { ContractTransactionResponse, Signer } from "ethers";
import { network } from "hardhat";
import type { NetworkConnection } from "hardhat/types/network";
import { PossessionVerifier__factory } from "../../offchain/chain/types/factories/PossessionVerifier__factory.ts";
import { BlockRandomness__factory } from "../../offchain/chain/types/factories/randomness/BlockRandomness__factory.ts";
import { StorageEscrow__factory } from "../../offchain/chain/types/factories/StorageEscrow__factory.ts";
import type { PossessionVerifier } from "../../offchain/chain/types/PossessionVerifier.ts";
import type { BlockRandomness } from "../../offchain/chain/types/randomness/BlockRandomness.ts";
import type { IStorageEscrow, StorageEscrow } from "../../offchain/chain/types/StorageEscrow.ts";
import {
  type AuditChallenge,
  challengeId,
  encodeRanges,
  evaluateChallenge,
  expandChallenge,
  openingPoint,
  type SliceRange,
} from "../../offchain/core/audit/challenge.ts";
import { decodeG1, encodeG1, encodeG1ForChain } from "../../offchain/core/audit/curve.ts";
import { FIELD_ORDER, integerToBigEndian, power, reduce } from "../../offchain/core/audit/field.ts";
import { multiplyGeneratorG1 } from "../../offchain/core/audit/fixed-base.ts";
import { auditKeyHash } from "../../offchain/core/audit/keys.ts";
import { type AuditProof, encodeAnswer } from "../../offchain/core/audit/proof.ts";
import { proveAudit } from "../../offchain/core/audit/prover.ts";
import { auditReady } from "../../offchain/core/audit/ready.ts";
import { challengeSeed, windowsOf } from "../../offchain/core/data-set/epochs.ts";
import { feeOf } from "../../offchain/core/data-set/fee.ts";
import { encodeLiveRanges, rangesHash } from "../../offchain/core/data-set/ranges.ts";
import {
  DATA_SET_MODES,
  type DataSetAuditTerms,
  type DataSetTerms,
  dataSetId,
} from "../../offchain/core/data-set/terms.ts";
import { fromHex, toHex } from "../../offchain/core/encoding/hex.ts";
import { dataSetUpdateTypedData } from "../../offchain/core/identity/typed-messages.ts";
import { agreedTerms } from "../helpers/agreed-terms.ts";
import { makeNegatedBatch } from "../helpers/audit-forgeries.ts";
import {
  type AuditKeys,
  MEBIBYTE_SLICES,
  patternBytes,
  proveWithSecrets,
  sparseSlice,
  storeSet,
  testKeys,
} from "../helpers/audit-set.ts";

const EPOCH_BLOCKS = 100;
const NATIVE = `0x${"0".repeat(40)}`;
const CONTENT = `0x${"c0".repeat(32)}`;
const NEVER = 2n ** 64n - 1n;
/** Malformed points make a precompile consume all gas it is given. */
const CALL = { gasLimit: 6_000_000 };
/** The largest set whose indices take three positions in the contract's table of powers: 32 GiB. */
const LARGE = [{ firstIndex: 1, count: 2 ** 18 - 1 }];

/**
 * Highest gas of a transaction with one proof, and highest part of it, in percent, that a further set adds. Between
 * runs the gas differs by about 200, since proofs have another number of zero bytes.
 */
const BARS = [
  { sampleCount: 30, gas: 290_000, furtherPercent: 85 },
  { sampleCount: 460, gas: 400_000, furtherPercent: 90 },
] as const;

/** A set that runs, and how its provider answers. */
interface RunningSet {
  readonly id: string;
  readonly keys: AuditKeys;
  readonly terms: DataSetTerms;
  readonly audit: DataSetAuditTerms;
  readonly ranges: readonly SliceRange[];
  readonly schedule: string;
  prove(challenge: AuditChallenge): Promise<AuditProof>;
}

describe("possession proofs of data sets", () => {
  let connection: NetworkConnection;
  let escrow: StorageEscrow;
  let verifier: PossessionVerifier;
  let randomness: BlockRandomness;
  let user: Signer;
  let provider: Signer;
  let chainId: bigint;
  let sets = 0;

  const mineTo = async (block: number) => {
    const blocks = block - (await connection.ethers.provider.getBlockNumber());
    if (blocks > 0) await connection.ethers.provider.send("hardhat_mine", [`0x${blocks.toString(16)}`]);
  };

  /** Opens a set of a user who has paid for it. */
  async function open(
    keys: AuditKeys,
    sampleCount: number,
    ranges: readonly SliceRange[],
    prove: RunningSet["prove"],
  ): Promise<RunningSet> {
    const audit: DataSetAuditTerms = {
      randomness: await randomness.getAddress(),
      verifier: await verifier.getAddress(),
      keyHash: toHex(auditKeyHash(keys.publicKey)),
      sliceElements: 4096,
      sampleCount,
      phase: 10,
      windowBlocks: 20,
      graceBlocks: 15,
      disputeBond: 12_345n,
      predecessor: `0x${"00".repeat(32)}`,
      salt: `0x${(++sets).toString(16).padStart(64, "0")}`,
    };
    const terms = agreedTerms(audit, {
      user: await user.getAddress(),
      provider: await provider.getAddress(),
      token: NATIVE,
      feeFloor: 10n ** 9n,
      feePerSlice: 10n ** 9n,
      feePerIndex: 10n ** 6n,
      feeCap: 10n ** 15n,
    });
    const id = dataSetId(chainId, await escrow.getAddress(), terms);
    const state = { version: 1n, contentHash: CONTENT, deadlineBlock: NEVER };
    const data = dataSetUpdateTypedData(chainId, await escrow.getAddress(), {
      ...state,
      dataSetId: id,
      retirements: 0n,
      rangesHash: rangesHash(ranges),
    });
    const sent = await escrow.connect(provider).open(forChain(terms), audit, {
      ...state,
      ranges: encodeLiveRanges(ranges),
      userSignature: await user.signTypedData(data.domain, data.types, data.message),
      providerSignature: "0x",
    });
    const receipt = await sent.wait();
    const scheduled = receipt?.logs
      .map((log) => escrow.interface.parseLog(log))
      .find((event) => event?.name === "DataSetScheduled");
    const schedule = String(scheduled?.args.getValue("schedule"));
    return { id, keys, terms, audit, ranges, schedule, prove };
  }

  const openLarge = (keys: AuditKeys, sampleCount: number) =>
    open(keys, sampleCount, LARGE, async (challenge) => proveWithSecrets(keys, challenge, sparseSlice));

  function forChain(terms: DataSetTerms): IStorageEscrow.TermsStruct {
    return { ...terms, mode: DATA_SET_MODES.indexOf(terms.mode) };
  }

  /** Goes to the first block of the next epoch in which proofs count. */
  async function nextChallenge(): Promise<number> {
    const epoch = Number(await escrow.currentEpoch()) + 1;
    const { challengeBlock } = windowsOf(
      { epochBlocks: EPOCH_BLOCKS, phase: 10, windowBlocks: 20, graceBlocks: 15 },
      epoch,
    );
    await mineTo(challengeBlock);
    return epoch;
  }

  async function challengeOf({ id, ranges, audit }: RunningSet, epoch: number): Promise<AuditChallenge> {
    const challengeBlock = epoch * EPOCH_BLOCKS + audit.phase;
    const value = fromHex(await randomness.randomnessAt(challengeBlock, { blockTag: "pending" }));
    const seed = challengeSeed(chainId, await escrow.getAddress(), id, challengeBlock, value);
    return { seed, sampleCount: audit.sampleCount, ranges };
  }

  function callWith(
    { terms, audit, schedule, ranges }: RunningSet,
    answer: Uint8Array,
  ): IStorageEscrow.ProofCallStruct {
    return { terms: forChain(terms), audit, schedule, ranges: encodeLiveRanges(ranges), answer, evidence: "0x" };
  }

  async function answered(set: RunningSet, epoch: number): Promise<IStorageEscrow.ProofCallStruct> {
    return callWith(set, encodeAnswer(set.keys.publicKey, await set.prove(await challengeOf(set, epoch))));
  }

  async function gasOf(sent: Promise<ContractTransactionResponse>): Promise<number> {
    return Number((await (await sent).wait())?.gasUsed);
  }

  const poolTotal = async () => (await escrow.poolOf(NATIVE, provider)).total;

  before(async () => {
    await auditReady();
    connection = await network.create();
    const [first, second] = await connection.ethers.getSigners();
    if (first === undefined || second === undefined) throw new Error("no accounts");
    [user, provider] = [first, second];
    ({ chainId } = await connection.ethers.provider.getNetwork());
    const deploy = async (name: string, ...args: unknown[]) =>
      (await connection.ethers.deployContract(name, args)).getAddress();
    escrow = StorageEscrow__factory.connect(
      await deploy("StorageEscrow", EPOCH_BLOCKS, 5, await deploy("AccountDirectory")),
      user,
    );
    verifier = PossessionVerifier__factory.connect(await deploy("PossessionVerifier"), user);
    randomness = BlockRandomness__factory.connect(await deploy("BlockRandomness"), user);
    await escrow.deposit(NATIVE, user, 10n ** 18n, { value: 10n ** 18n });
    await escrow.connect(provider).depositCollateral(NATIVE, provider, 10n ** 18n, { value: 10n ** 18n });
  });

  after(() => connection.close());

  describe("from stored slices", () => {
    const ranges = [{ firstIndex: 1, count: MEBIBYTE_SLICES }];
    let one: RunningSet;
    let other: RunningSet;

    before(async () => {
      const [keys, otherKeys] = [testKeys(), testKeys(3, 4)];
      const stored = storeSet(keys, patternBytes(2 ** 20, 5));
      const otherStored = storeSet(otherKeys, patternBytes(2 ** 20, 6));
      one = await open(keys, 30, ranges, (challenge) => proveAudit(challenge, stored.source, { key: keys.publicKey }));
      other = await open(otherKeys, 12, ranges, (challenge) =>
        proveAudit(challenge, otherStored.source, { key: otherKeys.publicKey }),
      );
    });

    it("pay the provider for one set", async () => {
      const epoch = await nextChallenge();
      const before = await poolTotal();
      await escrow.prove([await answered(one, epoch)]);
      expect((await poolTotal()) - before).to.equal(feeOf(one.terms, MEBIBYTE_SLICES, MEBIBYTE_SLICES));
      expect((await escrow.booksOf(one.id)).proven).to.equal(1n);
      expect((await escrow.booksOf(other.id)).proven).to.equal(0n);
    });

    it("pay the provider for two sets of one transaction", async () => {
      const epoch = await nextChallenge();
      const before = await poolTotal();
      await escrow.prove([await answered(one, epoch), await answered(other, epoch)]);
      expect((await poolTotal()) - before).to.equal(2n * feeOf(one.terms, MEBIBYTE_SLICES, MEBIBYTE_SLICES));
      expect((await escrow.booksOf(one.id)).proven).to.equal(2n);
      expect((await escrow.booksOf(other.id)).proven).to.equal(1n);
    });

    it("are refused when they are wrong, and then change nothing", async () => {
      const epoch = await nextChallenge();
      const [right, right2] = [await answered(one, epoch), await answered(other, epoch)];
      const yesterday = await answered(one, epoch - 1);
      const damaged = (call: IStorageEscrow.ProofCallStruct, place: number) => {
        const answer = (call.answer as Uint8Array).slice();
        answer[place] = (answer[place] ?? 0) ^ 1;
        return { ...call, answer };
      };
      const state = async () =>
        JSON.stringify(
          [
            await escrow.poolOf(NATIVE, provider),
            await escrow.accountOf(NATIVE, user),
            ...(await Promise.all([one, other].map(({ id }) => escrow.booksOf(id)))),
            ...(await Promise.all([one, other].map(({ id }) => escrow.scheduleHashOf(id)))),
          ],
          (_, value: unknown) => (typeof value === "bigint" ? String(value) : value),
        );
      const before = await state();
      const wrong: Record<string, IStorageEscrow.ProofCallStruct[]> = {
        "of the epoch before": [yesterday],
        "with another y": [damaged(right, 1183)],
        "with a point off the curve": [damaged(right, 768 + 127)],
        "with another key": [damaged(right, 255)],
        "too short": [{ ...right, answer: (right.answer as Uint8Array).slice(0, -1) }],
        empty: [{ ...right, answer: "0x" }],
        "of the other set": [{ ...right, answer: right2.answer }],
        "beside a right one": [right2, damaged(right, 1183)],
        "before a right one": [damaged(right, 1183), right2],
      };
      for (const [name, calls] of Object.entries(wrong)) {
        expect(await refusal(calls), name).to.equal("ProofRejected");
        expect(await state(), name).to.equal(before);
      }
      await escrow.prove([right, right2]);
      expect(await state()).to.not.equal(before);
    });

    /** Sends a transaction that should fail. @returns the name of its error, or "none" */
    async function refusal(calls: IStorageEscrow.ProofCallStruct[]): Promise<string> {
      try {
        await escrow.prove.staticCall(calls, { ...CALL, blockTag: "pending" });
        return "none";
      } catch (error) {
        const { data } = error as { data?: string };
        return escrow.interface.parseError(data ?? "0x")?.name ?? String(error);
      }
    }
  });

  it("are refused when the second set has the negated key, without data", async () => {
    const challenge = { seed: new Uint8Array(32).fill(0x5e), sampleCount: 3, ranges: [{ firstIndex: 1, count: 9 }] };
    const claims = makeNegatedBatch(testKeys(), challenge).sets.map(({ challenge: asked, key, proof }) => ({
      seed: asked.seed,
      keyHash: auditKeyHash(key),
      sampleCount: asked.sampleCount,
      ranges: encodeRanges(asked.ranges),
      answer: encodeAnswer(key, proof),
    }));
    expect(await verifier.verify(claims, CALL)).to.equal(false);
    expect(await verifier.verify([...claims].reverse(), CALL)).to.equal(false);
    expect(await verifier.verify([], CALL)).to.equal(false);
  });

  it("are refused with the second encoding of y, even when ρ was drawn from it", async () => {
    const keys = testKeys();
    const challenge = { seed: new Uint8Array(32).fill(0x5f), sampleCount: 3, ranges: [{ firstIndex: 1, count: 9 }] };
    const proof = proveWithSecrets(keys, challenge, sparseSlice);
    const encodings = [proof.y, proof.y + FIELD_ORDER].map((y) => integerToBigEndian(y, 32));
    const accepted = encodings.map((y) => {
      const [id, keyHash] = [challengeId(challenge), auditKeyHash(keys.publicKey)];
      const rho = openingPoint(id, keyHash, encodeG1ForChain(decodeG1(proof.sigma, "σ")), y);
      const expanded = expandChallenge(challenge);
      const { beta } = keys.secrets;
      const numerator = evaluateChallenge(expanded, beta) - evaluateChallenge(expanded, rho);
      const W = encodeG1(multiplyGeneratorG1(reduce(numerator * power(reduce(beta - rho), FIELD_ORDER - 2n))));
      const answer = encodeAnswer(keys.publicKey, { ...proof, W });
      answer.set(y, answer.length - y.length);
      const { seed, sampleCount, ranges } = challenge;
      return verifier.verify([{ seed, keyHash, sampleCount, ranges: encodeRanges(ranges), answer }], CALL);
    });
    expect(await Promise.all(accepted)).to.deep.equal([true, false]);
  });

  for (const { sampleCount, gas, furtherPercent } of BARS) {
    it(`cost at most ${gas} gas at ${sampleCount} samples, a further set at most ${furtherPercent} %`, async () => {
      const large: RunningSet[] = [];
      for (let owner = 0; owner < 3; owner++) large.push(await openLarge(testKeys(10 + owner), sampleCount));
      const calls = async (count: number) => {
        const epoch = await nextChallenge();
        return Promise.all(large.slice(0, count).map((set) => answered(set, epoch)));
      };
      const one = await gasOf(escrow.connect(provider).prove(await calls(1)));
      const two = await gasOf(escrow.connect(provider).prove(await calls(2)));
      const three = await gasOf(escrow.connect(provider).prove(await calls(3)));
      const percent = ((two - one) / one) * 100;
      const third = ((three - two) / one) * 100;
      console.log(
        `      ${sampleCount} samples: ${one}, second set ${two - one} (${percent.toFixed(1)} %), ` +
          `third ${three - two} (${third.toFixed(1)} %)`,
      );
      expect(one).to.be.at.most(gas);
      expect(percent).to.be.at.most(furtherPercent);
      expect(third).to.be.at.most(furtherPercent);
    });
  }
});

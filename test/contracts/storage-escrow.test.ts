import { expect } from "chai";
import type { Signer } from "ethers";
import { network } from "hardhat";
import type { NetworkConnection } from "hardhat/types/network";
import { StorageEscrow__factory } from "../../offchain/chain/types/factories/StorageEscrow__factory.ts";
import type { StorageEscrow } from "../../offchain/chain/types/StorageEscrow.ts";
import type { SliceRange } from "../../offchain/core/audit/challenge.ts";
import { accrue, runwayEpochs } from "../../offchain/core/data-set/balance.ts";
import { windowsOf } from "../../offchain/core/data-set/epochs.ts";
import { feeOf, lockedCollateral } from "../../offchain/core/data-set/fee.ts";
import { encodeLiveRanges, joinRanges, rangesHash } from "../../offchain/core/data-set/ranges.ts";
import {
  decodeSchedule,
  encodeSchedule,
  feesBetween,
  lastLevel,
  type Schedule,
  scheduleHash,
} from "../../offchain/core/data-set/schedule.ts";
import {
  DATA_SET_MODES,
  type DataSetAuditTerms,
  type DataSetTerms,
  dataSetId,
} from "../../offchain/core/data-set/terms.ts";
import { fromHex, toHex } from "../../offchain/core/encoding/hex.ts";
import { dataSetUpdateTypedData } from "../../offchain/core/identity/typed-messages.ts";
import { agreedTerms } from "../helpers/agreed-terms.ts";

const EPOCH_BLOCKS = 100;
const NOTICE_EPOCHS = 5;
const NATIVE = `0x${"0".repeat(40)}`;
const CONTENT = `0x${"c0".repeat(32)}`;
const NEVER = 2n ** 64n - 1n;

/** The off-chain code beside the contract: ids, hashes, signatures, fees and balances must be the same. */
describe("data sets, on chain and off", () => {
  let connection: NetworkConnection;
  let escrow: StorageEscrow;
  let user: Signer;
  let provider: Signer;
  let audit: DataSetAuditTerms;
  let terms: DataSetTerms;
  let id: string;
  let schedule: Uint8Array;
  let ranges: SliceRange[] = [];

  const chainId = async () => (await connection.ethers.provider.getNetwork()).chainId;
  const chainTerms = () => ({ ...terms, mode: DATA_SET_MODES.indexOf(terms.mode) });
  const mineTo = async (block: number) => {
    const blocks = block - (await connection.ethers.provider.getBlockNumber());
    if (blocks > 0) await connection.ethers.provider.send("hardhat_mine", [`0x${blocks.toString(16)}`]);
  };
  const epochNow = async () => Number(await escrow.currentEpoch());

  async function signedUpdate(version: bigint, retirements: number, next: readonly SliceRange[]) {
    const data = dataSetUpdateTypedData(await chainId(), await escrow.getAddress(), {
      dataSetId: id,
      version,
      retirements: BigInt(retirements),
      rangesHash: rangesHash(next),
      contentHash: CONTENT,
      deadlineBlock: NEVER,
    });
    const sign = (signer: Signer) => signer.signTypedData(data.domain, data.types, data.message);
    return {
      version,
      ranges: encodeLiveRanges(next),
      contentHash: CONTENT,
      deadlineBlock: NEVER,
      userSignature: await sign(user),
      providerSignature: await sign(provider),
    };
  }

  async function remember(hash: string): Promise<void> {
    const receipt = await connection.ethers.provider.getTransactionReceipt(hash);
    for (const log of receipt?.logs ?? []) {
      const event = escrow.interface.parseLog(log);
      if (event?.name !== "DataSetScheduled") continue;
      schedule = fromHex(String(event.args.getValue("schedule")));
      return;
    }
    throw new Error("no schedule in the receipt");
  }

  before(async () => {
    connection = await network.create();
    const [first, second] = await connection.ethers.getSigners();
    if (first === undefined || second === undefined) throw new Error("no accounts");
    [user, provider] = [first, second];
    const deploy = async (name: string, ...args: unknown[]) =>
      (await connection.ethers.deployContract(name, args)).getAddress();
    const address = await deploy("StorageEscrow", EPOCH_BLOCKS, NOTICE_EPOCHS, await deploy("AccountDirectory"));
    escrow = StorageEscrow__factory.connect(address, user);
    audit = {
      randomness: await deploy("FakeRandomness"),
      verifier: await deploy("FakeVerifier"),
      keyHash: `0x${"ab".repeat(32)}`,
      sliceElements: 8192,
      sampleCount: 460,
      phase: 10,
      windowBlocks: 20,
      graceBlocks: 15,
      disputeBond: 12_345n,
      predecessor: `0x${"00".repeat(32)}`,
      salt: `0x${"5a".repeat(32)}`,
    };
    terms = agreedTerms(audit, {
      user: await user.getAddress(),
      provider: await provider.getAddress(),
      token: NATIVE,
      feeFloor: 10n ** 12n,
      feePerSlice: 10n ** 9n,
      feePerIndex: 10n ** 6n,
      feeCap: 10n ** 15n,
    });
    id = dataSetId(await chainId(), address, terms);
    await escrow.deposit(NATIVE, user, 10n ** 15n, { value: 10n ** 15n });
    await escrow.depositCollateral(NATIVE, provider, 10n ** 15n, { value: 10n ** 15n });
  });

  after(() => connection.close());

  it("gives a set the id that the contract computes", async () => {
    expect(await escrow.idOf(chainTerms())).to.equal(id);
    terms = { ...terms, mode: "on-demand" };
    const other = dataSetId(await chainId(), await escrow.getAddress(), terms);
    expect(await escrow.idOf(chainTerms()))
      .to.equal(other)
      .and.not.equal(id);
    terms = { ...terms, mode: "every-epoch" };
  });

  it("opens a set with typed signatures, and its schedule is what the chain pins", async () => {
    ranges = [{ firstIndex: 1, count: 5_000 }];
    const sent = await escrow.open(chainTerms(), audit, await signedUpdate(1n, 0, ranges));
    await remember(sent.hash);
    const expected: Schedule = {
      version: 1n,
      retirements: 0,
      contentHash: CONTENT,
      levels: [
        {
          fromEpoch: (await epochNow()) + 1,
          fee: feeOf(terms, 5_000, 5_000),
          sliceCount: 5_000,
          highestIndex: 5_000,
          rangesHash: rangesHash(ranges),
        },
      ],
    };
    expect(decodeSchedule(schedule)).to.deep.equal(expected);
    expect(toHex(encodeSchedule(expected))).to.equal(toHex(schedule));
    expect(await escrow.scheduleHashOf(id)).to.equal(scheduleHash(schedule));
    const pool = await escrow.poolOf(NATIVE, provider);
    expect(pool.locked).to.equal(lockedCollateral(terms, feeOf(terms, 5_000, 5_000)));
  });

  it("updates with what a later put adds", async () => {
    await mineTo(((await epochNow()) + 2) * EPOCH_BLOCKS);
    const before = encodeLiveRanges(ranges);
    ranges = joinRanges(ranges, [{ firstIndex: 5_001, count: 8 }]);
    const update = { ...(await signedUpdate(2n, 0, ranges)), providerSignature: "0x" };
    const sent = await escrow.connect(provider).update(chainTerms(), schedule, before, update);
    await remember(sent.hash);
    // One level becomes two, one range grows, and the collateral stays as it is.
    const gas = Number((await sent.wait())?.gasUsed);
    console.log(`      an update by the provider: ${gas} gas`);
    expect(gas).to.be.at.most(60_000);
    expect(lastLevel(decodeSchedule(schedule))).to.include({ sliceCount: 5_008, fee: feeOf(terms, 5_008, 5_008) });
  });

  it("counts the same balance", async () => {
    const stored = await escrow.accountOf(NATIVE, user);
    const account = {
      available: stored.available,
      rate: stored.rate,
      paidThrough: Number(stored.paidThrough),
      generation: Number(stored.generation),
    };
    expect(account.rate).to.equal(feeOf(terms, 5_008, 5_008));
    const epoch = (await epochNow()) + 3;
    await mineTo(epoch * EPOCH_BLOCKS);
    // Anything that touches the balance brings it up to date.
    await escrow.deposit(NATIVE, user, 1n, { value: 1n });
    const later = await escrow.accountOf(NATIVE, user);
    const accrued = accrue(account, epoch);
    expect(later.available).to.equal(accrued.available + 1n);
    expect(runwayEpochs(accrued)).to.equal(Number(accrued.available / accrued.rate));
    expect(account.available - accrued.available).to.equal(feesBetween(decodeSchedule(schedule), epoch - 3, epoch));
  });

  it("knows in which block a proof counts", async () => {
    const epoch = (await epochNow()) + 1;
    const windows = windowsOf({ ...audit, epochBlocks: EPOCH_BLOCKS }, epoch);
    await mineTo(windows.challengeBlock - 1);
    const call = {
      terms: chainTerms(),
      audit,
      schedule,
      ranges: encodeLiveRanges(ranges),
      answer: "0x",
      evidence: "0x",
    };
    const refused = async () => {
      try {
        await escrow.prove.staticCall([call], { blockTag: "pending" });
        return "nothing";
      } catch (error) {
        const { data } = error as { data?: string };
        return escrow.interface.parseError(data ?? "0x")?.name;
      }
    };
    expect(await refused()).to.equal("OutsideWindow");
    await mineTo(windows.challengeBlock);
    expect(await refused()).to.equal("ProofRejected");
    await mineTo(windows.graceEnd - 1);
    expect(await refused()).to.equal("ProofRejected");
    await mineTo(windows.graceEnd);
    expect(await refused()).to.equal("OutsideWindow");
  });
});

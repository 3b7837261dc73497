/**
 * Gas of data sets: whole transactions as their senders pay for them, call data included, on Hardhat's own network with
 * the production build of the contracts. Proofs are real; they are computed from the owner's secrets over sets of 32
 * GiB, which cost the chain the same as any other up to that size.
 *
 * While an epoch is proven, the randomness source has other code, whose values are the same in every run. Block hashes
 * differ between runs, and so would the number of zero bytes in a proof, which cost less. The real source costs about
 * 200 gas more.
 *
 *   node scripts/bench/gas-escrow.ts
 */
import { AbiCoder, type Signer } from "ethers";
import { deployTallystick } from "../../ignition/deploy-tallystick.ts";
import { escrowAbi } from "../../offchain/chain/abis.ts";
import type { ContractCall } from "../../offchain/chain/contract-call.ts";
import { NATIVE_TOKEN, type SignedState } from "../../offchain/chain/data-set-words.ts";
import type { Deployment } from "../../offchain/chain/deployment.ts";
import {
  closeDataSetCall,
  depositCall,
  depositCollateralCall,
  disputeCall,
  noticeCall,
  openDataSetCall,
  proveDataSetsCall,
  reportDataSetMissCall,
  retireCall,
  setOperatorCall,
  settleDataSetCall,
  updateDataSetCall,
  upholdDisputeCall,
  withdrawBalanceCall,
  withdrawCollateralCall,
} from "../../offchain/chain/escrow-calls.ts";
import { BlockRandomness__factory } from "../../offchain/chain/types/factories/randomness/BlockRandomness__factory.ts";
import { StorageEscrow__factory } from "../../offchain/chain/types/factories/StorageEscrow__factory.ts";
import type { SliceRange } from "../../offchain/core/audit/challenge.ts";
import { auditKeyHash } from "../../offchain/core/audit/keys.ts";
import { encodeAnswer } from "../../offchain/core/audit/proof.ts";
import { auditReady } from "../../offchain/core/audit/ready.ts";
import { challengeSeed, windowsOf } from "../../offchain/core/data-set/epochs.ts";
import { encodeLiveRanges, rangesHash } from "../../offchain/core/data-set/ranges.ts";
import {
  auditTermsHash,
  DATA_SET_MODES,
  type DataSetAuditTerms,
  type DataSetMode,
  type DataSetTerms,
  dataSetId,
} from "../../offchain/core/data-set/terms.ts";
import { fromHex, toHex } from "../../offchain/core/encoding/hex.ts";
import { dataSetUpdateTypedData } from "../../offchain/core/identity/typed-messages.ts";
import { type AuditKeys, proveWithSecrets, sparseSlice, testKeys } from "../../test/helpers/audit-set.ts";
import { type GasFigure, GasMeter, measuringNetwork } from "./gas-figure.ts";

const EPOCH_BLOCKS = 100;
const NOTICE_EPOCHS = 3;
const PHASE = 10;
const MONTH_EPOCHS = 30;
/** The whole month: a settlement and a payout. */
export const MONTH_FIGURE = `settle and withdrawCollateral, ${MONTH_EPOCHS} epochs on demand`;
/** 32 GiB: the largest set whose indices take three positions in the contract's table of powers. */
const HIGHEST_INDEX = 2 ** 18 - 1;
const NEVER = 2n ** 64n - 1n;
const CONTENT = `0x${"c0".repeat(32)}`;
const ETHER = 10n ** 18n;
/** Code of a source whose randomness is keccak256 of the call data, for both of its functions. */
const FIXED_RANDOMNESS = `0x${"5a".repeat(32)}`;
const FIXED_RANDOMNESS_CODE = `0x7f${"5a".repeat(32)}5f5260205ff3`;

/** A set that runs, with what calls about it bring. */
interface MeasuredSet {
  readonly id: string;
  readonly keys: AuditKeys;
  readonly terms: DataSetTerms;
  readonly audit: DataSetAuditTerms;
  schedule: Uint8Array;
  ranges: Uint8Array;
  live: readonly SliceRange[];
  version: bigint;
}

/** Measures the life of data sets. @throws Error when a step is refused */
export async function measureEscrowGas(): Promise<GasFigure[]> {
  await auditReady();
  const connection = await measuringNetwork();
  try {
    const { contracts, chainId } = await deployTallystick(connection, {
      epochBlocks: BigInt(EPOCH_BLOCKS),
      noticeEpochs: BigInt(NOTICE_EPOCHS),
    });
    const { provider: chain } = connection.ethers;
    const [user, provider, watcher] = await connection.ethers.getSigners();
    if (user === undefined || provider === undefined || watcher === undefined) throw new Error("no accounts");
    const deployment = { chainId, contracts } as unknown as Deployment;
    const escrow = StorageEscrow__factory.connect(contracts.storageEscrow, user);
    const randomnessCode = await chain.getCode(contracts.randomness);
    const meter = new GasMeter();
    const send = ({ to, data, value = 0n }: ContractCall, from: Signer) => from.sendTransaction({ to, data, value });
    const measure = (name: string, call: ContractCall, from: Signer) => meter.measure(name, send(call, from));
    const mineTo = async (block: number): Promise<void> => {
      const blocks = block - (await chain.getBlockNumber());
      if (blocks > 0) await chain.send("hardhat_mine", [`0x${blocks.toString(16)}`]);
    };
    const epochNow = async () => Math.floor((await chain.getBlockNumber()) / EPOCH_BLOCKS);
    const nextEpoch = async () => mineTo(((await epochNow()) + 1) * EPOCH_BLOCKS);

    const state = async (set: MeasuredSet, live: readonly SliceRange[], content = CONTENT): Promise<SignedState> => {
      const data = dataSetUpdateTypedData(BigInt(chainId), contracts.storageEscrow, {
        dataSetId: set.id,
        version: set.version + 1n,
        retirements: 0n,
        rangesHash: rangesHash(live),
        contentHash: content,
        deadlineBlock: NEVER,
      });
      const sign = (signer: Signer) => signer.signTypedData(data.domain, data.types, data.message);
      return {
        version: set.version + 1n,
        ranges: encodeLiveRanges(live),
        contentHash: content,
        deadlineBlock: NEVER,
        userSignature: await sign(user),
        providerSignature: await sign(provider),
      };
    };
    /** Notes what the last event of a set says. */
    const follow = async (set: MeasuredSet): Promise<void> => {
      const events = await escrow.queryFilter(escrow.filters.DataSetScheduled(set.id));
      const last = events.at(-1)?.args;
      if (last === undefined) throw new Error("a set without a schedule");
      set.schedule = fromHex(last.schedule);
      set.ranges = fromHex(last.ranges);
    };
    let salts = 0;
    const open = async (mode: DataSetMode, sampleCount: number, name: string | undefined): Promise<MeasuredSet> => {
      salts += 1;
      const keys = testKeys(salts, 2);
      const audit: DataSetAuditTerms = {
        randomness: contracts.randomness,
        verifier: contracts.possessionVerifier,
        keyHash: toHex(auditKeyHash(keys.publicKey)),
        sliceElements: 4096,
        sampleCount,
        phase: PHASE,
        windowBlocks: 20,
        graceBlocks: 15,
        disputeBond: 10n ** 12n,
        predecessor: `0x${"00".repeat(32)}`,
        salt: `0x${salts.toString(16).padStart(64, "0")}`,
      };
      const terms: DataSetTerms = {
        user: user.address,
        provider: provider.address,
        token: NATIVE_TOKEN,
        mode,
        feeFloor: 10n ** 9n,
        feePerSlice: 10n ** 9n,
        feePerIndex: 10n ** 6n,
        feeCap: 10n ** 18n,
        collateralPercent: 300,
        compensationPercent: 60,
        bountyPercent: 20,
        latePercent: 50,
        breachLimit: 3,
        auditHash: auditTermsHash(audit),
      };
      const live = [{ firstIndex: 1, count: HIGHEST_INDEX - 8 }];
      const id = dataSetId(BigInt(chainId), contracts.storageEscrow, terms);
      const empty = new Uint8Array();
      const set: MeasuredSet = { id, keys, terms, audit, schedule: empty, ranges: empty, live, version: 0n };
      const call = openDataSetCall(deployment, terms, audit, { ...(await state(set, live)), providerSignature: "0x" });
      if (name === undefined) await (await send(call, provider)).wait();
      else await measure(name, call, provider);
      set.version = 1n;
      await follow(set);
      return set;
    };
    const update = async (set: MeasuredSet, live: readonly SliceRange[], name: string): Promise<void> => {
      const next = { ...(await state(set, live)), providerSignature: "0x" };
      await measure(name, updateDataSetCall(deployment, set, next), provider);
      Object.assign(set, { live, version: set.version + 1n });
      await follow(set);
    };
    const prove = async (sets: readonly MeasuredSet[], challengeBlock: number, name: string, per = 1) => {
      await chain.send("hardhat_setCode", [contracts.randomness, FIXED_RANDOMNESS_CODE]);
      const proofs = sets.map((set) => {
        const seed = challengeSeed(
          BigInt(chainId),
          contracts.storageEscrow,
          set.id,
          challengeBlock,
          fromHex(FIXED_RANDOMNESS),
        );
        const challenge = { seed, sampleCount: set.audit.sampleCount, ranges: set.live };
        const proof = proveWithSecrets(set.keys, challenge, sparseSlice);
        return { ...set, answer: encodeAnswer(set.keys.publicKey, proof), evidence: new Uint8Array() };
      });
      await meter.measure(name, send(proveDataSetsCall(deployment, proofs), provider), per);
      await chain.send("hardhat_setCode", [contracts.randomness, randomnessCode]);
    };
    const challengeNow = async () => {
      const { challengeBlock } = windowsOf(
        { epochBlocks: EPOCH_BLOCKS, phase: PHASE, windowBlocks: 20, graceBlocks: 15 },
        await epochNow(),
      );
      await mineTo(challengeBlock + 1);
      return challengeBlock;
    };

    await nextEpoch();
    await measure("deposit, first of a balance", depositCall(deployment, NATIVE_TOKEN, user.address, ETHER), user);
    await measure("deposit, later", depositCall(deployment, NATIVE_TOKEN, user.address, ETHER), user);
    await measure(
      "depositCollateral",
      depositCollateralCall(deployment, NATIVE_TOKEN, provider.address, ETHER),
      provider,
    );
    const first = await open("every-epoch", 30, "open");
    const second = await open("every-epoch", 460, undefined);
    const third = await open("every-epoch", 460, undefined);
    const onDemand = await open("on-demand", 460, undefined);
    await nextEpoch();
    await update(first, [{ firstIndex: 1, count: HIGHEST_INDEX - 7 }], "update, one level becomes two");
    await update(first, [{ firstIndex: 1, count: HIGHEST_INDEX - 6 }], "update, replaced in the same epoch");
    await nextEpoch();
    await prove([first], await challengeNow(), "prove, 30 samples, first");
    await prove([second], await challengeNow(), "prove, 460 samples, first");
    await nextEpoch();
    // The fee of the epoch before the first proof goes back to the user.
    await prove([first], await challengeNow(), "prove, 30 samples, settles an epoch without a proof");
    await prove([second, third], await challengeNow(), "prove, 460 samples, each of two sets in one transaction", 2);
    await mineTo((await epochNow()) * EPOCH_BLOCKS + 90);
    await nextEpoch();
    const missed = (await epochNow()) - 1;
    await (await send(settleDataSetCall(deployment, third), watcher)).wait();
    await prove([first], await challengeNow(), "prove, 30 samples, the epoch before proven too");
    await mineTo((await epochNow()) * EPOCH_BLOCKS + 50);
    await measure("reportMiss", reportDataSetMissCall(deployment, third, missed + 1), watcher);
    await measure("dispute", disputeCall(deployment, onDemand), user);
    const { challengeBlock } = await escrow.disputeOf(onDemand.id);
    await mineTo(Number(challengeBlock) + 1);
    await prove([onDemand], Number(challengeBlock), "prove, 460 samples, answers a dispute");
    await nextEpoch();
    await measure("dispute, later", disputeCall(deployment, onDemand), user);
    await nextEpoch();
    await measure("upholdDispute", upholdDisputeCall(deployment, onDemand), watcher);
    await measure("settle", settleDataSetCall(deployment, second), watcher);
    const remaining = encodeLiveRanges([
      { firstIndex: 1, count: 1000 },
      { firstIndex: 2000, count: HIGHEST_INDEX - 8 - 1999 },
    ]);
    await measure("retire", retireCall(deployment, second, undefined, remaining), user);
    await measure("giveNotice", noticeCall(deployment, first), user);
    await follow(first);
    for (let n = 0; n < NOTICE_EPOCHS + 3; n++) await nextEpoch();
    await measure("close", closeDataSetCall(deployment, first), watcher);
    const two = [await state(third, third.live), await state(third, third.live, `0x${"c1".repeat(32)}`)];
    const tuple = escrowAbi().getFunction("open").inputs[2];
    if (tuple === undefined) throw new Error("the escrow's ABI has no states");
    const evidence = AbiCoder.defaultAbiCoder().encode(["uint256", tuple, tuple], [0, ...two]);
    const terms = { ...third.terms, mode: DATA_SET_MODES.indexOf(third.terms.mode) };
    const shown = escrow.connect(watcher).showDoubleSigning(terms, third.schedule, provider.address, evidence);
    await meter.measure("showDoubleSigning", shown);
    await measure("setOperator", setOperatorCall(deployment, watcher.address), provider);
    await measure("withdraw", withdrawBalanceCall(deployment, NATIVE_TOKEN, user.address, 1000n), user);
    await measure(
      "withdrawCollateral",
      withdrawCollateralCall(deployment, NATIVE_TOKEN, provider.address, 1000n),
      provider,
    );
    // What an honest provider spends on a set on demand that nobody disputes or changes.
    await (await send(settleDataSetCall(deployment, onDemand), provider)).wait();
    for (let n = 0; n < MONTH_EPOCHS; n++) await nextEpoch();
    const month = new GasMeter();
    await month.measure("settle", send(settleDataSetCall(deployment, onDemand), provider));
    const { total, locked } = await escrow.poolOf(NATIVE_TOKEN, provider.address);
    const earnings = withdrawCollateralCall(deployment, NATIVE_TOKEN, provider.address, total - locked);
    await month.measure("withdrawCollateral", send(earnings, provider));
    const [settled, paidOut] = month.figures;
    if (settled === undefined || paidOut === undefined) throw new Error("a month without figures");
    meter.figures.push({ ...settled, name: `settle, ${MONTH_EPOCHS} epochs on demand` });
    meter.figures.push({ name: MONTH_FIGURE, gas: settled.gas + paidOut.gas });

    await meter.measureViews(escrow, watcher, {
      idOf: [terms],
      scheduleHashOf: [second.id],
      booksOf: [second.id],
      disputeOf: [onDemand.id],
      accountOf: [NATIVE_TOKEN, user.address],
      endEpochOf: [NATIVE_TOKEN, user.address, 0],
      poolOf: [NATIVE_TOKEN, provider.address],
      operatorOf: [provider.address],
      replacedUntil: [provider.address, provider.address],
    });
    const randomness = BlockRandomness__factory.connect(contracts.randomness, watcher);
    const past = (await chain.getBlockNumber()) - 1;
    // Recording stores nothing there, so it is a view.
    await meter.measureViews(randomness, watcher, { randomnessAt: [past], record: [past, "0x"] });
    for (const contract of [escrow, randomness]) meter.checkComplete(contract);
    return meter.figures;
  } finally {
    await connection.close();
  }
}

if (import.meta.main) {
  for (const { name, gas } of await measureEscrowGas()) console.log(`${name.padEnd(56)} ${gas}`);
}

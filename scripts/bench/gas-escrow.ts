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
import { escrowAbi } from "../../offchain/chain/abis.ts";
import type { ContractCall } from "../../offchain/chain/contract-call.ts";
import { NATIVE_TOKEN } from "../../offchain/chain/data-set-words.ts";
import {
  closeDataSetCall,
  depositCall,
  depositCollateralCall,
  disputeCall,
  noticeCall,
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
import type { SliceRange } from "../../offchain/core/audit/challenge.ts";
import { auditReady } from "../../offchain/core/audit/ready.ts";
import { encodeLiveRanges } from "../../offchain/core/data-set/ranges.ts";
import { DATA_SET_MODES, type DataSetMode } from "../../offchain/core/data-set/terms.ts";
import { fromHex } from "../../offchain/core/encoding/hex.ts";
import {
  costOf,
  type GasFigure,
  GasMeter,
  type GasRules,
  measuringNetwork,
  RULES_OF_TODAY,
  sumOf,
} from "./gas-figure.ts";
import { HIGHEST_INDEX, type MeasuredSet, MeasuredSets } from "./measured-sets.ts";

const EPOCHS = { epochBlocks: 100, noticeEpochs: 3, phase: 10, windowBlocks: 20, graceBlocks: 15 };
const MONTH_EPOCHS = 30;
/** The whole month: a settlement and a payout. */
export const MONTH_FIGURE = `settle and withdrawCollateral, ${MONTH_EPOCHS} epochs on demand`;
const ETHER = 10n ** 18n;
/** Code of a source whose randomness is keccak256 of the call data, for both of its functions. */
const FIXED_RANDOMNESS = `0x${"5a".repeat(32)}`;
const FIXED_RANDOMNESS_CODE = `0x7f${"5a".repeat(32)}5f5260205ff3`;

/** Measures the life of data sets. @throws Error when a step is refused */
export async function measureEscrowGas(rules: GasRules): Promise<GasFigure[]> {
  await auditReady();
  const connection = await measuringNetwork(rules);
  try {
    const sets = await MeasuredSets.deploy(connection, EPOCHS);
    const { deployment, escrow, user, provider, watcher } = sets;
    const { contracts } = deployment;
    const { provider: chain } = connection.ethers;
    const [userAddress, providerAddress] = [await user.getAddress(), await provider.getAddress()];
    const randomnessCode = await chain.getCode(contracts.randomness);
    const meter = new GasMeter(connection);
    const send = (call: ContractCall, from: Signer) => sets.send(call, from);
    const measure = (name: string, call: ContractCall, from: Signer) => meter.measure(name, send(call, from));
    const nextEpoch = () => sets.nextEpoch();
    const challengeNow = () => sets.challengeNow();
    const open = (mode: DataSetMode, sampleCount: number): Promise<MeasuredSet> =>
      sets.open(mode, sampleCount, async (call) => (await send(call, provider)).wait());
    const update = async (set: MeasuredSet, live: readonly SliceRange[], name: string): Promise<void> => {
      const next = { ...(await sets.state(set, live)), providerSignature: "0x" };
      await measure(name, updateDataSetCall(deployment, set, next), provider);
      Object.assign(set, { live, version: set.version + 1n });
      await sets.follow(set);
    };
    const prove = async (proven: readonly MeasuredSet[], challengeBlock: number, name: string, per = 1) => {
      await chain.send("hardhat_setCode", [contracts.randomness, FIXED_RANDOMNESS_CODE]);
      const call = sets.proveCall(proven, challengeBlock, fromHex(FIXED_RANDOMNESS));
      await meter.measure(name, send(call, provider), per);
      await chain.send("hardhat_setCode", [contracts.randomness, randomnessCode]);
    };

    await nextEpoch();
    await measure("deposit, first of a balance", depositCall(deployment, NATIVE_TOKEN, userAddress, ETHER), user);
    await measure("deposit, later", depositCall(deployment, NATIVE_TOKEN, userAddress, ETHER), user);
    await measure(
      "depositCollateral",
      depositCollateralCall(deployment, NATIVE_TOKEN, providerAddress, ETHER),
      provider,
    );
    const first = await sets.open("every-epoch", 30, (call) => measure("open", call, provider));
    const second = await open("every-epoch", 460);
    const third = await open("every-epoch", 460);
    const onDemand = await open("on-demand", 460);
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
    await sets.mineTo((await sets.epochNow()) * EPOCHS.epochBlocks + 90);
    await nextEpoch();
    const missed = (await sets.epochNow()) - 1;
    await (await send(settleDataSetCall(deployment, third), watcher)).wait();
    await prove([first], await challengeNow(), "prove, 30 samples, the epoch before proven too");
    await sets.mineTo((await sets.epochNow()) * EPOCHS.epochBlocks + 50);
    await measure("reportMiss", reportDataSetMissCall(deployment, third, missed + 1), watcher);
    await measure("dispute", disputeCall(deployment, onDemand), user);
    const { challengeBlock } = await escrow.disputeOf(onDemand.id);
    await sets.mineTo(Number(challengeBlock) + 1);
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
    await sets.follow(first);
    for (let n = 0; n < EPOCHS.noticeEpochs + 3; n++) await nextEpoch();
    await measure("close", closeDataSetCall(deployment, first), watcher);
    const two = [await sets.state(third, third.live), await sets.state(third, third.live, `0x${"c1".repeat(32)}`)];
    const tuple = escrowAbi().getFunction("open").inputs[2];
    if (tuple === undefined) throw new Error("the escrow's ABI has no states");
    const evidence = AbiCoder.defaultAbiCoder().encode(["uint256", tuple, tuple], [0, ...two]);
    const terms = { ...third.terms, mode: DATA_SET_MODES.indexOf(third.terms.mode) };
    const shown = escrow.connect(watcher).showDoubleSigning(terms, third.schedule, providerAddress, evidence);
    await meter.measure("showDoubleSigning", shown);
    await measure("setOperator", setOperatorCall(deployment, await watcher.getAddress()), provider);
    await measure("withdraw", withdrawBalanceCall(deployment, NATIVE_TOKEN, userAddress, 1000n), user);
    await measure(
      "withdrawCollateral",
      withdrawCollateralCall(deployment, NATIVE_TOKEN, providerAddress, 1000n),
      provider,
    );
    // What an honest provider spends on a set on demand that nobody disputes or changes.
    await (await send(settleDataSetCall(deployment, onDemand), provider)).wait();
    for (let n = 0; n < MONTH_EPOCHS; n++) await nextEpoch();
    const settled = await costOf(connection, "settle", await send(settleDataSetCall(deployment, onDemand), provider));
    const { total, locked } = await escrow.poolOf(NATIVE_TOKEN, providerAddress);
    const earnings = withdrawCollateralCall(deployment, NATIVE_TOKEN, providerAddress, total - locked);
    const paidOut = await costOf(connection, "withdrawCollateral", await send(earnings, provider));
    meter.figures.push({ name: `settle, ${MONTH_EPOCHS} epochs on demand`, ...settled });
    meter.figures.push({ name: MONTH_FIGURE, ...sumOf([settled, paidOut]) });

    await meter.measureViews(escrow, watcher, {
      idOf: [terms],
      scheduleHashOf: [second.id],
      booksOf: [second.id],
      disputeOf: [onDemand.id],
      accountOf: [NATIVE_TOKEN, userAddress],
      endEpochOf: [NATIVE_TOKEN, userAddress, 0],
      poolOf: [NATIVE_TOKEN, providerAddress],
      operatorOf: [providerAddress],
      replacedUntil: [providerAddress, providerAddress],
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
  for (const { name, gas } of await measureEscrowGas(RULES_OF_TODAY)) console.log(`${name.padEnd(56)} ${gas}`);
}

/**
 * What epochs cost in the long run: one data set that is proven in each of 200 epochs, with a source of randomness that
 * records values, and nobody to share the records with. Epochs, grid and ring are those of the parameters for Sepolia.
 * The evidence is the header of each challenge block.
 *
 *   node scripts/bench/gas-epochs.ts
 */
import { readFileSync } from "node:fs";
import type { NetworkConnection } from "hardhat/types/network";
import { encodeBlockHeader } from "../../offchain/chain/block-header.ts";
import { NATIVE_TOKEN } from "../../offchain/chain/data-set-words.ts";
import { depositCall, depositCollateralCall } from "../../offchain/chain/escrow-calls.ts";
import { PrevrandaoRandomness__factory } from "../../offchain/chain/types/index.ts";
import { auditReady } from "../../offchain/core/audit/ready.ts";
import { fromHex } from "../../offchain/core/encoding/hex.ts";
import {
  costOf,
  type GasFigure,
  type GasRules,
  type MeasuredCost,
  measuringNetwork,
  RULES_OF_TODAY,
  shareOf,
  sumOf,
} from "./gas-figure.ts";
import { MeasuredSets } from "./measured-sets.ts";

const EPOCHS = 200;
const SAMPLES = 30;
const ETHER = 10n ** 18n;
const WINDOW_BLOCKS = 150;
const PARAMETERS = new URL("../../ignition/parameters/sepolia.json", import.meta.url);

/** One proof with what recording its randomness costs, on the average. */
export const EPOCHS_FIGURE = `record and prove, ${SAMPLES} samples, average of ${EPOCHS} epochs`;

interface SepoliaParameters {
  readonly epochBlocks: string;
  readonly noticeEpochs: string;
  readonly gridBlocks: string;
  readonly ringSize: string;
}

/** Records the value of a block from its header. @returns the value and what it cost */
async function recordRandomness(connection: NetworkConnection, source: string, blockNumber: number) {
  const { provider } = connection.ethers;
  const [sender] = await connection.ethers.getSigners();
  const block = await provider.send("eth_getBlockByNumber", [`0x${blockNumber.toString(16)}`, false]);
  const randomness = PrevrandaoRandomness__factory.connect(source, sender);
  const sent = await randomness.record(blockNumber, encodeBlockHeader(block).encoded);
  return {
    cost: await costOf(connection, "record", sent),
    value: fromHex(await randomness.randomnessAt(blockNumber)),
  };
}

/** @throws Error when a proof is refused */
export async function measureEpochsGas(rules: GasRules): Promise<GasFigure> {
  await auditReady();
  const { Tallystick: parameters }: { Tallystick: SepoliaParameters } = JSON.parse(readFileSync(PARAMETERS, "utf8"));
  const whole = (text: string): number => Number.parseInt(text, 10);
  const gridBlocks = whole(parameters.gridBlocks);
  const epochs = {
    epochBlocks: whole(parameters.epochBlocks),
    noticeEpochs: whole(parameters.noticeEpochs),
    phase: gridBlocks,
    windowBlocks: WINDOW_BLOCKS,
    graceBlocks: WINDOW_BLOCKS,
  };
  const connection = await measuringNetwork(rules);
  try {
    const sets = await MeasuredSets.deploy(connection, epochs, {
      kind: "prevrandao",
      gridBlocks: BigInt(gridBlocks),
      ringSize: BigInt(whole(parameters.ringSize)),
    });
    const { deployment, user, provider } = sets;
    const [userAddress, providerAddress] = [await user.getAddress(), await provider.getAddress()];
    await (await sets.send(depositCall(deployment, NATIVE_TOKEN, userAddress, ETHER), user)).wait();
    await (await sets.send(depositCollateralCall(deployment, NATIVE_TOKEN, providerAddress, ETHER), provider)).wait();
    const set = await sets.open("every-epoch", SAMPLES, async (call) => (await sets.send(call, provider)).wait());
    await sets.nextEpoch();
    const costs: MeasuredCost[] = [];
    for (let n = 0; n < EPOCHS; n += 1) {
      await sets.nextEpoch();
      const challengeBlock = await sets.challengeNow();
      const { cost, value } = await recordRandomness(connection, deployment.contracts.randomness, challengeBlock);
      const proof = await sets.send(sets.proveCall([set], challengeBlock, value), provider);
      costs.push(sumOf([cost, await costOf(connection, "prove", proof)]));
    }
    return { name: EPOCHS_FIGURE, ...shareOf(sumOf(costs), EPOCHS) };
  } finally {
    await connection.close();
  }
}

if (import.meta.main) console.log(await measureEpochsGas(RULES_OF_TODAY));

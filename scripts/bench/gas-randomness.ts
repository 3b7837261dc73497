/**
 * Gas of recording randomness: whole transactions with call data, on Hardhat's own network. The evidence is that of
 * test/vectors/randomness.json, so that every run sends the same call data; the history contract of EIP-2935 is made to
 * tell its hash.
 *
 *   node scripts/bench/gas-randomness.ts
 */
import { keccak256 } from "ethers";
import type { NetworkConnection } from "hardhat/types/network";
import { DrandRandomness__factory, PrevrandaoRandomness__factory } from "../../offchain/chain/types/index.ts";
import { toHex } from "../../offchain/core/encoding/hex.ts";
import { drandKeyForChain } from "../../offchain/core/randomness/drand.ts";
import { QUICKNET } from "../../test/helpers/drand.ts";
import { HISTORY, HISTORY_CODE } from "../../test/helpers/history-contract.ts";
import vectors from "../../test/vectors/randomness.json" with { type: "json" };
import { type GasFigure, GasMeter, type GasRules, measuringNetwork, RULES_OF_TODAY } from "./gas-figure.ts";

/** With one entry, two blocks of the grid have the same slot. */
const GRID_BLOCKS = 8191;
const RING_SIZE = 1;

/** Mines up to a block of the grid and beyond the reach of BLOCKHASH, and sets its hash. @returns its number */
async function mineTo(connection: NetworkConnection, turn: number, header: string): Promise<number> {
  const { provider } = connection.ethers;
  const [blockNumber, head] = [turn * GRID_BLOCKS, await provider.getBlockNumber()];
  await provider.send("hardhat_mine", [`0x${(blockNumber + 300 - head).toString(16)}`]);
  await provider.send("hardhat_setCode", [HISTORY, HISTORY_CODE]);
  await provider.send("hardhat_setStorageAt", [HISTORY, "0x0", keccak256(header)]);
  return blockNumber;
}

/** Measures both sources that record, and the views that all sources have. */
export async function measureRandomnessGas(rules: GasRules): Promise<GasFigure[]> {
  const connection = await measuringNetwork(rules);
  try {
    const [signer] = await connection.ethers.getSigners();
    if (signer === undefined) throw new Error("the network has no accounts");
    const meter = new GasMeter(connection);
    const network = { ...QUICKNET, publicKey: toHex(drandKeyForChain(QUICKNET.publicKey)) };
    const sources = {
      prevrandao: await new PrevrandaoRandomness__factory(signer).deploy(GRID_BLOCKS, RING_SIZE),
      drand: await new DrandRandomness__factory(signer).deploy(network, GRID_BLOCKS, RING_SIZE),
    };
    let turn = 1;
    for (const { kind, header, evidence } of vectors.sources) {
      const source = kind === "drand" ? sources.drand : sources.prevrandao;
      const first = await mineTo(connection, turn++, header);
      await meter.measure(`record, ${kind}, first block of a slot`, source.record(first, evidence));
      const later = await mineTo(connection, turn++, header);
      await meter.measure(`record, ${kind}, later block of a slot`, source.record(later, evidence));
      await meter.measure(`record, ${kind}, known block`, source.record(later, "0x"));
      if (source !== sources.drand) continue;
      // They are the same for both, but for those that only drand has.
      await meter.measureViews(source, signer, { randomnessAt: [later], roundAt: [QUICKNET.genesisTime] });
      meter.checkComplete(source);
    }
    return meter.figures;
  } finally {
    await connection.close();
  }
}

if (import.meta.main) {
  for (const { name, gas } of await measureRandomnessGas(RULES_OF_TODAY)) console.log(`${name.padEnd(48)} ${gas}`);
}

/**
 * Gas of checking OPRF evaluations on Hardhat's own network with the production build of the libraries: the calls
 * alone, and what SHA-512 takes of them. Whole transactions of challenges are among the figures of gas-ledger.ts.
 *
 *   node scripts/bench/gas-oprf.ts
 */
import { fromHex, toHex } from "../../offchain/core/encoding/hex.ts";
import { composeEvaluation, oprfReady } from "../../offchain/core/oprf/ristretto255.ts";
import { loadVectors } from "../../test/helpers/vectors.ts";
import { type GasFigure, measuringNetwork } from "./gas-figure.ts";

interface Vectors {
  readonly modes: {
    readonly publicKey?: string;
    readonly vectors: { blinded: string[]; evaluated: string[]; proof?: string }[];
  }[];
}

/** Most bytes that one block of SHA-512 takes, and what a hundred blocks more take. */
const ONE_BLOCK = 111;
const BLOCKS = 100;
const BLOCK_BYTES = 128;

/** Measures the checks of the RFC's first proof. @throws Error when it does not verify */
export async function measureOprfGas(): Promise<GasFigure[]> {
  await oprfReady();
  const mode = loadVectors<Vectors>("rfc9497-ristretto255-sha512.json").modes.find(({ publicKey }) => publicKey);
  const [vector] = mode?.vectors ?? [];
  const [[blinded], [evaluated]] = [vector?.blinded ?? [], vector?.evaluated ?? []];
  if (mode?.publicKey === undefined || vector?.proof === undefined || blinded === undefined || evaluated === undefined)
    throw new Error("no VOPRF vector");
  const proof = { c: vector.proof.slice(0, 66), s: `0x${vector.proof.slice(66)}` };
  const composites = composeEvaluation(fromHex(mode.publicKey), [fromHex(blinded)], [fromHex(evaluated)]);

  const connection = await measuringNetwork();
  try {
    const harness = await connection.ethers.deployContract("OprfEvaluationHarness");
    const measured = async (check: string, from: string, to: string): Promise<number> => {
      const [valid, gas] = await harness.getFunction(`${check}Gas`).staticCall(mode.publicKey, from, to, proof);
      if (valid !== true) throw new Error(`${check}: the proof of the RFC does not verify`);
      return Number(gas);
    };
    const digest = async (length: number) => Number(await harness.getFunction("sha512Gas").staticCall(length));
    const block = ((await digest(ONE_BLOCK + BLOCKS * BLOCK_BYTES)) - (await digest(ONE_BLOCK))) / BLOCKS;
    const composed = await measured("isComposite", toHex(composites.blinded), toHex(composites.evaluated));
    return [
      { name: "OprfEvaluation, one element, check", gas: await measured("isEvaluation", blinded, evaluated) },
      { name: "OprfEvaluation, composites of a batch, check", gas: composed },
      { name: "Sha512, each block of 128 bytes", gas: Math.ceil(block) },
    ];
  } finally {
    await connection.close();
  }
}

if (import.meta.main) {
  for (const { name, gas } of await measureOprfGas()) console.log(`${name.padEnd(48)} ${gas}`);
}

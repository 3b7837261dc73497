/**
 * Gas of checking a possession proof on Hardhat's own network with the production build of the contracts. Two figures
 * per size: the library call alone, and a whole transaction with only that call (21,000 and call data included). Proofs
 * are computed from the owner's secrets; they cost the chain the same as proofs made from data.
 *
 *   node scripts/bench/gas-pdp.ts
 */
import { keyForChain } from "../../offchain/core/audit/keys.ts";
import { proofForChain } from "../../offchain/core/audit/proof.ts";
import { auditReady } from "../../offchain/core/audit/ready.ts";
import {
  MEBIBYTE_SLICES,
  proveWithSecrets,
  sparseSlice,
  TEBIBYTE_SLICES,
  testKeys,
} from "../../test/helpers/audit-set.ts";
import { type GasFigure, measuringNetwork } from "./gas-figure.ts";

const SIZES = [
  { label: "1 MiB", sliceCount: MEBIBYTE_SLICES },
  { label: "1 TiB", sliceCount: TEBIBYTE_SLICES },
];
const SAMPLE_COUNTS = [5, 30, 460];

/** Measures all sizes and sample counts. @throws Error when a proof that should verify does not */
export async function measurePdpGas(): Promise<GasFigure[]> {
  await auditReady();
  const keys = testKeys();
  const key = keyForChain(keys.publicKey);
  const connection = await measuringNetwork();
  try {
    const harness = await connection.ethers.deployContract("PdpVerifierHarness");
    const [measure, check] = [harness.getFunction("measure"), harness.getFunction("check")];
    const figures: GasFigure[] = [];
    for (const { label, sliceCount } of SIZES) {
      for (const sampleCount of SAMPLE_COUNTS) {
        const seed = new Uint8Array(32).fill(sampleCount & 0xff);
        const challenge = { seed, firstIndex: 1, sliceCount, sampleCount };
        const proof = proofForChain(proveWithSecrets(keys, challenge, sparseSlice));
        const [valid, gasUsed] = await measure.staticCall(challenge, key, proof);
        if (valid !== true) throw new Error(`the proof for ${sampleCount} samples of ${label} does not verify`);
        const receipt = await (await check.send(challenge, key, proof)).wait();
        const name = `PdpVerifier, ${sampleCount} samples of ${label}`;
        figures.push({ name: `${name}, check`, gas: Number(gasUsed) });
        figures.push({ name: `${name}, transaction`, gas: Number(receipt?.gasUsed ?? 0) });
      }
    }
    return figures;
  } finally {
    await connection.close();
  }
}

if (import.meta.main) {
  for (const { name, gas } of await measurePdpGas()) console.log(`${name.padEnd(48)} ${gas}`);
}

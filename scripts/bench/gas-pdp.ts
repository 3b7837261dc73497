/**
 * Gas of checking a possession proof on Hardhat's own network with the production build of the contracts. Two figures
 * per size: the library call alone, and a whole transaction that does nothing else (21,000 and call data included).
 * Proofs are computed from the owner's secrets, which costs the chain the same as one made from data.
 *
 *   node scripts/bench/gas-pdp.ts
 */
import { network } from "hardhat";
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

/** One figure of `npm run bench:gas`. */
export interface GasFigure {
  readonly name: string;
  readonly gas: number;
}

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
  const connection = await network.create();
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

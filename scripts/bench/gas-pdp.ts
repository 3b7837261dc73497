/**
 * Gas of checking possession proofs on Hardhat's own network with the production build of the contracts. Two figures
 * per case: the library call alone, and a whole transaction with only that call (21,000 and call data included). Then
 * what each further data set adds to a transaction that checks several. Proofs are computed from the owner's secrets;
 * they cost the chain the same as proofs made from data.
 *
 *   node scripts/bench/gas-pdp.ts
 */
import type { BaseContract } from "ethers";
import type { NetworkConnection } from "hardhat/types/network";
import { type AuditChallenge, challengeForChain, type SliceRange } from "../../offchain/core/audit/challenge.ts";
import { keyForChain } from "../../offchain/core/audit/keys.ts";
import { proofForChain } from "../../offchain/core/audit/proof.ts";
import { auditReady } from "../../offchain/core/audit/ready.ts";
import { proveWithSecrets, sparseSlice, TEBIBYTE_SLICES, testKeys } from "../../test/helpers/audit-set.ts";
import {
  costOf,
  type GasFigure,
  GasMeter,
  type GasRules,
  measuringNetwork,
  RULES_OF_TODAY,
  shareOf,
} from "./gas-figure.ts";

/** Indices below this take three positions in the contract's table of powers. */
const INDEX_LIMIT = 2 ** 18;

/** Ranges of equal length with gaps between them; the last one ends at the limit. */
function spread(count: number): SliceRange[] {
  const step = INDEX_LIMIT / count;
  return Array.from({ length: count }, (_, k) => ({ firstIndex: (k + 0.5) * step, count: step / 2 }));
}

const CASES: readonly { readonly label: string; readonly ranges: readonly SliceRange[] }[] = [
  { label: "1 range", ranges: [{ firstIndex: 1, count: INDEX_LIMIT - 1 }] },
  { label: "16 ranges", ranges: spread(16) },
  { label: "32 ranges", ranges: spread(32) },
  { label: "1 TiB", ranges: [{ firstIndex: 1, count: TEBIBYTE_SLICES }] },
];
const SAMPLE_COUNTS = [30, 460];
const BATCHES = [2, 4];

/** A proof that verifies, as the arguments of a contract call. @param set number of its owner */
function proven(ranges: readonly SliceRange[], sampleCount: number, set = 0) {
  const keys = testKeys(1 + set);
  const seed = new Uint8Array(32).fill((sampleCount + set) & 0xff);
  const challenge: AuditChallenge = { seed, sampleCount, ranges };
  return {
    challenge: challengeForChain(challenge),
    key: keyForChain(keys.publicKey),
    proof: proofForChain(proveWithSecrets(keys, challenge, sparseSlice)),
  };
}

/** Measures all cases. @throws Error when a proof that should verify does not */
export async function measurePdpGas(rules: GasRules): Promise<GasFigure[]> {
  await auditReady();
  const connection = await measuringNetwork(rules);
  try {
    const harness = await connection.ethers.deployContract("PdpVerifierHarness");
    return [...(await measureCases(connection, harness)), ...(await measureBatches(connection, harness))];
  } finally {
    await connection.close();
  }
}

async function measureCases(connection: NetworkConnection, harness: BaseContract): Promise<GasFigure[]> {
  const [measure, check] = [harness.getFunction("measure"), harness.getFunction("check")];
  const meter = new GasMeter(connection);
  for (const { label, ranges } of CASES) {
    for (const sampleCount of SAMPLE_COUNTS) {
      const { challenge, key, proof } = proven(ranges, sampleCount);
      const [valid, gasUsed] = await measure.staticCall(challenge, key, proof);
      if (valid !== true) throw new Error(`the proof for ${sampleCount} samples of ${label} does not verify`);
      const name = `PdpVerifier, ${sampleCount} samples of ${label}`;
      meter.figures.push({ name: `${name}, check`, gas: Number(gasUsed) });
      await meter.measure(`${name}, transaction`, check.send(challenge, key, proof));
    }
  }
  return meter.figures;
}

async function measureBatches(connection: NetworkConnection, harness: BaseContract): Promise<GasFigure[]> {
  const [check, checkMany] = [harness.getFunction("check"), harness.getFunction("checkMany")];
  const ranges = [{ firstIndex: 1, count: INDEX_LIMIT - 1 }];
  const figures: GasFigure[] = [];
  for (const sampleCount of SAMPLE_COUNTS) {
    const { challenge, key, proof } = proven(ranges, sampleCount);
    const first = await costOf(connection, "check", await check.send(challenge, key, proof));
    for (const count of BATCHES) {
      const sets = Array.from({ length: count }, (_, set) => proven(ranges, sampleCount, set));
      const parts = [sets.map((set) => set.challenge), sets.map((set) => set.key), sets.map((set) => set.proof)];
      const whole = await costOf(connection, "checkMany", await checkMany.send(...parts));
      const further = {
        gas: whole.gas - first.gas,
        newSlots: whole.newSlots - first.newSlots,
        callDataBytes: whole.callDataBytes - first.callDataBytes,
      };
      const name = `PdpVerifier, ${sampleCount} samples of 1 range, each further of ${count} sets`;
      figures.push({ name, ...shareOf(further, count - 1) });
    }
  }
  return figures;
}

if (import.meta.main) {
  for (const { name, gas } of await measurePdpGas(RULES_OF_TODAY)) console.log(`${name.padEnd(72)} ${gas}`);
}

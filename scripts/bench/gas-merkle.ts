/**
 * Gas of a possession proof by Merkle paths (`contracts/test/MerkleBaseline.sol`), to print beside ours: 1 GiB in
 * leaves of 32 bytes. All leaves are equal, so that the tree takes one node per level; the chain's work and the call
 * data are the same as for any other data.
 */
import { createHash } from "node:crypto";
import { concatBytes } from "@noble/hashes/utils.js";
import { costOf, type GasFigure, type GasRules, measuringNetwork, RULES_OF_TODAY } from "./gas-figure.ts";

/** 2^25 leaves of 32 bytes are 1 GiB. */
const HEIGHT = 25;
const SAMPLES = 460;
/** More than a block of today holds: the call is measured, not recommended. */
const GAS_LIMIT = 100_000_000;

export const MERKLE_FIGURE = `check, Merkle baseline, ${SAMPLES} leaves of 1 GiB, transaction`;

/** @throws Error when the proof does not verify, or a damaged one does */
export async function measureMerkleGas(rules: GasRules): Promise<GasFigure> {
  const hash = (...parts: Uint8Array[]) =>
    new Uint8Array(
      createHash("sha256")
        .update(concatBytes(...parts))
        .digest(),
    );
  const leaf = new Uint8Array(32).fill(0xa5);
  const siblings: Uint8Array[] = [];
  let node = hash(Uint8Array.of(0), leaf);
  for (let level = 0; level < HEIGHT; level++) {
    siblings.push(node);
    node = hash(Uint8Array.of(1), node, node);
  }
  const path = concatBytes(leaf, ...siblings);
  const proof = concatBytes(...new Array<Uint8Array>(SAMPLES).fill(path));
  const connection = await measuringNetwork(rules, GAS_LIMIT);
  try {
    const baseline = await connection.ethers.deployContract("MerkleBaseline");
    const check = baseline.getFunction("check");
    const seed = new Uint8Array(32).fill(7);
    const damaged = proof.slice();
    damaged[40] = (damaged[40] ?? 0) ^ 1;
    const refused = await check.staticCall(node, seed, HEIGHT, damaged, { gasLimit: GAS_LIMIT }).then(
      () => false,
      () => true,
    );
    if (!refused) throw new Error("the baseline takes a damaged proof");
    const sent = await check.send(node, seed, HEIGHT, proof, { gasLimit: GAS_LIMIT });
    return { name: MERKLE_FIGURE, ...(await costOf(connection, MERKLE_FIGURE, sent)) };
  } finally {
    await connection.close();
  }
}

if (import.meta.main) console.log(await measureMerkleGas(RULES_OF_TODAY));

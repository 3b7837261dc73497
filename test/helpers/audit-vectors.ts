/**
 * Makes the vectors of the possession audit with the oracle, and the Solidity file that carries the same values into
 * the contract tests. `node test/helpers/audit-vectors.ts` writes both; a test compares them with what is committed.
 */
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { bls12_381 } from "@noble/curves/bls12-381.js";
import { format, resolveConfig } from "prettier";
import type { AuditChallenge } from "../../offchain/core/audit/challenge.ts";
import type { AuditProof } from "../../offchain/core/audit/proof.ts";
import {
  hex,
  type OracleSecrets,
  oracleBatchWeight,
  oracleChainG1,
  oracleChallenge,
  oracleKey,
  oracleKeyHash,
  oracleProof,
  oracleRanges,
  oracleSecrets,
  oracleTag,
} from "./audit-oracle.ts";
import { sparseSlice, TEBIBYTE_SLICES } from "./audit-set.ts";

export const VECTORS_PATH = new URL("../vectors/audit.json", import.meta.url);
export const SOLIDITY_PATH = new URL("../../contracts/test/PdpVectors.sol", import.meta.url);

const AUDIT_SEED = new Uint8Array(32).fill(1);
const SALT = new Uint8Array(32).fill(2);

/** What is audited in each vector: sizes from one slice to a terabyte and beyond, first indices other than 1. */
const CHALLENGES: readonly { name: string; challenge: AuditChallenge }[] = [
  { name: "one slice, one sample", challenge: challengeOf(3, 1, 1, 1) },
  { name: "1 MiB, 30 samples", challenge: challengeOf(4, 30, 1, 9) },
  { name: "1 TiB, 460 samples", challenge: challengeOf(5, 460, 1, TEBIBYTE_SLICES) },
  { name: "2^40 slices from index 2^33, 7 samples", challenge: challengeOf(6, 7, 2 ** 33, 2 ** 40) },
  { name: "3 ranges, 31 samples", challenge: rangesOf(7, 31, 3, 40, 2) },
  { name: "17 ranges, 30 samples", challenge: rangesOf(8, 30, 17, 1000, 7000) },
  { name: "32 ranges up to index 2^24, 33 samples", challenge: rangesOf(9, 33, 32, 2 ** 18, 2 ** 18) },
];

/** Ranges of one length, with gaps of another between them. */
function rangesOf(seedByte: number, sampleCount: number, rangeCount: number, count: number, gap: number) {
  const ranges = Array.from({ length: rangeCount }, (_, k) => ({ firstIndex: 1 + gap + k * (count + gap), count }));
  return { seed: new Uint8Array(32).fill(seedByte), sampleCount, ranges };
}

function challengeOf(seedByte: number, sampleCount: number, firstIndex: number, sliceCount: number): AuditChallenge {
  return { seed: new Uint8Array(32).fill(seedByte), sampleCount, ranges: [{ firstIndex, count: sliceCount }] };
}

function chainForm(proof: Required<AuditProof>): { sigma: string; psi: string; W: string } {
  const decode = (bytes: Uint8Array) => oracleChainG1(bls12_381.G1.Point.fromHex(Buffer.from(bytes).toString("hex")));
  return { sigma: decode(proof.sigma), psi: decode(proof.psi), W: decode(proof.W) };
}

/** The vectors, as JSON values. Slices are `sparseSlice(index)` of test/helpers/audit-set.ts. */
export function makeAuditVectors() {
  const secrets = oracleSecrets(AUDIT_SEED, SALT);
  const key = oracleKey(secrets);
  const keyHash = oracleKeyHash(key);
  const audits = makeAudits(secrets);
  const transcript = audits.flatMap(({ challengeId, chainProof: { sigma, psi, W }, proof }) => {
    return [challengeId, keyHash, sigma, psi, W, `0x${BigInt(proof.y).toString(16).padStart(64, "0")}`];
  });
  return {
    comment: "Possession audit (docs/spec.md). Made by test/helpers/audit-oracle.ts on noble-curves and ethers.",
    auditSeed: hex(AUDIT_SEED),
    salt: hex(SALT),
    alpha: secrets.alpha.toString(),
    beta: secrets.beta.toString(),
    x: secrets.x.toString(),
    key,
    keyHash,
    tags: [1, 2, 8_659_208].map((index) => ({ index, tag: hex(oracleTag(secrets, index, sparseSlice(index))) })),
    audits,
    answer: answerOf(key, audits[0]),
    batchWeights: audits.map((_, k) => oracleBatchWeight(transcript, k).toString()),
  };
}

/** Key and proof as one call takes them. */
function answerOf(
  { X, XA, XB }: ReturnType<typeof oracleKey>,
  audit: ReturnType<typeof makeAudits>[number] | undefined,
) {
  if (audit === undefined) throw new Error("no audit");
  const { sigma, psi, W } = audit.chainProof;
  const y = BigInt(audit.proof.y).toString(16).padStart(64, "0");
  return `0x${[X, XA, XB, sigma, psi, W, `0x${y}`].map((part) => part.slice(2)).join("")}`;
}

function makeAudits(secrets: OracleSecrets) {
  return CHALLENGES.map(({ name, challenge }) => {
    const drawn = oracleChallenge(challenge);
    const proof = oracleProof(secrets, challenge, sparseSlice);
    const { seed, ...rest } = challenge;
    return {
      name,
      challenge: { seed: hex(seed), ...rest },
      ranges: oracleRanges(challenge.ranges),
      challengeId: drawn.id,
      firstDraws: drawn.indices.slice(0, 4).map((index, t) => ({ index, weight: drawn.weights[t]?.toString() })),
      z: drawn.z.toString(),
      proof: {
        sigma: hex(proof.sigma),
        psi: hex(proof.psi),
        W: hex(proof.W),
        y: proof.y.toString(),
      },
      chainProof: chainForm(proof),
    };
  });
}

export type AuditVectors = ReturnType<typeof makeAuditVectors>;

/** The same values as a Solidity library, formatted like all contracts. */
export async function solidityVectors(vectors: AuditVectors): Promise<string> {
  const literal = (text: string) => `hex"${text.slice(2)}"`;
  const cases = vectors.audits.map(({ name, challenge, ranges, chainProof, proof }, k) => {
    const { seed, sampleCount } = challenge;
    const fields = { seed, ranges: literal(ranges), sampleCount };
    const members = Object.entries(fields).map(([field, value]) => `                ${field}: ${value}`);
    return [
      `        // ${name}`,
      `        if (which == ${k}) {`,
      "            challenge = PdpVerifier.Challenge({",
      `${members.join(",\n")}`,
      "            });",
      `            proof.sigma = ${literal(chainProof.sigma)};`,
      `            proof.psi = ${literal(chainProof.psi)};`,
      `            proof.W = ${literal(chainProof.W)};`,
      `            proof.y = ${proof.y};`,
      "        }",
    ].join("\n");
  });
  const text = `// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { PdpVerifier } from "../libraries/PdpVerifier.sol";

/// @title Proofs that verify
/// @notice The values of test/vectors/audit.json. Written by test/helpers/audit-vectors.ts; do not edit.
library PdpVectors {
    /// @notice How many vectors there are.
    uint256 internal constant COUNT = ${vectors.audits.length};

    /// @notice The key that all proofs are for.
    function key() internal pure returns (PdpVerifier.Key memory) {
        return
            PdpVerifier.Key({
                X: ${literal(vectors.key.X)},
                XA: ${literal(vectors.key.XA)},
                XB: ${literal(vectors.key.XB)}
            });
    }

    /// @notice A challenge and a proof that answers it.
    function vector(
        uint256 which
    ) internal pure returns (PdpVerifier.Challenge memory challenge, PdpVerifier.Proof memory proof) {
${cases.join("\n")}
    }
}
`;
  const path = fileURLToPath(SOLIDITY_PATH);
  return format(text, { ...(await resolveConfig(path)), filepath: path });
}

/** JSON text with a line break at the end. */
export function vectorsText(vectors: AuditVectors): string {
  return `${JSON.stringify(vectors, null, 2)}\n`;
}

if (import.meta.main) {
  const vectors = makeAuditVectors();
  writeFileSync(VECTORS_PATH, vectorsText(vectors));
  writeFileSync(SOLIDITY_PATH, await solidityVectors(vectors));
}

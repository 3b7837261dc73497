/**
 * Verification of possession proofs. Anybody can check public proofs against the keys of their data sets, one or a
 * batch; the owner checks a private one with its secrets and without a pairing. The equations, and why they are sound,
 * are in docs/audit.md.
 */
import { InvalidInputError, InvalidProofError, InvalidScalarError } from "../errors.ts";
import {
  type AuditChallenge,
  batchWeights,
  challengeId,
  evaluateChallenge,
  expandChallenge,
  openingPoint,
} from "./challenge.ts";
import {
  addG1,
  decodeSubgroupG1,
  encodeG1ForChain,
  generatorG1,
  generatorG2,
  multiplyG1,
  multiScalarMultiply,
  negateG1,
  type PointG1,
  type PointG2,
  pairingProductIsOne,
} from "./curve.ts";
import { encodeScalar, FIELD_ORDER, reduce } from "./field.ts";
import { multiplyGeneratorG1 } from "./fixed-base.ts";
import { type AuditPublicKey, type AuditSecrets, auditKeyHash, decodeAuditKey } from "./keys.ts";
import type { AuditProof } from "./proof.ts";

/** A proof, and what it must prove. */
export interface AuditAnswer {
  readonly key: AuditPublicKey;
  readonly challenge: AuditChallenge;
  readonly proof: AuditProof;
}

function rejected(check: string): InvalidProofError {
  return new InvalidProofError("possession proof does not verify", {
    check,
    hint: "the provider no longer holds the audited bytes, or answered another challenge",
  });
}

function checkScalar(y: bigint): void {
  if (y < 0n || y >= FIELD_ORDER) {
    throw new InvalidScalarError("proof element y is not canonical", { check: "y", expected: "0 to r − 1" });
  }
}

/**
 * Checks a proof against the public key of its data set:
 * e(σ, G2) = e((v(ρ) + y)·G1 − z·ψ − ρ·W, X) · e(ψ, XA) · e(W, XB).
 * @throws InvalidProofError when the provider did not prove possession
 * @throws InvalidPointError, InvalidScalarError for malformed elements
 */
export function verifyPublic(key: AuditPublicKey, challenge: AuditChallenge, proof: AuditProof): void {
  verifyPublicMany([{ key, challenge, proof }]);
}

/**
 * Checks proofs of several data sets at once, by one product of pairings: ∏ E_k^(w_k) = 1, E_k being 1 when the
 * equation of `verifyPublic` holds for proof k. The weights are drawn after all proofs are fixed, because otherwise one
 * proof could make up for another. The contract computes the same.
 * @throws InvalidProofError when any proof does not verify; check them one by one to learn which
 * @throws InvalidInputError for an empty batch
 * @throws InvalidPointError, InvalidScalarError for malformed elements
 */
export function verifyPublicMany(answers: readonly AuditAnswer[]): void {
  if (answers.length === 0) throw new InvalidInputError("a batch holds at least one proof", { check: "batch size" });
  const sets = answers.map(readAnswer);
  const weights = batchWeights(sets.map(({ record }) => record));
  const pairs: [PointG1, PointG2][] = [];
  for (const [k, { psi, W, X, XA, XB, claimed, z, rho }] of sets.entries()) {
    const weight = weights[k] ?? 0n;
    const weighted = (scalar: bigint) => reduce(weight * scalar);
    const signed = multiScalarMultiply([generatorG1(), psi, W], [claimed, -z, -rho].map(weighted));
    pairs.push([signed, X], [multiplyG1(psi, weight), XA], [multiplyG1(W, weight), XB]);
  }
  const sigma = multiScalarMultiply(
    sets.map((set) => set.sigma),
    weights,
  );
  pairs.push([negateG1(sigma), generatorG2()]);
  if (!pairingProductIsOne(pairs)) throw rejected("public possession equation");
}

/** Decodes a proof and its key, and computes what the equation needs of the challenge. */
function readAnswer({ key, challenge, proof }: AuditAnswer) {
  const points = decodeAuditKey(key);
  const expanded = expandChallenge(challenge);
  checkScalar(proof.y);
  if (proof.W === undefined) throw rejected("public proof element W");
  const sigma = decodeSubgroupG1(proof.sigma, "proof element sigma");
  const psi = decodeSubgroupG1(proof.psi, "proof element psi");
  const W = decodeSubgroupG1(proof.W, "proof element W");
  const [id, keyHash, y] = [challengeId(challenge), auditKeyHash(key), encodeScalar(proof.y)];
  const chainPoints = [encodeG1ForChain(sigma), encodeG1ForChain(psi), encodeG1ForChain(W)] as const;
  const rho = openingPoint(id, keyHash, chainPoints[0], y);
  const claimed = evaluateChallenge(expanded, rho) + proof.y;
  return { ...points, sigma, psi, W, claimed, rho, z: expanded.z, record: { id, keyHash, points: chainPoints, y } };
}

/**
 * Checks a proof with the owner's secrets: σ = x(v(β) + y)·G1 + x(α − z)·ψ. W is ignored.
 * @param x secret of the data set
 * @throws InvalidProofError when the provider did not prove possession
 * @throws InvalidPointError, InvalidScalarError for malformed elements
 */
export function verifyPrivate(secrets: AuditSecrets, x: bigint, challenge: AuditChallenge, proof: AuditProof): void {
  const expanded = expandChallenge(challenge);
  checkScalar(proof.y);
  // Both must be in the subgroup: a component of small order would make acceptance depend on α modulo that order.
  const sigma = decodeSubgroupG1(proof.sigma, "proof element sigma");
  const psi = decodeSubgroupG1(proof.psi, "proof element psi");
  const constant = multiplyGeneratorG1(reduce(x * (evaluateChallenge(expanded, secrets.beta) + proof.y)));
  const expected = addG1(constant, multiplyG1(psi, reduce(x * (secrets.alpha - expanded.z))));
  if (!expected.isEqual(sigma)) throw rejected("private possession equation");
}

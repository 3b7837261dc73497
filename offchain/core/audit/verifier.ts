/**
 * Verification of possession proofs. Anybody can check a public proof against the agreement's key; the owner checks a
 * private one with its secrets and without a pairing. The equations, and why they are sound, are in docs/audit.md.
 */
import { InvalidProofError, InvalidScalarError } from "../errors.ts";
import {
  type AuditChallenge,
  batchWeight,
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
  pairingProductIsOne,
} from "./curve.ts";
import { encodeScalar, FIELD_ORDER, reduce } from "./field.ts";
import { multiplyGeneratorG1 } from "./fixed-base.ts";
import { type AuditPublicKey, type AuditSecrets, auditKeyHash, decodeAuditKey } from "./keys.ts";
import type { AuditProof } from "./proof.ts";

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
 * Checks a proof against the public key of its agreement, by one product of four pairings:
 * e(σ + λ(V − v(ρ)G1 + ρW), G2) · e(−(V + yG1 − zψ), X) · e(−ψ, XA) · e(−λW, Bt) = 1.
 * @throws InvalidProofError when the provider did not prove possession
 * @throws InvalidPointError, InvalidScalarError for malformed elements
 */
export function verifyPublic(key: AuditPublicKey, challenge: AuditChallenge, proof: AuditProof): void {
  const { X, XA, Bt } = decodeAuditKey(key);
  const expanded = expandChallenge(challenge);
  checkScalar(proof.y);
  if (proof.V === undefined || proof.W === undefined) throw rejected("public proof elements V and W");
  const sigma = decodeSubgroupG1(proof.sigma, "proof element sigma");
  const psi = decodeSubgroupG1(proof.psi, "proof element psi");
  const V = decodeSubgroupG1(proof.V, "proof element V");
  const W = decodeSubgroupG1(proof.W, "proof element W");

  const id = challengeId(challenge);
  const rho = openingPoint(id, encodeG1ForChain(V));
  const points = [sigma, psi, V, W].map(encodeG1ForChain);
  const lambda = batchWeight(id, auditKeyHash(key), points, encodeScalar(proof.y));
  const claimed = evaluateChallenge(expanded, rho);

  const opening = multiScalarMultiply([V, generatorG1(), W], [lambda, reduce(-lambda * claimed), reduce(lambda * rho)]);
  const signed = addG1(V, multiScalarMultiply([generatorG1(), psi], [proof.y, reduce(-expanded.z)]));
  const valid = pairingProductIsOne([
    [addG1(sigma, opening), generatorG2()],
    [negateG1(signed), X],
    [negateG1(psi), XA],
    [negateG1(multiplyG1(W, lambda)), Bt],
  ]);
  if (!valid) throw rejected("public possession equation");
}

/**
 * Checks a proof with the owner's secrets: σ = x(v(β) + y)·G1 + x(α − z)·ψ. V and W are ignored.
 * @param x secret of the agreement
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

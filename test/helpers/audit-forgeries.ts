/**
 * Proofs that would verify if one rule of the audit were missing. Most are made with the owner's secrets, which no
 * provider has, so that each fulfils everything but the rule it is named after.
 */
import type { AuditChallenge } from "../../offchain/core/audit/challenge.ts";
import {
  decodeG1,
  decodeG2FromChain,
  encodeG1,
  encodeG1ForChain,
  encodeG2ForChain,
  generatorG2,
  multiplyG2,
} from "../../offchain/core/audit/curve.ts";
import {
  encodeScalar,
  evaluatePolynomial,
  FIELD_ORDER,
  power,
  readElements,
  reduce,
} from "../../offchain/core/audit/field.ts";
import { multiplyGeneratorG1 } from "../../offchain/core/audit/fixed-base.ts";
import { type AuditPublicKey, auditKeyHash } from "../../offchain/core/audit/keys.ts";
import type { AuditProof } from "../../offchain/core/audit/proof.ts";
import {
  bytesOf,
  type OracleChallenge,
  oracleBatchWeight,
  oracleChallenge,
  oracleOpeningPoint,
} from "./audit-oracle.ts";
import type { AuditKeys } from "./audit-set.ts";

export interface Forgery {
  readonly name: string;
  readonly challenge: AuditChallenge;
  readonly key: AuditPublicKey;
  readonly proof: Required<AuditProof>;
}

/** Sets that verify together if the weights of a batch were drawn otherwise. */
export interface BatchForgery {
  readonly name: string;
  readonly sets: readonly Omit<Forgery, "name">[];
  /** The weights under which the product of the pairings is 1. */
  readonly weights: readonly bigint[];
}

/** Discrete logarithms of a proof's points, and y. */
interface Exponents {
  readonly sigma: bigint;
  readonly psi: bigint;
  readonly W: bigint;
  readonly y: bigint;
}

type SliceAt = (index: number) => Uint8Array;

const inverse = (value: bigint) => power(reduce(value), FIELD_ORDER - 2n);

function points({ sigma, psi, W, y }: Exponents): Required<AuditProof> {
  const point = (exponent: bigint) => encodeG1(multiplyGeneratorG1(reduce(exponent)));
  return { sigma: point(sigma), psi: point(psi), W: point(W), y: reduce(y) };
}

const chainPoint = (exponent: bigint) => encodeG1ForChain(multiplyGeneratorG1(reduce(exponent)));

/** v at a point, leaving out indices that `keep` refuses. */
function challengeAt(drawn: OracleChallenge, at: bigint, keep: (index: number) => boolean = () => true): bigint {
  return drawn.indices.reduce(
    (sum, index, t) => (keep(index) ? reduce(sum + (drawn.weights[t] ?? 0n) * power(at, BigInt(index))) : sum),
    0n,
  );
}

/** f at a point, leaving out indices that `keep` refuses. */
function dataAt(
  drawn: OracleChallenge,
  sliceAt: SliceAt,
  at: bigint,
  keep: (index: number) => boolean = () => true,
): bigint {
  return drawn.indices.reduce((sum, index, t) => {
    if (!keep(index)) return sum;
    return reduce(sum + (drawn.weights[t] ?? 0n) * evaluatePolynomial(readElements(sliceAt(index)), at));
  }, 0n);
}

/** ρ for the exponents of a proof, over as many parts as are not omitted. */
function openingOf(
  drawn: OracleChallenge,
  key: AuditPublicKey,
  { sigma, y }: Pick<Exponents, "sigma" | "y">,
  omitted?: "key" | "σ" | "y",
): bigint {
  const parts: [string, Uint8Array][] = [
    ["key", auditKeyHash(key)],
    ["σ", chainPoint(sigma)],
    ["y", encodeScalar(reduce(y))],
  ];
  return oracleOpeningPoint(
    drawn.id,
    parts.filter(([name]) => name !== omitted).map(([, bytes]) => bytes),
  );
}

/** All forgeries against one challenge. @param sliceAt the data */
export function makeForgeries(keys: AuditKeys, challenge: AuditChallenge, sliceAt: SliceAt): Forgery[] {
  const { secrets, x, publicKey: key } = keys;
  const { alpha, beta } = secrets;
  const drawn = oracleChallenge(challenge);
  const { z } = drawn;
  const atBeta = challengeAt(drawn, beta);
  const [atAlpha, y] = [dataAt(drawn, sliceAt, alpha), dataAt(drawn, sliceAt, z)];
  const psi = (atAlpha - y) * inverse(alpha - z);
  const sigma = x * (atBeta + atAlpha);
  const quotientAt = (rho: bigint) => (atBeta - challengeAt(drawn, rho)) * inverse(beta - rho);
  const rho = openingOf(drawn, key, { sigma, y });
  const honest: Exponents = { sigma, psi, W: quotientAt(rho), y };

  // Index 0: σ_0 is left out, and y makes up for the weight that β^0 = 1 carries.
  const zero = { ...challenge, ranges: [{ firstIndex: 0, count: 9 }] };
  const fromZero = oracleChallenge(zero);
  const keep = (index: number) => index !== 0;
  const zeroY = dataAt(fromZero, sliceAt, fromZero.z, keep);
  const zeroAlpha = dataAt(fromZero, sliceAt, alpha, keep);
  const kept = challengeAt(fromZero, beta, keep);
  const skippedWeight = challengeAt(fromZero, beta) - kept;
  const zeroSigma = x * (kept + zeroAlpha);
  const zeroRho = openingOf(fromZero, key, { sigma: zeroSigma, y: zeroY - skippedWeight });
  const withoutSliceZero: Exponents = {
    sigma: zeroSigma,
    psi: (zeroAlpha - zeroY) * inverse(alpha - fromZero.z),
    W: (kept + skippedWeight - challengeAt(fromZero, zeroRho)) * inverse(beta - zeroRho),
    y: zeroY - skippedWeight,
  };

  // σ answers for v + (Y − ρ), which has the value of v at the ρ that does not depend on σ.
  const rhoBeforeSigma = openingOf(drawn, key, { sigma: 0n, y }, "σ");
  const adaptiveSigma: Exponents = {
    ...honest,
    sigma: sigma + x * (beta - rhoBeforeSigma),
    W: quotientAt(rhoBeforeSigma) + 1n,
  };
  // σ answers for v + Y; y makes up for the difference at the ρ that does not depend on y.
  const rhoBeforeY = openingOf(drawn, key, { sigma: sigma + x * beta, y: 0n }, "y");
  const adaptiveY: Exponents = {
    ...honest,
    sigma: sigma + x * beta,
    W: quotientAt(rhoBeforeY) + 1n,
    y: y + rhoBeforeY,
  };
  // σ is wrong; XB makes up for it at the ρ that does not depend on the key.
  const wrong = { ...honest, sigma: sigma + 1n };
  const rhoBeforeKey = openingOf(drawn, key, wrong, "key");
  const rest = wrong.sigma * inverse(x) - challengeAt(drawn, rhoBeforeKey) - y - (alpha - z) * psi;
  const ratio = reduce(x * (rhoBeforeKey + rest * inverse(wrong.W)));

  const identity = new Uint8Array(256);
  const withoutXB = { ...key, XB: identity };
  const freeSigma = x * (5n + atAlpha);
  const freeRho = openingOf(drawn, withoutXB, { sigma: freeSigma, y });
  const withoutXA = { ...key, XA: identity };
  const freeY = y + 1n;
  const freeYRho = openingOf(drawn, withoutXA, { sigma, y: freeY });
  const forgery = (name: string, exponents: Exponents, change: Partial<Forgery> = {}): Forgery => ({
    name,
    challenge,
    key,
    proof: points(exponents),
    ...change,
  });
  return [
    forgery("index 0, answered without slice 0", withoutSliceZero, { challenge: zero }),
    forgery(
      "X, XA and XB the identity, σ the identity",
      { ...honest, sigma: 0n },
      { key: { X: identity, XA: identity, XB: identity } },
    ),
    forgery(
      "XB the identity, σ over another combination",
      { ...honest, sigma: freeSigma, W: (challengeAt(drawn, freeRho) - 5n) * inverse(freeRho) },
      { key: withoutXB },
    ),
    forgery(
      "XA the identity, y chosen freely",
      { ...honest, y: freeY, W: quotientAt(freeYRho), psi: (freeY - atAlpha) * inverse(z) },
      { key: withoutXA },
    ),
    forgery("σ chosen after ρ", adaptiveSigma),
    forgery("y chosen after ρ", adaptiveY),
    forgery("key chosen after ρ", wrong, {
      key: { ...key, XB: encodeG2ForChain(multiplyG2(generatorG2(), ratio)) },
    }),
    // ψ absorbs any change of y at another point of evaluation.
    (() => {
      const other = dataAt(drawn, sliceAt, z + 1n);
      const otherRho = openingOf(drawn, key, { sigma, y: other });
      return forgery("y opened at another point", {
        ...honest,
        y: other,
        W: quotientAt(otherRho),
        psi: (atAlpha - other) * inverse(alpha - z - 1n),
      });
    })(),
  ];
}

/**
 * A batch that needs neither data nor secrets: the second set has the negated key and σ, and the same ψ and W, which
 * are chosen last. Without weights its factor is the inverse of the first one.
 */
export function makeNegatedBatch({ publicKey }: Pick<AuditKeys, "publicKey">, challenge: AuditChallenge): BatchForgery {
  const negated = (point: Uint8Array) =>
    encodeG2ForChain(multiplyG2(decodeG2FromChain(point, "key"), FIELD_ORDER - 1n));
  const { X, XA, XB } = publicKey;
  const otherKey = { X: negated(X), XA: negated(XA), XB: negated(XB) };
  const otherChallenge = { ...challenge, seed: challenge.seed.map((byte) => byte ^ 0xff) };
  const part = (asked: AuditChallenge, key: AuditPublicKey, sigma: bigint, y: bigint) => {
    const drawn = oracleChallenge(asked);
    const rho = openingOf(drawn, key, { sigma, y });
    return { sigma, y, rho, z: drawn.z, claimed: challengeAt(drawn, rho) + y };
  };
  const [one, two] = [part(challenge, publicKey, 7n, 11n), part(otherChallenge, otherKey, -7n, 13n)];
  const psi = 3n;
  const W = (two.claimed - one.claimed - (two.z - one.z) * psi) * inverse(two.rho - one.rho);
  return {
    name: "a second set under the negated key, without weights",
    sets: [
      { challenge, key: publicKey, proof: points({ sigma: one.sigma, psi, W, y: one.y }) },
      { challenge: otherChallenge, key: otherKey, proof: points({ sigma: two.sigma, psi, W, y: two.y }) },
    ],
    weights: [1n, 1n],
  };
}

/**
 * Batches of two wrong proofs in which one point is chosen after the weight of the second: they verify if the
 * transcript leaves that point out.
 */
export function makeTranscriptForgeries(
  owners: readonly [AuditKeys, AuditKeys],
  challenge: AuditChallenge,
): BatchForgery[] {
  const sets = owners.map(({ secrets, x, publicKey }, k) => {
    const asked = { ...challenge, seed: challenge.seed.map((byte) => byte ^ k) };
    const drawn = oracleChallenge(asked);
    const exponents: Exponents = { sigma: 17n + BigInt(k), psi: 19n, W: 23n, y: 29n };
    const rho = openingOf(drawn, publicKey, exponents);
    return { secrets, x, key: publicKey, challenge: asked, drawn, exponents, rho };
  });
  const excess = ({ secrets, x, drawn, rho }: (typeof sets)[number], { sigma, psi, W, y }: Exponents) =>
    sigma - x * (challengeAt(drawn, rho) + y + (secrets.alpha - drawn.z) * psi + (secrets.beta - rho) * W);
  const places = [0, 1].flatMap((k) => (["psi", "W"] as const).map((element) => ({ k, element })));
  return places.map(({ k, element }) => {
    const parts = sets.flatMap(({ drawn, key, exponents }, set) => {
      const named = { sigma: exponents.sigma, psi: exponents.psi, W: exponents.W };
      const kept = Object.entries(named).filter(([name]) => !(set === k && name === element));
      const onChain = kept.map(([, exponent]) => chainPoint(exponent));
      return [bytesOf(drawn.id), auditKeyHash(key), ...onChain, encodeScalar(exponents.y)];
    });
    const weights = [1n, oracleBatchWeight(parts, 1)];
    const total = (of: readonly Exponents[]) =>
      sets.reduce((sum, set, n) => sum + (weights[n] ?? 0n) * excess(set, of[n] ?? set.exponents), 0n);
    const { secrets, x, drawn, rho } = sets[k] ?? (sets[0] as (typeof sets)[number]);
    const slope = x * (element === "psi" ? secrets.alpha - drawn.z : secrets.beta - rho) * (weights[k] ?? 0n);
    const before = sets.map(({ exponents }) => exponents);
    const after = before.map((exponents, n) =>
      n === k ? { ...exponents, [element]: exponents[element] + total(before) * inverse(slope) } : exponents,
    );
    if (reduce(total(after)) !== 0n) throw new Error(`no forgery by ${element} of set ${k}`);
    return {
      name: `${element} of set ${k} chosen after the weights`,
      sets: sets.map((set, n) => ({
        challenge: set.challenge,
        key: set.key,
        proof: points(after[n] ?? set.exponents),
      })),
      weights,
    };
  });
}

/**
 * Another valid proof of the same statement: ψ + a(β − ρ)·G1 and W − a(α − z)·G1. The provider can make it from B_1 and
 * A_1.
 */
export function withCrossTerm(
  { secrets, publicKey }: AuditKeys,
  challenge: AuditChallenge,
  proof: Required<AuditProof>,
  add: (point: Uint8Array, exponent: bigint) => Uint8Array,
): Required<AuditProof> {
  const drawn = oracleChallenge(challenge);
  const sigma = encodeG1ForChain(decodeG1(proof.sigma, "σ"));
  const rho = oracleOpeningPoint(drawn.id, [auditKeyHash(publicKey), sigma, encodeScalar(proof.y)]);
  const a = 12_345n;
  return {
    ...proof,
    psi: add(proof.psi, reduce(a * (secrets.beta - rho))),
    W: add(proof.W, reduce(-a * (secrets.alpha - drawn.z))),
  };
}

/**
 * Proofs that would verify if one rule of the audit were missing. They are made with the owner's secrets, which no
 * provider has, so that each fulfils everything but the rule it is named after.
 */
import type { AuditChallenge } from "../../offchain/core/audit/challenge.ts";
import {
  decodeG1,
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
  reduce,
  sliceElements,
} from "../../offchain/core/audit/field.ts";
import { multiplyGeneratorG1 } from "../../offchain/core/audit/fixed-base.ts";
import { type AuditPublicKey, auditKeyHash } from "../../offchain/core/audit/keys.ts";
import type { AuditProof } from "../../offchain/core/audit/proof.ts";
import { type OracleChallenge, oracleBatchWeight, oracleChallenge, oracleOpeningPoint } from "./audit-oracle.ts";
import type { AuditKeys } from "./audit-set.ts";

export interface Forgery {
  readonly name: string;
  readonly challenge: AuditChallenge;
  readonly key: AuditPublicKey;
  readonly proof: Required<AuditProof>;
}

/** Discrete logarithms of a proof's points, and y. */
interface Exponents {
  readonly sigma: bigint;
  readonly psi: bigint;
  readonly V: bigint;
  readonly W: bigint;
  readonly y: bigint;
}

const inverse = (value: bigint) => power(reduce(value), FIELD_ORDER - 2n);

function points({ sigma, psi, V, W, y }: Exponents): Required<AuditProof> {
  const point = (exponent: bigint) => encodeG1(multiplyGeneratorG1(reduce(exponent)));
  return { sigma: point(sigma), psi: point(psi), V: point(V), W: point(W), y: reduce(y) };
}

/** v at a point, leaving out indices that `keep` refuses. */
function challengeAt(drawn: OracleChallenge, at: bigint, keep: (index: number) => boolean = () => true): bigint {
  return drawn.indices.reduce(
    (sum, index, t) => (keep(index) ? reduce(sum + (drawn.weights[t] ?? 0n) * power(at, BigInt(index))) : sum),
    0n,
  );
}

/**
 * Proofs in which neither equation holds, but their sum does, because one element was chosen after λ. They verify only
 * if λ leaves that element out; everything else in them is right.
 * @param openedAt v(ρ) for an exponent of V, and ρ
 */
function chosenAfterTheWeight(
  { secrets, x, publicKey }: AuditKeys,
  challenge: AuditChallenge,
  honest: Exponents,
  openedAt: (V: bigint) => { rho: bigint; claimed: bigint },
): Forgery[] {
  const { alpha, beta } = secrets;
  const { id, z } = oracleChallenge(challenge);
  const wrong = { ...honest, sigma: honest.sigma + 1n, V: honest.V + 1n };
  const { rho, claimed } = openedAt(wrong.V);
  // What is left of either equation, as a discrete logarithm: the sum holds when first + λ·second = 0.
  const first = ({ sigma, psi, V, y }: Exponents) => sigma - x * (V + y + (alpha - z) * psi);
  const second = ({ V, W }: Exponents, ratio = beta) => V - claimed + (rho - ratio) * W;
  const weightWithout = (omitted: string) => {
    const { sigma, psi, V, W, y } = points(wrong);
    const onChain = (bytes: Uint8Array) => encodeG1ForChain(decodeG1(bytes, "element"));
    const parts: [string, Uint8Array][] = [
      ["key", auditKeyHash(publicKey)],
      ["σ", onChain(sigma)],
      ["ψ", onChain(psi)],
      ["V", onChain(V)],
      ["W", onChain(W)],
      ["y", encodeScalar(y)],
    ];
    return oracleBatchWeight(
      id,
      parts.filter(([name]) => name !== omitted).map(([, bytes]) => bytes),
    );
  };
  const excess = (omitted: string) => first(wrong) + weightWithout(omitted) * second(wrong);
  const forgeries: [string, Exponents][] = [
    ["σ", { ...wrong, sigma: wrong.sigma - excess("σ") }],
    ["ψ", { ...wrong, psi: wrong.psi + excess("ψ") * inverse(x * (alpha - z)) }],
    ["W", { ...wrong, W: wrong.W - excess("W") * inverse(weightWithout("W") * (rho - beta)) }],
    ["y", { ...wrong, y: wrong.y + excess("y") * inverse(x) }],
  ];
  for (const [name, exponents] of forgeries) {
    const sum = reduce(first(exponents) + weightWithout(name) * second(exponents));
    if (sum !== 0n || reduce(first(exponents)) === 0n) throw new Error(`no forgery by ${name}`);
  }
  const ratio = reduce(beta + excess("key") * inverse(weightWithout("key") * wrong.W));
  const Bt = encodeG2ForChain(multiplyG2(generatorG2(), ratio));
  return [
    ...forgeries.map(([name, exponents]) => ({
      name: `${name} chosen after λ`,
      challenge,
      key: publicKey,
      proof: points(exponents),
    })),
    { name: "key chosen after λ", challenge, key: { ...publicKey, Bt }, proof: points(wrong) },
  ];
}

/** All forgeries against one challenge. @param sliceAt the data */
export function makeForgeries(
  keys: AuditKeys,
  challenge: AuditChallenge,
  sliceAt: (index: number) => Uint8Array,
): Forgery[] {
  const { secrets, x, publicKey: key } = keys;
  const { alpha, beta } = secrets;
  const elements = new Map<number, bigint[]>();
  const dataAt = (drawn: OracleChallenge, at: bigint, keep: (index: number) => boolean = () => true) =>
    drawn.indices.reduce((sum, index, t) => {
      if (!keep(index)) return sum;
      const coefficients = elements.get(index) ?? sliceElements(sliceAt(index));
      elements.set(index, coefficients);
      return reduce(sum + (drawn.weights[t] ?? 0n) * evaluatePolynomial(coefficients, at));
    }, 0n);
  const openingAt = (drawn: OracleChallenge, V: bigint) =>
    oracleOpeningPoint(drawn.id, encodeG1ForChain(multiplyGeneratorG1(reduce(V))));

  const drawn = oracleChallenge(challenge);
  const [atBeta, atAlpha, y] = [challengeAt(drawn, beta), dataAt(drawn, alpha), dataAt(drawn, drawn.z)];
  const psi = (atAlpha - y) * inverse(alpha - drawn.z);
  const quotientAt = (rho: bigint) => (atBeta - challengeAt(drawn, rho)) * inverse(beta - rho);
  const rho = openingAt(drawn, atBeta);
  const honest: Exponents = { sigma: x * (atBeta + atAlpha), psi, V: atBeta, W: quotientAt(rho), y };

  // Index 0: σ_0 is left out, and y makes up for the weight that β^0 = 1 carries.
  const zero = { ...challenge, firstIndex: 0 };
  const fromZero = oracleChallenge(zero);
  const keep = (index: number) => index !== 0;
  const zeroY = dataAt(fromZero, fromZero.z, keep);
  const zeroV = challengeAt(fromZero, beta);
  const skippedWeight = zeroV - challengeAt(fromZero, beta, keep);
  const zeroRho = openingAt(fromZero, zeroV);
  const withoutSliceZero: Exponents = {
    sigma: x * (zeroV - skippedWeight + dataAt(fromZero, alpha, keep)),
    psi: (dataAt(fromZero, alpha, keep) - zeroY) * inverse(alpha - fromZero.z),
    V: zeroV,
    W: (zeroV - challengeAt(fromZero, zeroRho)) * inverse(beta - zeroRho),
    y: zeroY - skippedWeight,
  };

  const rhoOfFive = openingAt(drawn, 5n);
  const rhoOfNext = openingAt(drawn, atBeta + 1n);
  const identity = new Uint8Array(256);
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
      "X and XA the identity, σ the identity",
      { ...honest, sigma: 0n },
      {
        key: { ...key, X: identity, XA: identity },
      },
    ),
    forgery(
      "Bt the identity, V chosen freely",
      {
        ...honest,
        sigma: x * (5n + atAlpha),
        V: 5n,
        W: (challengeAt(drawn, rhoOfFive) - 5n) * inverse(rhoOfFive),
      },
      { key: { ...key, Bt: identity } },
    ),
    // Errors −1 and +1 in the exponents of the two equations: they cancel unless λ weighs the second.
    forgery("two wrong equations that add up to a right one", {
      ...honest,
      sigma: honest.sigma + x - 1n,
      V: atBeta + 1n,
      W: quotientAt(rhoOfNext),
    }),
    // V + (β − ρ) has the value v(ρ) at the ρ of the old V, so it would open there with W + 1.
    forgery("V chosen after the point it is opened at", {
      ...honest,
      sigma: honest.sigma + x * (beta - rho),
      V: atBeta + beta - rho,
      W: honest.W + 1n,
    }),
    // ψ absorbs any change of y at another point of evaluation.
    forgery("y opened at another point", {
      ...honest,
      y: dataAt(drawn, drawn.z + 1n),
      psi: (atAlpha - dataAt(drawn, drawn.z + 1n)) * inverse(alpha - drawn.z - 1n),
    }),
    ...chosenAfterTheWeight(keys, challenge, honest, (V) => {
      const at = openingAt(drawn, V);
      return { rho: at, claimed: challengeAt(drawn, at) };
    }),
  ];
}

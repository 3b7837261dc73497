/**
 * The provider's side of a possession audit. Work: one read of each sampled slice, one multi-scalar multiplication with
 * a point for each element of a slice for ψ, and for a public proof one over all indices up to the largest drawn for W,
 * computed in pieces, so that memory does not grow with the set.
 */
import { InvalidInputError } from "../errors.ts";
import { type AuditChallenge, challengeId, expandChallenge, openingPoint } from "./challenge.ts";
import {
  addG1,
  clearCofactor,
  decodeExpandedG1,
  encodeG1,
  encodeG1ForChain,
  generatorG1,
  identityG1,
  multiplyG1,
  multiScalarMultiply,
  type PointG1,
} from "./curve.ts";
import { divideByLinear, encodeScalar, FIELD_ORDER, reduce, sliceBytes } from "./field.ts";
import { type AuditPublicKey, auditKeyHash } from "./keys.ts";
import { decodePowersA, decodeStoredPoints } from "./powers.ts";
import type { AuditProof } from "./proof.ts";
import { fieldKernel } from "./ready.ts";

/** What a provider stores for one data set. Points are expanded, 96 bytes each. */
export interface SliceSource {
  /** Coefficients of a slice's polynomial: a multiple of 1024 up to 65,536. */
  readonly sliceElements: number;
  /** The slice with this index, 31 · sliceElements bytes, the last one of a set filled with zeros. */
  readSlice(index: number): Promise<Uint8Array>;
  /** The tag of the slice with this index. */
  readTag(index: number): Promise<Uint8Array>;
  /** From A_0 on, one for each element. Pass the same array to each call: decoded points are kept with it. */
  readonly powersA: Uint8Array;
  /** B_first … B_(first+count−1), first at least 1. */
  readPowersB(first: number, count: number): Promise<Uint8Array>;
}

/** Indices handled between two turns of the event loop, about 0.1 s of work. */
const PIECE_INDICES = 1024;

/** Lets timers and requests run between pieces of a long computation. */
function nextTurn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

/**
 * Answers a challenge. Stored points outside the subgroup do no harm: sums are mapped into it.
 * @param options.key adds W, so that anybody can verify under this key; its cost grows with the largest index
 * @throws InvalidInputError for a challenge outside the protocol, or a source that returns wrong lengths
 * @throws InvalidPointError when a stored point is damaged
 */
export async function proveAudit(
  challenge: AuditChallenge,
  source: SliceSource,
  options: { readonly key?: AuditPublicKey },
): Promise<AuditProof> {
  const { sliceElements } = source;
  const expectedBytes = sliceBytes(sliceElements);
  const { indices, weights, z } = expandChallenge(challenge);
  const weightsOf = new Map<number, bigint[]>();
  for (const [t, index] of indices.entries()) {
    weightsOf.set(index, [...(weightsOf.get(index) ?? []), weights[t] ?? 0n]);
  }
  // Ascending, so that a disk is read in one direction.
  const drawn = [...weightsOf.keys()].sort((left, right) => left - right);
  const coefficients = drawn.map((index) => reduce((weightsOf.get(index) ?? []).reduce((sum, w) => sum + w, 0n)));

  const accumulator = fieldKernel().sliceAccumulator(sliceElements);
  const tags: PointG1[] = [];
  let reading = drawn[0] === undefined ? undefined : source.readSlice(drawn[0]);
  for (const [k, index] of drawn.entries()) {
    const slice = (await reading) ?? new Uint8Array(0);
    const next = drawn[k + 1];
    // The next one is read while this one is multiplied.
    reading = next === undefined ? undefined : source.readSlice(next);
    reading?.catch(() => undefined);
    if (slice.length !== expectedBytes) throw wrongSlice(index, expectedBytes, slice.length);
    for (const weight of weightsOf.get(index) ?? []) accumulator.add(slice, weight);
    tags.push(decodeExpandedG1(await source.readTag(index), `tag of slice ${index}`));
  }
  const sigma = clearCofactor(multiScalarMultiply(tags, coefficients));

  const { quotient, remainder: y } = divideByLinear(accumulator.sums().map(reduce), z);
  await nextTurn();
  const psi = clearCofactor(multiScalarMultiply(decodePowersA(source.powersA, sliceElements).slice(0, -1), quotient));
  const proof = { sigma: encodeG1(sigma), psi: encodeG1(psi), y };
  if (options.key === undefined) return proof;

  await nextTurn();
  const keyHash = auditKeyHash(options.key);
  const rho = openingPoint(challengeId(challenge), keyHash, encodeG1ForChain(sigma), encodeScalar(y));
  const W = clearCofactor(await commitOpening(source, drawn, coefficients, rho));
  return { ...proof, W: encodeG1(W) };
}

/**
 * Commits to q(Y) = (v(Y) − v(ρ))/(Y − ρ) in powers of β. Synthetic division runs from the highest coefficient down, so
 * the powers are read in pieces from the highest index down and nothing but the running coefficient is kept.
 */
async function commitOpening(
  source: SliceSource,
  drawn: readonly number[],
  coefficients: readonly bigint[],
  rho: bigint,
): Promise<PointG1> {
  let sum = identityG1();
  let coefficient = 0n;
  let next = drawn.length - 1;
  // q_(k−1) = v_k + ρ·q_k: `coefficient` is q_k while index k is visited, then becomes q_(k−1).
  const step = (index: number): bigint => {
    const current = coefficient;
    let carried = (current * rho) % FIELD_ORDER;
    if (drawn[next] === index) {
      carried = (carried + (coefficients[next] ?? 0n)) % FIELD_ORDER;
      next--;
    }
    coefficient = carried;
    return current;
  };
  for (let end = (drawn.at(-1) ?? 0) + 1; end > 1; ) {
    const first = Math.max(1, end - PIECE_INDICES);
    const points = decodeStoredPoints(await source.readPowersB(first, end - first), end - first, "powers of beta");
    const scalars = new Array<bigint>(points.length);
    for (let k = points.length - 1; k >= 0; k--) scalars[k] = step(first + k);
    sum = addG1(sum, multiScalarMultiply(points, scalars));
    end = first;
    await nextTurn();
  }
  // What is left is q_0, which belongs to B_0 = G1.
  return addG1(sum, multiplyG1(generatorG1(), coefficient));
}

function wrongSlice(index: number, expectedBytes: number, receivedBytes: number): InvalidInputError {
  return new InvalidInputError(`slice ${index} has the wrong length`, {
    check: "slice length",
    expected: `${expectedBytes} bytes`,
    received: `${receivedBytes} bytes`,
  });
}

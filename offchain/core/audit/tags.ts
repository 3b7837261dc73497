/**
 * Tags: σ_i = x·(β^i + f_i(α))·G1 for slice i, f_i having the slice's elements as coefficients. The owner makes
 * them while it uploads; the provider checks them, all at once and with random weights, before it signs a state.
 * Shacham and Waters 2008 (homomorphic tags), Yuan and Yu 2013 (polynomial slices, constant-size proofs).
 */
import type { SliceAccumulator, SliceDotProduct } from "../../kernels/field.ts";
import { InvalidInputError, InvalidProofError } from "../errors.ts";
import {
  addG1,
  clearCofactor,
  decodeExpandedG1,
  expandG1,
  G1_EXPANDED_BYTES,
  generatorG2,
  identityG1,
  multiScalarMultiply,
  negateG1,
  type PointG1,
  type PointG2,
  pairingProductIsOne,
} from "./curve.ts";
import { FIELD_ORDER, power, reduce, sliceBytes } from "./field.ts";
import { multiplyGeneratorG1 } from "./fixed-base.ts";
import { type AuditPublicKey, type AuditSecrets, decodeAuditKey } from "./keys.ts";
import { decodePowersA, randomWeight } from "./powers.ts";
import { fieldKernel } from "./ready.ts";

/**
 * Makes the tags of a data set that arrives in pieces of any size: the ciphertexts of its chunks one after the other,
 * cut into slices, the last one filled with zeros.
 */
export class SliceTagger {
  readonly #beta: bigint;
  readonly #x: bigint;
  readonly #evaluateAtAlpha: SliceDotProduct;
  readonly #slice: Uint8Array;
  #filledBytes = 0;
  #betaPower: bigint;
  #tags: Uint8Array[] = [];
  #sizeBytes = 0;
  #sliceCount = 0;

  /**
   * @param x secret of the data set
   * @param firstIndex index of the first slice, at least 1; no index may ever be tagged twice under one x with other
   *   data
   * @param sliceElements coefficients of a slice's polynomial: a multiple of 1024 up to 65,536
   * @throws InvalidInputError for a first index below 1, or slices of another size
   */
  constructor(secrets: AuditSecrets, x: bigint, firstIndex: number, sliceElements: number) {
    if (!(Number.isSafeInteger(firstIndex) && firstIndex >= 1)) {
      throw new InvalidInputError("slice indices start at 1", { check: "first index", received: String(firstIndex) });
    }
    this.#slice = new Uint8Array(sliceBytes(sliceElements));
    this.#beta = secrets.beta;
    this.#x = x;
    this.#betaPower = power(secrets.beta, BigInt(firstIndex));
    const powers: bigint[] = [];
    for (let j = 0, next = 1n; j < sliceElements; j++, next = (next * secrets.alpha) % FIELD_ORDER) {
      powers.push(next);
    }
    this.#evaluateAtAlpha = fieldKernel().sliceDotProduct(powers);
  }

  /** Slices begun so far. */
  get sliceCount(): number {
    return this.#sliceCount + (this.#filledBytes > 0 ? 1 : 0);
  }

  /** Bytes pushed so far. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** Takes the next bytes of the data set; does not keep them. */
  push(bytes: Uint8Array): void {
    this.#sizeBytes += bytes.length;
    const sizeBytes = this.#slice.length;
    let offset = 0;
    while (offset < bytes.length) {
      if (this.#filledBytes === 0 && bytes.length - offset >= sizeBytes) {
        this.#tag(bytes.subarray(offset, offset + sizeBytes));
        offset += sizeBytes;
        continue;
      }
      const taken = Math.min(sizeBytes - this.#filledBytes, bytes.length - offset);
      this.#slice.set(bytes.subarray(offset, offset + taken), this.#filledBytes);
      this.#filledBytes += taken;
      offset += taken;
      if (this.#filledBytes === sizeBytes) {
        this.#filledBytes = 0;
        this.#tag(this.#slice);
      }
    }
  }

  /** Hands over the tags made since the last call. @returns 96 bytes each */
  drain(): Uint8Array {
    const joined = new Uint8Array(this.#tags.length * G1_EXPANDED_BYTES);
    this.#tags.forEach((encoded, k) => {
      joined.set(encoded, k * G1_EXPANDED_BYTES);
    });
    this.#tags = [];
    return joined;
  }

  /** Tags the last, incomplete slice if there is one. @returns the tags not drained yet */
  finish(): Uint8Array {
    if (this.#filledBytes > 0) {
      this.#slice.fill(0, this.#filledBytes);
      this.#filledBytes = 0;
      this.#tag(this.#slice);
    }
    return this.drain();
  }

  #tag(slice: Uint8Array): void {
    const exponent = reduce(this.#x * reduce(this.#betaPower + this.#evaluateAtAlpha.dotProduct(slice)));
    this.#tags.push(expandG1(multiplyGeneratorG1(exponent)));
    this.#betaPower = (this.#betaPower * this.#beta) % FIELD_ORDER;
    this.#sliceCount++;
  }
}

/**
 * Tags of the same slices under other indices, which takes no data: x·(β^new − β^old)·G1 is added to each. For tags
 * that nobody has seen: an index whose tag left the device belongs to its content for good.
 * @param tags of consecutive slices, 96 bytes each
 * @returns 96 bytes each
 * @throws InvalidPointError for malformed tags
 */
export function shiftTags(
  { beta, x }: Pick<AuditSecrets, "beta"> & { readonly x: bigint },
  tags: Uint8Array,
  fromFirstIndex: number,
  toFirstIndex: number,
): Uint8Array {
  const shifted = new Uint8Array(tags.length);
  let old = power(beta, BigInt(fromFirstIndex));
  let next = power(beta, BigInt(toFirstIndex));
  for (let at = 0; at < tags.length; at += G1_EXPANDED_BYTES) {
    const tag = decodeExpandedG1(tags.subarray(at, at + G1_EXPANDED_BYTES), "tag");
    const moved = addG1(tag, multiplyGeneratorG1(reduce(x * reduce(next - old))));
    shifted.set(expandG1(moved), at);
    old = (old * beta) % FIELD_ORDER;
    next = (next * beta) % FIELD_ORDER;
  }
  return shifted;
}

/** Points collected before a multi-scalar multiplication; bounds the memory. */
const PENDING_LIMIT = 1024;
/** Slices per accumulator of the kernel. */
const ACCUMULATOR_LIMIT = 65_535;

/**
 * Checks the tags of a data set in bounded memory: with random w_i,
 * e(Σ w_i·σ_i, G2) = e(Σ w_i·B_i + Σ_j (Σ_i w_i·m_ij)·A_j, X).
 * Give it powers that `PowersVerifier` has accepted.
 */
export class TagVerifier {
  readonly #X: PointG2;
  readonly #powersA: readonly PointG1[];
  readonly #sliceElements: number;
  #accumulator: SliceAccumulator;
  #accumulated = 0;
  #sums: bigint[];
  #pending: { tag: PointG1; powerB: PointG1; weight: bigint }[] = [];
  #tagSum = identityG1();
  #powerSum = identityG1();

  /**
   * @param powersA from A_0 on, one for each element of a slice, 96 bytes each
   * @throws InvalidPointError, InvalidInputError
   */
  constructor(key: AuditPublicKey, powersA: Uint8Array, sliceElements: number) {
    this.#X = decodeAuditKey(key).X;
    this.#powersA = decodePowersA(powersA, sliceElements);
    this.#sliceElements = sliceElements;
    this.#accumulator = fieldKernel().sliceAccumulator(sliceElements);
    this.#sums = new Array<bigint>(sliceElements).fill(0n);
  }

  /**
   * Adds one slice.
   * @param slice 31 · sliceElements bytes; the last one of a set filled with zeros
   * @param powerB B_i for the slice's index, 96 bytes
   * @param tag 96 bytes
   * @throws InvalidPointError for a malformed point
   * @throws RangeError for a slice of another length
   */
  add(slice: Uint8Array, powerB: Uint8Array, tag: Uint8Array): void {
    const weight = randomWeight();
    const entry = { tag: decodeExpandedG1(tag, "tag"), powerB: decodeExpandedG1(powerB, "power of beta"), weight };
    this.#accumulator.add(slice, weight);
    this.#pending.push(entry);
    if (this.#pending.length === PENDING_LIMIT) this.#foldPoints();
    if (++this.#accumulated === ACCUMULATOR_LIMIT) this.#foldSums();
  }

  /** @throws InvalidProofError when any tag does not belong to its slice, index and key */
  finish(): void {
    this.#foldPoints();
    this.#foldSums();
    const commitment = multiScalarMultiply(this.#powersA, this.#sums);
    const signed = clearCofactor(addG1(this.#powerSum, commitment));
    const valid = pairingProductIsOne([
      [clearCofactor(this.#tagSum), generatorG2()],
      [negateG1(signed), this.#X],
    ]);
    if (!valid) {
      throw new InvalidProofError("possession tags do not fit the data", {
        check: "tags",
        expected: "σ_i = x·(β^i + f_i(α))·G1 for every slice",
        hint: "the owner must tag exactly the bytes it uploaded, under the key of this data set",
      });
    }
  }

  #foldPoints(): void {
    if (this.#pending.length === 0) return;
    const weights = this.#pending.map(({ weight }) => weight);
    const tags = this.#pending.map(({ tag }) => tag);
    const powers = this.#pending.map(({ powerB }) => powerB);
    this.#tagSum = addG1(this.#tagSum, multiScalarMultiply(tags, weights));
    this.#powerSum = addG1(this.#powerSum, multiScalarMultiply(powers, weights));
    this.#pending = [];
  }

  #foldSums(): void {
    const added = this.#accumulator.sums();
    this.#sums = this.#sums.map((sum, j) => reduce(sum + (added[j] ?? 0n)));
    this.#accumulator = fieldKernel().sliceAccumulator(this.#sliceElements);
    this.#accumulated = 0;
  }
}

/**
 * The computing part of a verification, without input or output: what runs in a worker thread. A thread checks powers,
 * tags of some of the slices, or first the ones and then the others; the calls for either come in the order of this
 * class's methods.
 */
import { G1_EXPANDED_BYTES } from "../../core/audit/curve.ts";
import { sliceBytes } from "../../core/audit/field.ts";
import { type AuditPublicKey, decodeAuditKey } from "../../core/audit/keys.ts";
import { isFirstPowerOf, PowersVerifier } from "../../core/audit/powers.ts";
import { TagVerifier } from "../../core/audit/tags.ts";
import { InvalidProofError } from "../../core/errors.ts";

export class VerificationSteps {
  readonly #key: AuditPublicKey;
  readonly #powers: PowersVerifier;
  readonly #sliceElements: number;
  #tags: TagVerifier | undefined;

  /** @param lastVerifiedB the last power of β that was checked earlier; absent when none was */
  constructor(key: AuditPublicKey, lastVerifiedB: Uint8Array | undefined, sliceElements: number) {
    this.#key = key;
    this.#sliceElements = sliceElements;
    this.#powers = new PowersVerifier(key, lastVerifiedB);
  }

  /** @param powersA 96 bytes each @throws InvalidProofError, InvalidPointError */
  checkPowersA(powersA: Uint8Array): void {
    this.#powers.checkPowersA(powersA, this.#sliceElements);
  }

  /**
   * Checks powers of α that were copied from a verified preparation under the same β. A geometric sequence belongs to a
   * key if its first power does: e(A_1, X) = e(G1, XA).
   * @throws InvalidProofError when they belong to another α
   */
  checkReusedPowersA(powersA: Uint8Array): void {
    const { X, XA } = decodeAuditKey(this.#key);
    const second = powersA.subarray(G1_EXPANDED_BYTES, 2 * G1_EXPANDED_BYTES);
    if (!isFirstPowerOf(second, X, XA)) {
      throw new InvalidProofError("powers of alpha do not fit the audit key", {
        check: "powers of alpha",
        expected: "the α of the account's earlier preparations with the same β",
        hint: "send the powers again",
      });
    }
  }

  /** @param powersB 96 bytes each @throws InvalidPointError */
  addPowersB(powersB: Uint8Array): void {
    this.#powers.addPowersB(powersB);
  }

  /** @throws InvalidProofError */
  finishPowersB(): void {
    this.#powers.finishPowersB();
  }

  /** @param powersA 96 bytes each; what is found of the tags counts only if these are right */
  beginTags(powersA: Uint8Array): void {
    this.#tags = new TagVerifier(this.#key, powersA, this.#sliceElements);
  }

  /**
   * @param slices one after the other
   * @param powersB 96 bytes for each slice
   * @param tags 96 bytes for each slice
   * @throws InvalidPointError
   */
  addTags(slices: Uint8Array, powersB: Uint8Array, tags: Uint8Array): void {
    const size = sliceBytes(this.#sliceElements);
    for (let k = 0; k * size < slices.length; k++) {
      this.#tags?.add(
        slices.subarray(k * size, (k + 1) * size),
        powersB.subarray(k * G1_EXPANDED_BYTES, (k + 1) * G1_EXPANDED_BYTES),
        tags.subarray(k * G1_EXPANDED_BYTES, (k + 1) * G1_EXPANDED_BYTES),
      );
    }
  }

  /** @throws InvalidProofError */
  finishTags(): void {
    this.#tags?.finish();
  }
}

/** A call of one of the steps, as it crosses to the worker; `begin` makes the steps. */
export type StepCall =
  | {
      readonly step: "begin";
      readonly key: AuditPublicKey;
      readonly lastVerifiedB: Uint8Array | undefined;
      readonly sliceElements: number;
    }
  | { readonly step: "checkPowersA" | "checkReusedPowersA" | "addPowersB" | "beginTags"; readonly bytes: Uint8Array }
  | { readonly step: "addTags"; readonly slices: Uint8Array; readonly powersB: Uint8Array; readonly tags: Uint8Array }
  | { readonly step: "finishPowersB" | "finishTags" };

/** What comes back: nothing, or the facts of an error. */
export interface StepAnswer {
  readonly refused?: { readonly message: string; readonly facts: Record<string, unknown> };
}

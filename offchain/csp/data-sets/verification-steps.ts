/**
 * The computing part of a verification, without input or output: what runs in a worker thread. A thread checks powers,
 * tags of some of the slices, or first the ones and then the others; the calls for either come in the order of this
 * class's methods.
 */
import { G1_EXPANDED_BYTES } from "../../core/audit/curve.ts";
import { sliceBytes } from "../../core/audit/field.ts";
import type { AuditPublicKey } from "../../core/audit/keys.ts";
import { PowersVerifier } from "../../core/audit/powers.ts";
import { TagVerifier } from "../../core/audit/tags.ts";

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
  | { readonly step: "checkPowersA" | "addPowersB" | "beginTags"; readonly bytes: Uint8Array }
  | {
      readonly step: "addTags";
      readonly slices: Uint8Array<ArrayBuffer>;
      readonly powersB: Uint8Array;
      readonly tags: Uint8Array;
    }
  | { readonly step: "finishPowersB" | "finishTags" };

/** What is left of an error when it crosses between threads. */
export interface ErrorFacts {
  readonly message: string;
  readonly facts: Record<string, unknown>;
}

/** What comes back: the memory of the slices, and the facts of an error. */
export interface StepAnswer {
  readonly memory?: ArrayBuffer;
  readonly refused?: ErrorFacts;
}

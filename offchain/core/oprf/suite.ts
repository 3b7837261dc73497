/**
 * The interface of an oblivious pseudorandom function for nodes and agents. Committees have `ristretto255-SHA512`;
 * `P256-SHA256` and `rsa-blind` are there to compare it with (docs/benchmarks.md). A key is held in shares by a
 * committee; a client blinds its inputs once, asks any `threshold` members, verifies each answer on its own and
 * combines them. Elements, shares, proofs and outputs are opaque byte strings whose lengths the suite fixes.
 */

/** Blinded inputs on their way. The secret blinds are held by the suite, not by this object, so it is safe to log. */
export interface BlindedBatch {
  /** One element per input, in order; what the nodes get to see. */
  readonly blinded: Uint8Array[];
  /** Erases the blinds. The batch cannot be finalized afterwards. */
  wipe(): void;
}

/** One member's answer to a batch. */
export interface EvaluatedBatch {
  /** One element per blinded element, in order. */
  evaluated: Uint8Array[];
  /** Shows that all of them were evaluated with the key share behind the member's verification share. */
  proof: Uint8Array;
}

/** A verified answer and who gave it. */
export interface EvaluationPart {
  /** The member's position in its committee, from 1. */
  index: number;
  evaluated: Uint8Array[];
}

export interface OprfSuite {
  /** As registered, for example `ristretto255-SHA512`. */
  readonly name: string;
  readonly elementBytes: number;
  readonly scalarBytes: number;
  readonly proofBytes: number;
  readonly outputBytes: number;

  /** Loads the libraries of the suite. Await it once, before any other call. */
  ready(): Promise<void>;

  /**
   * Blinds inputs with fresh randomness.
   * @param inputs 1 to 65,535 byte strings of at most 65,535 bytes
   * @throws InvalidInputError for other numbers or lengths
   */
  blindInputs(inputs: Uint8Array[]): BlindedBatch;

  /**
   * Evaluates a batch with one key share and proves it.
   * @throws InvalidPointError when an element is malformed or the identity; the message says which
   * @throws InvalidScalarError when the key share is malformed
   * @throws InvalidInputError when the batch is empty or the verification share is not that of the key share
   */
  evaluateBatch(keyShare: Uint8Array, verificationShare: Uint8Array, blinded: Uint8Array[]): EvaluatedBatch;

  /**
   * Checks one member's answer. Without proofs (`proofBytes` 0) only its form can be checked; then a wrong one shows
   * when answers are combined.
   * @throws InvalidProofError when the answer is not an evaluation under the member's share
   * @throws InvalidPointError when an element is malformed or the identity; the message says which
   */
  verifyEvaluation(
    verificationShare: Uint8Array,
    blinded: Uint8Array[],
    evaluated: Uint8Array[],
    proof: Uint8Array,
  ): void;

  /**
   * Combines verified answers, removes the blinds and hashes. Every quorum gives the same output.
   * @param inputs the inputs that were blinded, in order
   * @param parts answers of at least `threshold` different members, all verified; one wrong part makes all outputs
   *   wrong
   * @returns one output per input
   * @throws InvalidInputError for too few parts, a repeated or impossible index, an uneven or wiped batch
   * @throws InvalidProofError in a suite without proofs, when a member answered wrongly
   */
  combineAndFinalize(
    batch: BlindedBatch,
    inputs: Uint8Array[],
    parts: EvaluationPart[],
    threshold: number,
  ): Uint8Array[];
}

/**
 * What a client of the threshold OPRF computes: blinding, verification of the answers, combination. It is the client's
 * half of `OprfSuite`, asynchronous, so that a platform may run it on worker threads (`DataStages.oprf`); `localOprf`
 * runs it where it is called.
 */
import type { EvaluationPart, OprfSuite } from "../../core/oprf/suite.ts";

/** A batch under way. Its blinds stay where they were made. */
export interface BlindedInputs {
  /** One element per input, in order; what the nodes get to see. */
  readonly blinded: Uint8Array[];
  /** May be called once. @see OprfSuite.combineAndFinalize */
  finalize(parts: readonly EvaluationPart[], threshold: number): Promise<Uint8Array[]>;
  /** Erases the blinds. Called in any case, last. */
  wipe(): void;
}

export interface OprfStage {
  /** @see OprfSuite.blindInputs */
  blind(inputs: readonly Uint8Array[]): Promise<BlindedInputs>;
  /** @see OprfSuite.verifyEvaluation */
  verify(
    verificationShare: Uint8Array,
    blinded: readonly Uint8Array[],
    evaluated: readonly Uint8Array[],
    proof: Uint8Array,
  ): Promise<void>;
}

/** The suite of the committees, loaded when the first key is asked for: many commands ask for none. */
export async function loadSuite(): Promise<OprfSuite> {
  const { ristretto255Suite } = await import("../../core/oprf/ristretto255.ts");
  await ristretto255Suite.ready();
  return ristretto255Suite;
}

/** The computations in this thread. */
export function localOprf(load: () => Promise<OprfSuite> = loadSuite): OprfStage {
  return {
    async blind(inputs) {
      const suite = await load();
      const batch = suite.blindInputs([...inputs]);
      return {
        blinded: batch.blinded,
        finalize: async (parts, threshold) => suite.combineAndFinalize(batch, [...inputs], [...parts], threshold),
        wipe: () => batch.wipe(),
      };
    },
    async verify(verificationShare, blinded, evaluated, proof) {
      const suite = await load();
      suite.verifyEvaluation(verificationShare, [...blinded], [...evaluated], proof);
    },
  };
}

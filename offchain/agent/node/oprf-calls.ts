/**
 * The OPRF in a worker thread, for `worker-oprf.ts`. The blinds of a batch are made, used and erased here, and never
 * leave the thread.
 */
import { TallystickError } from "../../core/errors.ts";
import { wipeAll } from "../../core/oprf/prime-order-group.ts";
import { oprfReady, ristretto255Suite } from "../../core/oprf/ristretto255.ts";
import type { BlindedBatch } from "../../core/oprf/suite.ts";
import { type OprfAnswer, type OprfCall, type PackedPart, pack, unpack } from "./oprf-messages.ts";

interface BatchUnderWay {
  readonly batch: BlindedBatch;
  readonly inputs: Uint8Array[];
}

const batches = new Map<number, BatchUnderWay>();

/** @throws what is no refusal of the suite: a defect */
export async function performOprf(call: OprfCall): Promise<OprfAnswer> {
  await oprfReady();
  try {
    const values = compute(call);
    const packed = pack(values);
    // What moves to the other thread is the only copy of the outputs.
    if (call.step === "finalize") wipeAll(values);
    return { values: packed };
  } catch (error) {
    if (!(error instanceof TallystickError) || error.code === "INTERNAL") throw error;
    const { message, code, party, check, expected, received, hint } = error;
    const facts = { party, check, expected, received, hint };
    const known = Object.entries(facts).filter(([, value]) => value !== undefined);
    return { refusal: { message, facts: { code, ...Object.fromEntries(known) } } };
  }
}

function compute(call: OprfCall): Uint8Array[] {
  switch (call.step) {
    case "blind": {
      const inputs = unpack(call.inputs);
      const batch = ristretto255Suite.blindInputs(inputs);
      batches.set(call.batch, { batch, inputs });
      return batch.blinded;
    }
    case "verify":
      ristretto255Suite.verifyEvaluation(
        call.verificationShare,
        unpack(call.blinded),
        unpack(call.evaluated),
        call.proof,
      );
      return [];
    case "finalize":
      return finalize(call.batch, call.parts, call.threshold);
    case "wipe":
      wipe(call.batch);
      return [];
  }
}

function finalize(number: number, packed: readonly PackedPart[], threshold: number): Uint8Array[] {
  const underWay = batches.get(number);
  if (underWay === undefined) throw new TallystickError(`no OPRF batch ${number}`, { code: "INTERNAL" });
  const parts = packed.map(({ index, evaluated }) => ({ index, evaluated: unpack(evaluated) }));
  try {
    return ristretto255Suite.combineAndFinalize(underWay.batch, underWay.inputs, parts, threshold);
  } finally {
    wipe(number);
  }
}

function wipe(number: number): void {
  batches.get(number)?.batch.wipe();
  batches.delete(number);
}

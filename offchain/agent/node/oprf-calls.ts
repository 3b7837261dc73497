/**
 * The OPRF in a worker thread, for `worker-oprf.ts`. The blinds of a batch are made, used and erased here, and never
 * leave the thread.
 */
import { type ErrorFacts, TallystickError } from "../../core/errors.ts";
import { wipeAll } from "../../core/oprf/group.ts";
import { oprfReady, ristretto255Suite } from "../../core/oprf/ristretto255.ts";
import type { BlindedBatch } from "../../core/oprf/suite.ts";

/** Byte strings one after the other: what crosses threads is one array, whatever memory the strings lay in. */
export interface Packed {
  readonly lengths: readonly number[];
  readonly bytes: Uint8Array<ArrayBuffer>;
}

export interface PackedPart {
  readonly index: number;
  readonly evaluated: Packed;
}

export type OprfCall =
  | { readonly step: "blind"; readonly batch: number; readonly inputs: Packed }
  | {
      readonly step: "verify";
      readonly verificationShare: Uint8Array;
      readonly blinded: Packed;
      readonly evaluated: Packed;
      readonly proof: Uint8Array;
    }
  | {
      readonly step: "finalize";
      readonly batch: number;
      readonly parts: readonly PackedPart[];
      readonly threshold: number;
    }
  | { readonly step: "wipe"; readonly batch: number };

/** A refusal is what the suite throws: the input, an element or a proof is wrong, and nothing here is broken. */
export type OprfAnswer = { readonly values: Packed } | { readonly refusal: Refusal };

export interface Refusal {
  readonly message: string;
  readonly facts: ErrorFacts;
}

interface BatchUnderWay {
  readonly batch: BlindedBatch;
  readonly inputs: Uint8Array[];
}

const batches = new Map<number, BatchUnderWay>();

export function pack(items: readonly Uint8Array[]): Packed {
  const lengths = items.map(({ length }) => length);
  const bytes = new Uint8Array(lengths.reduce((sum, length) => sum + length, 0));
  let offset = 0;
  for (const item of items) {
    bytes.set(item, offset);
    offset += item.length;
  }
  return { lengths, bytes };
}

/** Views on the packed bytes. */
export function unpack({ lengths, bytes }: Packed): Uint8Array[] {
  let offset = 0;
  return lengths.map((length) => {
    offset += length;
    return bytes.subarray(offset - length, offset);
  });
}

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

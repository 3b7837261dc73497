/**
 * What the thread of a put and the threads that compute its OPRF say to each other. Apart from `oprf-calls.ts`, because
 * a put that asks for no key loads no group.
 */
import type { ErrorFacts } from "../../core/errors.ts";

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

/** Checks of one member's answer. */

import { TallystickError } from "../../core/errors.ts";
import type { OprfStage } from "../pipeline/oprf-stage.ts";

/** The member that answers. */
interface Answering {
  /** From 1. */
  readonly index: number;
  readonly url: string;
  /** Registered k_j·G, 32 bytes. */
  readonly verificationShare: Uint8Array;
}

/** What verifies has failed itself, so that nothing is known of the answer. No TallystickError: no node is blamed. */
export class StageFailure extends Error {}

/** Verifies an evaluation and names the node in the error. */
export async function requireRight(
  stage: OprfStage,
  member: Answering,
  blinded: Uint8Array[],
  evaluated: Uint8Array[],
  proof: Uint8Array,
): Promise<void> {
  const party = `node ${member.url}`;
  if (evaluated.length !== blinded.length) {
    throw new TallystickError(`${party} evaluated another number of elements`, {
      code: "BAD_RESPONSE",
      party,
      check: "number of evaluated elements",
      expected: String(blinded.length),
      received: String(evaluated.length),
    });
  }
  try {
    await stage.verify(member.verificationShare, blinded, evaluated, proof);
  } catch (cause) {
    if (!(cause instanceof TallystickError)) throw cause;
    if (cause.code === "INTERNAL") throw new StageFailure(cause.message, { cause });
    throw new TallystickError(`${party} sent a wrong evaluation: ${cause.message}`, {
      code: cause.code,
      party,
      check: cause.check ?? "DLEQ proof",
      cause,
    });
  }
}

export function wrongIndex(member: Answering, received: number): TallystickError {
  return new TallystickError(`node ${member.url} answered for another member`, {
    code: "BAD_RESPONSE",
    party: `node ${member.url}`,
    check: "member index",
    expected: String(member.index),
    received: String(received),
  });
}

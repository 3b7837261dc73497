/** What crosses between the thread that serves and an audit thread, besides the steps of a verification. */
import type { AuditChallenge } from "../../core/audit/challenge.ts";
import type { AuditPublicKey } from "../../core/audit/keys.ts";
import type { AuditProof } from "../../core/audit/proof.ts";
import { type ErrorCode, InvalidPointError, InvalidProofError, TallystickError } from "../../core/errors.ts";
import type { ErrorFacts, StepCall } from "./verification-steps.ts";

/** Asks for a proof; what it reads is asked for, read by read. */
export interface ProveCall {
  readonly step: "prove";
  readonly challenge: AuditChallenge;
  readonly sliceElements: number;
  readonly powersA: Uint8Array;
  /** For a proof that anybody can verify. */
  readonly key: AuditPublicKey | undefined;
  /** Whether it is verified under the key before it is returned. */
  readonly isVerified: boolean;
}

/** Answers a read; without bytes, it has failed, and the proof with it. */
export interface ReadCall {
  readonly step: "read";
  readonly read: number;
  readonly bytes: Uint8Array | undefined;
}

export type ThreadCall = StepCall | ProveCall | ReadCall;

/** What a proof needs next: `count` slices, tags or powers of β from `first` on. */
export interface AskedRead {
  readonly read: number;
  readonly what: "slice" | "tag" | "powersB";
  readonly first: number;
  readonly count: number;
}

export interface Proved {
  readonly proof: AuditProof;
}

/** Without facts, a read has failed. */
export interface Refused {
  readonly refused: ErrorFacts | undefined;
}

/** Ends a proof in its thread. */
export const READ_FAILED = new Error("a read has failed");

/** The error of a thread, with its class. */
export function restoredError({ message, facts }: ErrorFacts): TallystickError {
  const { code, message: _, ...rest } = facts;
  if (code === "INVALID_PROOF") return new InvalidProofError(message, rest);
  if (code === "INVALID_POINT") return new InvalidPointError(message, rest);
  return new TallystickError(message, { ...rest, code: code as ErrorCode });
}

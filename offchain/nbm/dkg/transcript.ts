/**
 * The transcript of a key generation: all round-1 broadcasts in member order, and the hash over them that every round-2
 * message names. Members that were shown different broadcasts have different hashes.
 */

import { equalBytes } from "#primitives";
import { hashBroadcasts } from "../../core/dkg/messages.ts";
import { ProtocolBreach } from "./breach.ts";
import type { SignedBytes } from "./key-state-store.ts";

export interface Transcript {
  /** Broadcast by member. */
  readonly broadcasts: ReadonlyMap<number, Uint8Array>;
  readonly hash: Uint8Array;
}

/** @param signed the broadcasts of all members. */
export function transcriptOf(signed: ReadonlyMap<number, SignedBytes>): Transcript {
  const ordered = [...signed].sort(([a], [b]) => a - b).map(([member, { bytes }]) => [member, bytes] as const);
  return { broadcasts: new Map(ordered), hash: hashBroadcasts(ordered.map(([, bytes]) => bytes)) };
}

/** @throws ProtocolBreach when a member's round-2 message names other broadcasts than this node has. */
export function requireSameTranscript(
  own: Uint8Array | undefined,
  theirs: Uint8Array,
  { index, operator }: { readonly index: number; readonly operator: string },
): asserts own is Uint8Array {
  if (own !== undefined && equalBytes(theirs, own)) return;
  throw new ProtocolBreach(
    `member ${index} (${operator}) saw other round-1 broadcasts: one of the members showed different ones`,
  );
}

/** This node's share of a committee's record key, decrypted for one answer. */

import type { Deployment } from "../../chain/deployment.ts";
import { decodeMemberShares } from "../../core/committee/member-shares.ts";
import type { RecordKeys } from "../../core/sealed-secrets/decryption-share.ts";
import type { GenerationStore } from "../generations/generation-store.ts";
import { scopeOf } from "../generations/run-parties.ts";

/** What the node holds of a committee's record key in one generation. */
export interface RecordKeyShare {
  readonly keys: RecordKeys;
  /** Of this node, from 1. */
  readonly index: number;
  /** s_j, 32 bytes; a copy, which whoever asked erases. */
  readonly keyShare: Uint8Array;
}

/**
 * Reads the share on disk each time, so that none outlives the erasure of its generation.
 * @returns undefined when the node has no share of this generation, or none that is used yet
 */
export function recordKeyShares(
  store: GenerationStore,
  deployment: Deployment,
): (committeeId: bigint, generation: number) => RecordKeyShare | undefined {
  return (committeeId, generation) => {
    const state = store.find({ committeeId, generation });
    if (state === undefined || state.phase !== "ready" || state.index === 0) return undefined;
    const { generation: made, shares } = store.used(state);
    const { oprf, record } = decodeMemberShares(scopeOf(deployment, committeeId), made, state.index, shares);
    oprf.fill(0);
    shares.fill(0);
    const { groupPublicKey, verificationShares } = made.keys.record;
    const keys = { committeeId, generation, threshold: made.threshold, groupPublicKey, verificationShares };
    return { keys, index: state.index, keyShare: record };
  };
}

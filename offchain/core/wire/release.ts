/** HTTP messages about the release of sealed secrets by an NBM node. */

import type { Static } from "@sinclair/typebox";
import * as Type from "@sinclair/typebox/type";
import { FIRST_GENERATION } from "../committee/key-id.ts";
import { MAX_SECRET_BYTES, SEALED_SECRET_OVERHEAD_BYTES } from "../sealed-secrets/lengths.ts";
import { AddressText, Bytes32Text, HexBytes, HexRange, SignatureText, Uint64Text, UnixSeconds } from "./schema.ts";

/** Longest policy data, and longest evidence. */
export const MAXIMUM_POLICY_BYTES = 4096;
/** Longest validity of a release request, in seconds. */
export const MAXIMUM_RELEASE_REQUEST_SECONDS = 3600;

const closed = { additionalProperties: false };

/**
 * A request for a node's decryption share. The label is that of the node's own chain and ledger. The signature is that
 * of EIP-712 `ReleaseRequest` for this node, which names the secret by its name.
 */
export const ReleaseRequestBody = Type.Object(
  {
    committeeId: Uint64Text,
    generation: Type.Integer({ minimum: FIRST_GENERATION, maximum: 2 ** 32 - 1 }),
    recordId: Bytes32Text,
    version: Type.Integer({ minimum: 0, maximum: 2 ** 32 - 1 }),
    author: AddressText,
    policy: AddressText,
    policyData: HexRange(0, MAXIMUM_POLICY_BYTES),
    evidence: HexRange(0, MAXIMUM_POLICY_BYTES),
    secret: HexRange(SEALED_SECRET_OVERHEAD_BYTES + 1, SEALED_SECRET_OVERHEAD_BYTES + MAX_SECRET_BYTES),
    account: AddressText,
    sessionKey: Bytes32Text,
    expiresAt: UnixSeconds,
    signature: SignatureText,
  },
  closed,
);
export type ReleaseRequestBody = Static<typeof ReleaseRequestBody>;

/**
 * The decryption share, sealed to the session key, and what the node signed about the release (EIP-712
 * `ReleaseReceipt`) by its operator key.
 */
export const ReleaseAnswer = Type.Object({
  index: Type.Integer({ minimum: 1, maximum: 255 }),
  sealed: HexRange(48, 1024),
  receipt: Type.Object({
    blockNumber: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
    blockHash: Bytes32Text,
    releasedAt: UnixSeconds,
    signature: HexBytes(65),
  }),
});
export type ReleaseAnswer = Static<typeof ReleaseAnswer>;

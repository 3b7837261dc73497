/** What a node signs about a release, from the label and what was asked: for the node that signs and who checks it. */

import { keccak_256 } from "@noble/hashes/sha3.js";
import { checksumAddress } from "../encoding/address.ts";
import { fromHex, toHex } from "../encoding/hex.ts";
import { type ReleaseReceiptMessage, releaseReceiptTypedData, type TypedData } from "../identity/typed-messages.ts";
import type { SecretLabel } from "./label.ts";

/** A release as the two sides know it. */
export interface SecretRelease {
  /** Name of the sealed secret, 0x hex. */
  readonly secret: string;
  /** What the requester showed to the policy, 0x hex. */
  readonly evidence: string;
  readonly account: string;
  readonly sessionKey: string;
  readonly blockNumber: number;
  readonly blockHash: string;
  /** Unix seconds. */
  readonly releasedAt: number;
}

/** @throws InvalidInputError for a malformed field */
export function releaseReceipt(label: SecretLabel, release: SecretRelease): TypedData<ReleaseReceiptMessage> {
  const { ledger, recordId, version, author, policy, policyDataHash } = label;
  const { evidence, blockNumber, releasedAt, secret, account, sessionKey, blockHash } = release;
  return releaseReceiptTypedData(ledger.chainId, ledger.keyLedger, {
    secret,
    recordId: toHex(recordId),
    version: BigInt(version),
    author: checksumAddress(fromHex(author)),
    policy: checksumAddress(fromHex(policy)),
    policyDataHash: toHex(policyDataHash),
    evidenceHash: toHex(keccak_256(fromHex(evidence))),
    account,
    sessionKey,
    blockNumber: BigInt(blockNumber),
    blockHash,
    releasedAt: BigInt(releasedAt),
  });
}

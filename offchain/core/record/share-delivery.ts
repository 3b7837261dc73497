/**
 * A share of a record on its way to the member that holds it after others have left the committee: sealed to the
 * member's registered key by the one that held it before, or by an owner that has rebuilt the file key. Whoever sends
 * it, the record on the ledger commits to the share, so the member can tell a right one.
 */

import { concatBytes } from "@noble/hashes/utils.js";
import { hpkeOpen, hpkeSeal } from "../crypto/hpke.ts";
import { domainTag } from "../crypto/kdf.ts";
import { ADDRESS_BYTES } from "../encoding/address.ts";
import { fromHex } from "../encoding/hex.ts";
import { u32be } from "../encoding/integers.ts";
import type { KeyRecordHeader } from "./header.ts";
import type { LedgerScope } from "./ledger-scope.ts";
import type { RecordPayload } from "./payload.ts";
import { requireShare, sharingContext } from "./share-envelopes.ts";

const DELIVERY_INFO = domainTag("share-delivery");

/** What a delivery is bound to, beside its record. */
export interface ShareDeliveryContext {
  /** Of the share, from 1. */
  readonly index: number;
  /** Active generation of the record's committee, in which the recipient holds the share. */
  readonly generation: number;
  /** Operator of the recipient. */
  readonly recipient: string;
}

/** Seals a share to the HPKE key of its holder. @throws InvalidPointError for a key that cannot be sealed to */
export async function sealShareDelivery(
  ledger: LedgerScope,
  header: KeyRecordHeader,
  context: ShareDeliveryContext,
  publicKey: Uint8Array,
  share: Uint8Array,
): Promise<Uint8Array> {
  return hpkeSeal(publicKey, DELIVERY_INFO, deliveryAad(ledger, header, context), share);
}

/**
 * Opens a delivery as its recipient.
 *
 * @returns the share, checked against its commitment
 * @throws InvalidInputError for an index that the record does not have
 * @throws IntegrityError when it does not open with this key for this record, deployment, generation, recipient and
 *   index, or holds another share than the record commits to: whoever sent it is at fault
 */
export async function openShareDelivery(
  payload: RecordPayload,
  ledger: LedgerScope,
  header: KeyRecordHeader,
  context: ShareDeliveryContext,
  hpkePrivateKey: Uint8Array,
  sealed: Uint8Array,
): Promise<Uint8Array> {
  const share = await hpkeOpen(hpkePrivateKey, DELIVERY_INFO, deliveryAad(ledger, header, context), sealed);
  requireShare(payload, header, context.index, share);
  return share;
}

/** The context of the shares ‖ u32be index ‖ u32be generation ‖ recipient (20). */
function deliveryAad(ledger: LedgerScope, header: KeyRecordHeader, context: ShareDeliveryContext): Uint8Array {
  const { index, generation, recipient } = context;
  const operator = fromHex(recipient, ADDRESS_BYTES, "recipient");
  return concatBytes(sharingContext(ledger, header), u32be(index), u32be(generation), operator);
}

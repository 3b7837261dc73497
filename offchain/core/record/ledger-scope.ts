/**
 * The deployment that a record belongs to: chain and key ledger. Everything that is sealed for a record is
 * authenticated with it, so that an envelope copied into another deployment's record does not open there.
 */

import { concatBytes } from "@noble/hashes/utils.js";
import { ADDRESS_BYTES } from "../encoding/address.ts";
import { fromHex } from "../encoding/hex.ts";
import { u64be } from "../encoding/integers.ts";

export interface LedgerScope {
  readonly chainId: bigint;
  /** Address of KeyLedger. */
  readonly keyLedger: string;
}

/** u64be chain id ‖ key ledger (20), 28 bytes. @throws InvalidInputError for a malformed address or chain id */
export function encodeLedgerScope({ chainId, keyLedger }: LedgerScope): Uint8Array {
  return concatBytes(u64be(chainId), fromHex(keyLedger, ADDRESS_BYTES, "key ledger"));
}

/**
 * What a sealed secret belongs to. The label is not sent with the secret: whoever checks or opens it derives the label
 * from what the chain says, so that bytes which are moved under another label are refused.
 *
 *     label   u64 chain id ‖ ledger (20) ‖ record id (32) ‖ u32 version ‖ author (20)
 *               ‖ policy contract (20) ‖ hash of the policy's data (32)                     (136 bytes)
 */

import { concatBytes } from "@noble/hashes/utils.js";
import { ADDRESS_BYTES } from "../encoding/address.ts";
import { fromHex } from "../encoding/hex.ts";
import { u32be } from "../encoding/integers.ts";
import { InvalidInputError } from "../errors.ts";
import { encodeLedgerScope, type LedgerScope } from "../record/ledger-scope.ts";

export interface SecretLabel {
  /** The chain, and the ledger that carries the secret. */
  readonly ledger: LedgerScope;
  /** 32 bytes. */
  readonly recordId: Uint8Array;
  /** Counts what is sealed under one record id. */
  readonly version: number;
  /** The account that records the secret. */
  readonly author: string;
  /** The contract that says who may have it released. */
  readonly policy: string;
  /** What that contract is asked with, 32 bytes. */
  readonly policyDataHash: Uint8Array;
}

const WORD_BYTES = 32;

/** @throws InvalidInputError for a malformed field */
export function encodeLabel(label: SecretLabel): Uint8Array {
  return concatBytes(
    encodeLedgerScope(label.ledger),
    requireWord(label.recordId, "record id"),
    u32be(label.version),
    fromHex(label.author, ADDRESS_BYTES, "author"),
    fromHex(label.policy, ADDRESS_BYTES, "policy"),
    requireWord(label.policyDataHash, "hash of the policy's data"),
  );
}

function requireWord(bytes: Uint8Array, what: string): Uint8Array {
  if (bytes.length === WORD_BYTES) return bytes;
  throw new InvalidInputError(`${what} has ${bytes.length} bytes`, {
    check: what,
    expected: `${WORD_BYTES} bytes`,
    received: `${bytes.length} bytes`,
  });
}

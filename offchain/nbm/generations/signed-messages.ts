/**
 * The messages of a run (core/committee) as nodes exchange them: EIP-712 signed with the operator key that the registry
 * lists, so that a party cannot deny what it sent, and nobody can speak for it. Messages are public. Any node may pass
 * one on.
 *
 * A signature names the parties of the run. After a reorganisation of the chain, a generation may have the number of
 * another one; what was signed for that one then counts for nothing in this one, and is no second message of its
 * sender.
 */

import { keccak_256 } from "@noble/hashes/sha3.js";
import { concatBytes } from "@noble/hashes/utils.js";
import type { Wallet } from "ethers";
import { sha256 } from "#primitives";
import { toHex } from "../../core/encoding/hex.ts";
import { u16be } from "../../core/encoding/integers.ts";
import { InvalidSignatureError } from "../../core/errors.ts";
import type { TypedData } from "../../core/identity/typed-messages.ts";
import type { RunMessageKind } from "../../core/wire/nbm.ts";
import { recoverSigner } from "../../daemon/account-signature.ts";
import { partiesHash, type RunParties } from "./run-parties.ts";

/** Codes in signatures, ids and the database. */
export const KIND_CODES: Readonly<Record<RunMessageKind, number>> = { announcement: 1, dealing: 2, complaint: 3 };

/** A message and the signature of the party that sent it. */
export interface SignedBytes {
  readonly bytes: Uint8Array;
  readonly signature: string;
}

/** What is signed of a message beside its run. */
export interface RunMessageName {
  readonly kind: RunMessageKind;
  /** Index of the sender: of a dealing in the generation that deals, otherwise in the one that is made. */
  readonly sender: number;
}

const TYPES = {
  CommitteeMessage: [
    { name: "registry", type: "address" },
    { name: "committeeId", type: "uint64" },
    { name: "generation", type: "uint32" },
    { name: "partiesHash", type: "bytes32" },
    { name: "kind", type: "uint8" },
    { name: "sender", type: "uint16" },
    { name: "messageHash", type: "bytes32" },
  ],
};

/** By what a message is known: SHA-256(u8 kind ‖ u16 sender ‖ message), hexadecimal. */
export function messageId({ kind, sender }: RunMessageName, bytes: Uint8Array): string {
  return toHex(sha256(concatBytes(Uint8Array.of(KIND_CODES[kind]), u16be(sender), bytes)));
}

/** SHA-256 of a message, hexadecimal: how complaints name dealings. */
export function messageDigest(bytes: Uint8Array): string {
  return toHex(sha256(bytes));
}

/** The operator that has to have signed a message; undefined when the run has no such sender. */
export function senderOf({ members, dealers }: RunParties, { kind, sender }: RunMessageName): string | undefined {
  return (kind === "dealing" ? dealers : members)[sender - 1]?.operator;
}

export function runMessage(
  parties: RunParties,
  { kind, sender }: RunMessageName,
  bytes: Uint8Array,
): TypedData<object> {
  const { scope, generation } = parties.run;
  const { chainId, registry, committeeId } = scope;
  return {
    domain: { name: "Tallystick", version: "1", chainId },
    types: TYPES,
    primaryType: "CommitteeMessage",
    message: {
      registry,
      committeeId,
      generation,
      partiesHash: partiesHash(parties),
      kind: KIND_CODES[kind],
      sender,
      messageHash: toHex(keccak_256(bytes)),
    },
  };
}

export async function signMessage(wallet: Wallet, typed: TypedData<object>): Promise<string> {
  return wallet.signTypedData(typed.domain, typed.types, { ...typed.message });
}

/** @throws InvalidSignatureError naming the sender when the message is not by its operator key. */
export function checkMessage(
  operator: string,
  { kind, sender }: RunMessageName,
  typed: TypedData<object>,
  signature: string,
): void {
  const signer = recoverSigner(typed, signature);
  if (signer === operator) return;
  const role = kind === "dealing" ? "dealer" : "member";
  throw new InvalidSignatureError(`the ${kind} is not signed by ${role} ${sender}`, {
    party: `node ${operator}`,
    check: "operator signature",
    expected: operator,
    ...(signer === undefined ? {} : { received: signer }),
  });
}

/**
 * The messages of the distributed key generation as nodes exchange them: EIP-712 signed with the operator key that the registry
 * lists, so that a member cannot deny what it sent, and nobody can speak for it. Round-2 shares are HPKE-sealed to the
 * recipient's registered key and bound to the hash of all round-1 broadcasts, so that members who were shown different
 * broadcasts notice before they use a share.
 */

import { keccak_256 } from "@noble/hashes/sha3.js";
import { concatBytes } from "@noble/hashes/utils.js";
import type { Wallet } from "ethers";
import { domainTag } from "../../core/crypto/kdf.ts";
import { toHex } from "../../core/encoding/hex.ts";
import { InvalidSignatureError } from "../../core/errors.ts";
import type { TypedData } from "../../core/identity/typed-messages.ts";
import { recoverSigner } from "../../daemon/account-signature.ts";

/** Whose key generation a message belongs to. */
export interface DkgScope {
  readonly chainId: bigint;
  /** Address of NodeRegistry. */
  readonly registry: string;
  readonly committeeId: bigint;
}

const TYPES = {
  DkgRound1: [
    { name: "registry", type: "address" },
    { name: "committeeId", type: "uint64" },
    { name: "index", type: "uint16" },
    { name: "broadcastHash", type: "bytes32" },
  ],
  DkgRound2: [
    { name: "registry", type: "address" },
    { name: "committeeId", type: "uint64" },
    { name: "from", type: "uint16" },
    { name: "to", type: "uint16" },
    { name: "transcript", type: "bytes32" },
    { name: "sealedHash", type: "bytes32" },
  ],
};

function typedData(primaryType: keyof typeof TYPES, scope: DkgScope, fields: object): TypedData<object> {
  return {
    domain: { name: "Tallystick", version: "1", chainId: scope.chainId },
    types: { [primaryType]: TYPES[primaryType] },
    primaryType,
    message: { registry: scope.registry, committeeId: scope.committeeId, ...fields },
  };
}

export function round1Message(scope: DkgScope, index: number, broadcast: Uint8Array): TypedData<object> {
  return typedData("DkgRound1", scope, { index, broadcastHash: toHex(keccak_256(broadcast)) });
}

export interface Round2Fields {
  readonly from: number;
  readonly to: number;
  readonly transcript: Uint8Array;
  readonly sealed: Uint8Array;
}

export function round2Message(scope: DkgScope, fields: Round2Fields): TypedData<object> {
  const { from, to, transcript, sealed } = fields;
  return typedData("DkgRound2", scope, {
    from,
    to,
    transcript: toHex(transcript),
    sealedHash: toHex(keccak_256(sealed)),
  });
}

export async function signMessage(wallet: Wallet, typed: TypedData<object>): Promise<string> {
  return wallet.signTypedData(typed.domain, typed.types, { ...typed.message });
}

/** @throws InvalidSignatureError naming the member when the message is not by its operator key. */
export function checkMessage(operator: string, member: number, typed: TypedData<object>, signature: string): void {
  const signer = recoverSigner(typed, signature);
  if (signer !== operator) {
    throw new InvalidSignatureError(`a key generation message is not signed by member ${member}`, {
      party: `node ${operator}`,
      check: "operator signature",
      expected: operator,
      ...(signer === undefined ? {} : { received: signer }),
    });
  }
}

function u64be(value: bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value);
  return bytes;
}

function u16be(value: number): Uint8Array {
  return new Uint8Array([value >> 8, value & 0xff]);
}

/** HPKE `info` of round-2 shares: "tallystick/v1/dkg-share" ‖ 0x00. */
export const DKG_SHARE_INFO = domainTag("dkg-share");

/** HPKE associated data of a round-2 share: u64be committee ‖ u16be from ‖ u16be to ‖ transcript. */
export function dkgShareContext(committeeId: bigint, from: number, to: number, transcript: Uint8Array): Uint8Array {
  return concatBytes(u64be(committeeId), u16be(from), u16be(to), transcript);
}

/**
 * The messages of the distributed key generation as nodes exchange them: EIP-712 signed with the operator key that the
 * registry lists, so that a member cannot deny what it sent, and nobody can speak for it. Each names chain, registry
 * and key, so that none is valid in another deployment, committee or generation. Round-2 shares are HPKE-sealed to the
 * recipient's registered key and bound to the hash of all round-1 broadcasts, so that members who were shown different
 * broadcasts notice before they use a share.
 */

import { keccak_256 } from "@noble/hashes/sha3.js";
import { concatBytes } from "@noble/hashes/utils.js";
import type { Wallet } from "ethers";
import { domainTag } from "../../core/crypto/kdf.ts";
import { encodeKeyId, type KeyId, purposeCode } from "../../core/dkg/key-id.ts";
import { ADDRESS_BYTES } from "../../core/encoding/address.ts";
import { fromHex, toHex } from "../../core/encoding/hex.ts";
import { u16be, u64be } from "../../core/encoding/integers.ts";
import { InvalidSignatureError } from "../../core/errors.ts";
import type { TypedData } from "../../core/identity/typed-messages.ts";
import { recoverSigner } from "../../daemon/account-signature.ts";

/** The key generation that a message belongs to. */
export interface DkgScope {
  readonly chainId: bigint;
  /** Address of NodeRegistry. */
  readonly registry: string;
  readonly key: KeyId;
}

const KEY_FIELDS = [
  { name: "registry", type: "address" },
  { name: "committeeId", type: "uint64" },
  { name: "generation", type: "uint32" },
  { name: "purpose", type: "uint8" },
];

const TYPES = {
  DkgRound1: [...KEY_FIELDS, { name: "index", type: "uint16" }, { name: "broadcastHash", type: "bytes32" }],
  DkgRound2: [
    ...KEY_FIELDS,
    { name: "from", type: "uint16" },
    { name: "to", type: "uint16" },
    { name: "transcript", type: "bytes32" },
    { name: "sealedHash", type: "bytes32" },
  ],
  DkgRound2Request: [
    ...KEY_FIELDS,
    { name: "from", type: "uint16" },
    { name: "to", type: "uint16" },
    { name: "expiresAt", type: "uint64" },
  ],
};

function typedData(primaryType: keyof typeof TYPES, scope: DkgScope, fields: object): TypedData<object> {
  const { committeeId, generation, purpose } = scope.key;
  const key = { registry: scope.registry, committeeId, generation, purpose: purposeCode(purpose) };
  return {
    domain: { name: "Tallystick", version: "1", chainId: scope.chainId },
    types: { [primaryType]: TYPES[primaryType] },
    primaryType,
    message: { ...key, ...fields },
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

/**
 * What member `to` signs to fetch the round-2 message of member `from`.
 * @param expiresAt unix seconds
 */
export function round2RequestMessage(
  scope: DkgScope,
  { from, to, expiresAt }: { from: number; to: number; expiresAt: number },
): TypedData<object> {
  return typedData("DkgRound2Request", scope, { from, to, expiresAt });
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

/** HPKE `info` of round-2 shares: "tallystick/v1/dkg-share" ‖ 0x00. */
export const DKG_SHARE_INFO = domainTag("dkg-share");

/**
 * HPKE associated data of a round-2 share: u64be chain id ‖ registry (20) ‖ u64be committee ‖ u32be generation ‖ u8
 * purpose ‖ u16be from ‖ u16be to ‖ transcript (32).
 */
export function dkgShareContext(scope: DkgScope, from: number, to: number, transcript: Uint8Array): Uint8Array {
  const registry = fromHex(scope.registry, ADDRESS_BYTES, "registry");
  return concatBytes(u64be(scope.chainId), registry, encodeKeyId(scope.key), u16be(from), u16be(to), transcript);
}

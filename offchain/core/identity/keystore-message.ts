/**
 * The EIP-712 message with which a wallet opens a keystore:
 *
 *     domain  EIP712Domain(string name,string version)
 *     type    OpenKeystore(string statement,address wallet,bytes32 challenge)
 *
 * The domain has no chain: a keystore is opened before any chain is chosen, and wallets refuse a chain in the domain
 * that is not the selected one. It has no contract either: no contract verifies this message, and the type name is that
 * of no other message, so a signature of it permits nothing on any chain.
 *
 * The digest is computed here, without a chain library: each command opens a keystore before it loads one.
 */
import { keccak_256 } from "@noble/hashes/sha3.js";
import { concatBytes, utf8ToBytes } from "@noble/hashes/utils.js";
import { checksumAddress } from "../encoding/address.ts";
import { fromHex } from "../encoding/hex.ts";
import type { WalletOpener } from "./wallet-key.ts";

const DOMAIN = { name: "Tallystick", version: "1" } as const;
const PRIMARY_TYPE = "OpenKeystore";
/** Order of the fields as in the type strings above. */
const TYPES = {
  EIP712Domain: [
    { name: "name", type: "string" },
    { name: "version", type: "string" },
  ],
  [PRIMARY_TYPE]: [
    { name: "statement", type: "string" },
    { name: "wallet", type: "address" },
    { name: "challenge", type: "bytes32" },
  ],
} as const;

/** What the wallet shows to whoever signs. */
export const KEYSTORE_STATEMENT = "Tallystick: open the keystore. Sign only in Tallystick.";

/** The message as `eth_signTypedData_v4` and the command lines of wallets take it. */
export interface KeystoreMessage {
  readonly domain: typeof DOMAIN;
  readonly types: typeof TYPES;
  readonly primaryType: typeof PRIMARY_TYPE;
  readonly message: WalletOpener & { readonly statement: string };
}

/** @throws InvalidInputError for an address or a challenge of a wrong length */
export function keystoreMessage({ wallet, challenge }: WalletOpener): KeystoreMessage {
  const message = {
    statement: KEYSTORE_STATEMENT,
    wallet: checksumAddress(fromHex(wallet.toLowerCase())),
    challenge: challenge.toLowerCase(),
  };
  return { domain: DOMAIN, types: TYPES, primaryType: PRIMARY_TYPE, message };
}

/** What the wallet signs (EIP-712, "Specification of the eth_signTypedData JSON RPC"). @returns 32 bytes */
export function keystoreDigest(opener: WalletOpener): Uint8Array {
  const domain = structHash("EIP712Domain", [hashText(DOMAIN.name), hashText(DOMAIN.version)]);
  const message = structHash(PRIMARY_TYPE, [
    hashText(KEYSTORE_STATEMENT),
    concatBytes(new Uint8Array(12), fromHex(opener.wallet.toLowerCase(), 20, "wallet")),
    fromHex(opener.challenge, 32, "challenge"),
  ]);
  return keccak_256(concatBytes(Uint8Array.of(0x19, 0x01), domain, message));
}

function structHash(type: keyof typeof TYPES, fields: readonly Uint8Array[]): Uint8Array {
  const members = TYPES[type].map(({ name, type: kind }) => `${kind} ${name}`).join(",");
  return keccak_256(concatBytes(hashText(`${type}(${members})`), ...fields));
}

function hashText(text: string): Uint8Array {
  return keccak_256(utf8ToBytes(text));
}

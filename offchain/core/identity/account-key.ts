/**
 * The signing key of an identity: BIP-32, "Private parent key → private child key", along m/44'/60'/0'/0/0 (BIP-44,
 * Ethereum). Kept libraries compute a public key at each of the six levels, in JavaScript; two are needed, and the
 * platform may have native code for them. Each command derives this key before it can do anything else.
 */
import { hmac } from "@noble/hashes/hmac.js";
import { sha512 } from "@noble/hashes/sha2.js";
import { bytesToHex, concatBytes, hexToBytes, utf8ToBytes } from "@noble/hashes/utils.js";
import { secp256k1PublicKey } from "#primitives";
import { TallystickError } from "../errors.ts";

export const ACCOUNT_PATH = "m/44'/60'/0'/0/0";

const HARDENED = 0x8000_0000;
const LEVELS = [44 + HARDENED, 60 + HARDENED, HARDENED, 0, 0] as const;
/** Order of secp256k1 (SEC 2, section 2.4.1). */
const ORDER = 0xffffffff_ffffffff_ffffffff_fffffffe_baaedce6_af48a03b_bfd25e8c_d0364141n;
const KEY_BYTES = 32;

/** @param seed of BIP-39 @returns 32 bytes; the caller wipes them */
export function accountKey(seed: Uint8Array): Uint8Array {
  let node: Uint8Array = hmac(sha512, utf8ToBytes("Bitcoin seed"), seed);
  if (secp256k1PublicKey(keyOf(node), true) === undefined) throw doesNotDerive();
  for (const level of LEVELS) {
    const child = childOf(node, level);
    node.fill(0);
    node = child;
  }
  const key = keyOf(node).slice();
  node.fill(0);
  return key;
}

function keyOf(node: Uint8Array): Uint8Array {
  return node.subarray(0, KEY_BYTES);
}

/** CKDpriv. @returns key ‖ chain code */
function childOf(node: Uint8Array, level: number): Uint8Array {
  const [key, chainCode] = [keyOf(node), node.subarray(KEY_BYTES)];
  const parent = level >= HARDENED ? concatBytes(Uint8Array.of(0), key) : secp256k1PublicKey(key, true);
  if (parent === undefined) throw doesNotDerive();
  const index = new Uint8Array(4);
  new DataView(index.buffer).setUint32(0, level);
  const data = concatBytes(parent, index);
  const child = hmac(sha512, chainCode, data);
  data.fill(0);
  if (level >= HARDENED) parent.fill(0);
  const left = numberOf(keyOf(child));
  const sum = (left + numberOf(key)) % ORDER;
  // BIP-32 calls for the next index then; the chance is below 1 in 2^127.
  if (left >= ORDER || sum === 0n) throw doesNotDerive();
  child.set(hexToBytes(sum.toString(16).padStart(2 * KEY_BYTES, "0")));
  return child;
}

function numberOf(key: Uint8Array): bigint {
  return BigInt(`0x${bytesToHex(key)}`);
}

function doesNotDerive(): TallystickError {
  return new TallystickError("the account key does not derive", { code: "INTERNAL", check: "BIP-32" });
}

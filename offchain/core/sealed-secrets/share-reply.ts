/**
 * A member's answer to a release request: its decryption share, sealed to the session key of whoever asked. k shares
 * open the secret for anybody who sees them, so they do not travel in the clear.
 *
 *     reply   HPKE(session key, info = tag("release-reply"), aad = name of the sealed secret ‖ account (20), share)
 */

import { concatBytes } from "@noble/hashes/utils.js";
import { hpkeOpen, hpkeSeal } from "../crypto/hpke.ts";
import { domainTag } from "../crypto/kdf.ts";
import { ADDRESS_BYTES } from "../encoding/address.ts";
import { fromHex } from "../encoding/hex.ts";
import type { CheckedSecret } from "./sealed-secret.ts";

const INFO = domainTag("release-reply");

/**
 * @param account that signed the request
 * @param sessionPublicKey X25519, 32 bytes, from the signed request
 * @throws InvalidPointError for a key that cannot be sealed to
 */
export async function sealShareReply(
  secret: CheckedSecret,
  account: string,
  sessionPublicKey: Uint8Array,
  share: Uint8Array,
): Promise<Uint8Array> {
  return await hpkeSeal(sessionPublicKey, INFO, aadOf(secret, account), share);
}

/**
 * @returns the decryption share, which `verifyDecryptionShare` has yet to check
 * @throws IntegrityError when the reply does not open: whoever sent it is at fault
 */
export async function openShareReply(
  secret: CheckedSecret,
  account: string,
  sessionPrivateKey: Uint8Array,
  sealed: Uint8Array,
): Promise<Uint8Array> {
  return await hpkeOpen(sessionPrivateKey, INFO, aadOf(secret, account), sealed);
}

function aadOf({ name }: CheckedSecret, account: string): Uint8Array {
  return concatBytes(name, fromHex(account, ADDRESS_BYTES, "account"));
}

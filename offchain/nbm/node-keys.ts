/**
 * All keys of a node, derived from the one secret in its keystore: the operator's signing key, the HPKE key pair that
 * shares are sealed to, and the key that seals the database's secrets. A node that lost its database but kept the
 * keystore can still open every recovery share on the ledger; only its share of the OPRF key is gone.
 */

import { Wallet } from "ethers";
import { hpkeKeyPairFromSeed } from "../core/crypto/hpke.ts";
import { kdf } from "../core/crypto/kdf.ts";
import { toHex } from "../core/encoding/hex.ts";
import { operatorKey } from "../daemon/keystore-file.ts";
import { SecretBox } from "./secret-box.ts";

export interface NodeKeys {
  readonly signingKey: Uint8Array;
  readonly wallet: Wallet;
  readonly hpkePrivateKey: Uint8Array;
  readonly hpkePublicKey: Uint8Array;
  readonly box: SecretBox;
}

/** @param secret 32 bytes from the keystore. */
export function deriveNodeKeys(secret: Uint8Array): NodeKeys {
  const signingKey = operatorKey(secret, "nbm");
  const { privateKey, publicKey } = hpkeKeyPairFromSeed(kdf(secret, "nbm-hpke"));
  return {
    signingKey,
    wallet: new Wallet(toHex(signingKey)),
    hpkePrivateKey: privateKey,
    hpkePublicKey: publicKey,
    box: new SecretBox(kdf(secret, "nbm-state")),
  };
}

/** RSA keys by OpenSSL, and their parts. */
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { type DealtRsaKey, dealRsaKey } from "../../offchain/core/oprf/rsa-dealer.ts";

export interface GeneratedRsaKey extends DealtRsaKey {
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

/** A key of 3072 bits, dealt to the members of a committee. */
export function generateRsaKey(members: number): GeneratedRsaKey {
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 3072, publicExponent: 65_537 });
  const { p, q } = privateKey.export({ format: "jwk" });
  const decode = (text: string | undefined) => new Uint8Array(Buffer.from(text ?? "", "base64url"));
  return { ...dealRsaKey({ p: decode(p), q: decode(q) }, members), privateKey, publicKey };
}

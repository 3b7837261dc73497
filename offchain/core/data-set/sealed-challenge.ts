/**
 * A challenge on its way to the prover: sealed to the key that the provider signs for in its offer, so that nobody else
 * learns what is asked before it is answered, whatever carries it. Layout (docs/spec.md):
 *
 *   HPKE of u8 1 ‖ u8 flags (bit 0: the proof is for anybody) ‖ seed (32) ‖ u32 sample count ‖ packed ranges
 */

import { concatBytes } from "@noble/hashes/utils.js";
import { type AuditChallenge, checkChallenge } from "../audit/challenge.ts";
import { hpkeOpen, hpkeSeal } from "../crypto/hpke.ts";
import { domainTag } from "../crypto/kdf.ts";
import { ADDRESS_BYTES } from "../encoding/address.ts";
import { fromHex } from "../encoding/hex.ts";
import { InvalidInputError, UnknownVersionError } from "../errors.ts";
import { decodeLiveRanges, encodeLiveRanges } from "./ranges.ts";

/** What is asked. */
export interface AskedChallenge {
  readonly challenge: AuditChallenge;
  /** Whether anybody shall be able to check the proof: it takes the provider longer. */
  readonly isPublic: boolean;
}

const VERSION = 1;
const FLAG_PUBLIC = 1;
const SEED_START = 2;
const COUNT_START = SEED_START + 32;
const RANGES_START = COUNT_START + 4;
const INFO = domainTag("sealed-challenge");

/** Binds a sealed challenge to the set that it is about. @param account its user @param salt of the set, 32 bytes */
function contextOf(account: string, salt: Uint8Array): Uint8Array {
  return concatBytes(fromHex(account, ADDRESS_BYTES, "account"), salt);
}

/**
 * @param key of the provider, 32 bytes
 * @throws InvalidInputError for a challenge outside the protocol, InvalidPointError for a key that is none
 */
export async function sealChallenge(
  key: Uint8Array,
  account: string,
  salt: Uint8Array,
  { challenge, isPublic }: AskedChallenge,
): Promise<Uint8Array> {
  checkChallenge(challenge);
  const head = new Uint8Array(RANGES_START);
  head[0] = VERSION;
  head[1] = isPublic ? FLAG_PUBLIC : 0;
  head.set(challenge.seed, SEED_START);
  new DataView(head.buffer).setUint32(COUNT_START, challenge.sampleCount);
  const plaintext = concatBytes(head, encodeLiveRanges(challenge.ranges));
  return await hpkeSeal(key, INFO, contextOf(account, salt), plaintext);
}

/**
 * @param privateKey of the provider, 32 bytes
 * @throws IntegrityError when it was not sealed to this key for this set, UnknownVersionError, InvalidInputError for
 *   another layout or a challenge outside the protocol
 */
export async function openChallenge(
  privateKey: Uint8Array,
  account: string,
  salt: Uint8Array,
  sealed: Uint8Array,
): Promise<AskedChallenge> {
  const bytes = await hpkeOpen(privateKey, INFO, contextOf(account, salt), sealed);
  const [version, flags] = bytes;
  if (version !== VERSION) throw new UnknownVersionError("sealed challenge", version ?? "none", [VERSION]);
  if (bytes.length < RANGES_START || (flags !== 0 && flags !== FLAG_PUBLIC)) {
    throw new InvalidInputError("sealed challenge is malformed", {
      check: "challenge layout",
      expected: `flags 0 or ${FLAG_PUBLIC}, and at least ${RANGES_START} bytes`,
      received: `flags ${flags}, ${bytes.length} bytes`,
    });
  }
  const challenge = {
    seed: bytes.slice(SEED_START, COUNT_START),
    sampleCount: new DataView(bytes.buffer, bytes.byteOffset).getUint32(COUNT_START),
    ranges: decodeLiveRanges(bytes.slice(RANGES_START)),
  };
  checkChallenge(challenge);
  return { challenge, isPublic: flags === FLAG_PUBLIC };
}

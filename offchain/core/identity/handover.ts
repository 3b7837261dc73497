/**
 * The handover: what an account that is replaced leaves to its successor, in the directory of accounts. It is the
 * entropy of the old recovery phrase, sealed under the successor's catalogue key, so that the new phrase alone finds
 * and opens what the old one could: old self envelopes and snapshots, data sets that run out, coins that are left.
 *
 *     scope  u64 chain id ‖ directory (20) ‖ account (20) ‖ successor (20)
 *     key    kdf(catalogue key, "handover", scope)
 *
 * Layout: version (1) ‖ AES-256-GCM-SIV (RFC 8452), zero nonce, of the entropy (16 to 32) with its tag (16). The key is
 * used for one message.
 */

import { gcmsiv } from "@noble/ciphers/aes.js";
import { concatBytes } from "@noble/hashes/utils.js";
import { domainTag, kdf } from "../crypto/kdf.ts";
import { ADDRESS_BYTES, isAddressEqual } from "../encoding/address.ts";
import { fromHex } from "../encoding/hex.ts";
import { u64be } from "../encoding/integers.ts";
import { IntegrityError, UnknownVersionError } from "../errors.ts";
import { type Identity, isEntropyLength, takeIdentity } from "./identity.ts";

export const HANDOVER_VERSION = 1;

/** Predecessors of an account that are followed, the latest first. A longer line costs its owner alone. */
export const LONGEST_LINE = 16;

const TAG_BYTES = 16;
const ZERO_NONCE = new Uint8Array(12);

/** Which naming a handover belongs to. */
export interface HandoverScope {
  readonly chainId: bigint;
  /** Address of the directory of accounts. */
  readonly directory: string;
  readonly account: string;
  readonly successor: string;
}

/** @param catalogueKey of the successor @throws InvalidInputError for a malformed address */
export function sealHandover(scope: HandoverScope, catalogueKey: Uint8Array, phraseEntropy: Uint8Array): Uint8Array {
  return concatBytes(Uint8Array.of(HANDOVER_VERSION), cipher(scope, catalogueKey).encrypt(phraseEntropy));
}

/**
 * The identity of the predecessor.
 * @param handover from the chain: the account that was replaced made it, and may have made it wrongly
 * @throws UnknownVersionError; IntegrityError naming the predecessor for bytes that do not open, or of another identity
 */
export function openHandover(scope: HandoverScope, catalogueKey: Uint8Array, handover: Uint8Array): Identity {
  const [version] = handover;
  if (version !== undefined && version !== HANDOVER_VERSION) {
    throw new UnknownVersionError("handover", version, [HANDOVER_VERSION]);
  }
  if (!isEntropyLength(handover.length - 1 - TAG_BYTES)) throw wrong(scope, `${handover.length} bytes`);
  let entropy: Uint8Array;
  try {
    entropy = cipher(scope, catalogueKey).decrypt(handover.subarray(1));
  } catch (cause) {
    // The lengths are right, so only the tag can be wrong.
    throw wrong(scope, "another key, account or deployment, or damaged bytes", cause);
  }
  const identity = takeIdentity(entropy);
  if (isAddressEqual(identity.account, scope.account)) return identity;
  const { account } = identity;
  identity.wipe();
  throw wrong(scope, `the phrase of ${account}`);
}

function cipher({ chainId, directory, account, successor }: HandoverScope, catalogueKey: Uint8Array) {
  const addresses = [directory, account, successor].map((one) => fromHex(one, ADDRESS_BYTES, "address"));
  const scope = concatBytes(u64be(chainId), ...addresses);
  const associated = concatBytes(domainTag("handover"), Uint8Array.of(HANDOVER_VERSION), scope);
  return gcmsiv(kdf(catalogueKey, "handover", scope), ZERO_NONCE, associated);
}

function wrong({ account }: HandoverScope, received: string, cause?: unknown): IntegrityError {
  return new IntegrityError("the handover of a predecessor does not open", {
    party: `account ${account}`,
    check: "handover",
    expected: `the recovery phrase of ${account}, sealed to its successor`,
    received,
    cause,
  });
}

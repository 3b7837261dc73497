/**
 * The identity as a secret that a committee keeps sealed for its owner: what its recovery policy releases.
 *
 *     record id   SHA-256(tag("identity-secret"))
 *     payload     u8 version 1 ‖ entropy of the recovery phrase (16 to 32 bytes)
 *     r           kdf(entropy, "identity-seal", S ‖ label, 64) modulo the group order
 *     words       the first 66 bits of SHA-256(tag("recovery-words") ‖ account (20) ‖ requester (20)
 *                   ‖ session key (32)), 11 bits a word of the English BIP-39 list
 *
 * The label has the account as author. Anybody can seal bytes under that label, so what is opened counts only when it
 * is the identity of the account (`identityOfSecret`). r derives from the entropy, so the owner checks without the
 * committee that the sealed bytes hold it (`holdsIdentity`); to everybody else r is as good as random.
 *
 * The words are what people compare by voice: whoever asks for a recovery reads them out, and a guardian sees the same
 * ones for the request that it is about to approve.
 */

import { concatBytes } from "@noble/hashes/utils.js";
import { wordlist } from "@scure/bip39/wordlists/english.js";
import { sha256 } from "#primitives";
import { domainTag, kdf } from "../crypto/kdf.ts";
import { ADDRESS_BYTES, isAddressEqual } from "../encoding/address.ts";
import { fromHex } from "../encoding/hex.ts";
import { IntegrityError, TallystickError, UnknownVersionError } from "../errors.ts";
import { scalarFromUniform } from "../oprf/group.ts";
import type { LedgerScope } from "../record/ledger-scope.ts";
import { encodeLabel, type SecretLabel } from "../sealed-secrets/label.ts";
import { type CheckedSecret, openWithScalar, sealSecret } from "../sealed-secrets/sealed-secret.ts";
import { type Identity, isEntropyLength, takeIdentity } from "./identity.ts";

export const IDENTITY_SECRET_VERSION = 1;
/** Record id in the label of every sealed identity, 32 bytes. */
export const IDENTITY_RECORD_ID: Uint8Array = sha256(domainTag("identity-secret"));

const WORDS = 6;
const BITS_PER_WORD = 11;
const WORDS_TAG = domainTag("recovery-words");
/** Of the input of the sealing scalar (RFC 9497's order is of 252 bits). */
const UNIFORM_BYTES = 64;

/** Where an identity is sealed. */
export interface IdentityPlace {
  readonly ledger: LedgerScope;
  readonly recoveryPolicy: string;
  readonly account: string;
  readonly version: number;
  /** keccak256 of the recovery plan, 32 bytes. */
  readonly planHash: Uint8Array;
}

type Entropy = Pick<Identity, "phraseEntropy">;

export function identityLabel({ ledger, recoveryPolicy, account, version, planHash }: IdentityPlace): SecretLabel {
  return {
    ledger,
    recordId: IDENTITY_RECORD_ID,
    version,
    author: account,
    policy: recoveryPolicy,
    policyDataHash: planHash,
  };
}

/**
 * Seals an identity to a committee.
 * @param groupKey S of the committee's record key
 * @throws InvalidPointError, InvalidInputError as `sealSecret`
 */
export function sealIdentity(groupKey: Uint8Array, place: IdentityPlace, { phraseEntropy }: Entropy): Uint8Array {
  const label = identityLabel(place);
  const payload = concatBytes(Uint8Array.of(IDENTITY_SECRET_VERSION), phraseEntropy);
  try {
    return sealSecret(groupKey, label, payload, sealingScalar(groupKey, label, phraseEntropy));
  } finally {
    payload.fill(0);
  }
}

/** Whether a sealed secret that was checked holds this identity. Needs no committee. */
export function holdsIdentity(secret: CheckedSecret, identity: Entropy & Pick<Identity, "account">): boolean {
  const r = sealingScalar(secret.groupKey, secret.label, identity.phraseEntropy);
  let payload: Uint8Array | undefined;
  try {
    payload = openWithScalar(secret, r);
    identityOfSecret(payload, identity.account).wipe();
    return true;
  } catch (error) {
    if (error instanceof TallystickError) return false;
    throw error;
  } finally {
    payload?.fill(0);
    r.fill(0);
  }
}

function sealingScalar(groupKey: Uint8Array, label: SecretLabel, entropy: Uint8Array): Uint8Array {
  const uniform = kdf(entropy, "identity-seal", concatBytes(groupKey, encodeLabel(label)), UNIFORM_BYTES);
  const r = scalarFromUniform(uniform);
  uniform.fill(0);
  return r;
}

/**
 * The identity in a payload that was opened.
 * @throws UnknownVersionError; IntegrityError naming the author when it is another account's, or none
 */
export function identityOfSecret(payload: Uint8Array, account: string): Identity {
  const [version] = payload;
  if (version !== undefined && version !== IDENTITY_SECRET_VERSION) {
    throw new UnknownVersionError("sealed identity", version, [IDENTITY_SECRET_VERSION]);
  }
  const length = payload.length - 1;
  if (!isEntropyLength(length)) {
    throw wrongSecret(account, "the entropy of a recovery phrase", `${Math.max(length, 0)} bytes`);
  }
  const identity = takeIdentity(payload.slice(1));
  if (isAddressEqual(identity.account, account)) return identity;
  const received = `the identity of ${identity.account}`;
  identity.wipe();
  throw wrongSecret(account, `the identity of ${account}`, received);
}

/** Words by which people compare a request. @param sessionKey 32 bytes */
export function recoveryWords(account: string, requester: string, sessionKey: Uint8Array): string {
  const [of, by] = [fromHex(account, ADDRESS_BYTES, "account"), fromHex(requester, ADDRESS_BYTES, "requester")];
  const digest = sha256(concatBytes(WORDS_TAG, of, by, sessionKey));
  const bits = [...digest].map((byte) => byte.toString(2).padStart(8, "0")).join("");
  const words = Array.from({ length: WORDS }, (_, place) => {
    const from = place * BITS_PER_WORD;
    return wordlist[Number.parseInt(bits.slice(from, from + BITS_PER_WORD), 2)];
  });
  return words.join(" ");
}

function wrongSecret(account: string, expected: string, received: string): IntegrityError {
  return new IntegrityError("what was sealed for the recovery is not the identity of this account", {
    party: `author ${account}`,
    check: "account of the sealed identity",
    expected,
    received,
    hint: "the sealed bytes are of no use; another way of recovery is needed",
  });
}

/**
 * Secrets sealed to a committee: the threshold cryptosystem TDH2 (Shoup and Gennaro, Securing threshold cryptosystems
 * against chosen ciphertext attack, 1998; J. Cryptology 15, 2002) over ristretto255, as a hybrid: the key of an AEAD
 * takes the place of the paper's one-time pad. With S = s·G the committee's record key, and Ḡ a second generator whose
 * logarithm nobody knows:
 *
 *     R = r·G, R̄ = r·Ḡ
 *     key    kdf(r·S, "sealed-secret", S ‖ R ‖ label)
 *     proof  of r with R = r·G and R̄ = r·Ḡ, over S ‖ label ‖ version ‖ R ‖ R̄ ‖ ciphertext
 *     sealed u8 version 1 ‖ R (32) ‖ R̄ (32) ‖ ciphertext and tag (payload + 16) ‖ c (32) ‖ s (32)
 *
 * Notation of the paper: h = S, ḡ = Ḡ, (c, L, u, ū, e, f) = (ciphertext, label, R, R̄, c, s), where its f = s + r·e is
 * here s = w − c·r, as in RFC 9497.
 *
 * What it gives: fewer than k members learn nothing about the payload, even if they have other secrets opened that they
 * made themselves (security against chosen ciphertexts, in the random oracle model under the decisional Diffie–Hellman
 * assumption), and no bytes that are checked here open under another label or another key S. That needs the proof with
 * two generators: without any, R copied into a stranger's record would open there; with a mere proof of knowledge of r,
 * the reduction would have to rewind a prover for each secret that is opened. Members check the proof before they
 * answer (`checkSealed`), and answers are checked on their own (decryption-share.ts), so a wrong one names its sender.
 *
 * What it does not give: it proves nothing about the payload. An author can seal rubbish, or bytes that do not open at
 * all, and only those to whom the secret is released notice. It does not hide the length of the payload. It is not
 * forward secret: k shares of one generation open all secrets of the committee, past ones too. Whoever has been given k
 * decryption shares can show them to others.
 *
 * The AEAD is AES-256-GCM with an all-zero nonce. The key is new for each r and label, so it seals one payload; GCM
 * does not commit to its key, but here R, S and the label determine the key, and the shares that lead to it are proven.
 */

import { concatBytes } from "@noble/hashes/utils.js";
import { aes256GcmOpen, aes256GcmSeal, equalBytes, sha256 } from "#primitives";
import { domainTag, kdf } from "../crypto/kdf.ts";
import { IntegrityError, InvalidInputError, UnknownVersionError } from "../errors.ts";
import {
  assertGroupReady,
  checkElement,
  checkScalar,
  ELEMENT_BYTES,
  multiply,
  multiplyBase,
  randomScalar,
} from "../oprf/group.ts";
import {
  proveRelations,
  type RelationStatement,
  relationProofBytes,
  secondGenerator,
  verifyRelations,
} from "../oprf/relation-proof.ts";
import { blameOn } from "./blame.ts";
import { encodeLabel, type SecretLabel } from "./label.ts";
import { MAX_SECRET_BYTES, SEALED_SECRET_OVERHEAD_BYTES } from "./lengths.ts";

export const SEALED_SECRET_VERSION = 1;

const CIPHERTEXT_AT = 1 + 2 * ELEMENT_BYTES;
const PROOF_BYTES = relationProofBytes(1);

const ZERO_NONCE = new Uint8Array(12);
const ASSOCIATED_DATA = concatBytes(domainTag("sealed-secret"), Uint8Array.of(SEALED_SECRET_VERSION));
const NAME_TAG = domainTag("sealed-secret-name");

/**
 * Seals a payload to a committee.
 *
 * @param groupKey S of the committee's record key, the same in all generations
 * @param payload 1 to 1024 bytes
 * @param scalar r, which opens the secret; random unless given. One that is given must be as good as random and used
 *   for this label and payload only. It is erased.
 * @returns 145 bytes more than the payload
 * @throws InvalidPointError for a malformed group key
 * @throws InvalidInputError for a malformed label or payload
 */
export function sealSecret(
  groupKey: Uint8Array,
  label: SecretLabel,
  payload: Uint8Array,
  scalar?: Uint8Array,
): Uint8Array {
  assertGroupReady();
  const r = scalar ?? randomScalar();
  checkScalar(r, "scalar of the sealed secret");
  checkElement(groupKey, "record key of the committee");
  const labelBytes = encodeLabel(label);
  if (payload.length < 1 || payload.length > MAX_SECRET_BYTES) {
    throw new InvalidInputError(`a payload of ${payload.length} bytes cannot be sealed`, {
      check: "payload length",
      expected: `1 to ${MAX_SECRET_BYTES} bytes`,
      received: `${payload.length} bytes`,
    });
  }
  const element = multiplyBase(r);
  const twin = multiply(r, secondGenerator());
  const sharedElement = multiply(r, groupKey);
  const key = secretKey(sharedElement, groupKey, element, labelBytes);
  const ciphertext = aes256GcmSeal(key, ZERO_NONCE, ASSOCIATED_DATA, payload);
  const body = concatBytes(Uint8Array.of(SEALED_SECRET_VERSION), element, twin, ciphertext);
  const proof = proveRelations(statementOf(groupKey, labelBytes, body, element, twin), [r]);
  for (const secret of [r, sharedElement, key]) secret.fill(0);
  return concatBytes(body, proof);
}

/** A sealed secret that has passed `checkSealed`: only that function makes it. */
class Checked {
  readonly label: SecretLabel;
  readonly labelBytes: Uint8Array;
  readonly groupKey: Uint8Array;
  /** R. */
  readonly element: Uint8Array;
  readonly ciphertext: Uint8Array;
  /** SHA-256(tag("sealed-secret-name") ‖ S ‖ label ‖ sealed): what decryption shares are bound to. */
  readonly name: Uint8Array;

  constructor(groupKey: Uint8Array, label: SecretLabel, labelBytes: Uint8Array, sealed: Uint8Array) {
    this.groupKey = groupKey.slice();
    this.label = label;
    this.labelBytes = labelBytes;
    this.element = sealed.slice(1, 1 + ELEMENT_BYTES);
    this.ciphertext = sealed.slice(CIPHERTEXT_AT, sealed.length - PROOF_BYTES);
    this.name = sha256(concatBytes(NAME_TAG, groupKey, labelBytes, sealed));
  }
}

export type CheckedSecret = Checked;

/**
 * Checks that a sealed secret was made for this committee under this label, by somebody who knows its r. A member does
 * so before it answers, whoever opens it before it asks.
 *
 * @param label as the chain says, not as whoever hands out the bytes says
 * @throws TallystickError UNKNOWN_VERSION, INTEGRITY, INVALID_POINT or INVALID_PROOF naming the author of the label
 * @throws InvalidInputError for a malformed label
 */
export function checkSealed(groupKey: Uint8Array, label: SecretLabel, sealed: Uint8Array): CheckedSecret {
  assertGroupReady();
  checkElement(groupKey, "record key of the committee");
  const labelBytes = encodeLabel(label);
  blameOn(authorOf(label), () => {
    checkLayout(sealed);
    const body = sealed.subarray(0, sealed.length - PROOF_BYTES);
    const element = sealed.subarray(1, 1 + ELEMENT_BYTES);
    const twin = sealed.subarray(1 + ELEMENT_BYTES, CIPHERTEXT_AT);
    checkElement(element, "element R of the sealed secret");
    checkElement(twin, "second element of the sealed secret");
    verifyRelations(statementOf(groupKey, labelBytes, body, element, twin), sealed.subarray(body.length));
  });
  return new Checked(groupKey, label, labelBytes, sealed);
}

/**
 * Decrypts with the element that decryption shares combine to.
 * @param sharedElement r·S
 * @throws TallystickError INTEGRITY naming the author: shares are proven, so it sealed bytes that do not open
 */
export function openWith(secret: CheckedSecret, sharedElement: Uint8Array): Uint8Array {
  const { label, labelBytes, groupKey, element, ciphertext } = secret;
  const key = secretKey(sharedElement, groupKey, element, labelBytes);
  const payload = aes256GcmOpen(key, ZERO_NONCE, ASSOCIATED_DATA, ciphertext);
  key.fill(0);
  if (payload !== undefined) return payload;
  throw new IntegrityError("the sealed secret does not open: its author made it wrongly", {
    party: authorOf(label),
    check: "AES-256-GCM tag",
    hint: "no committee can open these bytes; record the secret again",
  });
}

/**
 * Decrypts with the scalar that the secret was sealed with, which needs no committee.
 * @throws TallystickError INTEGRITY naming the author when it was sealed with another one, or does not open
 */
export function openWithScalar(secret: CheckedSecret, r: Uint8Array): Uint8Array {
  if (!equalBytes(multiplyBase(r), secret.element)) {
    throw new IntegrityError("the sealed secret was not sealed with this scalar", {
      party: authorOf(secret.label),
      check: "element R of the sealed secret",
    });
  }
  const sharedElement = multiply(r, secret.groupKey);
  try {
    return openWith(secret, sharedElement);
  } finally {
    sharedElement.fill(0);
  }
}

function authorOf({ author }: SecretLabel): string {
  return `author ${author}`;
}

function checkLayout(sealed: Uint8Array): void {
  const [version] = sealed;
  if (version !== undefined && version !== SEALED_SECRET_VERSION) {
    throw new UnknownVersionError("sealed secret", version, [SEALED_SECRET_VERSION]);
  }
  const payloadBytes = sealed.length - SEALED_SECRET_OVERHEAD_BYTES;
  if (payloadBytes >= 1 && payloadBytes <= MAX_SECRET_BYTES) return;
  throw new IntegrityError(`sealed secret has ${sealed.length} bytes`, {
    check: "length of the sealed secret",
    expected: `${SEALED_SECRET_OVERHEAD_BYTES + 1} to ${SEALED_SECRET_OVERHEAD_BYTES + MAX_SECRET_BYTES} bytes`,
    received: `${sealed.length} bytes`,
  });
}

function secretKey(
  sharedElement: Uint8Array,
  groupKey: Uint8Array,
  element: Uint8Array,
  label: Uint8Array,
): Uint8Array {
  return kdf(sharedElement, "sealed-secret", concatBytes(groupKey, element, label));
}

/** @param body everything before the proof */
function statementOf(
  groupKey: Uint8Array,
  label: Uint8Array,
  body: Uint8Array,
  element: Uint8Array,
  twin: Uint8Array,
): RelationStatement {
  const relations = [[{ element }, { base: secondGenerator(), element: twin }]];
  return { label: "sealed-secret-proof", context: concatBytes(groupKey, label, body), relations };
}

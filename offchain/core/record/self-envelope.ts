/**
 * The self envelope: data id and file key, sealed by an account to itself and put on chain with each record and each
 * later owner. The recovery phrase alone therefore finds everything the account ever stored, and opens it without any
 * node.
 *
 * AES-256-GCM-SIV (RFC 8452) under the account's catalogue key. Nonce and associated data come from the record id, so
 * that sealing again gives the same bytes. A symmetric key is enough, since an account seals to itself: it costs 48
 * bytes less than HPKE, and fits into the note that the ledger carries for a later owner.
 *
 * Layout: version (1) ‖ sealed digest of the data id (32) ‖ sealed file key (32) ‖ tag (16).
 */

import { gcmsiv } from "@noble/ciphers/aes.js";
import { concatBytes } from "@noble/hashes/utils.js";
import { domainTag } from "../crypto/kdf.ts";
import { contentIdFromDigest, digestOf } from "../encoding/content-id.ts";
import { IntegrityError, InvalidInputError, UnknownVersionError } from "../errors.ts";
import { encodeLedgerScope, type LedgerScope } from "./ledger-scope.ts";

export const SELF_ENVELOPE_VERSION = 1;
export const SELF_ENVELOPE_BYTES = 1 + 32 + 32 + 16;

const ENVELOPE_TAG = domainTag("self-envelope");
const NONCE_BYTES = 12;
const KEY_BYTES = 32;
const SCOPE_BYTES = 32;
const DIGEST_BYTES = 32;

/** What an account seals to itself. */
export interface SelfSecret {
  readonly dataId: string;
  /** 32 bytes. */
  readonly fileKey: Uint8Array;
}

/** What an envelope is bound to, and the key of its account. */
export interface SelfEnvelopeContext {
  readonly ledger: LedgerScope;
  /** 32 bytes, `fileScope` of the record; also for a later owner, who is added to it. */
  readonly fileScope: Uint8Array;
  /** 32 bytes, of the identity. */
  readonly catalogueKey: Uint8Array;
}

/** Seals data id and file key for the account itself. @throws InvalidInputError for malformed arguments */
export function sealSelfEnvelope(context: SelfEnvelopeContext, { dataId, fileKey }: SelfSecret): Uint8Array {
  if (fileKey.length !== KEY_BYTES) {
    throw new InvalidInputError(`file key has ${fileKey.length} bytes`, {
      check: "file key length",
      expected: `${KEY_BYTES} bytes`,
      received: `${fileKey.length} bytes`,
    });
  }
  const secret = concatBytes(digestOf(dataId), fileKey);
  const sealed = cipher(context).encrypt(secret);
  secret.fill(0);
  return concatBytes(Uint8Array.of(SELF_ENVELOPE_VERSION), sealed);
}

/**
 * Opens a self envelope.
 *
 * @throws UnknownVersionError for an envelope of another version
 * @throws IntegrityError when it was not sealed with this key for this record in this deployment, or is damaged
 */
export function openSelfEnvelope(context: SelfEnvelopeContext, envelope: Uint8Array): SelfSecret {
  const [version] = envelope;
  if (version !== undefined && version !== SELF_ENVELOPE_VERSION) {
    throw new UnknownVersionError("self envelope", version, [SELF_ENVELOPE_VERSION]);
  }
  if (envelope.length !== SELF_ENVELOPE_BYTES) throw envelopeError(`${envelope.length} bytes`);
  const opener = cipher(context);
  let secret: Uint8Array;
  try {
    secret = opener.decrypt(envelope.subarray(1));
  } catch (cause) {
    // The lengths are right, so only the tag can be wrong.
    throw envelopeError("another key, file, account or deployment, or damaged bytes", cause);
  }
  const opened = {
    dataId: contentIdFromDigest(secret.subarray(0, DIGEST_BYTES)),
    fileKey: secret.slice(DIGEST_BYTES),
  };
  secret.fill(0);
  return opened;
}

function cipher({ ledger, fileScope, catalogueKey }: SelfEnvelopeContext) {
  if (catalogueKey.length !== KEY_BYTES || fileScope.length !== SCOPE_BYTES) {
    throw new InvalidInputError("catalogue key and file scope have 32 bytes each", {
      check: "self envelope",
      received: `${catalogueKey.length} and ${fileScope.length} bytes`,
    });
  }
  const aad = concatBytes(ENVELOPE_TAG, encodeLedgerScope(ledger), fileScope);
  return gcmsiv(catalogueKey, fileScope.subarray(0, NONCE_BYTES), aad);
}

function envelopeError(received: string, cause?: unknown): IntegrityError {
  return new IntegrityError("self envelope does not open", { check: "self envelope", received, cause });
}

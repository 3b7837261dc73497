/**
 * The catalogue note: a data id sealed by an account to itself and put on chain with each record, so that the recovery phrase
 * alone finds everything the account ever stored. AES-256-GCM-SIV (RFC 8452) under the account's catalogue key, nonce and
 * associated data from the record id: one note per record, and a repeated one repeats byte for byte.
 *
 * Layout: version (1) ‖ sealed digest (32) ‖ tag (16).
 */

import { gcmsiv } from "@noble/ciphers/aes.js";
import { concatBytes } from "@noble/hashes/utils.js";
import { domainTag } from "../crypto/kdf.ts";
import { contentIdFromDigest, digestOf } from "../encoding/content-id.ts";
import { IntegrityError, InvalidInputError, UnknownVersionError } from "../errors.ts";

export const CATALOGUE_NOTE_VERSION = 1;
export const CATALOGUE_NOTE_BYTES = 1 + 32 + 16;

const NOTE_TAG = domainTag("catalogue-note");
const NONCE_BYTES = 12;
const KEY_BYTES = 32;
const RECORD_ID_BYTES = 32;

/**
 * Seals a data id for its own account.
 *
 * @param catalogueKey 32 bytes, of the identity
 * @param recordId 32 bytes; for a later owner the id of the record it is added to
 * @throws InvalidInputError for malformed arguments
 */
export function sealCatalogueNote(catalogueKey: Uint8Array, recordId: Uint8Array, dataId: string): Uint8Array {
  const sealed = cipher(catalogueKey, recordId).encrypt(digestOf(dataId));
  return concatBytes(Uint8Array.of(CATALOGUE_NOTE_VERSION), sealed);
}

/**
 * Opens a note.
 *
 * @returns the data id
 * @throws UnknownVersionError for a note of another version
 * @throws IntegrityError when the note was not sealed with this key for this record: it is somebody else's, or damaged
 */
export function openCatalogueNote(catalogueKey: Uint8Array, recordId: Uint8Array, note: Uint8Array): string {
  const [version] = note;
  if (version !== undefined && version !== CATALOGUE_NOTE_VERSION) {
    throw new UnknownVersionError("catalogue note", version, [CATALOGUE_NOTE_VERSION]);
  }
  if (note.length !== CATALOGUE_NOTE_BYTES) throw noteError(`${note.length} bytes`);
  const opener = cipher(catalogueKey, recordId);
  let digest: Uint8Array;
  try {
    digest = opener.decrypt(note.subarray(1));
  } catch (cause) {
    // Lengths are right here, so that the tag is all that noble can object to.
    throw noteError("another key, another record or damaged bytes", cause);
  }
  return contentIdFromDigest(digest);
}

function cipher(catalogueKey: Uint8Array, recordId: Uint8Array) {
  if (catalogueKey.length !== KEY_BYTES || recordId.length !== RECORD_ID_BYTES) {
    throw new InvalidInputError("catalogue key and record id have 32 bytes each", {
      check: "catalogue note",
      received: `${catalogueKey.length} and ${recordId.length} bytes`,
    });
  }
  return gcmsiv(catalogueKey, recordId.subarray(0, NONCE_BYTES), concatBytes(NOTE_TAG, recordId));
}

function noteError(received: string, cause?: unknown): IntegrityError {
  return new IntegrityError("catalogue note does not open", { check: "catalogue note", received, cause });
}

/**
 * Secrets at rest: a JSON document sealed with a passphrase. scrypt (RFC 7914) makes the key, AES-256-GCM (SP 800-38D)
 * seals. The key is used once, since every sealing draws a new salt. Everything in the document but the sealed bytes is
 * associated data, so that no field can be changed, and the cost parameters cannot be used to exhaust memory.
 */

import { concatBytes, utf8ToBytes } from "@noble/hashes/utils.js";
import { type Static, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { aes256GcmOpen, aes256GcmSeal, randomBytes, scrypt } from "#primitives";
import type { ScryptCost } from "../../kernels/primitives.ts";
import { domainTag } from "../crypto/kdf.ts";
import { fromHex, toHex } from "../encoding/hex.ts";
import { InvalidInputError, TallystickError, UnknownVersionError } from "../errors.ts";

export const KEYSTORE_VERSION = 1;
const KEY_BYTES = 32;
const SALT_BYTES = 32;
const NONCE_BYTES = 12;
const MAX_SECRET_BYTES = 1024;
/** 128 · N · r bytes of memory: 128 MiB by default, at most 1 GiB. */
const MAX_MEMORY_BYTES = 1024 * 1024 * 1024;
const MAX_PARALLELIZATION = 16;

/**
 * Whose secret it is: `user` for a user's phrase entropy, else the name of the daemon whose root secret it is (`nbm`,
 * `csp`).
 */
export type KeystoreKind = string;

/** OWASP's recommendation for scrypt: 128 MiB and some tenths of a second of native code per guess. */
export const DEFAULT_SCRYPT_COST: ScryptCost = { n: 2 ** 17, r: 8, p: 1 };

const hexBytes = (bytes: number) => Type.String({ pattern: `^0x[0-9a-f]{${bytes * 2}}$` });
const closed = { additionalProperties: false };

const KeystoreJson = Type.Object(
  {
    version: Type.Literal(KEYSTORE_VERSION),
    kind: Type.String({ pattern: "^[a-z]{3,16}$" }),
    kdf: Type.Object(
      {
        name: Type.Literal("scrypt"),
        n: Type.Integer({ minimum: 2 }),
        r: Type.Integer({ minimum: 1 }),
        p: Type.Integer({ minimum: 1, maximum: MAX_PARALLELIZATION }),
        salt: hexBytes(SALT_BYTES),
      },
      closed,
    ),
    cipher: Type.Object({ name: Type.Literal("aes-256-gcm"), nonce: hexBytes(NONCE_BYTES) }, closed),
    sealed: Type.String({ pattern: "^0x(?:[0-9a-f]{2})+$", maxLength: 2 + 2 * (MAX_SECRET_BYTES + 16) }),
  },
  closed,
);
/** The document, as it is written to disk. */
export type KeystoreJson = Static<typeof KeystoreJson>;

/**
 * Seals a secret.
 *
 * @param secret 1 to 1024 bytes
 * @param passphrase not empty; Unicode is normalised (NFKC), so that it can be typed on any keyboard
 * @param cost stored in the document; tests may lower it
 * @throws InvalidInputError for an empty passphrase, a wrong length or an impossible cost
 */
export async function sealKeystore(
  secret: Uint8Array,
  passphrase: string,
  kind: KeystoreKind,
  cost: ScryptCost = DEFAULT_SCRYPT_COST,
): Promise<KeystoreJson> {
  if (secret.length === 0 || secret.length > MAX_SECRET_BYTES) {
    throw new InvalidInputError(`a keystore cannot hold ${secret.length} bytes`, {
      check: "length of the secret",
      expected: `1 to ${MAX_SECRET_BYTES} bytes`,
      received: `${secret.length} bytes`,
    });
  }
  const salt = randomBytes(SALT_BYTES);
  const nonce = randomBytes(NONCE_BYTES);
  const head = {
    version: KEYSTORE_VERSION,
    kind,
    kdf: { name: "scrypt", ...cost, salt: toHex(salt) },
    cipher: { name: "aes-256-gcm", nonce: toHex(nonce) },
  } as const;
  const key = await deriveKey(passphrase, salt, cost);
  const sealed = aes256GcmSeal(key, nonce, associatedData(head), secret);
  key.fill(0);
  return { ...head, sealed: toHex(sealed) };
}

/**
 * Opens a keystore.
 *
 * @param json the parsed document, from disk and not trusted
 * @param kind when given, the required kind
 * @throws UnknownVersionError for a document of another version
 * @throws InvalidInputError for a malformed document, one of another kind, or an empty passphrase
 * @throws TallystickError WRONG_PASSPHRASE when it does not open; damage to the document looks the same
 */
export async function openKeystore(json: unknown, passphrase: string, kind?: KeystoreKind): Promise<Uint8Array> {
  const keystore = parseKeystore(json);
  if (kind !== undefined && keystore.kind !== kind) {
    throw new InvalidInputError(`the keystore is of kind ${keystore.kind}`, {
      check: "keystore kind",
      expected: kind,
      received: keystore.kind,
    });
  }
  const { sealed, ...head } = keystore;
  const key = await deriveKey(passphrase, fromHex(head.kdf.salt), head.kdf);
  const secret = aes256GcmOpen(key, fromHex(head.cipher.nonce), associatedData(head), fromHex(sealed));
  key.fill(0);
  if (secret === undefined) {
    throw new TallystickError("the keystore does not open with this passphrase", {
      code: "WRONG_PASSPHRASE",
      check: "authentication tag of the keystore",
      hint: "try again; if the passphrase is surely right, the file is damaged: restore it, or recover from the phrase",
    });
  }
  return secret;
}

/** @throws UnknownVersionError, InvalidInputError */
function parseKeystore(json: unknown): KeystoreJson {
  const version = typeof json === "object" && json !== null && "version" in json ? json.version : undefined;
  if ((typeof version === "number" || typeof version === "string") && version !== KEYSTORE_VERSION) {
    throw new UnknownVersionError("keystore", version, [KEYSTORE_VERSION]);
  }
  if (!Value.Check(KeystoreJson, json)) {
    const [first] = Value.Errors(KeystoreJson, json);
    const place = first === undefined || first.path === "" ? "the document" : first.path;
    throw new InvalidInputError(`the keystore is malformed at ${place}`, { check: "keystore format" });
  }
  return json;
}

/** Every field but `sealed`, in a fixed order and encoding. */
function associatedData({ version, kind, kdf, cipher }: Omit<KeystoreJson, "sealed">): Uint8Array {
  const fields = [version, kind, kdf.name, kdf.n, kdf.r, kdf.p, kdf.salt, cipher.name, cipher.nonce];
  return concatBytes(domainTag("keystore"), utf8ToBytes(fields.join(" ")));
}

async function deriveKey(passphrase: string, salt: Uint8Array, { n, r, p }: ScryptCost): Promise<Uint8Array> {
  if (passphrase === "") throw new InvalidInputError("the passphrase is empty", { check: "passphrase" });
  const isPowerOfTwo = Number.isInteger(n) && n >= 2 && Number.isInteger(Math.log2(n));
  const isSane = Number.isInteger(r) && r >= 1 && Number.isInteger(p) && p >= 1 && p <= MAX_PARALLELIZATION;
  if (!isPowerOfTwo || !isSane || 128 * r * (n + p) > MAX_MEMORY_BYTES) {
    throw new InvalidInputError(`scrypt with n = ${n}, r = ${r}, p = ${p} is out of range`, {
      check: "scrypt cost",
      expected: `n a power of two, p at most ${MAX_PARALLELIZATION}, at most 1 GiB of memory`,
    });
  }
  const passphraseBytes = utf8ToBytes(passphrase.normalize("NFKC"));
  const key = await scrypt(passphraseBytes, salt, { n, r, p }, KEY_BYTES);
  passphraseBytes.fill(0);
  return key;
}

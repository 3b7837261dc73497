/**
 * Secrets at rest: a JSON document with one or more slots, each of which seals the same secret for something else that
 * opens it: a passphrase, from which scrypt (RFC 7914) makes the key, or a wallet, from whose signature HKDF (RFC 5869)
 * makes it (wallet-key.ts). AES-256-GCM (SP 800-38D) seals. Each key is used once, since every sealing draws a new
 * salt. Everything in a slot but the sealed bytes is associated data, with the version and the kind of the document, so
 * that no field can be changed, and the cost parameters cannot be used to exhaust memory.
 */

import { concatBytes, utf8ToBytes } from "@noble/hashes/utils.js";
import type { Static, TSchema } from "@sinclair/typebox";
import { Errors as errorsOf } from "@sinclair/typebox/errors";
import * as Type from "@sinclair/typebox/type";
import { aes256GcmOpen, aes256GcmSeal, randomBytes, scrypt } from "#primitives";
import type { ScryptCost } from "../../kernels/primitives.ts";
import { domainTag } from "../crypto/kdf.ts";
import { checksumAddress, isAddressEqual } from "../encoding/address.ts";
import { fromHex, toHex } from "../encoding/hex.ts";
import { InvalidInputError, TallystickError, UnknownVersionError } from "../errors.ts";
import type { WalletKey, WalletOpener } from "./wallet-key.ts";

export const KEYSTORE_VERSION = 2;
const KEY_BYTES = 32;
const SALT_BYTES = 32;
const NONCE_BYTES = 12;
const MAX_SECRET_BYTES = 1024;
/** One passphrase and several wallets. */
const MAX_SLOTS = 8;
/** 128 · N · r bytes of memory: 128 MiB by default, at most 1 GiB. */
const MAX_MEMORY_BYTES = 1024 * 1024 * 1024;
const MAX_PARALLELIZATION = 16;

/**
 * Whose secret it is: `user` for a user's phrase entropy, else the name of the daemon whose root secret it is (`nbm`,
 * `csp`).
 */
export type KeystoreKind = string;

/** What opens a slot: a passphrase (not empty; Unicode is normalised, NFKC), or the key of a wallet. */
export type KeystoreKey = string | WalletKey;

/** What opens a keystore, as the document says. */
export interface KeystoreOpeners {
  readonly passphrase: boolean;
  readonly wallets: readonly WalletOpener[];
}

/** OWASP's recommendation for scrypt: 128 MiB and some tenths of a second of native code per guess. */
export const DEFAULT_SCRYPT_COST: ScryptCost = { n: 2 ** 17, r: 8, p: 1 };

const hexBytes = (bytes: number) => Type.String({ pattern: `^0x[0-9a-f]{${bytes * 2}}$` });
const closed = { additionalProperties: false };

const SEALED = {
  cipher: Type.Object({ name: Type.Literal("aes-256-gcm"), nonce: hexBytes(NONCE_BYTES) }, closed),
  sealed: Type.String({ pattern: "^0x(?:[0-9a-f]{2})+$", maxLength: 2 + 2 * (MAX_SECRET_BYTES + 16) }),
};
const PassphraseSlot = Type.Object(
  {
    opener: Type.Literal("passphrase"),
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
    ...SEALED,
  },
  closed,
);
const WalletSlot = Type.Object(
  {
    opener: Type.Literal("wallet"),
    wallet: hexBytes(20),
    challenge: hexBytes(32),
    kdf: Type.Object({ name: Type.Literal("hkdf-sha256"), salt: hexBytes(SALT_BYTES) }, closed),
    ...SEALED,
  },
  closed,
);
type Slot = Static<typeof PassphraseSlot> | Static<typeof WalletSlot>;
type SlotHead = Omit<Static<typeof PassphraseSlot>, "sealed"> | Omit<Static<typeof WalletSlot>, "sealed">;

const KeystoreDocument = Type.Object(
  {
    version: Type.Literal(KEYSTORE_VERSION),
    kind: Type.String({ pattern: "^[a-z]{3,16}$" }),
    slots: Type.Array(Type.Object({ opener: Type.Union([Type.Literal("passphrase"), Type.Literal("wallet")]) }), {
      minItems: 1,
      maxItems: MAX_SLOTS,
    }),
  },
  closed,
);
/** The document, as it is written to disk. */
export interface KeystoreJson {
  readonly version: typeof KEYSTORE_VERSION;
  readonly kind: KeystoreKind;
  readonly slots: readonly Slot[];
}

/**
 * Seals a secret.
 *
 * @param secret 1 to 1024 bytes
 * @param cost of a passphrase's slot, stored in it; tests may lower it
 * @throws InvalidInputError for an empty passphrase, a wrong length or an impossible cost
 */
export async function sealKeystore(
  secret: Uint8Array,
  key: KeystoreKey,
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
  return { version: KEYSTORE_VERSION, kind, slots: [await sealSlot(secret, key, kind, cost)] };
}

/**
 * Opens a keystore.
 *
 * @param json the parsed document, from disk and not trusted
 * @param kind when given, the required kind
 * @throws UnknownVersionError for a document of another version
 * @throws InvalidInputError for a malformed document, one of another kind, or an empty passphrase
 * @throws TallystickError WRONG_PASSPHRASE or WRONG_WALLET when it does not open; damage to the document looks the same
 */
export async function openKeystore(json: unknown, key: KeystoreKey, kind?: KeystoreKind): Promise<Uint8Array> {
  const keystore = parseKeystore(json);
  if (kind !== undefined && keystore.kind !== kind) {
    throw new InvalidInputError(`the keystore is of kind ${keystore.kind}`, {
      check: "keystore kind",
      expected: kind,
      received: keystore.kind,
    });
  }
  const slot = keystore.slots.find((one) => isOpenedBy(one, key));
  if (slot === undefined) throw noSlot(keystore, key);
  const { sealed, ...head } = slot;
  const slotKey = await deriveKey(key, head);
  const aad = associatedData(keystore.kind, head);
  const secret = aes256GcmOpen(slotKey, fromHex(head.cipher.nonce), aad, fromHex(sealed));
  slotKey.fill(0);
  if (secret === undefined) throw doesNotOpen(key);
  return secret;
}

/** What opens the keystore. @throws UnknownVersionError, InvalidInputError for a malformed document */
export function keystoreOpeners(json: unknown): KeystoreOpeners {
  return openersOf(parseKeystore(json));
}

/**
 * Has a keystore open with something else as well. A passphrase, or a slot of the same wallet, is replaced.
 *
 * @param key that opens it
 * @param added a new passphrase, or the key of a wallet that was set up (`setUpWallet`)
 * @throws as `openKeystore`; InvalidInputError when there is no room for another slot
 */
export async function addKeystoreSlot(
  json: unknown,
  key: KeystoreKey,
  added: KeystoreKey,
  cost: ScryptCost = DEFAULT_SCRYPT_COST,
): Promise<KeystoreJson> {
  const keystore = parseKeystore(json);
  const others = keystore.slots.filter((slot) => nameOf(slot) !== openerName(added));
  if (others.length >= MAX_SLOTS) {
    throw new InvalidInputError("the keystore has no room for another wallet", {
      party: "you",
      check: "slots of the keystore",
      expected: `at most ${MAX_SLOTS}`,
      hint: "remove a wallet first",
    });
  }
  const secret = await openKeystore(keystore, key);
  try {
    return { ...keystore, slots: [...others, await sealSlot(secret, added, keystore.kind, cost)] };
  } finally {
    secret.fill(0);
  }
}

/**
 * Has a keystore no longer open with a wallet, or with its passphrase. Copies of the document that were made before
 * still do.
 *
 * @param key that opens what is left: so the last one that works cannot be removed
 * @param opener account of the wallet, or `passphrase`
 * @throws as `openKeystore`; TallystickError NOT_FOUND when nothing of this name opens it
 */
export async function removeKeystoreSlot(json: unknown, key: KeystoreKey, opener: string): Promise<KeystoreJson> {
  const keystore = parseKeystore(json);
  const slots = keystore.slots.filter((slot) => nameOf(slot) !== opener.toLowerCase());
  if (slots.length === keystore.slots.length) {
    throw new TallystickError(`the keystore does not open with ${opener}`, {
      code: "NOT_FOUND",
      party: "you",
      check: "slots of the keystore",
      expected: keystore.slots.map(nameOf).join(" or "),
      received: opener,
      hint: "`tallystick identity show` has what opens it",
    });
  }
  if (openerName(key) === opener.toLowerCase()) {
    throw new TallystickError("what is removed cannot be what the keystore was opened with", {
      code: "CONFLICT",
      party: "you",
      check: "key of a slot that is left",
      received: opener,
      hint: "open the keystore with another wallet or with the passphrase; add one first if there is none",
    });
  }
  const left = { ...keystore, slots };
  (await openKeystore(left, key)).fill(0);
  return left;
}

/** @throws UnknownVersionError, InvalidInputError */
function parseKeystore(json: unknown): KeystoreJson {
  const version = typeof json === "object" && json !== null && "version" in json ? json.version : undefined;
  if ((typeof version === "number" || typeof version === "string") && version !== KEYSTORE_VERSION) {
    throw new UnknownVersionError("keystore", version, [KEYSTORE_VERSION]);
  }
  const document = requireForm(KeystoreDocument, json, "");
  const slots = document.slots.map((slot, position) => {
    const place = `/slots/${position}`;
    return slot.opener === "wallet" ? requireForm(WalletSlot, slot, place) : requireForm(PassphraseSlot, slot, place);
  });
  if (new Set(slots.map(nameOf)).size < slots.length) throw malformed("/slots: two open with the same");
  return { ...document, slots };
}

function requireForm<Schema extends TSchema>(schema: Schema, json: unknown, place: string): Static<Schema> {
  const first = errorsOf(schema, json).First();
  if (first === undefined) return json as Static<Schema>;
  throw malformed(`${place}${first.path}` || "the document");
}

function malformed(place: string): InvalidInputError {
  return new InvalidInputError(`the keystore is malformed at ${place}`, { check: "keystore format" });
}

const PASSPHRASE = "passphrase";

/** Tells the slots of a keystore apart. */
function nameOf(slot: SlotHead): string {
  return slot.opener === "wallet" ? slot.wallet : PASSPHRASE;
}

function openerName(key: KeystoreKey): string {
  return typeof key === "string" ? PASSPHRASE : key.wallet.toLowerCase();
}

function isOpenedBy(slot: Slot, key: KeystoreKey): boolean {
  if (typeof key === "string") return slot.opener === "passphrase";
  return slot.opener === "wallet" && isAddressEqual(slot.wallet, key.wallet) && slot.challenge === key.challenge;
}

function openersOf({ slots }: KeystoreJson): KeystoreOpeners {
  const wallets = slots.flatMap((slot) =>
    slot.opener === "wallet" ? [{ wallet: checksumAddress(fromHex(slot.wallet)), challenge: slot.challenge }] : [],
  );
  return { passphrase: wallets.length < slots.length, wallets };
}

async function sealSlot(secret: Uint8Array, key: KeystoreKey, kind: KeystoreKind, cost: ScryptCost): Promise<Slot> {
  const nonce = randomBytes(NONCE_BYTES);
  const head = newSlot(key, toHex(randomBytes(SALT_BYTES)), cost, toHex(nonce));
  const slotKey = await deriveKey(key, head);
  const sealed = aes256GcmSeal(slotKey, nonce, associatedData(kind, head), secret);
  slotKey.fill(0);
  return { ...head, sealed: toHex(sealed) };
}

function newSlot(key: KeystoreKey, salt: string, cost: ScryptCost, nonce: string): SlotHead {
  const cipher = { name: "aes-256-gcm", nonce } as const;
  if (typeof key === "string") return { opener: "passphrase", kdf: { name: "scrypt", ...cost, salt }, cipher };
  const { wallet, challenge } = key;
  return { opener: "wallet", wallet: wallet.toLowerCase(), challenge, kdf: { name: "hkdf-sha256", salt }, cipher };
}

/** Version, kind and every field of the slot but `sealed`, in a fixed order and encoding. */
function associatedData(kind: KeystoreKind, slot: SlotHead): Uint8Array {
  const opener =
    slot.opener === "wallet"
      ? [slot.opener, slot.wallet, slot.challenge, slot.kdf.name]
      : [slot.opener, slot.kdf.name, slot.kdf.n, slot.kdf.r, slot.kdf.p];
  const fields = [KEYSTORE_VERSION, kind, ...opener, slot.kdf.salt, slot.cipher.name, slot.cipher.nonce];
  return concatBytes(domainTag("keystore"), utf8ToBytes(fields.join(" ")));
}

async function deriveKey(key: KeystoreKey, { kdf }: SlotHead): Promise<Uint8Array> {
  const salt = fromHex(kdf.salt);
  if (typeof key === "string" && kdf.name === "scrypt") return await passphraseKey(key, salt, kdf);
  if (typeof key !== "string" && kdf.name === "hkdf-sha256") return key.slotKey(salt);
  throw new TallystickError("a key of another slot", { code: "INTERNAL", check: "slot of the keystore" });
}

async function passphraseKey(passphrase: string, salt: Uint8Array, { n, r, p }: ScryptCost): Promise<Uint8Array> {
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

function noSlot(keystore: KeystoreJson, key: KeystoreKey): TallystickError {
  const { passphrase, wallets } = openersOf(keystore);
  const openers = [...(passphrase ? ["the passphrase"] : []), ...wallets.map(({ wallet }) => `wallet ${wallet}`)];
  const [what, code] =
    typeof key === "string"
      ? (["a passphrase", "WRONG_PASSPHRASE"] as const)
      : (["this wallet", "WRONG_WALLET"] as const);
  return new TallystickError(`the keystore does not open with ${what}`, {
    code,
    party: "you",
    check: "slots of the keystore",
    expected: openers.join(" or "),
    received: typeof key === "string" ? what : `wallet ${key.wallet}`,
    hint: "open it with what is expected; `tallystick identity` adds a passphrase or a wallet then",
  });
}

function doesNotOpen(key: KeystoreKey): TallystickError {
  if (typeof key === "string") {
    return new TallystickError("the keystore does not open with this passphrase", {
      code: "WRONG_PASSPHRASE",
      check: "authentication tag of the keystore",
      hint: "try again; if the passphrase is surely right, the file is damaged: restore it, or recover from the phrase",
    });
  }
  return new TallystickError("the keystore does not open with what the wallet has signed", {
    code: "WRONG_WALLET",
    party: `wallet ${key.wallet}`,
    check: "authentication tag of the keystore",
    hint:
      "the wallet signs differently than when it was added, or the file is damaged: open it with the passphrase or " +
      "another wallet, or recover from the phrase",
  });
}

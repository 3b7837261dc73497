/**
 * A user's identity: everything derives from one BIP-39 recovery phrase, so that the phrase alone restores it on a new
 * device.
 *
 *     seed          BIP-39 seed of the phrase, empty passphrase, 64 bytes
 *     signing key   BIP-32 m/44'/60'/0'/0/0 (BIP-44, Ethereum): the same account as in any wallet
 *     HPKE key      DeriveKeyPair of RFC 9180 from kdf(seed, "hpke")
 *     audit seed    kdf(seed, "audit")
 *     catalogue key kdf(seed, "catalogue")
 *     snapshot key  kdf(seed, "snapshots")
 */

import { utf8ToBytes } from "@noble/hashes/utils.js";
import { entropyToMnemonic, mnemonicToEntropy } from "@scure/bip39";
import { wordlist } from "@scure/bip39/wordlists/english.js";
import { pbkdf2Sha512, randomBytes } from "#primitives";
import { hpkeKeyPairFromSeed } from "../crypto/hpke.ts";
import { kdf } from "../crypto/kdf.ts";
import { addressOfPrivateKey } from "../encoding/address.ts";
import { InvalidInputError } from "../errors.ts";
import { ACCOUNT_PATH, accountKey } from "./account-key.ts";

export { ACCOUNT_PATH };

export interface Identity {
  /** What the phrase encodes, 16 to 32 bytes; the keystore holds it. */
  readonly phraseEntropy: Uint8Array;
  /** Ethereum address with checksum. */
  readonly account: string;
  /** secp256k1 private key of the account, 32 bytes. */
  readonly signingKey: Uint8Array;
  /** 32 bytes. */
  readonly hpkePrivateKey: Uint8Array;
  /** 32 bytes. */
  readonly hpkePublicKey: Uint8Array;
  /** Root of the audit secrets, 32 bytes. */
  readonly auditSeed: Uint8Array;
  /** Seals self envelopes (data ids and file keys, core/record/self-envelope.ts), 32 bytes. */
  readonly catalogueKey: Uint8Array;
  /** Root of the keys of snapshots (core/snapshot/snapshot-keys.ts), 32 bytes. */
  readonly snapshotKey: Uint8Array;
  /** Erases all secrets of this object. */
  wipe(): void;
}

const PHRASE_WORDS = [12, 15, 18, 21, 24];
/** What a phrase of so many words encodes, in bytes (BIP-39, "Generating the mnemonic"). */
const ENTROPY_BYTES: readonly number[] = [16, 20, 24, 28, 32];
const NEW_ENTROPY_BYTES = 32;

/** A new recovery phrase of 24 English words (256 bits of entropy). Show it once. */
export function newRecoveryPhrase(): string {
  const entropy = randomBytes(NEW_ENTROPY_BYTES);
  try {
    return entropyToMnemonic(entropy, wordlist);
  } finally {
    entropy.fill(0);
  }
}

/** An identity of nobody yet, for whom no phrase is shown. */
export function freshIdentity(): Identity {
  return takeIdentity(randomBytes(NEW_ENTROPY_BYTES));
}

/**
 * The identity of a recovery phrase. Letter case and the amount of white space do not matter.
 *
 * @throws InvalidInputError when it is no BIP-39 phrase: word count, unknown word (its position is named, never the
 *   word), or checksum
 */
export function identityFromPhrase(phrase: string): Identity {
  const words = phrase.normalize("NFKD").trim().toLowerCase().split(/\s+/);
  if (!PHRASE_WORDS.includes(words.length)) {
    throw phraseError("the recovery phrase has the wrong number of words", "24 words", `${words.length} words`);
  }
  const unknown = words.findIndex((word) => !wordlist.includes(word));
  if (unknown >= 0) {
    throw phraseError(`word ${unknown + 1} of the recovery phrase is not in the BIP-39 list`, "a word of the list");
  }
  const canonical = words.join(" ");
  let entropy: Uint8Array;
  try {
    entropy = mnemonicToEntropy(canonical, wordlist);
  } catch {
    // The words and their number are valid, so the checksum is wrong. The cause is left out, because it would contain
    // words of the phrase.
    throw phraseError("the recovery phrase has a wrong checksum: a word is wrong or out of place", "a valid checksum");
  }
  return derive(entropy, canonical);
}

/**
 * The identity of the entropy a keystore holds.
 * @throws InvalidInputError for a length that no phrase has
 */
export function identityFromEntropy(phraseEntropy: Uint8Array): Identity {
  const phrase = phraseOfEntropy(phraseEntropy);
  return derive(phraseEntropy.slice(), phrase);
}

/** The same, and wipes the bytes that were given, also when it throws. @throws as `identityFromEntropy` */
export function takeIdentity(phraseEntropy: Uint8Array): Identity {
  try {
    return identityFromEntropy(phraseEntropy);
  } finally {
    phraseEntropy.fill(0);
  }
}

/** Whether a phrase encodes so many bytes. */
export function isEntropyLength(bytes: number): boolean {
  return ENTROPY_BYTES.includes(bytes);
}

/** The recovery phrase of an entropy. @throws InvalidInputError for a length that no phrase has. */
export function phraseOfEntropy(phraseEntropy: Uint8Array): string {
  if (!isEntropyLength(phraseEntropy.length)) {
    throw new InvalidInputError("entropy of no recovery phrase", {
      check: "entropy length",
      expected: "16, 20, 24, 28 or 32 bytes",
      received: `${phraseEntropy.length} bytes`,
    });
  }
  return entropyToMnemonic(phraseEntropy, wordlist);
}

/** The seed of a phrase of the English list, with no passphrase (BIP-39, "From mnemonic to seed"). @returns 64 bytes */
function seedOf(phrase: string): Uint8Array {
  return pbkdf2Sha512(utf8ToBytes(phrase), utf8ToBytes("mnemonic"), 2048, 64);
}

function derive(phraseEntropy: Uint8Array, phrase: string): Identity {
  const seed = seedOf(phrase);
  const signingKey = accountKey(seed);
  const hpkeSeed = kdf(seed, "hpke");
  const { privateKey: hpkePrivateKey, publicKey: hpkePublicKey } = hpkeKeyPairFromSeed(hpkeSeed);
  const auditSeed = kdf(seed, "audit");
  const catalogueKey = kdf(seed, "catalogue");
  const snapshotKey = kdf(seed, "snapshots");
  seed.fill(0);
  hpkeSeed.fill(0);
  const secrets = [phraseEntropy, signingKey, hpkePrivateKey, auditSeed, catalogueKey, snapshotKey];
  return {
    phraseEntropy,
    account: addressOfPrivateKey(signingKey),
    signingKey,
    hpkePrivateKey,
    hpkePublicKey,
    auditSeed,
    catalogueKey,
    snapshotKey,
    wipe() {
      for (const secret of secrets) secret.fill(0);
    },
  };
}

function phraseError(message: string, expected: string, received?: string): InvalidInputError {
  return new InvalidInputError(message, {
    check: "recovery phrase",
    expected,
    ...(received === undefined ? {} : { received }),
    hint: "type the words as they were shown when the identity was made",
  });
}

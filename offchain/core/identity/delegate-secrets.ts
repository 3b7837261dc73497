/**
 * Secrets that an account lets a device have which only writes: those of the device's own data sets. They derive from
 * the account's audit seed and the device's key, so that the account has them without the device, from its recovery
 * phrase alone; and they say nothing about the account's other sets.
 *
 *     root          kdf(audit seed of the account, "delegate", key (20))
 *     audit seed    kdf(root, "delegate-audit")
 *     snapshot key  kdf(root, "delegate-snapshots"): what the metadata of the device's puts is sealed under
 *
 * The owner hands them over in a parcel, which it leaves at the provider, sealed to the device's HPKE key:
 *
 *     plaintext     u8 1 ‖ root (32) ‖ id of the data set (32) ‖ HPKE public key of the account (32)
 *     aad           u64 chain id ‖ directory of accounts (20) ‖ account (20) ‖ key (20) ‖ provider (20)
 *
 * Nobody else can make a parcel that a device takes: the data set has an audit key that derives from the root, and
 * stands in terms that the account has signed. The device seals its snapshots to the account's key, so that it cannot
 * read them again (`core/snapshot/device-entry.ts`).
 */

import { concatBytes } from "@noble/hashes/utils.js";
import { HPKE_KEY_BYTES, HPKE_OVERHEAD_BYTES, hpkeOpen, hpkeSeal } from "../crypto/hpke.ts";
import { domainTag, kdf } from "../crypto/kdf.ts";
import { ADDRESS_BYTES } from "../encoding/address.ts";
import { fromHex, toHex } from "../encoding/hex.ts";
import { u64be } from "../encoding/integers.ts";
import { IntegrityError, UnknownVersionError } from "../errors.ts";

const VERSION = 1;
const HASH_BYTES = 32;
const PLAINTEXT_BYTES = 1 + HASH_BYTES + HASH_BYTES + HPKE_KEY_BYTES;

/** Bytes of every parcel. */
export const PARCEL_BYTES = PLAINTEXT_BYTES + HPKE_OVERHEAD_BYTES;

export interface DelegateSecrets {
  /** What all others derive from, 32 bytes. */
  readonly root: Uint8Array;
  /** Root of the audit secrets of the device's data sets, 32 bytes. */
  readonly auditSeed: Uint8Array;
  /** Root of the keys of the device's snapshots, 32 bytes. */
  readonly snapshotKey: Uint8Array;
}

/** Between whom, and where, a parcel passes. */
export interface ParcelScope {
  readonly chainId: bigint;
  /** Directory of accounts. */
  readonly directory: string;
  readonly account: string;
  readonly key: string;
  /** Account of the provider. */
  readonly provider: string;
}

export interface Parcel {
  readonly secrets: DelegateSecrets;
  /** 32 bytes, 0x hex. */
  readonly dataSet: string;
  /** HPKE public key of the account, 32 bytes. */
  readonly accountKey: Uint8Array;
}

/**
 * As the owner.
 * @param auditSeed of the account's identity
 * @param key address of the delegate
 */
export function delegateSecrets(auditSeed: Uint8Array, key: string): DelegateSecrets {
  return secretsOf(kdf(auditSeed, "delegate", fromHex(key, ADDRESS_BYTES, "delegate")));
}

/** @returns `PARCEL_BYTES` @throws InvalidPointError for a key that cannot be sealed to */
export async function sealParcel(deviceKey: Uint8Array, scope: ParcelScope, parcel: Parcel): Promise<Uint8Array> {
  const { secrets, dataSet, accountKey } = parcel;
  const dataSetBytes = fromHex(dataSet, HASH_BYTES, "data set");
  const plaintext = concatBytes(Uint8Array.of(VERSION), secrets.root, dataSetBytes, accountKey);
  try {
    return await hpkeSeal(deviceKey, domainTag("delegate-parcel"), encodeParcelScope(scope), plaintext);
  } finally {
    plaintext.fill(0);
  }
}

/** On the device. @throws IntegrityError for one of another device, account, provider or chain; UnknownVersionError */
export async function openParcel(
  devicePrivateKey: Uint8Array,
  scope: ParcelScope,
  sealed: Uint8Array,
): Promise<Parcel> {
  const info = domainTag("delegate-parcel");
  const plaintext = await hpkeOpen(devicePrivateKey, info, encodeParcelScope(scope), sealed);
  const [version] = plaintext;
  if (version !== VERSION) throw new UnknownVersionError("parcel of a delegate", version ?? 0, [VERSION]);
  if (plaintext.length !== PLAINTEXT_BYTES) {
    throw new IntegrityError("the parcel of a delegate has the wrong length", {
      check: "length",
      expected: `${PLAINTEXT_BYTES} bytes`,
      received: `${plaintext.length} bytes`,
    });
  }
  const secrets = secretsOf(plaintext.slice(1, 33));
  const parcel = { secrets, dataSet: toHex(plaintext.subarray(33, 65)), accountKey: plaintext.slice(65) };
  plaintext.fill(0);
  return parcel;
}

function secretsOf(root: Uint8Array): DelegateSecrets {
  return { root, auditSeed: kdf(root, "delegate-audit"), snapshotKey: kdf(root, "delegate-snapshots") };
}

/** 88 bytes. */
export function encodeParcelScope({ chainId, directory, account, key, provider }: ParcelScope): Uint8Array {
  const address = (text: string, name: string) => fromHex(text, ADDRESS_BYTES, name);
  return concatBytes(
    u64be(chainId),
    address(directory, "directory"),
    address(account, "account"),
    address(key, "delegate"),
    address(provider, "provider"),
  );
}

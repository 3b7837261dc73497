/**
 * Keys of the possession audit. A data set has three secrets: α and β, whose powers the provider keeps in the exponent,
 * and x. They derive from the owner's audit seed and the salt of the set, so the recovery phrase alone restores them.
 *
 * On chain: X = x·G2, XA = xα·G2, XB = xβ·G2. The equations are in docs/audit.md.
 */
import { keccak_256 } from "@noble/hashes/sha3.js";
import { concatBytes } from "@noble/hashes/utils.js";
import { kdf } from "../crypto/kdf.ts";
import { toHex } from "../encoding/hex.ts";
import { InvalidInputError, InvalidScalarError } from "../errors.ts";
import { decodeG2FromChain, encodeG2ForChain, generatorG2, multiplyG2, type PointG2 } from "./curve.ts";
import { bigEndianToInteger, reduce } from "./field.ts";

/** The secrets whose powers the provider keeps in the exponent. */
export interface AuditSecrets {
  readonly alpha: bigint;
  readonly beta: bigint;
}

/** The key of one data set: three points of G2 in the EIP-2537 form, 256 bytes each. */
export interface AuditPublicKey {
  readonly X: Uint8Array;
  readonly XA: Uint8Array;
  readonly XB: Uint8Array;
}

const SALT_BYTES = 32;

/**
 * 48 bytes reduced modulo a 255-bit order leave a bias below 2^-128 (the rule of RFC 9380 §5 for hashing to a field).
 */
const SCALAR_SEED_BYTES = 48;

function deriveScalar(auditSeed: Uint8Array, label: string, info?: Uint8Array): bigint {
  const scalar = reduce(bigEndianToInteger(kdf(auditSeed, label, info, SCALAR_SEED_BYTES)));
  if (scalar === 0n) throw new InvalidScalarError(`derived ${label} is zero; use another seed or salt`);
  return scalar;
}

/** The secrets of one data set. */
export interface DataSetSecrets extends AuditSecrets {
  readonly x: bigint;
}

/**
 * All secrets of one data set: α, β and x belong to it alone, so that what is known of one set says nothing about
 * another.
 * @param salt 32 bytes, fresh for every data set: two slices tagged for one index under one x would let the provider
 *   forge
 * @throws InvalidInputError for another length
 */
export function deriveDataSetSecrets(auditSeed: Uint8Array, salt: Uint8Array): DataSetSecrets {
  if (salt.length !== SALT_BYTES) {
    throw new InvalidInputError("salt of a data set has the wrong length", {
      expected: `${SALT_BYTES} bytes`,
      received: `${salt.length} bytes`,
    });
  }
  return {
    alpha: deriveScalar(auditSeed, "data-set-alpha", salt),
    beta: deriveScalar(auditSeed, "data-set-beta", salt),
    x: deriveScalar(auditSeed, "data-set-x", salt),
  };
}

/**
 * The seed of the commitments of a segment, which owner and provider know. Nobody else does, until a commitment is
 * opened, and then only its own blinding. The recovery phrase restores it.
 * @param salt of the data set, 32 bytes
 * @param segment id of the segment, 32 bytes
 * @returns 32 bytes
 */
export function deriveCommitmentSeed(auditSeed: Uint8Array, salt: Uint8Array, segment: Uint8Array): Uint8Array {
  return kdf(auditSeed, "commitment-seed", concatBytes(salt, segment));
}

/** The public key of a data set. @param x from `deriveDataSetSecrets` */
export function auditPublicKey(secrets: AuditSecrets, x: bigint): AuditPublicKey {
  const base = generatorG2();
  return {
    X: encodeG2ForChain(multiplyG2(base, x)),
    XA: encodeG2ForChain(multiplyG2(base, reduce(x * secrets.alpha))),
    XB: encodeG2ForChain(multiplyG2(base, reduce(x * secrets.beta))),
  };
}

/** What the terms on chain pin: keccak256(X ‖ XA ‖ XB). @returns 32 bytes */
export function auditKeyHash(key: AuditPublicKey): Uint8Array {
  return keccak_256(concatBytes(key.X, key.XA, key.XB));
}

/** The key as the arguments of a contract call. */
export function keyForChain(key: AuditPublicKey): { X: string; XA: string; XB: string } {
  return { X: toHex(key.X), XA: toHex(key.XA), XB: toHex(key.XB) };
}

/**
 * Reads the points of a key.
 * @throws InvalidPointError unless all three are canonical, in the subgroup and not the identity
 */
export function decodeAuditKey(key: AuditPublicKey): { X: PointG2; XA: PointG2; XB: PointG2 } {
  return {
    X: decodeG2FromChain(key.X, "audit key X"),
    XA: decodeG2FromChain(key.XA, "audit key XA"),
    XB: decodeG2FromChain(key.XB, "audit key XB"),
  };
}

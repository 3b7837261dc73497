/**
 * Rounds and signatures of a drand network of the scheme `bls-unchained-g1-rfc9380`: signature in G1, public key in G2,
 * message SHA-256(round), hashed to G1 by the suite BLS12381G1_XMD:SHA-256_SSWU_RO_ of RFC 9380. The contract
 * `DrandRandomness` computes the same on chain.
 *
 * Points have two forms. drand sends them compressed (48 and 96 bytes, the "ZCash" form); the contract takes the
 * EIP-2537 form (128 and 256 bytes).
 *
 * @see https://docs.drand.love/docs/cryptography/
 */
import { bls12_381 } from "@noble/curves/bls12-381.js";
import { bytesToHex, concatBytes } from "@noble/hashes/utils.js";
import { sha256 } from "#primitives";
import { u64be } from "../encoding/integers.ts";
import { InvalidInputError, InvalidPointError, InvalidSignatureError } from "../errors.ts";

/** Bytes of a compressed signature. */
export const DRAND_SIGNATURE_BYTES = 48;
/** Bytes of a signature in the EIP-2537 form. */
export const DRAND_CHAIN_SIGNATURE_BYTES = 128;
/** Bytes of a compressed public key. */
export const DRAND_KEY_BYTES = 96;

const DOMAIN = "BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_";
const FIELD_BYTES = 48;
const CHAIN_FIELD_BYTES = 64;

type SignaturePoint = ReturnType<typeof bls12_381.G1.Point.fromBytes>;
type KeyPoint = ReturnType<typeof bls12_381.G2.Point.fromBytes>;

/** A drand network, and how far the round of a block lies after the block. */
export interface DrandNetwork {
  /** Hash that names the network at its relays, 64 lower-case hexadecimal digits. */
  readonly chainHash: string;
  /** Compressed, 96 bytes. */
  readonly publicKey: Uint8Array;
  /** Unix time at which round 1 is published. */
  readonly genesisTime: bigint;
  readonly periodSeconds: bigint;
  /** The round of a block is published at least this long after the block's timestamp. */
  readonly marginSeconds: bigint;
}

/** The round of a block: the first that is published at least `marginSeconds` after the block's timestamp. */
export function drandRoundAt(network: DrandNetwork, timestamp: bigint): bigint {
  const { genesisTime, periodSeconds, marginSeconds } = network;
  const earliest = timestamp + marginSeconds;
  if (earliest <= genesisTime) return 1n;
  return (earliest - genesisTime + periodSeconds - 1n) / periodSeconds + 1n;
}

/** Unix time at which a round is published. */
export function drandRoundTime(network: DrandNetwork, round: bigint): bigint {
  return network.genesisTime + (round - 1n) * network.periodSeconds;
}

/**
 * Checks a signature.
 *
 * @param signature compressed, 48 bytes.
 * @param party whose signature it is, for errors.
 * @returns the signature in the EIP-2537 form, 128 bytes.
 * @throws InvalidPointError unless it is the canonical encoding of a point of G1 other than the identity.
 * @throws InvalidSignatureError unless the network's key made it over this round.
 */
export function checkDrandSignature(
  network: DrandNetwork,
  round: bigint,
  signature: Uint8Array,
  party: string,
): Uint8Array {
  const point = readSignature(signature, party);
  const message = bls12_381.shortSignatures.hash(sha256(u64be(round)), DOMAIN);
  if (!bls12_381.shortSignatures.verify(point, message, readKey(network.publicKey))) {
    throw new InvalidSignatureError(`${party} gave a signature that is not the network's over round ${round}`, {
      party,
      check: "signature of the round",
      expected: `a signature of network ${network.chainHash}`,
      hint: "use another relay",
    });
  }
  const { x, y } = point.toAffine();
  return concatBytes(chainField(x), chainField(y));
}

/** A public key in the EIP-2537 form, 256 bytes. @throws InvalidPointError for bytes that are no public key */
export function drandKeyForChain(publicKey: Uint8Array): Uint8Array {
  const { x, y } = readKey(publicKey).toAffine();
  return concatBytes(chainField(x.c0), chainField(x.c1), chainField(y.c0), chainField(y.c1));
}

/**
 * The compressed form of a public key in the EIP-2537 form.
 * @throws InvalidPointError for bytes that are no public key
 */
export function drandKeyFromChain(bytes: Uint8Array): Uint8Array {
  if (bytes.length !== 4 * CHAIN_FIELD_BYTES) throw invalidKey(`${bytes.length} bytes`);
  const field = (position: number): bigint =>
    BigInt(`0x${bytesToHex(bytes.subarray(position * CHAIN_FIELD_BYTES, (position + 1) * CHAIN_FIELD_BYTES))}`);
  try {
    const point = bls12_381.G2.Point.fromAffine({
      x: { c0: field(0), c1: field(1) },
      y: { c0: field(2), c1: field(3) },
    });
    point.assertValidity();
    if (point.is0()) throw new RangeError("the identity");
    return point.toBytes(true);
  } catch (cause) {
    throw invalidKey("another point", cause);
  }
}

/** The evidence that `DrandRandomness` takes. @param signature in the EIP-2537 form */
export function drandEvidence(round: bigint, signature: Uint8Array, header: Uint8Array): Uint8Array {
  if (signature.length !== DRAND_CHAIN_SIGNATURE_BYTES) {
    throw new InvalidInputError("the signature is not in the form of the chain", {
      check: "length",
      expected: `${DRAND_CHAIN_SIGNATURE_BYTES} bytes`,
      received: `${signature.length} bytes`,
    });
  }
  return concatBytes(u64be(round), signature, header);
}

function readSignature(bytes: Uint8Array, party: string): SignaturePoint {
  try {
    if (bytes.length !== DRAND_SIGNATURE_BYTES) throw new RangeError(`${bytes.length} bytes`);
    const point = bls12_381.G1.Point.fromBytes(bytes);
    // On the curve and in the subgroup. The identity passes these.
    point.assertValidity();
    if (point.is0()) throw new RangeError("the identity");
    return point;
  } catch (cause) {
    throw new InvalidPointError(`${party} gave a signature that is no point of G1`, {
      party,
      check: "signature encoding",
      expected: "a compressed point of G1, 48 bytes",
      cause,
    });
  }
}

function readKey(bytes: Uint8Array): KeyPoint {
  try {
    const point = bls12_381.G2.Point.fromBytes(bytes);
    point.assertValidity();
    if (point.is0()) throw new RangeError("the identity");
    return point;
  } catch (cause) {
    throw invalidKey("another value", cause);
  }
}

function invalidKey(received: string, cause?: unknown): InvalidPointError {
  return new InvalidPointError("the public key of the drand network is no point of G2", {
    check: "public key",
    expected: `a point of G2, ${DRAND_KEY_BYTES} bytes compressed`,
    received,
    cause,
  });
}

/** A field element, most significant byte first, 16 zero bytes in front. */
function chainField(value: bigint): Uint8Array {
  const bytes = new Uint8Array(CHAIN_FIELD_BYTES);
  for (let i = CHAIN_FIELD_BYTES - 1, rest = value; i >= CHAIN_FIELD_BYTES - FIELD_BYTES; i--, rest >>= 8n) {
    bytes[i] = Number(rest & 0xffn);
  }
  return bytes;
}

/**
 * The groups of BLS12-381 on mcl-wasm: encodings, multi-scalar multiplication, pairing products.
 *
 * Two encodings of points are used. Off chain, G1 points are 48 bytes, compressed, in the form of
 * draft-irtf-cfrg-pairing-friendly-curves Appendix C (the "ZCash" form). On chain, EIP-2537: a base field element is 64
 * bytes, most significant first, 16 zero bytes in front; G1 is x ‖ y (128 bytes), G2 is x.c0 ‖ x.c1 ‖ y.c0 ‖ y.c1 (256
 * bytes), and the identity is all zeros.
 *
 * Decoding a G1 point checks that it is on the curve; the subgroup is checked separately. Points
 * that arrive by the million (tags, powers) are not checked one by one: sums of them are mapped into the subgroup at
 * the end by `clearCofactor`, under which a component outside it vanishes. Checking a random combination instead would
 * not do, because the cofactor of G1 has small prime factors (3, 11, …).
 *
 * Not constant time: scalars of the owner are used on the owner's own machine.
 */
import * as mcl from "mcl-wasm";
import { InvalidPointError } from "../errors.ts";
import { bigEndianToInteger, FIELD_ORDER, power } from "./field.ts";

export type PointG1 = mcl.G1;
export type PointG2 = mcl.G2;

/** Bytes of a compressed G1 point. */
export const G1_BYTES = 48;
/** Bytes of an uncompressed G1 point x ‖ y, most significant first, as `expandG1` writes it. */
export const G1_EXPANDED_BYTES = 96;
/** Bytes of a G1 point for the EIP-2537 precompiles. */
export const G1_CHAIN_BYTES = 128;
/** Bytes of a G2 point for the EIP-2537 precompiles. */
export const G2_CHAIN_BYTES = 256;

const FP_BYTES = 48;
const FP_CHAIN_BYTES = 64;

/** Characteristic p of the base field. */
const BASE_FIELD_ORDER =
  0x1a0111ea397fe69a4b1ba7b6434bacd764774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaabn;

const GENERATOR_G1 = "97f1d3a73197d7942695638c4fa9ac0fc3688c4f9774b905a14e3a3f171bac586c55e83ff97a1aeffb3af00adb22c6bb";
const GENERATOR_G2 =
  "93e02b6052719f607dacd3a088274f65596bd0d09920b61ab5da61bbdc7f5049334cf11213945d57e5ac7d055d042b7e" +
  "024aa2b2f08f0a91260805272dc51051c6e47ad4fa403b02b4510b647ae3d1770bac0326a805bbefd48056c8c121bdb8";

/** Points per call of mcl's multi-scalar multiplication: its operands live on a stack of bounded size. */
const MSM_PIECE = 2048;

let generators: { g1: mcl.G1; g2: mcl.G2 } | undefined;
let loading: Promise<void> | undefined;

/** Loads mcl-wasm once per process and selects the curve and the encoding. */
export function loadCurve(): Promise<void> {
  loading ??= (async () => {
    await mcl.init(mcl.BLS12_381);
    mcl.setETHserialization(true);
    mcl.verifyOrderG1(false);
    mcl.verifyOrderG2(false);
    const g1 = new mcl.G1();
    g1.deserializeHexStr(GENERATOR_G1);
    const g2 = new mcl.G2();
    g2.deserializeHexStr(GENERATOR_G2);
    generators = { g1, g2 };
  })();
  return loading;
}

function loadedGenerators(): { g1: mcl.G1; g2: mcl.G2 } {
  if (generators === undefined) throw new Error("call `await auditReady()` before using the possession audit");
  return generators;
}

/** The standard generator of G1. */
export function generatorG1(): PointG1 {
  return loadedGenerators().g1;
}

/** The standard generator of G2. */
export function generatorG2(): PointG2 {
  return loadedGenerators().g2;
}

/** The identity of G1. */
export function identityG1(): PointG1 {
  loadedGenerators();
  return new mcl.G1();
}

/** @param value in [0, r) */
function toFr(value: bigint): mcl.Fr {
  const bytes = new Uint8Array(32);
  const view = new DataView(bytes.buffer);
  for (let i = 0, rest = value; i < 32; i += 8, rest >>= 64n) view.setBigUint64(i, BigInt.asUintN(64, rest), true);
  const scalar = new mcl.Fr();
  scalar.setLittleEndian(bytes);
  return scalar;
}

export function addG1(left: PointG1, right: PointG1): PointG1 {
  return mcl.add(left, right);
}

/** Points of G1 in the memory of mcl, by address. What is allocated stays for the life of the process. */
export interface CurveMemory {
  readonly pointBytes: number;
  allocate(sizeBytes: number): number;
  /** Writes the identity. */
  clear(point: number): void;
  /** sum = left + right; they may be the same point. */
  add(sum: number, left: number, right: number): void;
  /** Makes z = 1 in points that lie one after the other; one inversion for all. */
  normalize(first: number, count: number): void;
}

/** The module's own functions, which the declarations of the package leave out. */
interface MclModule {
  _malloc(sizeBytes: number): number;
  _mclBnG1_clear(point: number): void;
  _mclBnG1_add(sum: number, left: number, right: number): void;
  _mclBnG1_normalizeVec(to: number, from: number, count: number): void;
}

interface WithModule {
  readonly mod?: MclModule;
}

/** Three field elements in words of 32 bits, six of 64 bits each. */
const G1_MEMORY_BYTES = 144;

export function curveMemory(): CurveMemory {
  loadedGenerators();
  // Set when the curve is loaded. Node copies the names of a CommonJS module when it is imported, and the module itself
  // is its default export; bundlers differ.
  const imported = mcl as unknown as WithModule & { readonly default?: WithModule };
  const mod = imported.default?.mod ?? imported.mod;
  if (mod === undefined) throw new Error("mcl-wasm does not export its module");
  return {
    pointBytes: G1_MEMORY_BYTES,
    allocate(sizeBytes) {
      const address = mod._malloc(sizeBytes);
      if (address === 0) throw new RangeError(`mcl has no memory for ${sizeBytes} bytes`);
      return address;
    },
    clear: (point) => mod._mclBnG1_clear(point),
    add: (sum, left, right) => mod._mclBnG1_add(sum, left, right),
    normalize: (first, count) => mod._mclBnG1_normalizeVec(first, first, count),
  };
}

export function negateG1(point: PointG1): PointG1 {
  return mcl.neg(point);
}

/** scalar · point for a point of the subgroup. @param scalar in [0, r) */
export function multiplyG1(point: PointG1, scalar: bigint): PointG1 {
  return mcl.mul(point, toFr(scalar));
}

/** scalar · point for a point of the subgroup. @param scalar in [0, r) */
export function multiplyG2(point: PointG2, scalar: bigint): PointG2 {
  return mcl.mul(point, toFr(scalar));
}

/**
 * Σ scalar_i · point_i. With points outside the subgroup, the result is right up to a component outside it, because mcl
 * splits scalars by the curve's endomorphism; follow with `clearCofactor`.
 * @param scalars in [0, r), as many as points
 */
export function multiScalarMultiply(points: readonly PointG1[], scalars: readonly bigint[]): PointG1 {
  if (points.length !== scalars.length) throw new RangeError("as many scalars as points are needed");
  let sum = identityG1();
  for (let i = 0; i < points.length; i += MSM_PIECE) {
    const piece = points.slice(i, i + MSM_PIECE);
    sum = mcl.add(sum, mcl.mulVec(piece, scalars.slice(i, i + MSM_PIECE).map(toFr)));
  }
  return sum;
}

/** 1 − z for the curve's parameter z: a multiple of what annihilates E(F_p)/G1 (RFC 9380 §8.8.1, h_eff). */
const EFFECTIVE_COFACTOR = 0xd201000000010001n;
const EFFECTIVE_COFACTOR_INVERSE = power(EFFECTIVE_COFACTOR, FIELD_ORDER - 2n);

/**
 * The projection of E(F_p) onto the subgroup: the identity map on points of the subgroup, zero on the rest of the
 * curve. Multiplies by h_eff bit by bit (mcl's own multiplication assumes the subgroup), then by its inverse modulo r.
 */
export function clearCofactor(point: PointG1): PointG1 {
  let cleared = identityG1();
  for (let bit = 63n; bit >= 0n; bit--) {
    cleared = mcl.dbl(cleared);
    if ((EFFECTIVE_COFACTOR >> bit) & 1n) cleared = mcl.add(cleared, point);
  }
  return multiplyG1(cleared, EFFECTIVE_COFACTOR_INVERSE);
}

/** ∏ e(P_i, Q_i) = 1, with one final exponentiation. */
export function pairingProductIsOne(pairs: readonly (readonly [PointG1, PointG2])[]): boolean {
  let product: mcl.GT | undefined;
  for (const [left, right] of pairs) {
    const factor = mcl.millerLoop(left, right);
    product = product === undefined ? factor : mcl.mul(product, factor);
  }
  return product === undefined || mcl.finalExp(product).isOne();
}

/** The compressed form. @returns 48 bytes */
export function encodeG1(point: PointG1): Uint8Array {
  return point.serialize();
}

/**
 * Reads a compressed point; it is on the curve, not necessarily in the subgroup. The identity is read.
 * @param what named in errors, for example "proof element sigma"
 * @throws InvalidPointError unless it is 48 bytes in the one canonical encoding of a point of the curve
 */
export function decodeG1(bytes: Uint8Array, what: string): PointG1 {
  const point = new mcl.G1();
  if (bytes.length !== G1_BYTES) throw badPoint(what, "length", `${G1_BYTES} bytes`, `${bytes.length} bytes`);
  try {
    point.deserialize(bytes);
  } catch (cause) {
    throw badPoint(what, "curve membership", "a canonical compressed G1 point", undefined, cause);
  }
  // mcl reads the identity whatever follows its flag bits.
  if (point.isZero() && bytes.subarray(1).some((byte) => byte !== 0)) {
    throw badPoint(what, "identity encoding", "zero bytes after the flags");
  }
  return point;
}

/** As `decodeG1`, and the point must be in the subgroup of order r. @throws InvalidPointError */
export function decodeSubgroupG1(bytes: Uint8Array, what: string): PointG1 {
  const point = decodeG1(bytes, what);
  if (!point.isValidOrder()) throw badPoint(what, "subgroup membership", "a point of order r");
  return point;
}

/**
 * Reads an expanded point; it is on the curve, not necessarily in the subgroup. This spares the square root of a
 * compressed one, so that tags and powers, of which there are many, are read about 14 times faster.
 * @param bytes 96
 * @throws InvalidPointError unless it is the canonical encoding of a point of the curve other than the identity
 */
export function decodeExpandedG1(bytes: Uint8Array, what: string): PointG1 {
  if (bytes.length !== G1_EXPANDED_BYTES) {
    throw badPoint(what, "length", `${G1_EXPANDED_BYTES} bytes`, `${bytes.length} bytes`);
  }
  return affineG1(toFp(bytes.subarray(0, FP_BYTES), what), toFp(bytes.subarray(FP_BYTES), what), what);
}

/** x ‖ y of a point other than the identity. @returns 96 bytes */
export function expandG1(point: PointG1): Uint8Array {
  const normal = mcl.normalize(point);
  const bytes = new Uint8Array(G1_EXPANDED_BYTES);
  bytes.set(fromFp(normal.getX()));
  bytes.set(fromFp(normal.getY()), FP_BYTES);
  return bytes;
}

/** The EIP-2537 form. @returns 128 bytes */
export function encodeG1ForChain(point: PointG1): Uint8Array {
  const bytes = new Uint8Array(G1_CHAIN_BYTES);
  if (point.isZero()) return bytes;
  const normal = mcl.normalize(point);
  writeChainFields(bytes, [normal.getX(), normal.getY()]);
  return bytes;
}

/** The EIP-2537 form. @returns 256 bytes */
export function encodeG2ForChain(point: PointG2): Uint8Array {
  const bytes = new Uint8Array(G2_CHAIN_BYTES);
  if (point.isZero()) return bytes;
  const normal = mcl.normalize(point);
  const [x, y] = [normal.getX(), normal.getY()];
  writeChainFields(bytes, [x.get_a(), x.get_b(), y.get_a(), y.get_b()]);
  return bytes;
}

/**
 * Reads a G1 point in the EIP-2537 form; it is on the curve, not necessarily in the subgroup. The identity is read.
 * @throws InvalidPointError unless it is a canonical encoding of a point of the curve
 */
export function decodeG1FromChain(bytes: Uint8Array, what: string): PointG1 {
  if (bytes.length !== G1_CHAIN_BYTES) {
    throw badPoint(what, "length", `${G1_CHAIN_BYTES} bytes`, `${bytes.length} bytes`);
  }
  if (bytes.every((byte) => byte === 0)) return identityG1();
  return affineG1(chainField(bytes, 0, what), chainField(bytes, 1, what), what);
}

/**
 * Reads a G2 point in the EIP-2537 form.
 * @throws InvalidPointError unless it is a canonical encoding of a point of the subgroup other than the identity
 */
export function decodeG2FromChain(bytes: Uint8Array, what: string): PointG2 {
  if (bytes.length !== G2_CHAIN_BYTES) {
    throw badPoint(what, "length", `${G2_CHAIN_BYTES} bytes`, `${bytes.length} bytes`);
  }
  if (bytes.every((byte) => byte === 0)) throw badPoint(what, "identity", "a point other than the identity");
  const [a, b, c, d] = [0, 1, 2, 3].map((i) => chainField(bytes, i, what)) as [mcl.Fp, mcl.Fp, mcl.Fp, mcl.Fp];
  const point = new mcl.G2();
  point.setX(toFp2(a, b));
  point.setY(toFp2(c, d));
  const one = new mcl.Fp2();
  one.setInt(1, 0);
  point.setZ(one);
  if (!point.isValid()) throw badPoint(what, "curve membership", "a point of the curve");
  if (!point.isValidOrder()) throw badPoint(what, "subgroup membership", "a point of order r");
  return point;
}

/** The field element at a position of the EIP-2537 form. */
function chainField(bytes: Uint8Array, position: number, what: string): mcl.Fp {
  const field = bytes.subarray(position * FP_CHAIN_BYTES, (position + 1) * FP_CHAIN_BYTES);
  if (field.subarray(0, FP_CHAIN_BYTES - FP_BYTES).some((byte) => byte !== 0)) {
    throw badPoint(what, "field element", "16 zero bytes in front of a field element");
  }
  return toFp(field.subarray(FP_CHAIN_BYTES - FP_BYTES), what);
}

function affineG1(x: mcl.Fp, y: mcl.Fp, what: string): PointG1 {
  const point = new mcl.G1();
  const one = new mcl.Fp();
  one.setInt(1);
  point.setX(x);
  point.setY(y);
  point.setZ(one);
  if (!point.isValid()) throw badPoint(what, "curve membership", "a point of the curve");
  return point;
}

function toFp(bytes: Uint8Array, what: string): mcl.Fp {
  if (bigEndianToInteger(bytes) >= BASE_FIELD_ORDER) throw badPoint(what, "field element", "a value below p");
  const value = new mcl.Fp();
  value.setBigEndianMod(bytes);
  return value;
}

function toFp2(c0: mcl.Fp, c1: mcl.Fp): mcl.Fp2 {
  const value = new mcl.Fp2();
  value.set_a(c0);
  value.set_b(c1);
  return value;
}

/** @returns 48 bytes, most significant first */
function fromFp(value: mcl.Fp): Uint8Array {
  return value.serialize();
}

function writeChainFields(bytes: Uint8Array, fields: readonly mcl.Fp[]): void {
  for (const [i, field] of fields.entries()) bytes.set(fromFp(field), (i + 1) * FP_CHAIN_BYTES - FP_BYTES);
}

function badPoint(
  what: string,
  check: string,
  expected: string,
  received?: string,
  cause?: unknown,
): InvalidPointError {
  return new InvalidPointError(`${what} is not a valid point: ${check}`, {
    check,
    expected,
    ...(received === undefined ? {} : { received }),
    ...(cause === undefined ? {} : { cause }),
  });
}

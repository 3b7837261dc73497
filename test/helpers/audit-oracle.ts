/**
 * A second, slow implementation of the possession audit on other libraries (noble for the curve, ethers for Keccak and
 * ABI encoding), written from the equations in docs/audit.md and not from the code under test.
 */
import { hkdfSync } from "node:crypto";
import { bls12_381 } from "@noble/curves/bls12-381.js";
import { AbiCoder, concat, keccak256, id as keccakOfText, solidityPacked } from "ethers";
import type { AuditChallenge, SliceRange } from "../../offchain/core/audit/challenge.ts";
import type { AuditPublicKey } from "../../offchain/core/audit/keys.ts";
import type { AuditProof } from "../../offchain/core/audit/proof.ts";

const G1 = bls12_381.G1.Point;
const G2 = bls12_381.G2.Point;
const { Fp, Fp12, Fr } = bls12_381.fields;

type OraclePointG1 = typeof G1.BASE;
type OraclePointG2 = typeof G2.BASE;

const hex = (bytes: Uint8Array) => `0x${Buffer.from(bytes).toString("hex")}`;
const bytesOf = (text: string) => Uint8Array.from(Buffer.from(text.slice(2), "hex"));
const multiply = (scalar: bigint): OraclePointG1 => (scalar === 0n ? G1.ZERO : G1.BASE.multiply(scalar));

/** Scalar from a seed: HKDF-SHA-256 to 48 bytes, reduced. */
function oracleScalar(seed: Uint8Array, label: string, info: Uint8Array): bigint {
  const fullInfo = Buffer.concat([Buffer.from(`tallystick/v1/${label}\0`), info]);
  const derived = Buffer.from(hkdfSync("sha256", seed, new Uint8Array(0), fullInfo, 48));
  return Fr.create(BigInt(`0x${derived.toString("hex")}`));
}

export interface OracleSecrets {
  readonly alpha: bigint;
  readonly beta: bigint;
  readonly x: bigint;
}

export function oracleSecrets(auditSeed: Uint8Array, salt: Uint8Array): OracleSecrets {
  return {
    alpha: oracleScalar(auditSeed, "data-set-alpha", salt),
    beta: oracleScalar(auditSeed, "data-set-beta", salt),
    x: oracleScalar(auditSeed, "data-set-x", salt),
  };
}

function chainField(value: bigint): string {
  return value.toString(16).padStart(128, "0");
}

/** EIP-2537, 128 bytes as hex. */
export function oracleChainG1(point: OraclePointG1): string {
  if (point.is0()) return `0x${"0".repeat(256)}`;
  const { x, y } = point.toAffine();
  return `0x${chainField(x)}${chainField(y)}`;
}

/** EIP-2537, 256 bytes as hex. */
export function oracleChainG2(point: OraclePointG2): string {
  const { x, y } = point.toAffine();
  return `0x${chainField(x.c0)}${chainField(x.c1)}${chainField(y.c0)}${chainField(y.c1)}`;
}

export function oracleKey({ alpha, beta, x }: OracleSecrets): { X: string; XA: string; XB: string } {
  return {
    X: oracleChainG2(G2.BASE.multiply(x)),
    XA: oracleChainG2(G2.BASE.multiply(Fr.mul(x, alpha))),
    XB: oracleChainG2(G2.BASE.multiply(Fr.mul(x, beta))),
  };
}

/** f_i as coefficients: 31 bytes each, least significant first. */
export function oracleElements(slice: Uint8Array): bigint[] {
  const elements: bigint[] = [];
  for (let offset = 0; offset < slice.length; offset += 31) {
    let value = 0n;
    for (let k = 30; k >= 0; k--) value = value * 256n + BigInt(slice[offset + k] ?? 0);
    elements.push(value);
  }
  return elements;
}

function evaluate(coefficients: readonly bigint[], point: bigint): bigint {
  let sum = 0n;
  let power = 1n;
  for (const coefficient of coefficients) {
    sum = Fr.add(sum, Fr.mul(Fr.create(coefficient), power));
    power = Fr.mul(power, point);
  }
  return sum;
}

/** σ_i, as x ‖ y. */
export function oracleTag({ alpha, beta, x }: OracleSecrets, index: number, slice: Uint8Array): Uint8Array {
  const exponent = Fr.mul(x, Fr.add(Fr.pow(beta, BigInt(index)), evaluate(oracleElements(slice), alpha)));
  return multiply(exponent).toBytes(false).subarray(-96);
}

const tag = (name: string) => keccakOfText(`tallystick/v2/${name}`);

export interface OracleChallenge {
  readonly id: string;
  readonly indices: number[];
  readonly weights: bigint[];
  readonly z: bigint;
}

/** Each range as two numbers of 48 bits. */
export function oracleRanges(ranges: readonly SliceRange[]): string {
  return concat(ranges.map(({ firstIndex, count }) => solidityPacked(["uint48", "uint48"], [firstIndex, count])));
}

/** The index at an offset: ranges are passed one by one. */
function oracleIndex(ranges: readonly SliceRange[], offset: number): number {
  let rest = offset;
  for (const { firstIndex, count } of ranges) {
    if (rest < count) return firstIndex + rest;
    rest -= count;
  }
  throw new Error("the offset is behind the last range");
}

export function oracleChallenge(challenge: AuditChallenge): OracleChallenge {
  const { seed, ranges, sampleCount } = challenge;
  const coder = AbiCoder.defaultAbiCoder();
  const types = ["bytes32", "bytes32", "bytes32", "uint16"];
  const rangesHash = keccak256(oracleRanges(ranges));
  const id = keccak256(coder.encode(types, [tag("audit-challenge"), hex(seed), rangesHash, sampleCount]));
  const sliceCount = BigInt(ranges.reduce((sum, { count }) => sum + count, 0));
  const hashes = Array.from({ length: sampleCount }, (_, t) =>
    BigInt(keccak256(coder.encode(["bytes32", "uint256"], [id, t]))),
  );
  return {
    id,
    indices: hashes.map((hash) => oracleIndex(ranges, Number((hash % 2n ** 128n) % sliceCount))),
    weights: hashes.map((hash) => hash / 2n ** 128n),
    z: Fr.create(BigInt(keccak256(concat([id, tag("audit-point")])))),
  };
}

function challengePolynomial({ indices, weights }: OracleChallenge, point: bigint): bigint {
  return indices.reduce((sum, index, t) => Fr.add(sum, Fr.mul(weights[t] ?? 0n, Fr.pow(point, BigInt(index)))), 0n);
}

const oracleScalarWord = (value: bigint) => `0x${value.toString(16).padStart(64, "0")}`;

/** ρ, over as many of the parts (key hash, σ, y) as are given. @param parts in the EIP-2537 form; y 32 bytes */
export function oracleOpeningPoint(id: string, parts: readonly (string | Uint8Array)[]): bigint {
  return Fr.create(BigInt(keccak256(concat([id, tag("audit-opening"), ...parts]))));
}

/**
 * w_k, from as many of the parts (id, key hash, σ, ψ, W, y of each set) as are given.
 * @param parts in the EIP-2537 form; y 32 bytes
 */
export function oracleBatchWeight(parts: readonly (string | Uint8Array)[], k: number): bigint {
  if (k === 0) return 1n;
  return Fr.create(
    BigInt(keccak256(concat([tag("audit-batch"), keccak256(concat(parts)), oracleScalarWord(BigInt(k))]))),
  );
}

export function oracleKeyHash({ X, XA, XB }: ReturnType<typeof oracleKey>): string {
  return keccak256(concat([X, XA, XB]));
}

/** The honest proof from the owner's secrets. */
export function oracleProof(
  secrets: OracleSecrets,
  challenge: AuditChallenge,
  sliceAt: (index: number) => Uint8Array,
): Required<AuditProof> {
  const { alpha, beta, x } = secrets;
  const drawn = oracleChallenge(challenge);
  const at = (point: bigint) =>
    drawn.indices.reduce(
      (sum, index, t) => Fr.add(sum, Fr.mul(drawn.weights[t] ?? 0n, evaluate(oracleElements(sliceAt(index)), point))),
      0n,
    );
  const [atAlpha, y, atBeta] = [at(alpha), at(drawn.z), challengePolynomial(drawn, beta)];
  const sigma = multiply(Fr.mul(x, Fr.add(atBeta, atAlpha)));
  const rho = oracleOpeningPoint(drawn.id, [
    oracleKeyHash(oracleKey(secrets)),
    oracleChainG1(sigma),
    oracleScalarWord(y),
  ]);
  const quotient = Fr.div(Fr.sub(atBeta, challengePolynomial(drawn, rho)), Fr.sub(beta, rho));
  return {
    sigma: sigma.toBytes(true),
    psi: multiply(Fr.div(Fr.sub(atAlpha, y), Fr.sub(alpha, drawn.z))).toBytes(true),
    W: multiply(quotient).toBytes(true),
    y,
  };
}

function fromChainG2(bytes: Uint8Array): OraclePointG2 {
  const field = (k: number) => Fp.fromBytes(bytes.slice(k * 64 + 16, k * 64 + 64));
  const point = G2.fromAffine({ x: { c0: field(0), c1: field(1) }, y: { c0: field(2), c1: field(3) } });
  point.assertValidity();
  return point;
}

/** Whether a proof verifies: e(σ, G2) = e((v(ρ) + y)G1 − zψ − ρW, X)·e(ψ, XA)·e(W, XB). */
export function oracleVerify(key: AuditPublicKey, challenge: AuditChallenge, proof: Required<AuditProof>): boolean {
  const drawn = oracleChallenge(challenge);
  const read = (bytes: Uint8Array) => {
    const point = G1.fromHex(Buffer.from(bytes).toString("hex"));
    if (!point.is0()) point.assertValidity();
    return point;
  };
  const [sigma, psi, W] = [read(proof.sigma), read(proof.psi), read(proof.W)];
  const [X, XA, XB] = [fromChainG2(key.X), fromChainG2(key.XA), fromChainG2(key.XB)];
  const scaled = (point: OraclePointG1, scalar: bigint) => (scalar === 0n ? G1.ZERO : point.multiply(scalar));
  const rho = oracleOpeningPoint(drawn.id, [
    keccak256(concat([key.X, key.XA, key.XB])),
    oracleChainG1(sigma),
    oracleScalarWord(proof.y),
  ]);
  const constant = multiply(Fr.add(challengePolynomial(drawn, rho), proof.y));
  const signed = constant.subtract(scaled(psi, drawn.z)).subtract(scaled(W, rho));
  const pairs: [OraclePointG1, OraclePointG2][] = [
    [sigma.negate(), G2.BASE],
    [signed, X],
    [psi, XA],
    [W, XB],
  ];
  const product = bls12_381.pairingBatch(pairs.filter(([g1]) => !g1.is0()).map(([g1, g2]) => ({ g1, g2 })));
  return Fp12.eql(product, Fp12.ONE);
}

export { bytesOf, hex };

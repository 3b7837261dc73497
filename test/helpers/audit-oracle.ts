/**
 * A second, slow implementation of the possession audit on other libraries (noble for the curve, ethers for Keccak and
 * ABI encoding), written from the equations in docs/audit.md and not from the code under test. It checks the two
 * equations one by one, without the random weight that joins them.
 */
import { hkdfSync } from "node:crypto";
import { bls12_381 } from "@noble/curves/bls12-381.js";
import { AbiCoder, concat, keccak256, id as keccakOfText } from "ethers";
import type { AuditChallenge } from "../../offchain/core/audit/challenge.ts";
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
    alpha: oracleScalar(auditSeed, "audit-alpha", new Uint8Array(0)),
    beta: oracleScalar(auditSeed, "audit-beta", new Uint8Array(0)),
    x: oracleScalar(auditSeed, "audit-x", salt),
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

export function oracleKey({ alpha, beta, x }: OracleSecrets): { X: string; XA: string; Bt: string } {
  return {
    X: oracleChainG2(G2.BASE.multiply(x)),
    XA: oracleChainG2(G2.BASE.multiply(Fr.mul(x, alpha))),
    Bt: oracleChainG2(G2.BASE.multiply(beta)),
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

const tag = (name: string) => keccakOfText(`tallystick/v1/${name}`);

export interface OracleChallenge {
  readonly id: string;
  readonly indices: number[];
  readonly weights: bigint[];
  readonly z: bigint;
}

export function oracleChallenge(challenge: AuditChallenge): OracleChallenge {
  const { seed, firstIndex, sliceCount, sampleCount } = challenge;
  const coder = AbiCoder.defaultAbiCoder();
  const types = ["bytes32", "bytes32", "uint64", "uint64", "uint16"];
  const id = keccak256(coder.encode(types, [tag("audit-challenge"), hex(seed), firstIndex, sliceCount, sampleCount]));
  const hashes = Array.from({ length: sampleCount }, (_, t) =>
    BigInt(keccak256(coder.encode(["bytes32", "uint256"], [id, t]))),
  );
  return {
    id,
    indices: hashes.map((hash) => firstIndex + Number((hash % 2n ** 128n) % BigInt(sliceCount))),
    weights: hashes.map((hash) => hash / 2n ** 128n),
    z: Fr.create(BigInt(keccak256(concat([id, tag("audit-point")])))),
  };
}

function challengePolynomial({ indices, weights }: OracleChallenge, point: bigint): bigint {
  return indices.reduce((sum, index, t) => Fr.add(sum, Fr.mul(weights[t] ?? 0n, Fr.pow(point, BigInt(index)))), 0n);
}

/** ρ. @param V in the EIP-2537 form */
export function oracleOpeningPoint(id: string, V: string | Uint8Array): bigint {
  return Fr.create(BigInt(keccak256(concat([id, tag("audit-opening"), V]))));
}

/**
 * λ, over as many of the parts (key hash, σ, ψ, V, W, y) as are given. @param parts in the EIP-2537 form; y 32 bytes
 */
export function oracleBatchWeight(id: string, parts: readonly (string | Uint8Array)[]): bigint {
  return Fr.create(BigInt(keccak256(concat([id, tag("audit-batch"), ...parts]))));
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
  const V = multiply(atBeta);
  const rho = oracleOpeningPoint(drawn.id, oracleChainG1(V));
  const quotient = Fr.div(Fr.sub(atBeta, challengePolynomial(drawn, rho)), Fr.sub(beta, rho));
  return {
    sigma: multiply(Fr.mul(x, Fr.add(atBeta, atAlpha))).toBytes(true),
    psi: multiply(Fr.div(Fr.sub(atAlpha, y), Fr.sub(alpha, drawn.z))).toBytes(true),
    V: V.toBytes(true),
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

/** Whether a proof verifies: e(σ, G2) = e(V + yG1 − zψ, X)·e(ψ, XA) and e(V − v(ρ)G1 + ρW, G2) = e(W, Bt). */
export function oracleVerify(key: AuditPublicKey, challenge: AuditChallenge, proof: Required<AuditProof>): boolean {
  const drawn = oracleChallenge(challenge);
  const read = (bytes: Uint8Array) => {
    const point = G1.fromHex(Buffer.from(bytes).toString("hex"));
    if (!point.is0()) point.assertValidity();
    return point;
  };
  const [sigma, psi, V, W] = [read(proof.sigma), read(proof.psi), read(proof.V), read(proof.W)];
  const [X, XA, Bt] = [fromChainG2(key.X), fromChainG2(key.XA), fromChainG2(key.Bt)];
  const scaled = (point: OraclePointG1, scalar: bigint) => (scalar === 0n ? G1.ZERO : point.multiply(scalar));
  const product = (pairs: [OraclePointG1, OraclePointG2][]) =>
    Fp12.eql(bls12_381.pairingBatch(pairs.filter(([g1]) => !g1.is0()).map(([g1, g2]) => ({ g1, g2 }))), Fp12.ONE);
  const rho = oracleOpeningPoint(drawn.id, oracleChainG1(V));
  const signed = V.add(scaled(G1.BASE, proof.y)).subtract(scaled(psi, drawn.z));
  const opened = V.subtract(multiply(challengePolynomial(drawn, rho))).add(scaled(W, rho));
  return (
    product([
      [sigma, G2.BASE],
      [signed.negate(), X],
      [psi.negate(), XA],
    ]) &&
    product([
      [opened, G2.BASE],
      [W.negate(), Bt],
    ])
  );
}

export { bytesOf, hex };

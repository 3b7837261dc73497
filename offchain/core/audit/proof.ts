/**
 * The proof of a possession audit, constant in size: three points of G1 and a scalar for anybody to check, two points
 * and a scalar for the owner. Wire format (docs/spec.md): version 2 ‖ flags (bit 0: W present) ‖ σ ‖ ψ ‖ [W] ‖ y,
 * points compressed, y most significant byte first: 130 or 178 bytes.
 */

import { concatBytes } from "@noble/hashes/utils.js";
import { toHex } from "../encoding/hex.ts";
import { InvalidInputError, UnknownVersionError } from "../errors.ts";
import {
  decodeG1FromChain,
  decodeSubgroupG1,
  encodeG1,
  encodeG1ForChain,
  G1_BYTES,
  G1_CHAIN_BYTES,
  G2_CHAIN_BYTES,
} from "./curve.ts";
import { decodeScalar, encodeScalar, SCALAR_BYTES } from "./field.ts";
import type { AuditPublicKey } from "./keys.ts";

/** Points are compressed, 48 bytes. W is there for public verification only. */
export interface AuditProof {
  /** Σ ν_t·σ_(i_t) */
  readonly sigma: Uint8Array;
  /** Commitment to (f(Y) − y)/(Y − z), f being the weighted sum of the slices. */
  readonly psi: Uint8Array;
  /** Commitment, in powers of β, to (v(Y) − v(ρ))/(Y − ρ). */
  readonly W?: Uint8Array;
  /** f(z), in [0, r). */
  readonly y: bigint;
}

/** The arguments of a contract call: points in the EIP-2537 form, 128 bytes as hex. */
export interface ChainProof {
  readonly sigma: string;
  readonly psi: string;
  readonly W: string;
  readonly y: bigint;
}

const PROOF_VERSION = 2;
const FLAG_PUBLIC = 1;
const HEADER_BYTES = 2;

/** Bytes of an encoded proof for the owner, and for anybody. */
export const PRIVATE_PROOF_BYTES = HEADER_BYTES + 2 * G1_BYTES + SCALAR_BYTES;
export const PUBLIC_PROOF_BYTES = HEADER_BYTES + 3 * G1_BYTES + SCALAR_BYTES;

/** Encodes a proof. @returns 130 bytes, or 178 with W */
export function encodeProof(proof: AuditProof): Uint8Array {
  const { sigma, psi, W, y } = proof;
  const header = Uint8Array.of(PROOF_VERSION, W === undefined ? 0 : FLAG_PUBLIC);
  return concatBytes(header, sigma, psi, ...(W === undefined ? [] : [W]), encodeScalar(y));
}

/**
 * Decodes a proof. Its points are checked where they are used, by verification.
 * @throws UnknownVersionError, InvalidInputError for another layout, InvalidScalarError for y not below r
 */
export function decodeProof(bytes: Uint8Array): AuditProof {
  const [version, flags] = bytes;
  if (version !== PROOF_VERSION) throw new UnknownVersionError("possession proof", version ?? "none", [PROOF_VERSION]);
  const expectedBytes = flags === FLAG_PUBLIC ? PUBLIC_PROOF_BYTES : PRIVATE_PROOF_BYTES;
  if ((flags !== 0 && flags !== FLAG_PUBLIC) || bytes.length !== expectedBytes) {
    throw new InvalidInputError("possession proof is malformed", {
      check: "proof layout",
      expected: `flags 0 and ${PRIVATE_PROOF_BYTES} bytes, or flags 1 and ${PUBLIC_PROOF_BYTES} bytes`,
      received: `flags ${flags} and ${bytes.length} bytes`,
    });
  }
  const point = (k: number) => bytes.slice(HEADER_BYTES + k * G1_BYTES, HEADER_BYTES + (k + 1) * G1_BYTES);
  const y = decodeScalar(bytes.slice(-SCALAR_BYTES));
  const proof = { sigma: point(0), psi: point(1), y };
  return flags === FLAG_PUBLIC ? { ...proof, W: point(2) } : proof;
}

/**
 * The proof as the arguments of a contract call.
 * @throws InvalidInputError for a proof without W
 * @throws InvalidPointError for a malformed point
 */
export function proofForChain(proof: AuditProof): ChainProof {
  const [sigma, psi, W] = chainPoints(proof);
  return { sigma: toHex(sigma), psi: toHex(psi), W: toHex(W), y: proof.y };
}

/** Bytes of an answer: 768 of the key, 416 of the proof. */
export const ANSWER_BYTES = 1184;

/**
 * Key and proof as `PossessionVerifier` takes them, points in the EIP-2537 form: X ‖ XA ‖ XB ‖ σ ‖ ψ ‖ W ‖ y.
 * @returns 1,184 bytes
 * @throws InvalidInputError for a proof without W
 * @throws InvalidPointError for a malformed point of the proof
 */
export function encodeAnswer(key: AuditPublicKey, proof: AuditProof): Uint8Array {
  return concatBytes(key.X, key.XA, key.XB, ...chainPoints(proof), encodeScalar(proof.y));
}

/**
 * Reads an answer. The points of the key are checked where they are used, by verification.
 * @throws InvalidInputError for another length, InvalidPointError for a malformed point of the proof,
 *   InvalidScalarError for y not below r
 */
export function decodeAnswer(bytes: Uint8Array): { key: AuditPublicKey; proof: Required<AuditProof> } {
  if (bytes.length !== ANSWER_BYTES) {
    throw new InvalidInputError("answer to a challenge is malformed", {
      check: "answer length",
      expected: `${ANSWER_BYTES} bytes`,
      received: `${bytes.length} bytes`,
    });
  }
  const key = (k: number) => bytes.slice(k * G2_CHAIN_BYTES, (k + 1) * G2_CHAIN_BYTES);
  const point = (k: number, name: string) => {
    const start = 3 * G2_CHAIN_BYTES + k * G1_CHAIN_BYTES;
    return encodeG1(decodeG1FromChain(bytes.slice(start, start + G1_CHAIN_BYTES), `proof element ${name}`));
  };
  return {
    key: { X: key(0), XA: key(1), XB: key(2) },
    proof: {
      sigma: point(0, "sigma"),
      psi: point(1, "psi"),
      W: point(2, "W"),
      y: decodeScalar(bytes.slice(-SCALAR_BYTES)),
    },
  };
}

/** σ, ψ and W in the EIP-2537 form, 128 bytes each. */
function chainPoints({ sigma, psi, W }: AuditProof): [Uint8Array, Uint8Array, Uint8Array] {
  if (W === undefined) {
    throw new InvalidInputError("a private possession proof cannot be checked on chain", { check: "proof kind" });
  }
  const chainPoint = (bytes: Uint8Array, name: string) =>
    encodeG1ForChain(decodeSubgroupG1(bytes, `proof element ${name}`));
  return [chainPoint(sigma, "sigma"), chainPoint(psi, "psi"), chainPoint(W, "W")];
}

/**
 * The proof of a possession audit, constant in size: four points of G1 and a scalar for anybody to check, two points
 * and a scalar for the owner. Wire format (docs/spec.md): version 1 ‖ flags (bit 0: V and W present) ‖ σ ‖ ψ ‖ [V ‖ W]
 * ‖ y, points compressed, y most significant byte first: 130 or 226 bytes.
 */

import { concatBytes } from "@noble/hashes/utils.js";
import { toHex } from "../encoding/hex.ts";
import { InvalidInputError, UnknownVersionError } from "../errors.ts";
import { decodeSubgroupG1, encodeG1ForChain, G1_BYTES } from "./curve.ts";
import { decodeScalar, encodeScalar, SCALAR_BYTES } from "./field.ts";

/** Points are compressed, 48 bytes. V and W are there for public verification only, both or neither. */
export interface AuditProof {
  /** Σ ν_t·σ_(i_t) */
  readonly sigma: Uint8Array;
  /** Commitment to (f(Y) − y)/(Y − z), f being the weighted sum of the slices. */
  readonly psi: Uint8Array;
  /** Σ ν_t·B_(i_t) */
  readonly V?: Uint8Array;
  /** Commitment, in powers of β, to (v(Y) − v(ρ))/(Y − ρ). */
  readonly W?: Uint8Array;
  /** f(z), in [0, r). */
  readonly y: bigint;
}

/** The arguments of a contract call: points in the EIP-2537 form, 128 bytes as hex. */
export interface ChainProof {
  readonly sigma: string;
  readonly psi: string;
  readonly V: string;
  readonly W: string;
  readonly y: bigint;
}

const PROOF_VERSION = 1;
const FLAG_PUBLIC = 1;
const HEADER_BYTES = 2;

/** Bytes of an encoded proof for the owner, and for anybody. */
export const PRIVATE_PROOF_BYTES = HEADER_BYTES + 2 * G1_BYTES + SCALAR_BYTES;
export const PUBLIC_PROOF_BYTES = HEADER_BYTES + 4 * G1_BYTES + SCALAR_BYTES;

/** Encodes a proof. @returns 130 bytes, or 226 with V and W */
export function encodeProof(proof: AuditProof): Uint8Array {
  const { sigma, psi, V, W, y } = proof;
  const isPublic = V !== undefined && W !== undefined;
  const header = Uint8Array.of(PROOF_VERSION, isPublic ? FLAG_PUBLIC : 0);
  return concatBytes(header, sigma, psi, ...(isPublic ? [V, W] : []), encodeScalar(y));
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
  return flags === FLAG_PUBLIC ? { ...proof, V: point(2), W: point(3) } : proof;
}

/**
 * The proof as a contract takes it.
 * @throws InvalidInputError for a proof without V and W
 * @throws InvalidPointError for a malformed point
 */
export function proofForChain(proof: AuditProof): ChainProof {
  const { sigma, psi, V, W, y } = proof;
  if (V === undefined || W === undefined) {
    throw new InvalidInputError("a private possession proof cannot be checked on chain", { check: "proof kind" });
  }
  const chainPoint = (bytes: Uint8Array, name: string) =>
    toHex(encodeG1ForChain(decodeSubgroupG1(bytes, `proof element ${name}`)));
  return {
    sigma: chainPoint(sigma, "sigma"),
    psi: chainPoint(psi, "psi"),
    V: chainPoint(V, "V"),
    W: chainPoint(W, "W"),
    y,
  };
}

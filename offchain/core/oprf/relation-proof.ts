/**
 * Non-interactive zero-knowledge proofs of knowledge of discrete logarithms: Schnorr's proof (1991), the proof of equal
 * logarithms by Chaum and Pedersen (1992), and conjunctions of both under one challenge, made non-interactive by Fiat
 * and Shamir (1986). For secrets x_1 … x_m and relations `element = x_i·base`:
 *
 *     W = w_i·base for each relation, with one nonce w_i per secret
 *     c = SHA-512(tag ‖ u32 length of the context ‖ context ‖ (base unless it is G) ‖ element ‖ W for each relation)
 *     s_i = w_i − c·x_i                                   proof = c ‖ s_1 … s_m
 *
 * The label fixes the shape of a statement (how many secrets, relations and bases), so no layout is read as another.
 * The context binds the proof to a message. The proofs of RFC 9497 are in dleq.ts: they bind no message.
 */

import { concatBytes } from "@noble/hashes/utils.js";
import { equalBytes } from "#primitives";
import { domainTag } from "../crypto/kdf.ts";
import { u32be } from "../encoding/integers.ts";
import { InvalidProofError, InvalidScalarError } from "../errors.ts";
import {
  add,
  checkCanonicalScalar,
  multiply,
  multiplyBase,
  randomScalar,
  ristretto255Group,
  SCALAR_BYTES,
  scalarFromUniform,
  scalarMultiply,
  scalarSubtract,
  sha512,
} from "./group.ts";
import { itemAt, wipeAll } from "./prime-order-group.ts";

/** `element = secret·base`. */
export interface Relation {
  /** The generator G unless stated. */
  readonly base?: Uint8Array;
  readonly element: Uint8Array;
}

export interface RelationStatement {
  /** What is proven, a label of docs/spec.md, section 23. */
  readonly label: string;
  /** What the proof is bound to, any bytes. */
  readonly context: Uint8Array;
  /** The relations of each secret, one list per secret. Bases and elements are checked elements. */
  readonly relations: readonly (readonly Relation[])[];
}

const GENERATOR_TAG = domainTag("second-generator");
const NO_BYTES = new Uint8Array(0);
let generator: Uint8Array | undefined;

/** Length of a proof about this many secrets. */
export function relationProofBytes(secrets: number): number {
  return (1 + secrets) * SCALAR_BYTES;
}

/**
 * Ḡ, a generator whose logarithm to G nobody knows: the empty message hashed to the group by RFC 9380
 * (hash_to_ristretto255 with expand_message_xmd and SHA-512), domain separation tag `tag("second-generator")`.
 */
export function secondGenerator(): Uint8Array {
  generator ??= ristretto255Group.hashToElement(NO_BYTES, GENERATOR_TAG);
  return generator.slice();
}

/** @param secrets x_1 … x_m, in the order of the statement's lists; the caller wipes them */
export function proveRelations(statement: RelationStatement, secrets: readonly Uint8Array[]): Uint8Array {
  const nonces = secrets.map(() => randomScalar());
  const commitments = statement.relations.flatMap((list, position) =>
    list.map(({ base }) => timesBase(itemAt(nonces, position), base)),
  );
  const c = challenge(statement, commitments);
  const products = secrets.map((secret) => scalarMultiply(c, secret));
  const responses = products.map((product, position) => scalarSubtract(itemAt(nonces, position), product));
  wipeAll([...nonces, ...products]);
  return concatBytes(c, ...responses);
}

/** @throws InvalidProofError when the proof is malformed or does not verify */
export function verifyRelations(statement: RelationStatement, proof: Uint8Array): void {
  const expected = relationProofBytes(statement.relations.length);
  if (proof.length !== expected) {
    throw new InvalidProofError(`proof has ${proof.length} bytes instead of ${expected}`, {
      check: "proof length",
      expected: `${expected} bytes`,
      received: `${proof.length} bytes`,
    });
  }
  const scalarAt = (position: number) => proof.subarray(position * SCALAR_BYTES, (position + 1) * SCALAR_BYTES);
  const c = scalarAt(0);
  const responses = statement.relations.map((_, position) => scalarAt(position + 1));
  try {
    checkCanonicalScalar(c, "challenge of the proof");
    for (const response of responses) checkCanonicalScalar(response, "response of the proof");
  } catch (cause) {
    if (!(cause instanceof InvalidScalarError)) throw cause;
    throw new InvalidProofError(cause.message, { check: "proof scalars", cause });
  }
  const commitments = statement.relations.flatMap((list, position) =>
    list.map(({ base, element }) => add(timesBase(itemAt(responses, position), base), multiply(c, element))),
  );
  if (!equalBytes(c, challenge(statement, commitments))) {
    throw new InvalidProofError("proof does not verify", { check: statement.label });
  }
}

function timesBase(scalar: Uint8Array, base: Uint8Array | undefined): Uint8Array {
  return base === undefined ? multiplyBase(scalar) : multiply(scalar, base);
}

function challenge({ label, context, relations }: RelationStatement, commitments: Uint8Array[]): Uint8Array {
  const parts = relations
    .flat()
    .flatMap(({ base = NO_BYTES, element }, position) => [base, element, itemAt(commitments, position)]);
  return scalarFromUniform(sha512(concatBytes(domainTag(label), u32be(context.length), context, ...parts)));
}

/** Dealings of a dealer that does not do what it should, made by the layout of docs/spec.md. */

import { concatBytes } from "@noble/hashes/utils.js";
import { encodeHead } from "../../offchain/core/committee/messages.ts";
import type { RunMembers } from "../../offchain/core/committee/receiving.ts";
import { kdf } from "../../offchain/core/crypto/kdf.ts";
import { u16be } from "../../offchain/core/encoding/integers.ts";
import { multiply, multiplyBase, randomScalar, ristretto255Group } from "../../offchain/core/oprf/group.ts";
import { proveRelations, secondGenerator } from "../../offchain/core/oprf/relation-proof.ts";
import { evaluatePolynomial } from "../../offchain/core/oprf/threshold.ts";
import { at, range } from "./committee-run.ts";

/** What a dealer does instead of what it should. */
export interface Deceit {
  /** Polynomials of both keys, constant term first. */
  polynomials?: Uint8Array[][];
  /** Commitments other than those of the polynomials. */
  commitments?: Uint8Array[][];
  /** The two shares for a member. */
  sharesFor?: (member: number, honest: Uint8Array[]) => Uint8Array[];
  /** E and Ē, instead of those of the dealer's own e. */
  ephemeral?: [Uint8Array, Uint8Array];
}

/** A dealing by the layout of docs/spec.md, whose proof is right for whatever the dealer decided to send. */
export function deceive(members: RunMembers, dealer: number, deceit: Deceit): Uint8Array {
  const { run, announced, receivingKeys } = members;
  const polynomials = deceit.polynomials ?? [0, 1].map(() => range(run.threshold).map(() => randomScalar()));
  const commitments = deceit.commitments ?? polynomials.map((polynomial) => polynomial.map(multiplyBase));
  const e = randomScalar();
  const [ephemeralKey, twin] = deceit.ephemeral ?? [multiplyBase(e), multiply(e, secondGenerator())];
  const head = encodeHead(run, dealer);
  const sealed = receivingKeys.map((key, position) => {
    const honest = polynomials.map((polynomial) => evaluatePolynomial(ristretto255Group, polynomial, position + 1));
    const shares = concatBytes(...(deceit.sharesFor?.(position + 1, honest) ?? honest));
    const info = concatBytes(head, announced, ephemeralKey, u16be(position + 1));
    const pad = kdf(multiply(e, key), "committee-share", info, 64);
    return shares.map((byte, offset) => byte ^ at([...pad], offset));
  });
  const committed = commitments.flatMap((list, key) => [Uint8Array.of(key + 1), ...list]);
  const statement = concatBytes(head, announced, ephemeralKey, twin, ...committed, ...sealed);
  const relations = [
    ...commitments.map((list) => [{ element: at(list, 0) }]),
    [{ element: ephemeralKey }, { base: secondGenerator(), element: twin }],
  ];
  const secrets = [...polynomials.map((polynomial) => at(polynomial, 0)), e];
  return concatBytes(statement, proveRelations({ label: "committee-dealing", context: statement, relations }, secrets));
}

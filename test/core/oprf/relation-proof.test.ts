/** Proofs of logarithms and of their equality, by the equations of docs/spec.md on noble's group. */

import { ristretto255 } from "@noble/curves/ed25519.js";
import { bytesToNumberLE } from "@noble/curves/utils.js";
import { sha512 } from "@noble/hashes/sha2.js";
import { concatBytes } from "@noble/hashes/utils.js";
import { expect } from "chai";
import fc from "fast-check";
import { domainTag } from "../../../offchain/core/crypto/kdf.ts";
import { toHex } from "../../../offchain/core/encoding/hex.ts";
import { u32be } from "../../../offchain/core/encoding/integers.ts";
import { multiply, multiplyBase, randomScalar } from "../../../offchain/core/oprf/group.ts";
import {
  proveRelations,
  type RelationStatement,
  relationProofBytes,
  secondGenerator,
  verifyRelations,
} from "../../../offchain/core/oprf/relation-proof.ts";
import { oprfReady } from "../../../offchain/core/oprf/ristretto255.ts";
import { at } from "../../helpers/committee-run.ts";
import { expectRejection } from "../../helpers/rejection.ts";

const { Point } = ristretto255;

/** Two secrets: x with two relations, y with one. */
function example(context = new Uint8Array(3)): { statement: RelationStatement; secrets: Uint8Array[] } {
  const secrets = [randomScalar(), randomScalar()];
  const [x, y] = [at(secrets, 0), at(secrets, 1)];
  const base = secondGenerator();
  const relations = [
    [{ element: multiplyBase(x) }, { base, element: multiply(x, base) }],
    [{ element: multiplyBase(y) }],
  ];
  return { statement: { label: "relation-test", context, relations }, secrets };
}

describe("core/oprf/relation-proof", () => {
  before(() => oprfReady());

  it("makes proofs that verify, here and by the documented equations on noble", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (context) => {
        const { statement, secrets } = example(Uint8Array.from(context));
        const proof = proveRelations(statement, secrets);
        expect(proof.length).to.equal(relationProofBytes(2));
        verifyRelations(statement, proof);

        const [c, ...responses] = [0, 1, 2].map((part) => bytesToNumberLE(proof.subarray(32 * part, 32 * part + 32)));
        const parts = statement.relations.flatMap((list, secret) =>
          list.flatMap(({ base, element }) => {
            const point = base === undefined ? Point.BASE : Point.fromBytes(base);
            const commitment = point.multiply(at(responses, secret)).add(Point.fromBytes(element).multiply(c ?? 0n));
            return [base ?? new Uint8Array(0), element, commitment.toBytes()];
          }),
        );
        const hashed = concatBytes(
          domainTag("relation-test"),
          u32be(statement.context.length),
          statement.context,
          ...parts,
        );
        expect(bytesToNumberLE(sha512(hashed)) % Point.Fn.ORDER).to.equal(c);
      }),
      { numRuns: 20 },
    );
  });

  it("makes another proof each time", () => {
    const { statement, secrets } = example();
    expect(toHex(proveRelations(statement, secrets))).to.not.equal(toHex(proveRelations(statement, secrets)));
  });

  it("refuses a proof under another label or context, or for other elements, bases or secrets", () => {
    const { statement, secrets } = example();
    const proof = proveRelations(statement, secrets);
    const [first, second] = [at(statement.relations, 0), at(statement.relations, 1)];
    const others: Partial<RelationStatement>[] = [
      { label: "relation-tests" },
      { context: new Uint8Array(4) },
      { context: Uint8Array.of(0, 0, 1) },
      { relations: [second, first] },
      { relations: [[...first].reverse(), second] },
      { relations: [[at(first, 0), { ...at(first, 1), base: multiplyBase(randomScalar()) }], second] },
      { relations: [first, [{ element: multiplyBase(randomScalar()) }]] },
      { relations: [[...first, ...second], second] },
    ];
    for (const other of others) {
      const call = () => verifyRelations({ ...statement, ...other }, proof);
      expectRejection(call, "INVALID_PROOF", /does not verify/);
    }
    const swapped = proveRelations(statement, [...secrets].reverse());
    expectRejection(() => verifyRelations(statement, swapped), "INVALID_PROOF", /does not verify/);
    const unequal = [[at(first, 0), { base: secondGenerator(), element: multiplyBase(randomScalar()) }], second];
    const lie = proveRelations({ ...statement, relations: unequal }, secrets);
    expectRejection(
      () => verifyRelations({ ...statement, relations: unequal }, lie),
      "INVALID_PROOF",
      /does not verify/,
    );
  });

  it("refuses proofs of another length and scalars that are not reduced", () => {
    const { statement, secrets } = example();
    const proof = proveRelations(statement, secrets);
    for (const bytes of [proof.subarray(1), concatBytes(proof, Uint8Array.of(0)), new Uint8Array(0)]) {
      expectRejection(() => verifyRelations(statement, bytes), "INVALID_PROOF", /instead of 96/);
    }
    for (const place of [0, 32, 64]) {
      const changed = proof.slice();
      changed.fill(0xff, place, place + 32);
      expectRejection(() => verifyRelations(statement, changed), "INVALID_PROOF", /not reduced/);
    }
  });

  it("returns the second generator as a copy: whoever writes into it harms only itself", () => {
    secondGenerator().fill(0);
    expect(toHex(secondGenerator())).to.not.equal(toHex(new Uint8Array(32)));
  });
});

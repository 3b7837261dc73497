/**
 * P256-SHA256 against `@cloudflare/voprf-ts`, whose curve is that of the Stanford JavaScript Crypto Library: neither
 * protocol nor arithmetic is shared with noble's.
 */

import { Evaluation, EvaluationRequest, Oprf, VOPRFClient, VOPRFServer } from "@cloudflare/voprf-ts";
import { expect } from "chai";
import { toHex } from "../../../offchain/core/encoding/hex.ts";
import { u16be } from "../../../offchain/core/encoding/integers.ts";
import { p256Suite } from "../../../offchain/core/oprf/p256.ts";
import { p256Group } from "../../../offchain/core/oprf/p256-group.ts";
import { dealKey } from "../../helpers/oprf-committee.ts";

const SUITE = Oprf.Suite.P256_SHA256;
const inputs = ["one", "two", "three"].map((text) => new TextEncoder().encode(text));
const ELEMENT = p256Suite.elementBytes;

/** The elements of a request or an evaluation of voprf-ts: a count on two bytes, then the elements. */
function elementsOf(serialised: Uint8Array): Uint8Array[] {
  return inputs.map((_, at) => serialised.slice(2 + at * ELEMENT, 2 + (at + 1) * ELEMENT));
}

describe("core/oprf P256-SHA256 against voprf-ts", () => {
  const key = p256Group.randomScalar();
  const publicKey = p256Group.encodeElement(p256Group.multiplyBase(key));
  let theirs: string[];

  before(async () => {
    const server = new VOPRFServer(SUITE, key);
    theirs = await Promise.all(inputs.map(async (input) => toHex(await server.evaluate(input))));
  });

  it("gives its outputs from 3 of 5 members", () => {
    const batch = p256Suite.blindInputs(inputs);
    const parts = dealKey(p256Group, key, 3, 5)
      .slice(2)
      .map(({ index, keyShare, verificationShare }) => {
        const { evaluated, proof } = p256Suite.evaluateBatch(keyShare, verificationShare, batch.blinded);
        p256Suite.verifyEvaluation(verificationShare, batch.blinded, evaluated, proof);
        return { index, evaluated };
      });
    expect(p256Suite.combineAndFinalize(batch, inputs, parts, 3).map(toHex)).to.deep.equal(theirs);
  });

  it("lets its client use our node", async () => {
    const client = new VOPRFClient(SUITE, publicKey);
    const [state, request] = await client.blind(inputs);
    const { evaluated, proof } = p256Suite.evaluateBatch(key, publicKey, elementsOf(request.serialize()));
    const count = u16be(inputs.length);
    const serialised = Uint8Array.of(...count, ...evaluated.flatMap((bytes) => [...bytes]), 1, ...proof);
    const outputs = await client.finalize(state, Evaluation.deserialize(SUITE, serialised));
    expect(outputs.map(toHex)).to.deep.equal(theirs);
  });

  it("lets our client use its node", async () => {
    const batch = p256Suite.blindInputs(inputs);
    const count = u16be(inputs.length);
    const request = Uint8Array.of(...count, ...batch.blinded.flatMap((bytes) => [...bytes]));
    const answer = await new VOPRFServer(SUITE, key).blindEvaluate(EvaluationRequest.deserialize(SUITE, request));
    const evaluated = elementsOf(answer.serialize());
    const proof = answer.proof?.serialize() ?? new Uint8Array();
    p256Suite.verifyEvaluation(publicKey, batch.blinded, evaluated, proof);
    const outputs = p256Suite.combineAndFinalize(batch, inputs, [{ index: 1, evaluated }], 1);
    expect(outputs.map(toHex)).to.deep.equal(theirs);
  });
});

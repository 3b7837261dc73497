import { expect } from "chai";
import { multiplyBase, scalarFromNumber } from "../../../offchain/core/oprf/group.ts";
import {
  composeEvaluation,
  evaluateBatch,
  oprfReady,
  verifyComposed,
} from "../../../offchain/core/oprf/ristretto255.ts";
import {
  type AnswerEvidence,
  encodeAnswerEvidence,
  MAXIMUM_EVIDENCE_CHARACTERS,
  parseAnswerEvidence,
} from "../../../offchain/core/oprf/signed-answer.ts";
import { expectRejection } from "../../helpers/rejection.ts";

const OPERATOR = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
const REGISTRY = "0x5FbDB2315678afecb367f032d93F642f64180aa3";

describe("answers that nodes sign", () => {
  let key: Uint8Array;
  let share: Uint8Array;
  let blinded: Uint8Array[];
  let evidence: AnswerEvidence;

  before(async () => {
    await oprfReady();
    key = scalarFromNumber(12_345);
    share = multiplyBase(key);
    blinded = [2, 3, 4].map((n) => multiplyBase(scalarFromNumber(n)));
    const { proof, composites } = evaluateBatch(key, share, blinded);
    evidence = {
      chainId: 31_337,
      nodeRegistry: REGISTRY,
      operator: OPERATOR,
      committeeId: 2n ** 63n,
      generation: 1,
      keyMaterialHash: `0x${"0c".repeat(32)}`,
      index: 3,
      account: OPERATOR,
      composites,
      proof,
      signature: `0x${"ab".repeat(65)}`,
    };
  });

  it("have the composites that the client computes from what it sent and received", () => {
    const { evaluated, proof, composites } = evaluateBatch(key, share, blinded);
    expect(composeEvaluation(share, blinded, evaluated)).to.deep.equal(composites);
    verifyComposed(share, composites, proof);
    const swapped = composeEvaluation(share, blinded, [evaluated[1], evaluated[0], evaluated[2]] as Uint8Array[]);
    expect(swapped).not.to.deep.equal(composites);
    expectRejection(() => verifyComposed(share, swapped, proof), "INVALID_PROOF");
    expectRejection(() => verifyComposed(multiplyBase(scalarFromNumber(7)), composites, proof), "INVALID_PROOF");
  });

  it("change their composites with every element of the batch", () => {
    const { evaluated } = evaluateBatch(key, share, blinded);
    const whole = composeEvaluation(share, blinded, evaluated);
    for (const position of blinded.keys()) {
      const wrong = evaluated.map((element, at) => (at === position ? multiplyBase(key) : element));
      const composites = composeEvaluation(share, blinded, wrong);
      // The weights hash all elements, so both composites change.
      expect(composites.blinded).not.to.deep.equal(whole.blinded);
      expect(composites.evaluated).not.to.deep.equal(whole.evaluated);
    }
  });

  it("come back from their text as they were", () => {
    expect(parseAnswerEvidence(encodeAnswerEvidence(evidence))).to.deep.equal(evidence);
    expect(encodeAnswerEvidence(evidence).length).to.be.below(MAXIMUM_EVIDENCE_CHARACTERS);
  });

  const damages: Record<string, (text: Record<string, unknown>) => unknown> = {
    "another version": (text) => ({ ...text, version: 2 }),
    "a missing field": ({ proof: _proof, ...text }) => text,
    "a field more": (text) => ({ ...text, note: "" }),
    "a short proof": (text) => ({ ...text, proof: "0x00" }),
    "a short signature": (text) => ({ ...text, signature: "0x00" }),
    "no address": (text) => ({ ...text, operator: "alice.eth" }),
    "an index that no member has": (text) => ({ ...text, index: 0 }),
    "a list": () => [],
  };
  for (const [what, damage] of Object.entries(damages)) {
    it(`are refused as evidence with ${what}`, () => {
      const text = JSON.stringify(damage(JSON.parse(encodeAnswerEvidence(evidence))));
      expectRejection(() => parseAnswerEvidence(text), "INVALID_INPUT", /no evidence/);
    });
  }

  it("are refused as evidence when they are no JSON, or too long", () => {
    expectRejection(() => parseAnswerEvidence("{"), "INVALID_INPUT", /no evidence/);
    const long = `${encodeAnswerEvidence(evidence)}${" ".repeat(MAXIMUM_EVIDENCE_CHARACTERS)}`;
    expectRejection(() => parseAnswerEvidence(long), "INVALID_INPUT", /no evidence/);
  });
});

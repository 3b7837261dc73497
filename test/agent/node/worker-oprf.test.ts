/** The OPRF on worker threads: it gives, refuses and blames what the computations in one thread do. */
import { ristretto255_oprf } from "@noble/curves/ed25519.js";
import { expect } from "chai";
import type { Evaluation } from "../../../offchain/agent/keys/nbm-client.ts";
import { OprfCommittee, type OprfMember } from "../../../offchain/agent/keys/oprf-committee.ts";
import { WorkerOprf } from "../../../offchain/agent/node/worker-oprf.ts";
import { WorkerPool } from "../../../offchain/agent/node/worker-pool.ts";
import { localOprf, type OprfStage } from "../../../offchain/agent/pipeline/oprf-stage.ts";
import { openSource } from "../../../offchain/agent/put/source.ts";
import { storeTree } from "../../../offchain/agent/put/store-tree.ts";
import type { GenerationId } from "../../../offchain/core/committee/key-id.ts";
import { TallystickError } from "../../../offchain/core/errors.ts";
import { multiplyBase, randomScalar, ristretto255Group } from "../../../offchain/core/oprf/group.ts";
import { evaluateBatch, oprfReady, ristretto255Suite } from "../../../offchain/core/oprf/ristretto255.ts";
import { evaluatePolynomial } from "../../../offchain/core/oprf/threshold.ts";
import { pseudoRandomBytes } from "../../helpers/pseudo-random.ts";
import { rejection } from "../../helpers/rejection.ts";

const SIZE = 5;
const THRESHOLD = 3;
const MIB = 1_048_576;
type Behaviour = (honest: () => Evaluation) => Evaluation | Promise<Evaluation>;

describe("OPRF on worker threads", () => {
  let pool: WorkerPool;
  let stage: WorkerOprf;
  let key: Uint8Array;
  let shares: Uint8Array[];
  let behaviour: Behaviour[];
  const inputs = Array.from({ length: 5 }, (_, n) => new TextEncoder().encode(`input ${n}`));

  before(oprfReady);
  beforeEach(() => {
    pool = new WorkerPool(2);
    stage = new WorkerOprf(pool, 0);
    const coefficients = Array.from({ length: THRESHOLD }, () => randomScalar());
    key = coefficients[0] as Uint8Array;
    shares = Array.from({ length: SIZE }, (_, i) => evaluatePolynomial(ristretto255Group, coefficients, i + 1));
    behaviour = shares.map(() => (honest) => honest());
  });
  afterEach(async () => await pool.close());

  function committee(): OprfCommittee {
    const members = shares.map((share, position): OprfMember => {
      const index = position + 1;
      const verificationShare = multiplyBase(share);
      const evaluate = async (_: GenerationId, blinded: readonly Uint8Array[]) => {
        const honest = () => ({ index, signature: "0x", ...evaluateBatch(share, verificationShare, [...blinded]) });
        return await (behaviour[position] as Behaviour)(honest);
      };
      const operator = `0x${String(index).repeat(40)}`;
      const onChain = { operator, url: `http://node-${index}`, stakeWei: 1n, exitAt: 0 };
      return { index, ...onChain, verificationShare, client: { evaluate } };
    });
    const keyMaterialHash = `0x${"44".repeat(32)}`;
    const first = { generation: 1, threshold: THRESHOLD, members, keyMaterialHash };
    return new OprfCommittee(7n, `0x${"ac".repeat(20)}`, first, { sleepSeconds: async () => undefined });
  }

  /** RFC 9497 with the whole key in one hand, by an independent implementation. */
  function expected(input: Uint8Array): Uint8Array {
    const publicKey = multiplyBase(key);
    const { blind, blinded } = ristretto255_oprf.voprf.blind(input);
    const { evaluated, proof } = ristretto255_oprf.voprf.blindEvaluate(key, publicKey, blinded);
    return ristretto255_oprf.voprf.finalize(input, blind, evaluated, blinded, publicKey, proof);
  }

  it("gives the outputs of RFC 9497 under the whole key, several batches at a time", async () => {
    const nodes = committee();
    const batches = [inputs, inputs.slice(1), inputs.slice(2, 3), [new Uint8Array(0)]];
    const outputs = await Promise.all(batches.map((batch) => nodes.evaluate(batch, undefined, stage)));
    expect(outputs).to.deep.equal(batches.map((batch) => batch.map(expected)));
  });

  it("computes the first inputs of a put in place, with the same outputs", async () => {
    const mixed = new WorkerOprf(pool, inputs.length);
    const nodes = committee();
    for (let batch = 0; batch < 3; batch += 1) {
      expect(await nodes.evaluate(inputs, undefined, mixed)).to.deep.equal(inputs.map(expected));
    }
  });

  for (const [what, lie, code] of [
    [
      "a wrong proof",
      (answer) => ({ ...answer, proof: answer.proof.map((byte, at) => byte ^ (at === 40 ? 1 : 0)) }),
      "INVALID_PROOF",
    ],
    ["a proof that is too short", (answer) => ({ ...answer, proof: answer.proof.slice(1) }), "INVALID_PROOF"],
    ["two elements swapped", (answer) => ({ ...answer, evaluated: answer.evaluated.toReversed() }), "INVALID_PROOF"],
    [
      "the identity element",
      (answer) => ({ ...answer, evaluated: inputs.map(() => new Uint8Array(32)) }),
      "INVALID_POINT",
    ],
    [
      "elements of another length",
      (answer) => ({ ...answer, evaluated: inputs.map(() => new Uint8Array(31).fill(1)) }),
      "INVALID_POINT",
    ],
  ] as [string, (honest: Evaluation) => Evaluation, string][]) {
    it(`blames the node that sends ${what}, in the words of one thread`, async () => {
      behaviour[2] = (honest) => lie(honest());
      const [beside, inPlace] = [committee(), committee()];
      for (let batch = 0; batch < SIZE; batch += 1) {
        expect(await beside.evaluate(inputs, undefined, stage)).to.deep.equal(inputs.map(expected));
        await inPlace.evaluate(inputs);
      }
      expect(beside.report()[2]).to.include({ url: "http://node-3", answer: code });
      const words = (nodes: OprfCommittee) => nodes.report().map(({ answer, message }) => ({ answer, message }));
      expect(words(beside)).to.deep.equal(words(inPlace));
    });
  }

  it("refuses with the errors of one thread", async () => {
    const local = localOprf(async () => ristretto255Suite);
    const share = multiplyBase(shares[0] as Uint8Array);
    const calls: ((used: OprfStage) => Promise<unknown>)[] = [
      (used) => used.blind([new Uint8Array(65_536)]),
      (used) => used.verify(share, [share], [share], new Uint8Array(64)),
      (used) => used.verify(share, [share], [new Uint8Array(32).fill(0xff)], new Uint8Array(64)),
      async (used) => (await used.blind(inputs)).finalize([], THRESHOLD),
    ];
    for (const call of calls) {
      const [error, same] = [await rejection(call(stage)), await rejection(call(local))];
      expect(error.constructor).to.equal(same.constructor);
      expect(error.toJSON()).to.deep.equal(same.toJSON());
    }
  });

  it("erases a batch once it is finalized or given up", async () => {
    const part = (index: number, blinded: Uint8Array[]) => {
      const share = shares[index - 1] as Uint8Array;
      return { index, ...evaluateBatch(share, multiplyBase(share), blinded) };
    };
    const used = await stage.blind(inputs);
    const parts = [1, 2, 3].map((index) => part(index, used.blinded));
    expect(await used.finalize(parts, THRESHOLD)).to.deep.equal(inputs.map(expected));
    expect(await rejection(used.finalize(parts, THRESHOLD))).to.include({ code: "INTERNAL" });
    const left = await stage.blind(inputs);
    left.wipe();
    await stage.settle();
    expect(await rejection(left.finalize(parts, THRESHOLD))).to.include({ code: "INTERNAL" });
  });

  for (const [when, dies] of [
    ["before the answers are verified", (call: number) => call === 1],
    ["before the batch is blinded", (call: number) => call === 0],
  ] as const) {
    it(`fails with a typed error and blames no node when its thread ends ${when}`, async () => {
      const nodes = committee();
      let calls = 0;
      const end = async () => {
        if (dies(calls++)) await pool.close();
      };
      behaviour = shares.map(() => async (honest) => {
        await end();
        return honest();
      });
      const evaluating = nodes.evaluate(inputs, undefined, stage);
      const failing = rejection(evaluating);
      if (dies(calls++)) await pool.close();
      const error = await failing;
      expect(error).to.be.instanceOf(TallystickError);
      expect(error).to.include({ code: "INTERNAL", message: "a worker thread has failed" });
      expect(nodes.report().filter(({ message }) => message !== undefined)).to.deep.equal([]);
    });
  }

  it("fails the put whose threads end, instead of leaving it waiting", async () => {
    const nodes = committee();
    behaviour = shares.map(() => async (honest) => {
      await pool.close();
      return honest();
    });
    const provider = { store: async () => ({ uploaded: new Set<string>() }) };
    const putting = storeTree(openSource([{ name: "a", bytes: pseudoRandomBytes("a", 3 * MIB) }], undefined), {
      oracle: { evaluate: (asked, signal) => nodes.evaluate(asked, signal, stage) },
      place: () => [{ provider }],
      domain: "public",
      counter: { readBytes: 0, readEntries: 0 },
      totals: { objects: 0, bytes: 0, uploadedObjects: 0, uploadedBytes: 0 },
      onChange: () => undefined,
    });
    expect(await rejection(putting)).to.include({ code: "INTERNAL" });
  });
});

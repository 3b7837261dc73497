import { ristretto255_oprf } from "@noble/curves/ed25519.js";
import { expect } from "chai";
import type { Evaluation } from "../../../offchain/agent/keys/nbm-client.ts";
import type { NodeReport } from "../../../offchain/agent/keys/node-reports.ts";
import {
  OprfCommittee,
  type OprfCommitteeOptions,
  type OprfGeneration,
  type OprfMember,
  stakeTimes,
} from "../../../offchain/agent/keys/oprf-committee.ts";
import { assignedOrder, assignmentEpoch } from "../../../offchain/core/assignment/assignment.ts";
import type { GenerationId } from "../../../offchain/core/committee/key-id.ts";
import { toHex } from "../../../offchain/core/encoding/hex.ts";
import { TallystickError } from "../../../offchain/core/errors.ts";
import { multiplyBase, randomScalar, ristretto255Group } from "../../../offchain/core/oprf/group.ts";
import { evaluateBatch, oprfReady } from "../../../offchain/core/oprf/ristretto255.ts";
import { evaluatePolynomial } from "../../../offchain/core/oprf/threshold.ts";
import { rejection } from "../../helpers/rejection.ts";

const SIZE = 5;
const THRESHOLD = 3;
const EXIT_DELAY_SECONDS = 72 * 3600;
const DAY_SECONDS = 24 * 3600;
const KEY_MATERIAL = `0x${"44".repeat(32)}`;
/** Above what an honest answer takes. */
const SLOW_SECONDS = 0.5;
/** So much that a node that has it, among others with 1, is asked first. */
const MOST = 2n ** 127n;
const addressOf = (value: number) => `0x${value.toString(16).padStart(40, "0")}`;
type Behaviour = (
  honest: () => Evaluation,
  blinded: readonly Uint8Array[],
  signal?: AbortSignal,
) => Evaluation | Promise<Evaluation>;

const honestly: Behaviour = (honest) => honest();
const down: Behaviour = () => {
  throw new TallystickError("node cannot be reached", { code: "UNREACHABLE", retryable: true });
};
const failing =
  (code: "RATE_LIMITED" | "NOT_FOUND", facts: { retryable?: boolean; retryAfterSeconds?: number } = {}): Behaviour =>
  () => {
    throw new TallystickError(`node says ${code}`, { code, ...facts });
  };
/** Until it is told that nobody waits any more. */
const hangs: Behaviour = (_honest, _blinded, signal) =>
  new Promise((_answer, reject) => signal?.addEventListener("abort", () => reject(signal.reason)));
const wrongProof: Behaviour = (honest) => {
  const answer = honest();
  answer.proof[40] = (answer.proof[40] ?? 0) ^ 1;
  return answer;
};

describe("committee: threshold OPRF over nodes that fail and lie", () => {
  let key: Uint8Array;
  let shares: Uint8Array[];
  let behaviour: Behaviour[];
  let asked: number[];
  let clock: number;
  let exitAt: number[];
  let refreshed: number;
  let stakeWei: bigint[];
  let account: string;
  const inputs = ["alpha", "beta", "gamma"].map((text) => new TextEncoder().encode(text));

  before(oprfReady);
  beforeEach(() => {
    const coefficients = Array.from({ length: THRESHOLD }, () => randomScalar());
    key = coefficients[0] as Uint8Array;
    shares = Array.from({ length: SIZE }, (_, i) => evaluatePolynomial(ristretto255Group, coefficients, i + 1));
    behaviour = Array.from({ length: SIZE }, () => honestly);
    asked = [];
    clock = 1000;
    exitAt = Array(SIZE).fill(0);
    refreshed = 0;
    stakeWei = Array(SIZE).fill(1n);
    account = addressOf(1000 + Math.floor(Math.random() * 1000));
  });

  function generation(keyMaterialHash = KEY_MATERIAL): OprfGeneration {
    const members = shares.map((share, position): OprfMember => {
      const index = position + 1;
      const verificationShare = multiplyBase(share);
      const evaluate = async (_: GenerationId, blinded: readonly Uint8Array[], signal?: AbortSignal) => {
        asked.push(index);
        const honest = () => ({ index, signature: "0x", ...evaluateBatch(share, verificationShare, [...blinded]) });
        return await (behaviour[position] as Behaviour)(honest, blinded, signal);
      };
      const operator = addressOf(index);
      const member = {
        index,
        operator,
        url: `http://node-${index}`,
        verificationShare,
        stakeWei: stakeWei[position] ?? 0n,
      };
      return { ...member, exitAt: exitAt[position] as number, client: { evaluate } };
    });
    const stakes = stakeTimes(clock, EXIT_DELAY_SECONDS);
    return { generation: 1, threshold: THRESHOLD, members, keyMaterialHash, stakes };
  }

  function committee(patienceSeconds = 60, options: OprfCommitteeOptions = {}): OprfCommittee {
    const sleepSeconds = async (seconds: number) => {
      clock += seconds;
    };
    return new OprfCommittee(7n, account, generation(), {
      now: () => clock,
      unixSeconds: () => clock,
      refresh: async () => {
        refreshed += 1;
        return generation();
      },
      sleepSeconds,
      patienceSeconds,
      slowSeconds: SLOW_SECONDS,
      ...options,
    });
  }

  /** RFC 9497 with the whole key in one hand, by an independent implementation. */
  const singleKey = (input: Uint8Array) => oracle(key, input);
  function oracle(secretKey: Uint8Array, input: Uint8Array): Uint8Array {
    const publicKey = multiplyBase(secretKey);
    const { blind, blinded } = ristretto255_oprf.voprf.blind(input);
    const { evaluated, proof } = ristretto255_oprf.voprf.blindEvaluate(secretKey, publicKey, blinded);
    return ristretto255_oprf.voprf.finalize(input, blind, evaluated, blinded, publicKey, proof);
  }

  const answersOf = (error: TallystickError) =>
    ((error.details?.nodes ?? []) as NodeReport[]).map((node) => node.answer).sort();

  it("asks the members of another generation when too few answer, whatever they answer", async () => {
    const limited = failing("RATE_LIMITED", { retryable: true, retryAfterSeconds: 30 });
    const gone = failing("NOT_FOUND");
    for (const answers of [
      [gone, gone, gone, gone, limited],
      [limited, limited, limited, limited, limited],
      [down, gone, gone, gone, gone],
      [wrongProof, wrongProof, wrongProof, limited, limited],
    ]) {
      const began = clock;
      behaviour = answers;
      const known: number[] = [];
      const renew = async (current: OprfGeneration) => {
        known.push(current.generation);
        behaviour = Array.from({ length: SIZE }, () => honestly);
        return { ...generation(`0x${"0c".repeat(32)}`), generation: 2 };
      };
      const outputs = await committee(60, { renew }).evaluate(inputs);
      expect(outputs.map(toHex)).to.deep.equal(inputs.map((input) => toHex(singleKey(input))));
      expect(known).to.deep.equal([1]);
      // Nobody waited for the budget of a member that was replaced.
      expect(clock).to.equal(began);
    }
  });

  it("goes on with other keys of the same number, which a reorganisation brings, after a pause", async () => {
    behaviour = Array.from({ length: SIZE }, () => failing("NOT_FOUND"));
    const began = clock;
    const renew = async () => {
      behaviour = Array.from({ length: SIZE }, () => honestly);
      return generation(`0x${"0c".repeat(32)}`);
    };
    const nodes = committee(60, { renew });
    expect((await nodes.evaluate(inputs)).map(toHex)).to.deep.equal(inputs.map((input) => toHex(singleKey(input))));
    expect(clock).to.equal(began + 1);
  });

  it("holds what members of before do against nobody of another generation that has their places", async () => {
    const late = Promise.withResolvers<void>();
    behaviour = Array.from({ length: SIZE }, () => async (honest) => {
      await late.promise;
      return await wrongProof(honest, []);
    });
    const nodes = committee();
    const first = nodes.evaluate(inputs).catch((error: unknown) => error);
    await new Promise((resolve) => setTimeout(resolve, 20));
    behaviour = Array.from({ length: SIZE }, () => honestly);
    nodes.use({ ...generation(`0x${"0c".repeat(32)}`), generation: 2 });
    late.resolve();
    expect(((await first) as Uint8Array[]).map(toHex)).to.deep.equal(inputs.map((input) => toHex(singleKey(input))));
    expect(nodes.report().filter(({ answer }) => answer === "INVALID_PROOF")).to.deep.equal([]);
  });

  it("gives the outputs of RFC 9497 under the whole key, for every quorum", async () => {
    const expected = inputs.map(singleKey);
    const nodes = committee(60, { turnElements: inputs.length });
    for (let batch = 0; batch < SIZE; batch += 1) expect(await nodes.evaluate(inputs)).to.deep.equal(expected);
    behaviour[0] = down;
    behaviour[3] = wrongProof;
    expect(await committee().evaluate(inputs)).to.deep.equal(expected);
  });

  /** Indices, in the order in which the account asks. */
  function assigned(): number[] {
    const assignment = { committeeId: 7n, user: account, epoch: assignmentEpoch(clock) };
    return assignedOrder(assignment, generation().members).map(({ index }) => index);
  }

  it("asks the k nodes assigned to the account, others in each epoch, and fails over to the next", async () => {
    const nodes = committee();
    const quorums = new Set<string>();
    for (let epoch = 0; epoch < 12; epoch += 1) {
      asked = [];
      for (let batch = 0; batch < 2; batch += 1) await nodes.evaluate(inputs);
      const quorum = assigned().slice(0, THRESHOLD);
      expect(asked).to.deep.equal([...quorum, ...quorum]);
      quorums.add(quorum.join());
      clock += DAY_SECONDS;
    }
    expect(quorums.size).to.be.above(1);
    const [first = 0, second, third, fourth] = assigned();
    behaviour[first - 1] = down;
    asked = [];
    await nodes.evaluate(inputs);
    expect(asked).to.deep.equal([first, second, third, fourth]);
  });

  it("asks k nodes per batch and spreads many batches over all of them", async () => {
    const nodes = committee(60, { turnElements: inputs.length });
    for (let batch = 0; batch < 2 * SIZE; batch += 1) await nodes.evaluate(inputs);
    const counts = Array.from({ length: SIZE }, (_, i) => asked.filter((index) => index === i + 1).length);
    expect(counts).to.deep.equal(Array(SIZE).fill(2 * THRESHOLD));
  });

  it("asks those last whose stake may be gone before a challenge, and takes right answers of them", async () => {
    // One leaves within a day, one is past its exit delay, and one has just asked to leave.
    exitAt = [clock + DAY_SECONDS, clock - 1, clock + DAY_SECONDS + 1, 0, 0];
    const nodes = committee();
    for (let batch = 0; batch < SIZE; batch += 1) await nodes.evaluate(inputs);
    expect(new Set(asked)).to.deep.equal(new Set([3, 4, 5]));
    behaviour[3] = down;
    asked = [];
    expect(await nodes.evaluate(inputs)).to.deep.equal(inputs.map(singleKey));
    expect(asked.some((index) => index <= 2)).to.equal(true);
  });

  it("reads anew who leaves before somebody that it does not know of can be gone", async () => {
    const nodes = committee();
    clock += EXIT_DELAY_SECONDS - DAY_SECONDS - 1;
    await nodes.evaluate(inputs);
    expect(refreshed).to.equal(0);
    clock += 1;
    exitAt = [0, clock + DAY_SECONDS, clock + DAY_SECONDS, 0, 0];
    asked = [];
    for (let batch = 0; batch < SIZE; batch += 1) await nodes.evaluate(inputs);
    expect(refreshed).to.equal(1);
    expect(new Set(asked)).to.deep.equal(new Set([1, 4, 5]));
  });

  it("forgets no liar when it reads the same generation again", async () => {
    stakeWei[0] = MOST;
    const nodes = committee();
    behaviour = Array.from({ length: SIZE }, (_, i) => (i === 0 ? wrongProof : honestly));
    await nodes.evaluate(inputs);
    expect(asked).to.include(1);
    clock += EXIT_DELAY_SECONDS;
    asked = [];
    for (let batch = 0; batch < SIZE; batch += 1) await nodes.evaluate(inputs);
    expect(refreshed).to.equal(1);
    expect(asked).not.to.include(1);
    // The shares of another one are not those that it lied about.
    nodes.use(generation(`0x${"55".repeat(32)}`));
    for (let batch = 0; batch < SIZE; batch += 1) await nodes.evaluate(inputs);
    expect(asked).to.include(1);
  });

  it("splits more inputs than a node takes at once", async () => {
    const many = Array.from({ length: 300 }, (_, i) => new TextEncoder().encode(String(i)));
    const outputs = await committee().evaluate(many);
    expect(outputs).to.have.length(300);
    expect(outputs[299]).to.deep.equal(singleKey(many[299] as Uint8Array));
    expect(asked).to.have.length(2 * THRESHOLD);
  });

  for (const [what, lie, code] of [
    ["a wrong proof", wrongProof, "INVALID_PROOF"],
    [
      "an evaluation with another key",
      (_honest, blinded) => {
        const other = randomScalar();
        return { index: 1, signature: "0x", ...evaluateBatch(other, multiplyBase(other), [...blinded]) };
      },
      "INVALID_PROOF",
    ],
    [
      "two elements swapped",
      (honest) => {
        const answer = honest();
        return { ...answer, evaluated: [...answer.evaluated].reverse() };
      },
      "INVALID_PROOF",
    ],
    [
      "the identity element",
      (honest) => ({ ...honest(), evaluated: inputs.map(() => new Uint8Array(32)) }),
      "INVALID_POINT",
    ],
    [
      "an encoding that is no element",
      (honest) => ({ ...honest(), evaluated: inputs.map(() => new Uint8Array(32).fill(0xff)) }),
      "INVALID_POINT",
    ],
    ["too few elements", (honest) => ({ ...honest(), evaluated: honest().evaluated.slice(1) }), "BAD_RESPONSE"],
    ["another member's index", (honest) => ({ ...honest(), index: 2 }), "BAD_RESPONSE"],
  ] as [string, Behaviour, string][]) {
    it(`replaces a node that sends ${what}, names it and does not ask it again`, async () => {
      behaviour[0] = lie;
      stakeWei[0] = MOST;
      const nodes = committee();
      const expected = inputs.map(singleKey);
      for (let batch = 0; batch < SIZE; batch += 1) expect(await nodes.evaluate(inputs)).to.deep.equal(expected);
      expect(asked.filter((index) => index === 1)).to.have.length(1);
      const [first] = nodes.report();
      expect(first).to.include({ index: 1, answer: code });
      expect(first?.message).to.contain("http://node-1");
    });
  }

  it("fails with what every node answered when fewer than k are right", async () => {
    behaviour[0] = down;
    behaviour[1] = down;
    behaviour[4] = wrongProof;
    const error = await rejection(committee().evaluate(inputs));
    expect(error).to.include({ code: "QUORUM_FAILED", check: "threshold OPRF", retryable: true });
    expect(answersOf(error)).to.deep.equal(["INVALID_PROOF", "UNREACHABLE", "UNREACHABLE", "right", "right"]);
    expect(error.received).to.contain("http://node-5");
  });

  it("replaces a slow node, reports it, and prefers others for the next batches", async () => {
    let told = 0;
    const hanging: Behaviour = (honest, blinded, signal) => {
      signal?.addEventListener("abort", () => {
        told += 1;
      });
      return hangs(honest, blinded, signal);
    };
    behaviour = [hanging, hanging, honestly, honestly, honestly];
    stakeWei = [MOST, MOST, 1n, 1n, 1n];
    const nodes = committee();
    const expected = inputs.map(singleKey);
    for (let batch = 0; batch < 2 * SIZE; batch += 1) expect(await nodes.evaluate(inputs)).to.deep.equal(expected);
    expect(asked.filter((index) => index <= 2)).to.have.length(2);
    expect(told).to.equal(2);
    const answers = nodes.report().map(({ answer }) => answer);
    expect(answers).to.deep.equal(["TIMED_OUT", "TIMED_OUT", "right", "right", "right"]);
  });

  it("ends when the caller aborts, although nodes hang", async () => {
    behaviour = Array.from({ length: SIZE }, () => hangs);
    const stop = new AbortController();
    const work = committee().evaluate(inputs, stop.signal);
    stop.abort(new Error("enough"));
    let seen: unknown;
    await work.catch((error: unknown) => {
      seen = error;
    });
    expect(seen).to.equal(stop.signal.reason);
  });

  it("asks nodes that were down again when it needs them", async () => {
    let calls = 0;
    const flaky: Behaviour = (honest, blinded) => {
      calls += 1;
      return calls <= 3 ? down(honest, blinded) : honest();
    };
    behaviour = [flaky, flaky, flaky, honestly, honestly];
    expect(await committee().evaluate(inputs)).to.deep.equal(inputs.map(singleKey));
  });

  it("turns to other nodes when one has no budget left, and waits when too many have none", async () => {
    const budgets = [0, 0, 0, 9, 9];
    const limited =
      (position: number): Behaviour =>
      (honest) => {
        if (clock < 1040 && (budgets[position] as number) <= 0) {
          throw new TallystickError("budget used up", {
            code: "RATE_LIMITED",
            retryable: true,
            retryAfterSeconds: 1040 - clock,
          });
        }
        return honest();
      };
    behaviour = budgets.map((_, position) => limited(position));
    expect(await committee().evaluate(inputs)).to.deep.equal(inputs.map(singleKey));
    expect(clock).to.be.closeTo(1040, 1);
  });

  it("reports when the wait for budgets would be longer than the caller's patience", async () => {
    const broke: Behaviour = () => {
      throw new TallystickError("budget used up", { code: "RATE_LIMITED", retryable: true, retryAfterSeconds: 3000 });
    };
    behaviour = [broke, broke, broke, honestly, honestly];
    const error = await rejection(committee(60).evaluate(inputs));
    expect(error).to.include({ code: "RATE_LIMITED", retryAfterSeconds: 3000 });
    expect(answersOf(error)).to.deep.equal(["RATE_LIMITED", "RATE_LIMITED", "RATE_LIMITED", "right", "right"]);
  });

  describe("that all refuse because of the clock", () => {
    /** Refuses as a node does whose clock shows another time. */
    const refuses =
      (offsetSeconds: number): Behaviour =>
      () => {
        const nowSeconds = Math.floor(Date.now() / 1000) - offsetSeconds;
        throw new TallystickError("the session message is valid for too long", {
          code: "INVALID_SIGNATURE",
          check: "clock",
          details: { nowSeconds, expiresAt: 0 },
        });
      };

    it("give one error that says how far this computer's clock is off", async () => {
      behaviour = Array(SIZE).fill(refuses(3000));
      const ahead = await rejection(committee().evaluate(inputs));
      expect(ahead).to.include({ code: "INVALID_SIGNATURE", party: "you", check: "clock" });
      expect(ahead.message).to.equal("this computer's clock is 50 minutes ahead of the key nodes'");
      behaviour = [refuses(-3000), refuses(-3001), refuses(99_999), refuses(-3000), down];
      const behind = await rejection(committee().evaluate(inputs));
      expect(behind.message).to.equal("this computer's clock is 50 minutes behind the key nodes'");
      behaviour = [refuses(3000), refuses(3001), refuses(-99_999), refuses(3000), down];
      const lied = await rejection(committee().evaluate(inputs));
      expect(lied.message).to.equal("this computer's clock is 50 minutes ahead of the key nodes'");
    });

    it("do not, when a node fails for another reason or answers correctly", async () => {
      behaviour = [refuses(3000), refuses(3000), refuses(3000), refuses(3000), wrongProof];
      expect(await rejection(committee().evaluate(inputs))).to.include({ code: "QUORUM_FAILED" });
      behaviour = [refuses(3000), refuses(3000), refuses(3000), honestly, honestly];
      expect(await rejection(committee().evaluate(inputs))).to.include({ code: "QUORUM_FAILED" });
    });
  });

  describe("whose budget is smaller than a batch", () => {
    /** A node that takes at most so many elements at once, and says so. */
    const small =
      (capacity: number): Behaviour =>
      (honest, blinded) => {
        if (blinded.length <= capacity) return honest();
        throw new TallystickError("more than the whole budget", {
          code: "INVALID_INPUT",
          check: "oprf 7 budget",
          details: { capacity, periodSeconds: 60 },
        });
      };
    const five = Array.from({ length: 5 }, (_, i) => new TextEncoder().encode(`input ${i}`));

    it("get batches that k of them accept", async () => {
      behaviour = [small(1), small(2), small(2), small(3), small(4)];
      const nodes = committee();
      expect(await nodes.evaluate(five)).to.deep.equal(five.map(singleKey));
      asked.length = 0;
      expect(await nodes.evaluate(five)).to.deep.equal(five.map(singleKey));
      // Two, two and one, of three nodes each: sizes are remembered.
      expect(asked).to.have.length(9);
    });

    it("do not reduce batches when k others accept them whole", async () => {
      behaviour = [small(1), honestly, honestly, small(1), honestly];
      stakeWei = [MOST, 1n, 1n, MOST, 1n];
      const nodes = committee();
      await nodes.evaluate(five);
      expect(asked).to.include.members([1, 4]);
      asked.length = 0;
      expect(await nodes.evaluate(five)).to.deep.equal(five.map(singleKey));
      expect(asked.sort()).to.deep.equal([2, 3, 5]);
    });
  });

  it("passes on a defect of its own instead of blaming a node", async () => {
    behaviour[2] = () => {
      throw new TypeError("undefined is not a function");
    };
    stakeWei[2] = MOST;
    let seen: unknown;
    await committee()
      .evaluate(inputs)
      .catch((error: unknown) => {
        seen = error;
      });
    expect(seen).to.be.instanceOf(TypeError);
  });
});

/** Distributed key generation: honest runs end in one key, every kind of dishonest member is named. */

import { ristretto255, ristretto255_FROST, ristretto255_oprf } from "@noble/curves/ed25519.js";
import { bytesToNumberLE } from "@noble/curves/utils.js";
import { sha512 } from "@noble/hashes/sha2.js";
import { concatBytes } from "@noble/hashes/utils.js";
import { expect } from "chai";
import { domainTag } from "../../../offchain/core/crypto/kdf.ts";
import {
  DkgFaultError,
  type DkgParameters,
  type DkgResult,
  dkgCheckShare,
  dkgFinish,
  dkgRound1,
  dkgRound2,
} from "../../../offchain/core/dkg/dkg.ts";
import { oprfKey } from "../../../offchain/core/dkg/key-id.ts";
import { fromHex, toHex } from "../../../offchain/core/encoding/hex.ts";
import {
  add,
  multiply,
  multiplyBase,
  randomScalar,
  ristretto255Group,
  scalarAdd,
  scalarFromNumber,
  scalarMultiply,
} from "../../../offchain/core/oprf/group.ts";
import {
  blindInputs,
  combineAndFinalize,
  evaluateBatch,
  oprfReady,
  verifyEvaluation,
} from "../../../offchain/core/oprf/ristretto255.ts";
import {
  evaluatePolynomial,
  lagrangeCoefficients,
  verifyCommitteeKeys,
} from "../../../offchain/core/oprf/threshold.ts";
import { expectRejection } from "../../helpers/rejection.ts";
import vectors from "../../vectors/dkg.json" with { type: "json" };

const committeeId = 3n;
const key = oprfKey(committeeId);
const HEAD_BYTES = 20;
const nothing = new Uint8Array(0);

interface Run {
  parameters: DkgParameters[];
  secrets: Uint8Array[];
  broadcasts: Map<number, Uint8Array>;
}

function begin(size: number, threshold: number): Run {
  const parameters = Array.from({ length: size }, (_, at) => ({ ...key, size, threshold, index: at + 1 }));
  const firsts = parameters.map((own) => dkgRound1(own));
  return {
    parameters,
    secrets: firsts.map(({ secret }) => secret),
    broadcasts: new Map(firsts.map(({ broadcast }, at) => [at + 1, broadcast])),
  };
}

/** Round 2 of everybody; `received[i]` is what member i + 1 got. */
function exchange({ parameters, secrets, broadcasts }: Run) {
  const seconds = parameters.map((own, at) => dkgRound2(own, secrets[at] ?? nothing, broadcasts));
  const received = parameters.map(({ index }) => {
    const shares = seconds.map(({ sharesFor }, at) => [at + 1, sharesFor.get(index)] as const);
    return new Map(shares.flatMap(([from, share]) => (share === undefined ? [] : [[from, share] as const])));
  });
  return { seconds, received };
}

function complete(run: Run): DkgResult[] {
  const { seconds, received } = exchange(run);
  return run.parameters.map((own, at) =>
    dkgFinish(own, seconds[at]?.secret ?? nothing, run.broadcasts, received[at] ?? new Map()),
  );
}

function evaluateThrough(results: DkgResult[], indices: number[], inputs: Uint8Array[]): string[] {
  const batch = blindInputs(inputs);
  const parts = indices.map((index) => {
    const own = results[index - 1];
    const verificationShare = results[0]?.verificationShares[index - 1];
    if (own === undefined || verificationShare === undefined) throw new Error("no such member");
    const { evaluated, proof } = evaluateBatch(own.keyShare, verificationShare, batch.blinded);
    verifyEvaluation(verificationShare, batch.blinded, evaluated, proof);
    return { index, evaluated };
  });
  return combineAndFinalize(batch, inputs, parts, indices.length).map(toHex);
}

/** f(0) from shares: what no real party can compute. */
function recombine(results: DkgResult[], indices: number[]): Uint8Array {
  const coefficients = lagrangeCoefficients(ristretto255Group, indices, 0);
  return indices.reduce((sum, index, at) => {
    const term = scalarMultiply(coefficients[at] ?? nothing, results[index - 1]?.keyShare ?? nothing);
    return scalarAdd(sum, term);
  }, scalarFromNumber(0));
}

describe("core/oprf/dkg", () => {
  const inputs = [new TextEncoder().encode("a"), new TextEncoder().encode("b")];

  before(() => oprfReady());

  function expectFault(
    call: () => unknown,
    member: number,
    code: "INVALID_PROOF" | "INVALID_POINT" | "INVALID_SCALAR" | "BAD_RESPONSE" | "UNKNOWN_VERSION",
    message: RegExp,
  ) {
    const error = expectRejection(call, code, message);
    expect(error).to.be.instanceOf(DkgFaultError);
    expect(error.party).to.equal(`member ${member}`);
    expect(error.details).to.deep.equal({ member });
  }

  describe("of honest members", () => {
    for (const [size, threshold] of [
      [1, 1],
      [2, 2],
      [5, 3],
      [7, 7],
    ] as const) {
      it(`gives ${threshold} of ${size} the outputs of one undivided key, by noble`, () => {
        const results = complete(begin(size, threshold));
        const last = Array.from({ length: threshold }, (_, at) => size - at);
        const key = recombine(results, last);
        const expected = inputs.map((input) => {
          const { blind, blinded } = ristretto255_oprf.voprf.blind(input);
          const single = ristretto255_oprf.voprf.blindEvaluate(key, multiplyBase(key), blinded);
          return ristretto255_oprf.voprf.finalize(
            input,
            blind,
            single.evaluated,
            blinded,
            multiplyBase(key),
            single.proof,
          );
        });
        const first = Array.from({ length: threshold }, (_, at) => at + 1);
        expect(evaluateThrough(results, first, inputs)).to.deep.equal(expected.map(toHex));
        expect(evaluateThrough(results, last, inputs)).to.deep.equal(expected.map(toHex));
        expect(toHex(results[0]?.groupPublicKey ?? nothing)).to.equal(toHex(multiplyBase(key)));
      });
    }

    it("leaves all with the same public keys, which fit each other and the shares", () => {
      const results = complete(begin(5, 3));
      for (const { keyShare, groupPublicKey, verificationShares } of results) {
        expect(groupPublicKey).to.deep.equal(results[0]?.groupPublicKey);
        expect(verificationShares).to.deep.equal(results[0]?.verificationShares);
        verifyCommitteeKeys(ristretto255Group, groupPublicKey, verificationShares, 3);
        expect(verificationShares.map(toHex)).to.include(toHex(multiplyBase(keyShare)));
      }
    });

    it("does not give fewer members than the threshold the key", () => {
      const results = complete(begin(5, 3));
      expect(evaluateThrough(results, [1, 2], inputs)).to.not.deep.equal(evaluateThrough(results, [1, 2, 3], inputs));
    });

    it("gives the same round 2 again after a restart, from the state of round 1 or of round 2", () => {
      const run = begin(3, 2);
      const { seconds } = exchange(run);
      const [own, secret, second] = [run.parameters[0], run.secrets[0], seconds[0]];
      if (own === undefined || secret === undefined || second === undefined) throw new Error("no member");
      expect(dkgRound2(own, secret, run.broadcasts)).to.deep.equal(second);
      expect(dkgRound2(own, second.secret, run.broadcasts)).to.deep.equal(second);
    });

    it("makes another key each time", () => {
      const [a, b] = [complete(begin(2, 2)), complete(begin(2, 2))];
      expect(toHex(a[0]?.groupPublicKey ?? nothing)).to.not.equal(toHex(b[0]?.groupPublicKey ?? nothing));
    });
  });

  it("is matched by noble's FROST key generation: its shares evaluate and combine the same way", () => {
    const identifiers = [1, 2, 3].map((index) => ristretto255_FROST.Identifier.fromNumber(index));
    const signers = { min: 2, max: 3 };
    const firsts = identifiers.map((identifier) => ristretto255_FROST.DKG.round1(identifier, signers));
    const others = (at: number) => firsts.filter((_, other) => other !== at).map((first) => first.public);
    const seconds = firsts.map(({ secret }, at) => ristretto255_FROST.DKG.round2(secret, others(at)));
    const results = identifiers.map((identifier, at) => {
      const [first] = [firsts[at]];
      if (first === undefined) throw new Error("no member");
      const mine = seconds.flatMap((second, from) => {
        const share = second[identifier];
        return from === at || share === undefined ? [] : [share];
      });
      const key = ristretto255_FROST.DKG.round3(first.secret, others(at), mine);
      return {
        keyShare: key.secret.signingShare,
        groupPublicKey: key.public.commitments[0] ?? nothing,
        verificationShares: identifiers.map((other) => key.public.verifyingShares[other] ?? nothing),
      };
    });
    const { groupPublicKey, verificationShares } = results[0] ?? { groupPublicKey: nothing, verificationShares: [] };
    verifyCommitteeKeys(ristretto255Group, groupPublicKey, verificationShares, 2);
    expect(evaluateThrough(results, [1, 3], inputs)).to.deep.equal(evaluateThrough(results, [3, 2], inputs));
  });

  describe("vectors", () => {
    const { size, threshold, members } = vectors;
    const broadcasts = new Map(members.map(({ index, broadcast }) => [index, fromHex(broadcast)]));
    const parametersOf = (index: number) => ({
      ...oprfKey(BigInt(vectors.committeeId), vectors.generation),
      size,
      threshold,
      index,
    });

    it("give the same shares, states and keys again", () => {
      for (const { index, round1Secret, round2Secret, sharesFor, keyShare } of members) {
        const second = dkgRound2(parametersOf(index), fromHex(round1Secret), broadcasts);
        expect(toHex(second.secret)).to.equal(round2Secret);
        expect(Object.fromEntries([...second.sharesFor].map(([to, share]) => [to, toHex(share)]))).to.deep.equal(
          sharesFor,
        );
        const received = members.flatMap((from) => {
          const share = Object.entries(from.sharesFor).find(([to]) => to === String(index))?.[1];
          return share === undefined ? [] : [[from.index, fromHex(share)] as const];
        });
        const result = dkgFinish(parametersOf(index), fromHex(round2Secret), broadcasts, new Map(received));
        expect(toHex(result.keyShare)).to.equal(keyShare);
        expect(toHex(result.groupPublicKey)).to.equal(vectors.groupPublicKey);
        expect(result.verificationShares.map(toHex)).to.deep.equal(vectors.verificationShares);
      }
    });

    it("hold proofs that noble verifies from the documented layout: μ·G = R + c·A_0", () => {
      const { Point } = ristretto255;
      for (const broadcast of broadcasts.values()) {
        const statement = broadcast.subarray(0, HEAD_BYTES + 32 * threshold);
        const [r, mu] = [broadcast.subarray(-64, -32), broadcast.subarray(-32)];
        const digest = sha512(concatBytes(domainTag("dkg-proof"), statement, r));
        const c = bytesToNumberLE(digest) % Point.Fn.ORDER;
        const constantTerm = Point.fromBytes(broadcast.subarray(HEAD_BYTES, HEAD_BYTES + 32));
        const expected = Point.fromBytes(r).add(constantTerm.multiply(c));
        expect(toHex(Point.BASE.multiply(bytesToNumberLE(mu)).toBytes())).to.equal(toHex(expected.toBytes()));
      }
    });
  });

  describe("names a member", () => {
    let run: Run;

    beforeEach(() => {
      run = begin(4, 2);
    });

    /** Member 1 goes through round 2 with member 3's broadcast changed. */
    function withBroadcast(change: (good: Uint8Array) => Uint8Array): () => unknown {
      const broadcasts = new Map(run.broadcasts);
      broadcasts.set(3, change(broadcasts.get(3) ?? nothing));
      const own = run.parameters[0];
      if (own === undefined) throw new Error("no member");
      return () => dkgRound2(own, run.secrets[0] ?? nothing, broadcasts);
    }

    const overwrite = (bytes: Uint8Array, at: number, part: Uint8Array): Uint8Array => {
      const changed = bytes.slice();
      changed.set(part, at);
      return changed;
    };

    it("whose broadcast is truncated, oversize or empty", () => {
      for (const change of [
        (good: Uint8Array) => good.subarray(0, -1),
        (good: Uint8Array) => Uint8Array.of(...good, 0),
        () => nothing,
      ]) {
        expectFault(withBroadcast(change), 3, "BAD_RESPONSE", /bytes/);
      }
    });

    it("whose broadcast has an unknown version", () => {
      expectFault(
        withBroadcast((good) => good.with(0, 2)),
        3,
        "UNKNOWN_VERSION",
        /another version/,
      );
    });

    it("who sends the broadcast of another member, committee, generation, size or threshold", () => {
      const stranger = (parameters: DkgParameters) => dkgRound1(parameters).broadcast;
      const honest = { ...key, size: 4, threshold: 2, index: 3 };
      for (const other of [
        run.broadcasts.get(2) ?? nothing,
        stranger({ ...honest, committeeId: 4n }),
        stranger({ ...honest, generation: 2 }),
        stranger({ ...honest, size: 5 }),
      ]) {
        expectFault(
          withBroadcast(() => other),
          3,
          "BAD_RESPONSE",
          /another key/,
        );
      }
      expectFault(
        withBroadcast(() => stranger({ ...honest, threshold: 3 })),
        3,
        "BAD_RESPONSE",
        /bytes/,
      );
    });

    it("who commits to the identity or to no element", () => {
      for (const power of [0, 1]) {
        const at = HEAD_BYTES + 32 * power;
        const to = (element: Uint8Array) => withBroadcast((good) => overwrite(good, at, element));
        expectFault(to(new Uint8Array(32)), 3, "INVALID_POINT", new RegExp(`commitment ${power} is the identity`));
        expectFault(to(new Uint8Array(32).fill(0xff)), 3, "INVALID_POINT", /not a canonical/);
      }
    });

    it("who does not prove possession of its secret", () => {
      // A rogue key: the sum of the others' constant terms taken off, which nobody can prove to possess.
      const others = [1, 2, 4].map((member) => run.broadcasts.get(member)?.subarray(HEAD_BYTES, HEAD_BYTES + 32));
      const sum = others.reduce<Uint8Array>((total, term) => add(total, term ?? nothing), new Uint8Array(32));
      const minusOne = Uint8Array.of(
        0xec,
        0xd3,
        0xf5,
        0x5c,
        0x1a,
        0x63,
        0x12,
        0x58,
        0xd6,
        0x9c,
        0xf7,
        0xa2,
        0xde,
        0xf9,
      );
      const negative = overwrite(new Uint8Array(32), 0, Uint8Array.of(...minusOne, 0xde, 0x14)).with(31, 0x10);
      const rogue = multiply(negative, sum);
      expectFault(
        withBroadcast((good) => overwrite(good, HEAD_BYTES, rogue)),
        3,
        "INVALID_PROOF",
        /possession/,
      );
    });

    it("whose proof is tampered with, or made for other commitments", () => {
      const proofAt = HEAD_BYTES + 64;
      const anyElement = multiplyBase(scalarFromNumber(9));
      for (const [at, part, code] of [
        [proofAt, anyElement, "INVALID_PROOF"],
        [proofAt, new Uint8Array(32), "INVALID_POINT"],
        [proofAt + 32, scalarFromNumber(9), "INVALID_PROOF"],
        [proofAt + 32, new Uint8Array(32).fill(0xff), "INVALID_SCALAR"],
        [HEAD_BYTES + 32, anyElement, "INVALID_PROOF"],
      ] as const) {
        expectFault(
          withBroadcast((good) => overwrite(good, at, part)),
          3,
          code,
          /member 3/,
        );
      }
    });

    it("whose share does not fit, is of another member, is no scalar, or has a wrong length", () => {
      const { seconds, received } = exchange(run);
      const own = run.parameters[0];
      const shares = received[0];
      if (own === undefined || shares === undefined) throw new Error("no member");
      const order = overwrite(new Uint8Array(32), 0, new Uint8Array(32).fill(0xff));
      for (const [share, code] of [
        [scalarFromNumber(1), "INVALID_PROOF"],
        [shares.get(2) ?? nothing, "INVALID_PROOF"],
        [received[1]?.get(3) ?? nothing, "INVALID_PROOF"],
        [new Uint8Array(32), "INVALID_PROOF"],
        [order, "INVALID_SCALAR"],
        [new Uint8Array(31), "INVALID_SCALAR"],
        [nothing, "INVALID_SCALAR"],
      ] as const) {
        const wrong = new Map(shares).set(3, share);
        expectFault(() => dkgFinish(own, seconds[0]?.secret ?? nothing, run.broadcasts, wrong), 3, code, /share/);
        expectFault(() => dkgCheckShare(own, 3, run.broadcasts.get(3) ?? nothing, share), 3, code, /share/);
      }
      dkgCheckShare(own, 3, run.broadcasts.get(3) ?? nothing, shares.get(3) ?? nothing);
    });

    it("who shares a polynomial of too high a degree", () => {
      // Member 3 commits to 2 coefficients but deals from 3.
      const { seconds, received } = exchange(run);
      const cubic = [1, 2, 3].map(() => randomScalar());
      const own = run.parameters[0];
      if (own === undefined) throw new Error("no member");
      const wrong = new Map(received[0]).set(3, evaluatePolynomial(ristretto255Group, cubic, 1));
      expectFault(
        () => dkgFinish(own, seconds[0]?.secret ?? nothing, run.broadcasts, wrong),
        3,
        "INVALID_PROOF",
        /does not fit its commitments/,
      );
    });
  });

  describe("refuses a caller", () => {
    let run: Run;
    let own: DkgParameters;

    beforeEach(() => {
      run = begin(3, 2);
      own = { ...key, size: 3, threshold: 2, index: 1 };
    });

    it("with impossible parameters", () => {
      for (const change of [
        { size: 0 },
        { size: 256 },
        { threshold: 0 },
        { threshold: 4 },
        { index: 0 },
        { index: 4 },
        { index: 1.5 },
        { committeeId: -1n },
        { committeeId: 1n << 64n },
        { generation: 0 },
        { generation: 1.5 },
        { generation: 2 ** 32 },
      ]) {
        expectRejection(() => dkgRound1({ ...own, ...change }), "INVALID_INPUT", /impossible|cannot have a key/);
      }
    });

    it("with broadcasts missing or too many", () => {
      const fewer = new Map([...run.broadcasts].filter(([member]) => member !== 2));
      expectRejection(() => dkgRound2(own, run.secrets[0] ?? nothing, fewer), "INVALID_INPUT", /member 2 is missing/);
      const more = new Map(run.broadcasts).set(4, run.broadcasts.get(3) ?? nothing);
      expectRejection(() => dkgRound2(own, run.secrets[0] ?? nothing, more), "INVALID_INPUT", /4 broadcasts/);
    });

    it("whose own broadcast is not the one it made", () => {
      const broadcasts = new Map(run.broadcasts).set(1, dkgRound1(own).broadcast);
      expectRejection(() => dkgRound2(own, run.secrets[0] ?? nothing, broadcasts), "INVALID_INPUT", /own broadcast/);
    });

    it("with a state of another member, round, length or version", () => {
      expectRejection(() => dkgRound2(own, run.secrets[1] ?? nothing, run.broadcasts), "INVALID_INPUT", /state/);
      const { seconds, received } = exchange(run);
      const finish = (secret: Uint8Array) => dkgFinish(own, secret, run.broadcasts, received[0] ?? new Map());
      expectRejection(() => finish(run.secrets[0] ?? nothing), "INVALID_INPUT", /round 2/);
      expectRejection(() => finish((seconds[0]?.secret ?? nothing).subarray(1)), "UNKNOWN_VERSION");
      expectRejection(() => finish((seconds[0]?.secret ?? nothing).subarray(0, -1)), "INVALID_INPUT", /state/);
      expectRejection(() => finish((seconds[0]?.secret ?? nothing).with(0, 9)), "UNKNOWN_VERSION");
    });

    it("with other broadcasts at the end than in round 2: a member showed two", () => {
      const { seconds, received } = exchange(run);
      const other = new Map(run.broadcasts).set(3, dkgRound1({ ...own, index: 3 }).broadcast);
      expectRejection(
        () => dkgFinish(own, seconds[0]?.secret ?? nothing, other, received[0] ?? new Map()),
        "INVALID_INPUT",
        /not those that round 2/,
      );
      expectRejection(() => dkgRound2(own, seconds[0]?.secret ?? nothing, other), "INVALID_INPUT", /not those that/);
    });

    it("with a share missing", () => {
      const { seconds, received } = exchange(run);
      const fewer = new Map(received[0]);
      fewer.delete(2);
      expectRejection(
        () => dkgFinish(own, seconds[0]?.secret ?? nothing, run.broadcasts, fewer),
        "INVALID_INPUT",
        /share of member 2 is missing/,
      );
    });
  });
});

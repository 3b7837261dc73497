/**
 * Runs made by an independent implementation (test/vectors/derive-committee.py): a key generation and a handover, each
 * with a dealer that cheats. Its messages are accepted here, and what is deterministic is made here byte for byte.
 */

import { ristretto255, ristretto255_hasher } from "@noble/curves/ed25519.js";
import { expect } from "chai";
import { reviewDealing } from "../../../offchain/core/committee/complaint.ts";
import { checkDealing } from "../../../offchain/core/committee/dealing.ts";
import { decodeMemberShares } from "../../../offchain/core/committee/member-shares.ts";
import { announceMember, RunMembers } from "../../../offchain/core/committee/receiving.ts";
import { type CommitteeGeneration, CommitteeRun, perKey } from "../../../offchain/core/committee/run.ts";
import { finishRun, settleRun } from "../../../offchain/core/committee/settlement.ts";
import { domainTag } from "../../../offchain/core/crypto/kdf.ts";
import { fromHex, toHex } from "../../../offchain/core/encoding/hex.ts";
import { secondGenerator } from "../../../offchain/core/oprf/relation-proof.ts";
import { oprfReady } from "../../../offchain/core/oprf/ristretto255.ts";
import vectors from "../../vectors/committee.json" with { type: "json" };

type RunVector = (typeof vectors.runs)[number];

const { registry } = vectors;
const scope = { chainId: BigInt(vectors.chainId), registry, committeeId: BigInt(vectors.committeeId) };
const PROOF_BYTES = 64;

function generationOf({ generation, size, threshold, keys }: RunVector): CommitteeGeneration {
  return {
    generation,
    size,
    threshold,
    keys: perKey((purpose) => ({
      groupPublicKey: fromHex(keys[purpose].groupPublicKey),
      verificationShares: keys[purpose].verificationShares.map((share) => fromHex(share)),
    })),
  };
}

describe("core/committee: vectors", () => {
  before(() => oprfReady());

  it("have the second generator of noble's hash to the group", () => {
    const noble = ristretto255_hasher.hashToCurve(new Uint8Array(0), { DST: domainTag("second-generator") });
    expect(toHex(noble.toBytes())).to.equal(vectors.secondGenerator);
    expect(toHex(secondGenerator())).to.equal(vectors.secondGenerator);
    expect(toHex(secondGenerator())).to.not.equal(toHex(ristretto255.Point.BASE.toBytes()));
  });

  for (const [position, vector] of vectors.runs.entries()) {
    const dealing = position === 0 ? undefined : vectors.runs[position - 1];

    describe(dealing === undefined ? "key generation" : "handover", () => {
      const messages = (list: readonly { from: number; bytes: string }[]) =>
        list.map(({ from, bytes }) => ({ from, bytes: fromHex(bytes) }));
      const dealings = messages(vector.dealings);
      const complaints = messages(vector.complaints);
      const secrets = vector.receivingSecrets.map((secret) => fromHex(secret));
      let members: RunMembers;

      before(() => {
        const { generation, size, threshold } = vector;
        const previous = dealing === undefined ? {} : { previous: generationOf(dealing) };
        const run = new CommitteeRun({ ...scope, generation, size, threshold, ...previous });
        members = new RunMembers(run, new Map(vector.announcements.map((text, at) => [at + 1, fromHex(text)])));
      });

      it("ends with the same keys, shares and transcript", () => {
        const watched = settleRun(members, dealings, complaints);
        expect(watched.qualified).to.deep.equal(vector.qualified);
        expect(watched.faults.map(({ party }) => party)).to.deep.equal([position === 0 ? "dealer 3" : "dealer 4"]);
        expect(toHex(watched.transcript)).to.equal(vector.transcript);
        expect(watched.generation).to.deep.equal(generationOf(vector));
        for (const [at, secret] of secrets.entries()) {
          const { shares } = finishRun(members, at + 1, secret, dealings, complaints);
          expect(toHex(shares)).to.equal(vector.shares[at]);
          decodeMemberShares(scope, watched.generation, at + 1, shares);
        }
      });

      it("has dealings that all check, and the complaint that its victim makes", () => {
        for (const { from, bytes } of dealings) checkDealing(members, from, bytes);
        const made = secrets.flatMap((secret, at) =>
          dealings.flatMap(({ from, bytes }) => {
            const complaint = reviewDealing(members, at + 1, secret, from, bytes);
            return complaint === undefined
              ? []
              : [{ from: at + 1, statement: toHex(complaint.subarray(0, -PROOF_BYTES)) }];
          }),
        );
        const expected = complaints.map(({ from, bytes }) => ({
          from,
          statement: toHex(bytes.subarray(0, -PROOF_BYTES)),
        }));
        expect(made).to.deep.equal(expected);
        expect(made).to.have.length(1);
      });

      it("has announcements and states of the lengths made here", () => {
        const { secret, announcement } = announceMember(members.run, 1);
        expect(2 + 2 * announcement.length).to.equal(vector.announcements[0]?.length);
        expect(2 + 2 * secret.length).to.equal(vector.receivingSecrets[0]?.length);
      });
    });
  }
});

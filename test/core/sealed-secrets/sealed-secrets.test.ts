/** Secrets sealed to a committee: what opens, what does not, and who is named for it. */

import { concatBytes } from "@noble/hashes/utils.js";
import { expect } from "chai";
import fc from "fast-check";
import type { ErrorCode, TallystickError } from "../../../offchain/core/errors.ts";
import {
  identityElement,
  multiply,
  multiplyBase,
  randomScalar,
  scalarFromNumber,
} from "../../../offchain/core/oprf/group.ts";
import { proveRelations, secondGenerator } from "../../../offchain/core/oprf/relation-proof.ts";
import { oprfReady } from "../../../offchain/core/oprf/ristretto255.ts";
import {
  DECRYPTION_SHARE_BYTES,
  decryptionShare,
  openSecret,
  type RecordKeys,
  verifyDecryptionShare,
} from "../../../offchain/core/sealed-secrets/decryption-share.ts";
import { encodeLabel, type SecretLabel } from "../../../offchain/core/sealed-secrets/label.ts";
import { MAX_SECRET_BYTES } from "../../../offchain/core/sealed-secrets/lengths.ts";
import { type CheckedSecret, checkSealed, sealSecret } from "../../../offchain/core/sealed-secrets/sealed-secret.ts";
import { at, type Committee, completeRun, range, recordKeys, sharesOf } from "../../helpers/committee-run.ts";
import { expectRejection } from "../../helpers/rejection.ts";

const NOT_REDUCED = new Uint8Array(32).fill(0xff);
const ELEMENT_AT = 15;

const label: SecretLabel = {
  ledger: { chainId: 31_337n, keyLedger: "0xe7f1725E7734CE288F8367e1Bb143E90bb3F0512" },
  recordId: new Uint8Array(32).fill(1),
  version: 1,
  author: "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266",
  policy: "0x9fE46736679d2D9a65F0992F2272dE9f3c7fa6e0",
  policyDataHash: new Uint8Array(32).fill(2),
};
const author = `author ${label.author}`;

/** K_F ‖ mac ‖ T_K of a key record. */
const payload = new Uint8Array(72).map((_, position) => position);

/** Each way in which a label can be another one. */
const otherLabels: Record<string, SecretLabel> = {
  chain: { ...label, ledger: { ...label.ledger, chainId: 1n } },
  ledger: { ...label, ledger: { ...label.ledger, keyLedger: label.policy } },
  record: { ...label, recordId: new Uint8Array(32).fill(9) },
  version: { ...label, version: 2 },
  author: { ...label, author: "0x70997970C51812dc3A010C7d01b50e0d17dc79C8" },
  policy: { ...label, policy: label.author },
  "policy data": { ...label, policyDataHash: new Uint8Array(32).fill(9) },
};

function overwritten(bytes: Uint8Array, offset: number, part: Uint8Array): Uint8Array {
  const changed = bytes.slice();
  changed.set(part, offset < 0 ? bytes.length + offset : offset);
  return changed;
}

describe("core/sealed-secrets", () => {
  let committee: Committee;
  let keys: RecordKeys;
  let sealed: Uint8Array;
  let secret: CheckedSecret;
  let shares: Map<number, Uint8Array>;

  before(async () => {
    await oprfReady();
    committee = completeRun({ size: 5, threshold: 3 });
    keys = recordKeys(committee);
    sealed = sealSecret(keys.groupPublicKey, label, payload);
    secret = checkSealed(keys.groupPublicKey, label, sealed);
    shares = sharesFrom(committee, range(5));
  });

  function sharesFrom(from: Committee, indices: number[], of = secret): Map<number, Uint8Array> {
    return new Map(
      indices.map((index) => [index, decryptionShare(of, recordKeys(from), index, sharesOf(from, index).record)]),
    );
  }

  function only(indices: number[]): Map<number, Uint8Array> {
    return new Map(indices.map((index) => [index, shares.get(index) ?? new Uint8Array()]));
  }

  function expectNamed(call: () => unknown, party: string, code: ErrorCode, message: RegExp): TallystickError {
    const error = expectRejection(call, code, message);
    expect(error.party).to.equal(party);
    return error;
  }

  describe("opens", () => {
    it("for every quorum, and seals anew each time", () => {
      for (const quorum of [
        [1, 2, 3],
        [5, 3, 1],
        [2, 4, 5],
        [1, 2, 3, 4, 5],
      ]) {
        const { payload: opened, faults } = openSecret(secret, keys, only(quorum));
        expect(opened).to.deep.equal(payload);
        expect(faults.size).to.equal(0);
      }
      expect(sealSecret(keys.groupPublicKey, label, payload)).to.not.deep.equal(sealed);
    });

    it("any payload of any committee, 145 bytes longer when sealed", () => {
      const shape = fc
        .integer({ min: 1, max: 5 })
        .chain((size) => fc.record({ size: fc.constant(size), threshold: fc.integer({ min: 1, max: size }) }));
      fc.assert(
        fc.property(shape, fc.uint8Array({ minLength: 1, maxLength: MAX_SECRET_BYTES }), (parameters, content) => {
          const made = completeRun(parameters);
          const { groupPublicKey } = recordKeys(made);
          const bytes = sealSecret(groupPublicKey, label, content);
          expect(bytes.length).to.equal(content.length + 145);
          const checked = checkSealed(groupPublicKey, label, bytes);
          const quorum = range(made.generation.size).slice(-made.generation.threshold);
          const opened = openSecret(checked, recordKeys(made), sharesFrom(made, quorum, checked));
          expect(opened.payload).to.deep.equal(Uint8Array.from(content));
        }),
        { numRuns: 12 },
      );
    });

    it("is 217 bytes for the secret of a key record, and 111 for a share of it", () => {
      expect(sealed.length).to.equal(217);
      expect(at([...shares.values()], 0).length).to.equal(111);
      expect(DECRYPTION_SHARE_BYTES).to.equal(111);
    });

    it("and leaves out wrong shares, whose senders it names", () => {
      const wrong = new Map(shares).set(2, shares.get(1) ?? payload).set(4, new Uint8Array(0));
      const { payload: opened, faults } = openSecret(secret, keys, wrong);
      expect(opened).to.deep.equal(payload);
      expect([...faults].map(([index, { party, code }]) => [index, party, code])).to.deep.equal([
        [2, "member 2", "INTEGRITY"],
        [4, "member 4", "INTEGRITY"],
      ]);
    });

    it("nothing with fewer than k right shares", () => {
      const wrong = only([1, 2]).set(5, shares.get(4) ?? payload);
      const error = expectRejection(() => openSecret(secret, keys, wrong), "SHARES_MISSING", /2 right .* of 3 needed/);
      expect(error.details).to.deep.include({ right: [1, 2], wrong: [5] });
      expectRejection(() => openSecret(secret, keys, new Map()), "SHARES_MISSING", /0 right/);
    });
  });

  describe("a sealed secret", () => {
    const check =
      (bytes: Uint8Array, under = label) =>
      () =>
        checkSealed(keys.groupPublicKey, under, bytes);

    for (const [what, other] of Object.entries(otherLabels)) {
      it(`that is moved under another ${what} is refused`, () => {
        expectNamed(check(sealed, other), `author ${other.author}`, "INVALID_PROOF", /does not verify/);
      });
    }

    it("for another committee is refused", () => {
      const other = recordKeys(completeRun({ size: 5, threshold: 3 }));
      expectNamed(() => checkSealed(other.groupPublicKey, label, sealed), author, "INVALID_PROOF", /does not verify/);
      expectRejection(() => openSecret(secret, other, shares), "INVALID_INPUT", /sealed to another committee/);
      expectRejection(
        () => decryptionShare(secret, other, 1, sharesOf(committee, 1).record),
        "INVALID_INPUT",
        /sealed to another committee/,
      );
    });

    it("that copies R of another record is refused: its maker does not know r", () => {
      // A stranger's record with the victim's R and R̄, a ciphertext of its own, and a proof for another r.
      const mine = otherLabels.record ?? label;
      const stolen = sealed.subarray(0, 65);
      const own = sealSecret(keys.groupPublicKey, mine, payload);
      const forged = concatBytes(stolen, own.subarray(65));
      expectNamed(check(forged, mine), author, "INVALID_PROOF", /does not verify/);
      // Shifted by a scalar that the stranger knows.
      const r = randomScalar();
      const context = concatBytes(keys.groupPublicKey, encodeLabel(mine), stolen, own.subarray(65, -64));
      const relations = [
        [{ element: stolen.subarray(1, 33) }, { base: secondGenerator(), element: stolen.subarray(33, 65) }],
      ];
      const proof = proveRelations({ label: "sealed-secret-proof", context, relations }, [r]);
      expectNamed(check(overwritten(forged, -64, proof), mine), author, "INVALID_PROOF", /does not verify/);
    });

    it("whose second element has another logarithm is refused", () => {
      const r = randomScalar();
      const body = concatBytes(
        Uint8Array.of(1),
        multiplyBase(r),
        multiply(randomScalar(), secondGenerator()),
        sealed.subarray(65, -64),
      );
      const context = concatBytes(keys.groupPublicKey, encodeLabel(label), body);
      const relations = [
        [{ element: body.subarray(1, 33) }, { base: secondGenerator(), element: body.subarray(33, 65) }],
      ];
      const proof = proveRelations({ label: "sealed-secret-proof", context, relations }, [r]);
      expectNamed(check(concatBytes(body, proof)), author, "INVALID_PROOF", /does not verify/);
    });

    it("whose ciphertext, elements or proof were changed is refused", () => {
      for (const offset of [65, -65, -64, -1]) {
        const place = offset < 0 ? sealed.length + offset : offset;
        const changed = sealed.with(place, at([...sealed], place) ^ (place === sealed.length - 1 ? 0x01 : 0x40));
        expectNamed(check(changed), author, "INVALID_PROOF", /does not verify|not reduced/);
      }
      const other = multiplyBase(randomScalar());
      for (const place of [1, 33]) {
        expectNamed(check(overwritten(sealed, place, other)), author, "INVALID_PROOF", /does not verify/);
        expectNamed(check(overwritten(sealed, place, identityElement())), author, "INVALID_POINT", /identity/);
        expectNamed(check(overwritten(sealed, place, NOT_REDUCED)), author, "INVALID_POINT", /canonical/);
      }
      for (const place of [-64, -32]) {
        expectNamed(check(overwritten(sealed, place, NOT_REDUCED)), author, "INVALID_PROOF", /not reduced/);
      }
    });

    it("that is truncated, extended, empty or of another version is refused", () => {
      expectNamed(check(sealed.subarray(0, -1)), author, "INVALID_PROOF", /does not verify|not reduced/);
      expectNamed(check(concatBytes(sealed, Uint8Array.of(0))), author, "INVALID_PROOF", /does not verify|not reduced/);
      expectNamed(check(sealed.subarray(0, 145)), author, "INTEGRITY", /145 bytes/);
      expectNamed(check(new Uint8Array(0)), author, "INTEGRITY", /0 bytes/);
      const long = new Uint8Array(146 + MAX_SECRET_BYTES).fill(1);
      expectNamed(check(long), author, "INTEGRITY", /1170 bytes/);
      expectNamed(check(sealed.with(0, 2)), author, "UNKNOWN_VERSION", /version 2/);
    });

    it("of an author who sealed rubbish passes the check, releases nothing, and names the author", () => {
      // TDH2 proves nothing about the plaintext: here the ciphertext is random.
      const r = randomScalar();
      const body = concatBytes(
        Uint8Array.of(1),
        multiplyBase(r),
        multiply(r, secondGenerator()),
        new Uint8Array(72 + 16).fill(7),
      );
      const context = concatBytes(keys.groupPublicKey, encodeLabel(label), body);
      const relations = [
        [{ element: body.subarray(1, 33) }, { base: secondGenerator(), element: body.subarray(33, 65) }],
      ];
      const proof = proveRelations({ label: "sealed-secret-proof", context, relations }, [r]);
      const rubbish = checkSealed(keys.groupPublicKey, label, concatBytes(body, proof));
      const right = sharesFrom(committee, [1, 2, 3], rubbish);
      expectNamed(() => openSecret(rubbish, keys, right), author, "INTEGRITY", /author made it wrongly/);
    });
  });

  describe("a decryption share", () => {
    const good = () => shares.get(2) ?? new Uint8Array();
    const verify =
      (share: Uint8Array, index = 2) =>
      () =>
        verifyDecryptionShare(secret, keys, index, share);

    it("is s_j·R", () => {
      const expected = multiply(sharesOf(committee, 2).record, secret.element);
      expect(verify(good())()).to.deep.equal(expected);
    });

    it("of another node names whoever sent it", () => {
      expectNamed(verify(good(), 3), "member 3", "INTEGRITY", /another committee, generation or member/);
      const renamed = good().with(14, 3);
      expectNamed(verify(renamed, 3), "member 3", "INVALID_PROOF", /does not verify/);
    });

    it("of another generation or committee is refused", () => {
      const second = completeRun({ size: 5, threshold: 3 }, committee);
      const young = sharesFrom(second, [2]).get(2) ?? payload;
      expectNamed(verify(young), "member 2", "INTEGRITY", /another committee, generation or member/);
      expectNamed(verify(young.with(12, 1)), "member 2", "INVALID_PROOF", /does not verify/);
      expectNamed(verify(good().with(8, 9)), "member 2", "INTEGRITY", /another committee/);
      expectRejection(
        () => decryptionShare(secret, recordKeys(second), 2, sharesOf(committee, 2).record),
        "INVALID_INPUT",
        /not that of the verification share/,
      );
    });

    it("of another secret, or of the same under another label, is refused", () => {
      const others = [
        checkSealed(keys.groupPublicKey, label, sealSecret(keys.groupPublicKey, label, payload)),
        ...Object.values(otherLabels).map((under) =>
          checkSealed(keys.groupPublicKey, under, sealSecret(keys.groupPublicKey, under, payload)),
        ),
      ];
      for (const other of others) {
        const share = sharesFrom(committee, [2], other).get(2) ?? payload;
        expectNamed(verify(share), "member 2", "INVALID_PROOF", /does not verify/);
      }
    });

    it("made with the OPRF key is refused", () => {
      const oprf = { ...keys, ...committee.generation.keys.oprf, groupPublicKey: keys.groupPublicKey };
      const share = decryptionShare(secret, oprf, 2, sharesOf(committee, 2).oprf);
      expectNamed(verify(share), "member 2", "INVALID_PROOF", /does not verify/);
    });

    it("with another element or proof is refused", () => {
      const other = multiply(scalarFromNumber(9), secret.element);
      const element = (part: Uint8Array) => verify(overwritten(good(), ELEMENT_AT, part));
      expectNamed(element(other), "member 2", "INVALID_PROOF", /does not verify/);
      expectNamed(element(identityElement()), "member 2", "INVALID_POINT", /identity/);
      expectNamed(element(NOT_REDUCED), "member 2", "INVALID_POINT", /canonical/);
      for (const place of [-64, -32]) {
        expectNamed(verify(overwritten(good(), place, NOT_REDUCED)), "member 2", "INVALID_PROOF", /not reduced/);
        const changed = overwritten(good(), place, scalarFromNumber(9));
        expectNamed(verify(changed), "member 2", "INVALID_PROOF", /does not verify/);
      }
    });

    it("that is truncated, extended, empty or of another version is refused", () => {
      for (const bytes of [good().subarray(0, -1), concatBytes(good(), Uint8Array.of(0)), new Uint8Array(0)]) {
        expectNamed(verify(bytes), "member 2", "INTEGRITY", /bytes/);
      }
      expectNamed(verify(good().with(0, 2)), "member 2", "UNKNOWN_VERSION", /version 2/);
    });
  });

  describe("a caller", () => {
    it("with a member that the generation does not have is refused", () => {
      for (const index of [0, 6, 1.5]) {
        expectRejection(() => verifyDecryptionShare(secret, keys, index, payload), "INVALID_INPUT", /no member/);
        expectRejection(() => openSecret(secret, keys, new Map([[index, payload]])), "INVALID_INPUT", /no member/);
        expectRejection(() => decryptionShare(secret, keys, index, randomScalar()), "INVALID_INPUT", /no member/);
      }
    });

    it("with a key share that is zero, not reduced or another member's is refused", () => {
      const make = (share: Uint8Array) => () => decryptionShare(secret, keys, 1, share);
      expectRejection(make(new Uint8Array(32)), "INVALID_SCALAR", /zero/);
      expectRejection(make(NOT_REDUCED), "INVALID_SCALAR", /not reduced/);
      expectRejection(make(sharesOf(committee, 2).record), "INVALID_INPUT", /not that of the verification share/);
    });

    it("with a malformed group key, label or payload is refused", () => {
      const { groupPublicKey } = keys;
      expectRejection(() => sealSecret(identityElement(), label, payload), "INVALID_POINT", /identity/);
      expectRejection(() => checkSealed(NOT_REDUCED, label, sealed), "INVALID_POINT", /canonical/);
      for (const bytes of [new Uint8Array(0), new Uint8Array(MAX_SECRET_BYTES + 1)]) {
        expectRejection(() => sealSecret(groupPublicKey, label, bytes), "INVALID_INPUT", /cannot be sealed/);
      }
      for (const [change, message] of [
        [{ recordId: new Uint8Array(31) }, /record id/],
        [{ policyDataHash: new Uint8Array(33) }, /policy's data/],
        [{ version: -1 }, /32-bit/],
        [{ author: "0x12" }, /author/],
        [{ policy: "owners" }, /policy/],
      ] as const) {
        expectRejection(() => sealSecret(groupPublicKey, { ...label, ...change }, payload), "INVALID_INPUT", message);
      }
    });
  });
});

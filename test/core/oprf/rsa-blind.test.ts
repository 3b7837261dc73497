/**
 * The suite `rsa-blind` against the vectors of RFC 9474, against the standard library `@cloudflare/blindrsa-ts`, and
 * against OpenSSL, for which an unblinded answer is an RSASSA-PSS signature with an empty salt.
 */

import { constants, createHash, type KeyObject, sign, verify, webcrypto } from "node:crypto";
import { RSABSSA } from "@cloudflare/blindrsa-ts";
import { invert, pow } from "@noble/curves/abstract/modular.js";
import { bytesToNumberBE, numberToBytesBE } from "@noble/curves/utils.js";
import { expect } from "chai";
import { fromHex, toHex } from "../../../offchain/core/encoding/hex.ts";
import { u16be } from "../../../offchain/core/encoding/integers.ts";
import { emsaPssEncode } from "../../../offchain/core/oprf/emsa-pss.ts";
import { rsaBlindSuite } from "../../../offchain/core/oprf/rsa-blind.ts";
import { dealRsaKey } from "../../../offchain/core/oprf/rsa-dealer.ts";
import type { EvaluationPart } from "../../../offchain/core/oprf/suite.ts";
import { expectRejection } from "../../helpers/rejection.ts";
import { type GeneratedRsaKey, generateRsaKey } from "../../helpers/rsa-key.ts";
import rfc9474 from "../../vectors/rfc9474-psszero.json" with { type: "json" };

const MEMBERS = 3;
const nothing = new Uint8Array();
const utf8 = new TextEncoder();
const inputs = [utf8.encode("one"), utf8.encode("two")];

/** The output for an input from its signature, written apart from the suite. */
function outputOf(input: Uint8Array, signature: Uint8Array): string {
  const hash = createHash("sha512");
  for (const part of [u16be(input.length), input, u16be(signature.length), signature, utf8.encode("Finalize")]) {
    hash.update(part);
  }
  return `0x${hash.digest("hex")}`;
}

describe("core/oprf rsa-blind", () => {
  let key: GeneratedRsaKey;
  let suite: ReturnType<typeof rsaBlindSuite>;

  before(() => {
    key = generateRsaKey(MEMBERS);
    suite = rsaBlindSuite(key.modulus, MEMBERS);
  });

  const answers = (blinded: Uint8Array[]): EvaluationPart[] =>
    key.shares.map((share, at) => ({
      index: at + 1,
      evaluated: suite.evaluateBatch(share, nothing, blinded).evaluated,
    }));

  /** Every step of the real path. */
  function outputs(of: Uint8Array[] = inputs): string[] {
    const batch = suite.blindInputs(of);
    const parts = answers(batch.blinded);
    for (const { evaluated } of parts) suite.verifyEvaluation(nothing, batch.blinded, evaluated, nothing);
    return suite.combineAndFinalize(batch, of, parts, MEMBERS).map((output) => toHex(output));
  }

  describe("RFC 9474 vectors", () => {
    for (const vector of rfc9474.vectors) {
      it(`${vector.name}: blinded, answered by the whole key and by five shares, finalized`, () => {
        const modulus = fromHex(vector.n);
        const n = bytesToNumberBE(modulus);
        const input = fromHex(vector.input);
        const dealt = dealRsaKey({ p: fromHex(vector.p), q: fromHex(vector.q) }, 5);
        expect(toHex(dealt.modulus)).to.equal(vector.n);
        const blind = invert(bytesToNumberBE(fromHex(vector.inverseBlind)), n);
        for (const shares of [[fromHex(vector.d)], dealt.shares]) {
          const subject = rsaBlindSuite(modulus, shares.length);
          const batch = subject.blindInputsWith([input], [blind]);
          expect(batch.blinded.map(toHex)).to.deep.equal([vector.blinded]);
          const parts = shares.map((share, at) => {
            const { evaluated } = subject.evaluateBatch(share, nothing, batch.blinded);
            return { index: at + 1, evaluated };
          });
          const product = parts.reduce(
            (value, { evaluated }) => (value * bytesToNumberBE(evaluated[0] ?? nothing)) % n,
            1n,
          );
          expect(toHex(numberToBytesBE(product, modulus.length))).to.equal(vector.blindSignature);
          const [output] = subject.combineAndFinalize(batch, [input], parts, shares.length);
          expect(toHex(output ?? nothing)).to.equal(outputOf(input, fromHex(vector.signature)));
        }
      });
    }
  });

  describe("against the standard library and OpenSSL", () => {
    const library = RSABSSA.SHA384.PSSZero.Deterministic();
    const pss = { hash: "SHA-384", name: "RSA-PSS" };
    let publicKey: CryptoKey;
    let privateKey: CryptoKey;

    before(async () => {
      const { subtle } = webcrypto;
      const imported = async (format: "spki" | "pkcs8", of: KeyObject, usage: "sign" | "verify") => {
        const type = format === "spki" ? "spki" : "pkcs8";
        const bytes = new Uint8Array(of.export({ format: "der", type: type as "spki" }) as Buffer);
        return (await subtle.importKey(format, bytes, pss, true, [usage])) as CryptoKey;
      };
      publicKey = await imported("spki", key.publicKey, "verify");
      privateKey = await imported("pkcs8", key.privateKey, "sign");
    });

    it("gives the outputs of the library's signatures, whatever the blinds", async () => {
      const expected = await Promise.all(
        inputs.map(async (input) => {
          const { blindedMsg, inv } = await library.blind(publicKey, input);
          const signature = await library.finalize(
            publicKey,
            input,
            await library.blindSign(privateKey, blindedMsg),
            inv,
          );
          expect(
            verify(
              "sha384",
              input,
              { key: key.publicKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 0 },
              signature,
            ),
          ).to.equal(true);
          return outputOf(input, signature);
        }),
      );
      expect(outputs()).to.deep.equal(expected);
      expect(outputs()).to.deep.equal(expected);
    });

    it("lets the library's client use our nodes", async () => {
      const input = utf8.encode("theirs");
      const { blindedMsg, inv } = await library.blind(publicKey, input);
      const n = bytesToNumberBE(key.modulus);
      const product = answers([blindedMsg]).reduce(
        (value, { evaluated }) => (value * bytesToNumberBE(evaluated[0] ?? nothing)) % n,
        1n,
      );
      const blindSignature = numberToBytesBE(product, key.modulus.length);
      const signature = await library.finalize(publicKey, input, blindSignature, inv);
      expect(outputs([input])).to.deep.equal([outputOf(input, signature)]);
    });

    it("lets our client use the library's signer", async () => {
      const alone = rsaBlindSuite(key.modulus, 1);
      const batch = alone.blindInputs(inputs);
      const evaluated = await Promise.all(batch.blinded.map((blinded) => library.blindSign(privateKey, blinded)));
      const made = alone.combineAndFinalize(batch, inputs, [{ index: 1, evaluated }], 1);
      expect(made.map((output) => toHex(output))).to.deep.equal(outputs());
    });
  });

  it("encodes an input as OpenSSL does before it signs", () => {
    const options = { key: key.privateKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 0 };
    for (const input of [nothing, ...inputs, new Uint8Array(1000)]) {
      const signature = new Uint8Array(sign("sha384", input, options));
      const encoded = pow(bytesToNumberBE(signature), 65_537n, bytesToNumberBE(key.modulus));
      expect(toHex(emsaPssEncode(input, 384))).to.equal(toHex(numberToBytesBE(encoded, 384)));
    }
  });

  describe("obliviousness", () => {
    it("blinds the same input to different elements each time, and shows no blind", () => {
      const [one, other] = [suite.blindInputs(inputs), suite.blindInputs(inputs)];
      expect(one.blinded.map(toHex)).to.not.deep.equal(other.blinded.map(toHex));
      expect(Object.keys(one)).to.deep.equal(["blinded", "wipe"]);
    });

    it("cannot finalize a batch that is wiped or another's", () => {
      const batch = suite.blindInputs(inputs);
      const parts = answers(batch.blinded);
      const other = rsaBlindSuite(key.modulus, MEMBERS);
      expectRejection(
        () => other.combineAndFinalize(batch, inputs, parts, MEMBERS),
        "INVALID_INPUT",
        /not blinded here/,
      );
      batch.wipe();
      expectRejection(() => suite.combineAndFinalize(batch, inputs, parts, MEMBERS), "INVALID_INPUT", /wiped/);
    });
  });

  describe("hostile elements", () => {
    const hostile = (): (readonly [string, Uint8Array, RegExp])[] => {
      const n = bytesToNumberBE(key.modulus);
      const encode = (value: bigint) => numberToBytesBE(value, 384);
      return [
        ["zero", encode(0n), /0, 1 or −1/],
        ["one", encode(1n), /0, 1 or −1/],
        ["minus one", encode(n - 1n), /0, 1 or −1/],
        ["the modulus", encode(n), /not reduced/],
        ["a non-canonical element", encode(n + 5n), /not reduced/],
        ["the largest number", new Uint8Array(384).fill(0xff), /not reduced/],
        ["a truncated element", encode(5n).subarray(1), /383 bytes/],
        ["an oversize element", Uint8Array.of(0, ...encode(5n)), /385 bytes/],
        ["an empty element", nothing, /0 bytes/],
      ];
    };

    it("are refused by a node and by a client, which says where they are", () => {
      const batch = suite.blindInputs(inputs);
      const parts = answers(batch.blinded);
      const [first, ...others] = parts;
      const good = first?.evaluated[0];
      if (first === undefined || good === undefined) throw new Error("no answer");
      for (const [what, element, message] of hostile()) {
        const [share] = key.shares;
        const atNode = expectRejection(
          () => suite.evaluateBatch(share ?? nothing, nothing, [good, element]),
          "INVALID_POINT",
          message,
        );
        expect(atNode.message, what).to.contain("blinded element 1");
        const verified = () => suite.verifyEvaluation(nothing, batch.blinded, [good, element], nothing);
        expect(expectRejection(verified, "INVALID_POINT", message).message, what).to.contain("evaluated element 1");
        const forged = [{ ...first, evaluated: [good, element] }, ...others];
        const combined = () => suite.combineAndFinalize(batch, inputs, forged, MEMBERS);
        expect(expectRejection(combined, "INVALID_POINT", message).message, what).to.contain("member 1");
      }
    });
  });

  describe("hostile answers", () => {
    let batch: ReturnType<typeof suite.blindInputs>;
    let parts: EvaluationPart[];

    beforeEach(() => {
      batch = suite.blindInputs(inputs);
      parts = answers(batch.blinded);
    });

    const refused = (changed: EvaluationPart[], message: RegExp, code: "INVALID_PROOF" | "INVALID_INPUT") =>
      expectRejection(() => suite.combineAndFinalize(batch, inputs, changed, MEMBERS), code, message);

    function replaceFirst(evaluated: (honest: Uint8Array[]) => Uint8Array[]): EvaluationPart[] {
      const [first, ...others] = parts;
      if (first === undefined) throw new Error("no answer");
      return [{ ...first, evaluated: evaluated(first.evaluated) }, ...others];
    }

    it("with a share of another member are noticed", () => {
      const again = suite.evaluateBatch(key.shares[1] ?? nothing, nothing, batch.blinded).evaluated;
      refused(
        replaceFirst(() => again),
        /multiply to a signature/,
        "INVALID_PROOF",
      );
    });

    it("with one element that is wrong, negated or swapped are noticed", () => {
      const n = bytesToNumberBE(key.modulus);
      const changes: ((honest: Uint8Array[]) => Uint8Array[])[] = [
        ([, second]) => [numberToBytesBE(2n, 384), second ?? nothing],
        ([one, second]) => [one ?? nothing, numberToBytesBE(n - bytesToNumberBE(second ?? nothing), 384)],
        (honest) => [...honest].reverse(),
        () => batch.blinded,
      ];
      for (const change of changes) refused(replaceFirst(change), /multiply to a signature/, "INVALID_PROOF");
    });

    it("to another batch are noticed", () => {
      const other = answers(suite.blindInputs(inputs).blinded);
      refused(other, /multiply to a signature/, "INVALID_PROOF");
    });

    it("of too few members, of one twice and of none of the committee are refused", () => {
      const [first, second, third] = parts;
      if (first === undefined || second === undefined || third === undefined) throw new Error("no answers");
      refused([first, second], /answers of all members/, "INVALID_INPUT");
      refused([first, second, second], /answers of all members/, "INVALID_INPUT");
      refused([first, second, { ...third, index: 4 }], /answers of all members/, "INVALID_INPUT");
      refused([first, second, { ...third, index: 0 }], /answers of all members/, "INVALID_INPUT");
      refused([first, second, third, { ...third, index: 4 }], /answers of all members/, "INVALID_INPUT");
      expectRejection(() => suite.combineAndFinalize(batch, inputs, parts, 2), "INVALID_INPUT", /all 3 members/);
    });

    it("with elements left out, and with a proof where there is none, are refused", () => {
      refused(
        replaceFirst((honest) => honest.slice(1)),
        /1 elements/,
        "INVALID_INPUT",
      );
      const { evaluated } = parts[0] ?? { evaluated: [] };
      const verified = (proof: Uint8Array, share: Uint8Array) => () =>
        suite.verifyEvaluation(share, batch.blinded, evaluated, proof);
      expectRejection(verified(new Uint8Array(64), nothing), "INVALID_PROOF", /no proof/);
      expectRejection(verified(nothing, new Uint8Array(32)), "INVALID_INPUT", /no verification share/);
    });
  });

  describe("keys", () => {
    it("refuses a share that is zero, not reduced or of another length", () => {
      const { blinded } = suite.blindInputs(inputs);
      for (const [share, message] of [
        [new Uint8Array(384), /zero/],
        [key.modulus, /not reduced/],
        [new Uint8Array(384).fill(0xff), /not reduced/],
        [new Uint8Array(383).fill(1), /383 bytes/],
        [new Uint8Array(32).fill(1), /32 bytes/],
      ] as const) {
        expectRejection(() => suite.evaluateBatch(share, nothing, blinded), "INVALID_SCALAR", message);
      }
    });

    it("refuses a modulus that is short, even or has too few bits, and a committee of none", () => {
      const changed = (at: number, value: number) => key.modulus.with(at, value);
      for (const modulus of [key.modulus.subarray(128), changed(383, 2), changed(0, 0x7f), nothing]) {
        expectRejection(() => rsaBlindSuite(modulus, 3), "INVALID_INPUT", /no RSA modulus/);
      }
      for (const members of [0, -1, 1.5]) {
        expectRejection(() => rsaBlindSuite(key.modulus, members), "INVALID_INPUT", /no number of members/);
      }
    });

    it("deals shares that differ each time, and whose sum is the exponent", () => {
      const { p, q } = key.privateKey.export({ format: "jwk" });
      const [prime, other] = [p, q].map((text) => new Uint8Array(Buffer.from(text ?? "", "base64url")));
      if (prime === undefined || other === undefined) throw new Error("no primes");
      const primes = { p: prime, q: other };
      const totient = (bytesToNumberBE(prime) - 1n) * (bytesToNumberBE(other) - 1n);
      const one = dealRsaKey(primes, 5).shares;
      const sum = one.reduce((total, share) => total + bytesToNumberBE(share), 0n);
      expect((sum * 65_537n) % totient).to.equal(1n);
      expect(new Set([...one, ...dealRsaKey(primes, 5).shares].map((share) => toHex(share))).size).to.equal(10);
      expectRejection(() => dealRsaKey({ p: prime, q: prime }, 5), "INVALID_INPUT");
      expectRejection(() => dealRsaKey(primes, 0), "INVALID_INPUT");
    });
  });

  it("says the lengths of what it makes", () => {
    const batch = suite.blindInputs(inputs);
    const { evaluated, proof } = suite.evaluateBatch(key.shares[0] ?? nothing, nothing, batch.blinded);
    const [output] = suite.combineAndFinalize(batch, inputs, answers(batch.blinded), MEMBERS);
    const made = [evaluated[0], key.shares[0], proof, output].map((value) => value?.length);
    const { elementBytes, scalarBytes, proofBytes, outputBytes, name } = suite;
    expect([elementBytes, scalarBytes, proofBytes, outputBytes]).to.deep.equal(made);
    expect(name).to.equal("rsa-blind");
  });

  it("refuses empty batches, inputs that are too long, and blinds that are not prime to the modulus", () => {
    expectRejection(() => suite.blindInputs([]), "INVALID_INPUT", /0 inputs/);
    expectRejection(() => suite.blindInputs([new Uint8Array(65_536)]), "INVALID_INPUT", /65536 bytes/);
    const { p } = key.privateKey.export({ format: "jwk" });
    const factor = bytesToNumberBE(new Uint8Array(Buffer.from(p ?? "", "base64url")));
    expectRejection(() => suite.blindInputsWith([nothing], [factor]), "INVALID_INPUT", /not prime to/);
  });
});

import { ristretto255, ristretto255_hasher } from "@noble/curves/ed25519.js";
import { sha512 } from "@noble/hashes/sha2.js";
import { concatBytes } from "@noble/hashes/utils.js";
import { expect } from "chai";
import type { BaseContract } from "ethers";
import fc from "fast-check";
import { network } from "hardhat";
import type { NetworkConnection } from "hardhat/types/network";
import { fromHex, toHex } from "../../offchain/core/encoding/hex.ts";
import { proveDleq } from "../../offchain/core/oprf/dleq.ts";
import { identityElement, randomScalar, ristretto255Group } from "../../offchain/core/oprf/group.ts";
import { composeEvaluation, evaluateBatch, oprfReady } from "../../offchain/core/oprf/ristretto255.ts";
import { loadVectors } from "../helpers/vectors.ts";

const { Point } = ristretto255;
const ORDER = Point.Fn.ORDER;
const FIELD = 2n ** 255n - 19n;

interface Vectors {
  readonly modes: {
    readonly mode: number;
    readonly secretKey: string;
    readonly publicKey?: string;
    readonly vectors: { name: string; blinded: string[]; evaluated: string[]; proof?: string }[];
  }[];
}

interface Proof {
  readonly c: string;
  readonly s: string;
}

const proofOf = (hex: string): Proof => ({ c: hex.slice(0, 66), s: `0x${hex.slice(66)}` });
const littleEndian = (value: bigint): string => {
  const digits = value.toString(16).padStart(64, "0");
  return `0x${(digits.match(/../g) ?? []).reverse().join("")}`;
};
const flipped = (hex: string, bit: number): string => {
  const bytes = fromHex(hex);
  bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
  return toHex(bytes);
};

const scalars = fc.bigInt({ min: 0n, max: ORDER - 1n });
const elements = fc
  .uint8Array({ minLength: 64, maxLength: 64 })
  .map((uniform) => ristretto255_hasher.deriveToCurve?.(uniform) ?? Point.ZERO);

/** Encodings that RFC 9496, appendix A.3 lists as bad. */
const BAD_ENCODINGS = {
  "not canonical: p": littleEndian(FIELD),
  "not canonical: p + 1, which reduces to 1": littleEndian(FIELD + 1n),
  // Even, and the same field element as the generator's encoding up to its sign: only its size gives it away.
  "not canonical: 2p minus the encoding of the generator": littleEndian(
    2n * FIELD - BigInt(`0x${toHex(Point.BASE.toBytes()).slice(2).match(/../g)?.reverse().join("")}`),
  ),
  "not canonical: all bits": `0x${"ff".repeat(32)}`,
  "not canonical: the top bit": `0x${"00".repeat(31)}80`,
  "negative: 1": littleEndian(1n),
  "negative: p minus a root": "0xed57ffd8c914fb201471d1c3d245ce3c746fcbe63a3679d51b6a516ebebe0e20",
  "negative x·y": "0x3eb858e78f5a7254d8c9731174a94f76755fd3941c0ac93735c07ba14579630e",
  "no square": "0x26948d35ca62e643e26a83177332e6b6afeb9d08e4268b650f1f5bbd8d81d371",
  "y = 0": "0xecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
};

describe("OPRF evaluations in Solidity", function () {
  this.timeout(120_000);
  let connection: NetworkConnection;
  let harness: BaseContract;
  const call = (name: string, ...args: unknown[]) => harness.getFunction(name).staticCall(...args);

  const { modes } = loadVectors<Vectors>("rfc9497-ristretto255-sha512.json");
  const verifiable = modes.find(({ mode }) => mode === 1);
  if (verifiable?.publicKey === undefined) throw new Error("no VOPRF vectors");
  const { publicKey, secretKey, vectors } = verifiable;
  const singles = vectors
    .filter(({ blinded }) => blinded.length === 1)
    .map(({ name, blinded, evaluated, proof = "" }) => ({
      name,
      blinded: blinded[0] ?? "",
      evaluated: evaluated[0] ?? "",
      proof: proofOf(proof),
    }));

  before(async () => {
    await oprfReady();
    connection = await network.create();
    harness = await connection.ethers.deployContract("OprfEvaluationHarness");
  });

  after(() => connection.close());

  describe("SHA-512", () => {
    it("agrees with noble for every length up to three blocks", async () => {
      for (let length = 0; length <= 300; length += 1) {
        const message = sha512(Uint8Array.of(length & 255, length >> 8));
        const long = concatBytes(...Array.from({ length: 5 }, () => message)).subarray(0, length);
        const [high, low] = await call("sha512", toHex(long));
        expect(high + low.slice(2), `${length} bytes`).to.equal(toHex(sha512(long)));
      }
    });

    it("agrees with noble for any message", () =>
      fc.assert(
        fc.asyncProperty(fc.uint8Array({ maxLength: 700 }), async (message) => {
          const [high, low] = await call("sha512", toHex(message));
          expect(high + low.slice(2)).to.equal(toHex(sha512(message)));
        }),
      ));
  });

  describe("ristretto255", () => {
    it("decodes and encodes the multiples of the generator that RFC 9496 lists, and the identity", async () => {
      for (let n = 0; n <= 16; n += 1) {
        const encoded = toHex(Point.BASE.multiplyUnsafe(BigInt(n)).toBytes());
        expect(await call("multiply", 1, encoded), `${n}·G`).to.equal(encoded);
        expect(await call("multiplyTwo", n, 0, encoded), `${n}·G`).to.equal(encoded);
      }
    });

    for (const [name, encoding] of Object.entries(BAD_ENCODINGS)) {
      it(`refuses an encoding that is ${name}`, async () => {
        expect(() => Point.fromBytes(fromHex(encoding))).to.throw();
        expect((await call("decode", encoding)).valid).to.equal(false);
      });
    }

    it("decodes exactly what noble decodes", () =>
      fc.assert(
        fc.asyncProperty(fc.uint8Array({ minLength: 32, maxLength: 32 }), async (bytes) => {
          // Half of all encodings have the top bit or an odd root; these are refused by two comparisons.
          bytes[0] = (bytes[0] ?? 0) & 0xfe;
          bytes[31] = (bytes[31] ?? 0) & 0x7f;
          let accepted = true;
          try {
            Point.fromBytes(bytes);
          } catch {
            accepted = false;
          }
          expect((await call("decode", toHex(bytes))).valid).to.equal(accepted);
          if (accepted) expect(await call("multiply", 1, toHex(bytes))).to.equal(toHex(bytes));
        }),
      ));

    it("multiplies and adds as noble does", () =>
      fc.assert(
        fc.asyncProperty(scalars, scalars, elements, async (first, second, element) => {
          const encoded = toHex(element.toBytes());
          const product = element.multiplyUnsafe(second);
          expect(await call("multiply", second, encoded)).to.equal(toHex(product.toBytes()));
          const sum = Point.BASE.multiplyUnsafe(first).add(product);
          expect(await call("multiplyTwo", first, second, encoded)).to.equal(toHex(sum.toBytes()));
        }),
      ));

    it("gives the identity for sums that cancel", async () => {
      const generator = toHex(Point.BASE.toBytes());
      expect(await call("multiplyTwo", 5n, ORDER - 5n, generator)).to.equal(`0x${"00".repeat(32)}`);
      expect(await call("multiply", ORDER, generator)).to.equal(`0x${"00".repeat(32)}`);
    });

    it("reduces 64 bytes modulo the order", () =>
      fc.assert(
        fc.asyncProperty(fc.bigInt({ min: 0n, max: 2n ** 512n - 1n }), async (value) => {
          const halves = [littleEndian(value & (2n ** 256n - 1n)), littleEndian(value >> 256n)];
          expect(await call("reduceScalar", ...halves)).to.equal(value % ORDER);
        }),
      ));
  });

  describe("proof of one element", () => {
    for (const { name, blinded, evaluated, proof } of singles) {
      it(`verifies that of RFC 9497, ${name}`, async () => {
        expect(await call("isEvaluation", publicKey, blinded, evaluated, proof)).to.equal(true);
      });
    }

    it("verifies what the suite of this project makes", () =>
      fc.assert(
        fc.asyncProperty(
          scalars.filter((k) => k !== 0n),
          elements,
          async (key, element) => {
            const share = Point.BASE.multiplyUnsafe(key).toBytes();
            const made = evaluateBatch(fromHex(littleEndian(key)), share, [element.toBytes()]);
            const [evaluated = new Uint8Array()] = made.evaluated;
            const args = [
              toHex(share),
              toHex(element.toBytes()),
              toHex(evaluated),
              proofOf(toHex(made.proof)),
            ] as const;
            expect(await call("isEvaluation", ...args)).to.equal(true);
            // The proof of a batch is about its composites, not its elements.
            expect(await call("isComposite", ...args)).to.equal(false);
          },
        ),
        { numRuns: 10 },
      ));

    const [vector] = singles;
    if (vector === undefined) throw new Error("no vectors of one element");
    const { blinded, evaluated, proof } = vector;
    const other = singles[1] ?? vector;
    const zero = `0x${"00".repeat(32)}`;
    const above = (scalar: string) =>
      littleEndian(BigInt(`0x${(scalar.slice(2).match(/../g) ?? []).reverse().join("")}`) + ORDER);
    const hostile: Record<string, readonly [string, string, string, Proof]> = {
      "the identity as the blinded element": [publicKey, zero, evaluated, proof],
      "the identity as the evaluation": [publicKey, blinded, zero, proof],
      "the identity as the share": [zero, blinded, evaluated, proof],
      "a point that is not canonical": [publicKey, blinded, littleEndian(FIELD + 2n), proof],
      "a negative encoding": [publicKey, littleEndian(1n), evaluated, proof],
      "a share that is no element": [flipped(publicKey, 0), blinded, evaluated, proof],
      "a challenge that is not canonical": [publicKey, blinded, evaluated, { ...proof, c: above(proof.c) }],
      "a response that is not canonical": [publicKey, blinded, evaluated, { ...proof, s: above(proof.s) }],
      "the proof of another element": [publicKey, blinded, evaluated, other.proof],
      "another evaluation": [publicKey, blinded, other.evaluated, proof],
      "the blinded element as its own evaluation": [publicKey, blinded, blinded, proof],
      "elements that are swapped": [publicKey, evaluated, blinded, proof],
      "scalars that are swapped": [publicKey, blinded, evaluated, { c: proof.s, s: proof.c }],
      "another share": [toHex(Point.BASE.toBytes()), blinded, evaluated, proof],
      "a proof of zeros": [publicKey, blinded, evaluated, { c: zero, s: zero }],
    };
    for (const [name, args] of Object.entries(hostile)) {
      it(`refuses ${name}`, async () => {
        expect(await call("isEvaluation", ...args)).to.equal(false);
      });
    }

    it("refuses the identity also with a proof that would verify for it", async () => {
      const identity = { element: identityElement(), bytes: identityElement() };
      const share = { element: fromHex(publicKey), bytes: fromHex(publicKey) };
      const made = proveDleq(ristretto255Group, fromHex(secretKey), share, [identity], [identity], randomScalar());
      const hollow = proofOf(toHex(made.proof));
      expect(await call("isComposite", publicKey, zero, zero, hollow)).to.equal(true);
      expect(await call("isEvaluation", publicKey, zero, zero, hollow)).to.equal(false);
    });

    it("refuses any flipped bit", () =>
      fc.assert(
        fc.asyncProperty(fc.integer({ min: 0, max: 4 }), fc.integer({ min: 0, max: 255 }), async (which, bit) => {
          const parts = [publicKey, blinded, evaluated, proof.c, proof.s];
          parts[which] = flipped(parts[which] ?? "", bit);
          const [share, from, to, c, s] = parts;
          expect(await call("isEvaluation", share, from, to, { c, s })).to.equal(false);
        }),
      ));

    it("reverts, and does not call a right proof wrong, when the gas runs out at any point", async () => {
      const args = [publicKey, blinded, evaluated, proof];
      for (let gasLimit = 60_000; gasLimit < 3_000_000; gasLimit += 50_000) {
        try {
          expect(await harness.getFunction("isEvaluation").staticCall(...args, { gasLimit })).to.equal(true);
        } catch (error) {
          expect(String(error)).to.match(/out of gas|ModularExponentiationFailed|reverted/i);
        }
      }
    });
  });

  describe("proof of a batch, from its composites", () => {
    for (const { name, blinded, evaluated, proof = "" } of vectors) {
      it(`verifies that of RFC 9497, ${name}`, async () => {
        const batch = [blinded, evaluated].map((list) => list.map((each) => fromHex(each)));
        const composites = composeEvaluation(fromHex(publicKey), batch[0] ?? [], batch[1] ?? []);
        const [m, z] = [composites.blinded, composites.evaluated];
        expect(await call("isComposite", publicKey, toHex(m), toHex(z), proofOf(proof))).to.equal(true);
        expect(await call("isComposite", publicKey, toHex(z), toHex(m), proofOf(proof))).to.equal(false);
      });
    }

    it("refuses a batch with one wrong evaluation", async () => {
      const key = fromHex(secretKey);
      const blinded = [3n, 5n, 7n].map((n) => Point.BASE.multiplyUnsafe(n).toBytes());
      const { evaluated, proof } = evaluateBatch(key, fromHex(publicKey), blinded);
      const compose = () => {
        const composites = composeEvaluation(fromHex(publicKey), blinded, evaluated);
        return [toHex(composites.blinded), toHex(composites.evaluated)];
      };
      expect(await call("isComposite", publicKey, ...compose(), proofOf(toHex(proof)))).to.equal(true);
      evaluated[1] = Point.BASE.toBytes();
      expect(await call("isComposite", publicKey, ...compose(), proofOf(toHex(proof)))).to.equal(false);
    });
  });
});

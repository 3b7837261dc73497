import { sha256 } from "@noble/hashes/sha2.js";
import { concatBytes } from "@noble/hashes/utils.js";
import { expect } from "chai";
import fc from "fast-check";
import { aes256CtrInPlace } from "#primitives";
import { chunkKey } from "../../../offchain/core/crypto/encryption.ts";
import { kdf } from "../../../offchain/core/crypto/kdf.ts";
import { toHex } from "../../../offchain/core/encoding/hex.ts";
import { IntegrityError, InvalidInputError } from "../../../offchain/core/errors.ts";
import {
  PACKAGE_OVERHEAD_BYTES,
  type Package,
  packageKey,
  packInPlace,
  STUB_BYTES,
  unpackInPlace,
} from "../../../offchain/core/revocable/package.ts";

const bytes = (minLength: number, maxLength = minLength) => fc.uint8Array({ minLength, maxLength });

function pack(key: Uint8Array, frame: Uint8Array): Package {
  const memory = new Uint8Array(frame.length + PACKAGE_OVERHEAD_BYTES);
  memory.set(frame);
  return packInPlace(key, memory, frame.length);
}

function unpack({ stub, object, digest }: Package): Uint8Array {
  return unpackInPlace(stub, object.slice(), digest, object.length, "of the test");
}

function flipped(data: Uint8Array, bit: number): Uint8Array {
  return data.map((byte, at) => (at === bit >> 3 ? byte ^ (1 << (bit & 7)) : byte));
}

/** Part of the bits in which two byte strings differ; about a half when they have nothing to do with each other. */
function distance(a: Uint8Array, b: Uint8Array): number {
  let bits = 0;
  for (const [at, byte] of a.entries()) bits += (byte ^ (b[at] ?? 0)).toString(2).replaceAll("0", "").length;
  return bits / (8 * a.length);
}

const UNRELATED = [0.46, 0.54] as const;

describe("core/revocable: packages", () => {
  it("open with their stubs, are as long as sealed chunks, and are equal for equal frames", () => {
    fc.assert(
      fc.property(bytes(32), bytes(1, 5000), (output, frame) => {
        const made = pack(packageKey(output), frame);
        expect(made.object.length).to.equal(frame.length + 16);
        expect(made.stub.length).to.equal(STUB_BYTES);
        expect(unpack(made)).to.deep.equal(frame);
        expect(pack(packageKey(output), frame)).to.deep.equal(made);
      }),
    );
  });

  it("do not open when one bit of the object, the stub or the digest is another, and leave no plaintext", () => {
    const frame = new Uint8Array(40).fill(0x61);
    const made = pack(new Uint8Array(32).fill(1), frame);
    for (const part of ["object", "stub", "digest"] as const) {
      for (let bit = 0; bit < 8 * made[part].length; bit += 1) {
        const { stub, object, digest }: Package = { ...made, [part]: flipped(made[part], bit) };
        const memory = object.slice();
        const call = () => unpackInPlace(stub, memory, digest, memory.length, "of the test");
        expect(call, `${part} ${bit}`).to.throw(IntegrityError, "chunk of the test does not open with its stub");
        expect(memory).to.deep.equal(new Uint8Array(memory.length));
      }
    }
  });

  it("do not open with the stub of another package, nor under the digest of one", () => {
    const [first, second] = [1, 2].map((fill) => pack(new Uint8Array(32).fill(7), new Uint8Array(99).fill(fill)));
    if (first === undefined || second === undefined) throw new Error("no packages");
    expect(() => unpack({ ...first, stub: second.stub })).to.throw(IntegrityError);
    expect(() => unpack({ ...first, digest: second.digest })).to.throw(IntegrityError);
  });

  it("give nothing to whoever kept the package key, the chunk key or the hash key alone", () => {
    const frame = new Uint8Array(4096);
    const output = new Uint8Array(32).fill(5);
    const key = packageKey(output);
    expect(toHex(key)).to.not.equal(toHex(chunkKey(output)));
    const { object, stub, digest } = pack(key, frame);
    const body = object.subarray(0, frame.length);
    // The frame is zero: whatever is left after a stream is taken off is the other stream.
    const stripped = (streamKey: Uint8Array) => {
      const left = body.slice();
      aes256CtrInPlace(streamKey, new Uint8Array(16), left);
      return left;
    };
    expect(distance(stripped(kdf(key, "package-inner")), frame)).to.be.within(...UNRELATED);
    expect(distance(stripped(chunkKey(output)), frame)).to.be.within(...UNRELATED);
    // Whoever once had the stub could have kept h: that takes off the outer stream, and the inner one stays.
    const secret = hashKeyOf(stub, digest);
    const outerKey = kdf(secret, "package-pad", new Uint8Array(0), 80).subarray(0, 32);
    expect(distance(stripped(outerKey), frame)).to.be.within(...UNRELATED);
    // Both take off both: the test strips what the package puts on.
    const both = stripped(outerKey);
    aes256CtrInPlace(kdf(key, "package-inner"), new Uint8Array(16), both);
    expect(both).to.deep.equal(frame);
  });

  it("have unrelated objects and stubs when the frame differs in one bit", () => {
    const frame = new Uint8Array(4096).fill(9);
    const [first, second] = [frame, flipped(frame, 32_767)].map((content) => pack(new Uint8Array(32), content));
    if (first === undefined || second === undefined) throw new Error("no packages");
    expect(distance(first.object, second.object)).to.be.within(...UNRELATED);
    expect(distance(first.object.subarray(0, 512), second.object.subarray(0, 512))).to.be.within(0.44, 0.56);
    expect(distance(first.stub, second.stub)).to.be.within(0.38, 0.62);
  });

  it("refuse keys, stubs, digests and lengths that are none", () => {
    const memory = new Uint8Array(30);
    expect(() => packInPlace(new Uint8Array(31), memory, 14)).to.throw(InvalidInputError, "package key");
    expect(() => packInPlace(new Uint8Array(32), memory, 15)).to.throw(RangeError, "no room");
    const { stub, digest, object } = pack(new Uint8Array(32), new Uint8Array(14));
    expect(() => unpackInPlace(stub.subarray(1), object, digest, 30, "x")).to.throw(InvalidInputError, "stub");
    expect(() => unpackInPlace(stub, object, digest.subarray(1), 30, "x")).to.throw(InvalidInputError, "digest");
    expect(() => unpackInPlace(stub, object, digest, 31, "x")).to.throw(IntegrityError, "wrong length");
    expect(() => unpackInPlace(stub, object.subarray(0, 15), digest, 15, "x")).to.throw(IntegrityError, "length");
  });
});

/** h of a package, computed apart from the implementation. */
function hashKeyOf(stub: Uint8Array, digest: Uint8Array): Uint8Array {
  const mask = stubMaskOf(digest, stub.subarray(0, 32));
  return stub.subarray(32).map((byte, at) => byte ^ (mask[at] ?? 0));
}

function stubMaskOf(digest: Uint8Array, masked: Uint8Array): Uint8Array {
  return sha256(
    concatBytes(new TextEncoder().encode("tallystick/v1/package-stub\0"), Uint8Array.of(1), digest, masked),
  );
}

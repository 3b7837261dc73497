import { bytesToHex as hex } from "@noble/hashes/utils.js";
import { expect } from "chai";
import fc from "fast-check";
import { sha256 } from "#primitives";
import {
  CHUNK_OVERHEAD_BYTES,
  chunkKey,
  domainBytes,
  fileKey,
  type KeyKind,
  openChunk,
  openChunkInPlace,
  openRecipe,
  oprfInput,
  RECIPE_OVERHEAD_BYTES,
  type RecipeKind,
  sealChunk,
  sealRecipe,
} from "../../../offchain/core/crypto/encryption.ts";
import { domainTag, kdf } from "../../../offchain/core/crypto/kdf.ts";
import { merkleChunkKey, merkleRoot, merkleSecret } from "../../../offchain/core/crypto/merkle-keys.ts";
import {
  bundleKey,
  layOutBundle,
  openSegment,
  sealBundleInPlace,
  segmentKey,
} from "../../../offchain/core/crypto/segments.ts";
import { contentId } from "../../../offchain/core/encoding/content-id.ts";
import { IntegrityError, InvalidInputError, UnknownVersionError } from "../../../offchain/core/errors.ts";
import { storedFrame } from "../../../offchain/core/recipe/frame.ts";
import { loadVectors, unhex } from "../../helpers/vectors.ts";

interface Vectors {
  kdf: { key: string; label: string; info: string; length: number; output: string };
  oprfOutput: string;
  chunkKey: string;
  fileKey: string;
  plaintext: string;
  sealedChunk: string;
  sealedChunkId: string;
  bundleKey: string;
  frames: string[];
  bundle: string;
  merkleRoots: string[];
  merkleSecret: string;
  merkleChunkKey: string;
  recipe: string;
  sealedRecipe: Record<RecipeKind, string>;
  oprfInputs: { domain: string; kind: KeyKind; digest: string; input: string }[];
}

const vectors = loadVectors<Vectors>("sealing.json");
const KEY = new Uint8Array(32).fill(5);
const flip = (bytes: Uint8Array, bit: number) => {
  const damaged = bytes.slice();
  damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
  return damaged;
};

describe("key derivation", () => {
  it("derives what an independent implementation derives", () => {
    const { key, label, info, length, output } = vectors.kdf;
    expect(hex(kdf(unhex(key), label, unhex(info), length))).to.equal(output);
    expect(hex(chunkKey(unhex(vectors.oprfOutput)))).to.equal(vectors.chunkKey);
    expect(hex(fileKey(unhex(vectors.oprfOutput)))).to.equal(vectors.fileKey);
  });

  it("separates keys, labels, infos and lengths", () => {
    const outputs = [
      kdf(KEY, "a"),
      kdf(KEY, "b"),
      kdf(
        KEY.map(() => 6),
        "a",
      ),
      kdf(KEY, "a", Uint8Array.of(0)),
      kdf(KEY, "a", Uint8Array.of(0, 0)),
      // A label that ends where another's info begins: the zero byte between them keeps the two apart.
      kdf(KEY, "ab"),
      kdf(KEY, "a", Uint8Array.of(0x62)),
    ];
    expect(new Set(outputs.map(hex)).size).to.equal(outputs.length);
  });

  it("refuses labels that could be confused or mistyped", () => {
    for (const label of ["", "A", "a b", "a\0", "ü", "-a", "a".repeat(65)]) {
      expect(() => domainTag(label), JSON.stringify(label)).to.throw(InvalidInputError, "domain label is malformed");
    }
  });
});

describe("oprf inputs", () => {
  it("have the layout of the specification", () => {
    for (const { domain, kind, digest, input } of vectors.oprfInputs) {
      expect(hex(oprfInput(domain, kind, unhex(digest)))).to.equal(input);
    }
  });

  it("differ whenever domain, kind or digest differ", () => {
    const part = fc.record({
      domain: fc.string({ minLength: 1, maxLength: 20, unit: "grapheme" }),
      kind: fc.constantFrom<KeyKind[]>("chunk", "file", "bundle", "merkle"),
      digest: fc.uint8Array({ minLength: 32, maxLength: 32 }),
    });
    fc.assert(
      fc.property(part, part, (a, b) => {
        const same = a.domain === b.domain && a.kind === b.kind && hex(a.digest) === hex(b.digest);
        const inputs = [a, b].map(({ domain, kind, digest }) => hex(oprfInput(domain, kind, digest)));
        expect(inputs[0] === inputs[1]).to.equal(same);
        // The same digest in another domain is another input, too.
        expect(hex(oprfInput(`${a.domain}x`, a.kind, a.digest))).to.not.equal(inputs[0]);
      }),
    );
  });

  it("refuse domains and digests out of the rules", () => {
    const digest = new Uint8Array(32);
    for (const domain of ["", "x".repeat(256), "ü".repeat(128), "\ud800", "a\udc80"]) {
      expect(() => oprfInput(domain, "chunk", digest), domain).to.throw(InvalidInputError, "domain is malformed");
    }
    expect(domainBytes("x".repeat(255)).length).to.equal(255);
    expect(() => oprfInput("public", "file", new Uint8Array(31))).to.throw(InvalidInputError, "digest has the wrong");
  });
});

describe("chunk encryption", () => {
  it("seals to the bytes, and so to the id, that an independent implementation gets", () => {
    const sealed = sealChunk(unhex(vectors.chunkKey), storedFrame(unhex(vectors.plaintext)));
    expect(hex(sealed)).to.equal(vectors.sealedChunk);
    expect(contentId(sealed)).to.equal(vectors.sealedChunkId);
  });

  it("returns what was sealed, and seals equal chunks alike", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 32, maxLength: 32 }),
        fc.uint8Array({ maxLength: 500 }),
        (key, plaintext) => {
          const sealed = sealChunk(key, plaintext);
          expect(sealed.length).to.equal(plaintext.length + CHUNK_OVERHEAD_BYTES);
          expect(openChunk(key, sealed, sealed.length, "x")).to.deep.equal(plaintext);
          expect(openChunkInPlace(key, sealed.slice(), sealed.length, "x")).to.deep.equal(plaintext);
          expect(sealChunk(key, plaintext)).to.deep.equal(sealed);
        },
      ),
    );
  });

  it("names the chunk whose bytes, key or length are wrong", () => {
    const plaintext = Uint8Array.of(1, 2, 3);
    const sealed = sealChunk(KEY, plaintext);
    for (let bit = 0; bit < sealed.length * 8; bit += 5) {
      expect(() => openChunk(KEY, flip(sealed, bit), 19, "c1"), `bit ${bit}`).to.throw(
        IntegrityError,
        "chunk c1 does not",
      );
    }
    expect(() =>
      openChunk(
        KEY.map(() => 6),
        sealed,
        19,
        "c1",
      ),
    ).to.throw(IntegrityError, "does not decrypt");
    for (const lengthBytes of [18, 20, 0, 1e9]) {
      expect(() => openChunk(KEY, sealed, lengthBytes, "c1"))
        .to.throw(IntegrityError, "wrong length")
        .with.include({
          expected: `${lengthBytes} bytes`,
          received: "19 bytes",
        });
    }
    expect(() => openChunk(KEY, sealed.subarray(0, 10), 19, "c1")).to.throw(IntegrityError, "wrong length");
    for (const call of [
      () => sealChunk(new Uint8Array(16), plaintext),
      () => openChunk(new Uint8Array(31), sealed, 19, "c1"),
    ]) {
      expect(call).to.throw(InvalidInputError, "key has the wrong length");
    }
  });
});

function sealBundle(key: Uint8Array, frames: readonly Uint8Array[], memory?: Uint8Array): Uint8Array {
  const bundle = layOutBundle(frames, memory);
  sealBundleInPlace(
    key,
    bundle,
    frames.map(({ length }) => length),
  );
  return bundle;
}

describe("encryption of bundles", () => {
  it("seals to the bytes that an independent implementation gets", () => {
    const key = bundleKey(unhex(vectors.oprfOutput));
    expect(hex(key)).to.equal(vectors.bundleKey);
    const frames = vectors.frames.map(unhex);
    expect(hex(sealBundle(key, frames))).to.equal(vectors.bundle);
    const bundle = sealBundle(key, frames, new Uint8Array(1000).fill(7));
    expect(hex(bundle)).to.equal(vectors.bundle);
    let offset = 0;
    for (const [position, frame] of frames.entries()) {
      const segment = bundle.subarray(offset, offset + frame.length + 16);
      expect(openSegment(segmentKey(key, position), segment, "f")).to.deep.equal(frame);
      offset += segment.length;
    }
  });

  it("opens a file under its own key only, and at its own place only", () => {
    const frame = Uint8Array.of(0, 1, 2, 3);
    const sealed = sealBundle(KEY, [Uint8Array.of(9), frame]).subarray(17);
    for (const key of [segmentKey(KEY, 0), segmentKey(KEY, 2), KEY]) {
      expect(() => openSegment(key, sealed, "file 1")).to.throw(IntegrityError, "file 1 does not decrypt");
    }
    for (let bit = 0; bit < sealed.length * 8; bit += 3) {
      expect(() => openSegment(segmentKey(KEY, 1), flip(sealed, bit), "f"), `bit ${bit}`).to.throw(IntegrityError);
    }
    for (const length of [0, 15, 16, 19]) {
      expect(() => openSegment(segmentKey(KEY, 1), sealed.subarray(0, length), "f")).to.throw(IntegrityError);
    }
    // Neither is it a chunk: the associated data differ.
    expect(() => openChunk(segmentKey(KEY, 1), sealed, sealed.length, "c")).to.throw(IntegrityError);
  });
});

describe("keys of mode merkle", () => {
  const leaf = (n: number) => sha256(new TextEncoder().encode(`leaf ${n}`));
  const leaves = (count: number) => Array.from({ length: count }, (_, n) => leaf(n));

  it("are those that an independent implementation derives", () => {
    for (const [index, root] of vectors.merkleRoots.entries()) {
      expect(hex(merkleRoot(leaves(index + 1))), `${index + 1} leaves`).to.equal(root);
    }
    const secret = merkleSecret(unhex(vectors.oprfOutput));
    expect(hex(secret)).to.equal(vectors.merkleSecret);
    expect(hex(merkleChunkKey(secret, sha256(unhex(vectors.frames[0] ?? ""))))).to.equal(vectors.merkleChunkKey);
  });

  it("depend on every frame of the file, and on their order", () => {
    const roots = [leaves(5), leaves(4), leaves(6), leaves(5).toReversed(), leaves(5).with(2, leaf(9))].map((list) =>
      hex(merkleRoot(list)),
    );
    expect(new Set(roots).size).to.equal(roots.length);
    expect(() => merkleRoot([])).to.throw(InvalidInputError, "at least one leaf");
    const secrets = [merkleSecret(unhex(vectors.oprfOutput)), merkleSecret(new Uint8Array(64))];
    const keys = secrets.flatMap((secret) => [leaf(1), leaf(2)].map((digest) => hex(merkleChunkKey(secret, digest))));
    expect(new Set(keys).size).to.equal(4);
  });
});

describe("recipe encryption", () => {
  it("seals to the bytes that an independent implementation gets", () => {
    for (const kind of ["root", "list"] as const) {
      const sealed = sealRecipe(unhex(vectors.fileKey), kind, unhex(vectors.recipe));
      expect(hex(sealed)).to.equal(vectors.sealedRecipe[kind]);
      expect(hex(openRecipe(unhex(vectors.fileKey), kind, sealed, "r"))).to.equal(vectors.recipe);
    }
  });

  it("hides and protects several recipes under one key", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.uint8Array({ maxLength: 300 }), (a, b) => {
        const [first, second] = [sealRecipe(KEY, "list", a), sealRecipe(KEY, "list", b)];
        expect(first.length).to.equal(a.length + RECIPE_OVERHEAD_BYTES);
        expect(openRecipe(KEY, "list", first)).to.deep.equal(a);
        expect(hex(first) === hex(second)).to.equal(hex(a) === hex(b));
      }),
    );
    // Under a stream mode with one nonce the two would differ exactly where the plaintexts do.
    const zeros = sealRecipe(KEY, "list", new Uint8Array(64));
    const ones = sealRecipe(KEY, "list", new Uint8Array(64).fill(1));
    const difference = zeros.subarray(1, 65).map((byte, index) => byte ^ (ones[1 + index] ?? 0));
    expect(new Set(difference).size).to.be.greaterThan(16);
  });

  it("refuses a version it does not know before anything else", () => {
    const sealed = sealRecipe(KEY, "root", Uint8Array.of(1));
    for (const version of [0, 2, 255]) {
      sealed[0] = version;
      expect(() => openRecipe(KEY, "root", sealed)).to.throw(
        UnknownVersionError,
        `recipe has format version ${version}`,
      );
    }
  });

  it("refuses another kind, another key, damage and truncation", () => {
    const sealed = sealRecipe(KEY, "root", Uint8Array.of(1, 2, 3));
    expect(() => openRecipe(KEY, "list", sealed, "r1")).to.throw(IntegrityError, "recipe r1 does not decrypt");
    expect(() =>
      openRecipe(
        KEY.map(() => 6),
        "root",
        sealed,
        "r1",
      ),
    ).to.throw(IntegrityError);
    for (let bit = 8; bit < sealed.length * 8; bit += 5) {
      expect(() => openRecipe(KEY, "root", flip(sealed, bit), "r1"), `bit ${bit}`).to.throw(IntegrityError);
    }
    for (let length = 0; length < sealed.length; length++) {
      expect(() => openRecipe(KEY, "root", sealed.subarray(0, length), "r1"), `${length}`).to.throw(IntegrityError);
    }
  });
});

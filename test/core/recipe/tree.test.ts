import { expect } from "chai";
import fc from "fast-check";
import { sha256 } from "#primitives";
import { sealChunk, sealRecipe } from "../../../offchain/core/crypto/encryption.ts";
import { contentId, contentIdFromDigest } from "../../../offchain/core/encoding/content-id.ts";
import { IntegrityError, InvalidInputError, UnknownVersionError } from "../../../offchain/core/errors.ts";
import { compressFrame, storedFrame } from "../../../offchain/core/recipe/frame.ts";
import {
  type BlobRef,
  type ChunkedContent,
  type ChunkRef,
  contentBytes,
  encodeList,
  MAX_LIST_REFS,
  MAX_SEALED_RECIPE_BYTES,
  type RootRecipe,
} from "../../../offchain/core/recipe/recipe.ts";
import { isPlaintextOf, openRoot, readContent, sealRoot, writeContent } from "../../../offchain/core/recipe/tree.ts";
import { loadCompressor } from "../../../offchain/kernels/zstd.ts";
import { pseudoText } from "../../helpers/frame-inputs.ts";
import { failure } from "../../helpers/promises.ts";
import { pseudoRandomBytes } from "../../helpers/pseudo-random.ts";
import { arbitraryChunkRef } from "../../helpers/recipes.ts";

const FILE_KEY = new Uint8Array(32).fill(3);
const ids = Array.from({ length: 64 }, (_, n) => contentIdFromDigest(sha256(Uint8Array.of(n))));
const refAt = (n: number): ChunkRef => ({
  id: ids[n % ids.length] as string,
  key: new Uint8Array(32).fill(n % 251),
  sizeBytes: 1 + (n % 2_000_000),
  sealedBytes: 18 + (n % 2_000_000),
});

function* refs(count: number): Generator<ChunkRef> {
  for (let n = 0; n < count; n++) yield refAt(n);
}

class Objects {
  readonly sealed = new Map<string, Uint8Array>();
  readonly order: string[] = [];
  keysAsked = 0;

  write(source: Iterable<ChunkRef> | AsyncIterable<ChunkRef>): Promise<ChunkedContent> {
    const fileKey = async () => {
      this.keysAsked++;
      return FILE_KEY;
    };
    return writeContent(source, fileKey, async ({ id, sealed }) => {
      this.sealed.set(id, sealed);
      this.order.push(id);
    });
  }

  load = async (id: string): Promise<Uint8Array> => {
    const sealed = this.sealed.get(id);
    if (sealed === undefined) throw new Error(`object ${id} is not there`);
    return sealed;
  };

  async read(content: ChunkedContent): Promise<ChunkRef[]> {
    const found: ChunkRef[] = [];
    for await (const ref of readContent(content, this.load)) found.push(ref);
    return found;
  }

  /** Puts another object in the place of one, under an id that fits. */
  add(sealed: Uint8Array): string {
    const id = contentId(sealed);
    this.sealed.set(id, sealed);
    return id;
  }
}

function blobOf(content: ChunkedContent): BlobRef {
  if (!("blob" in content)) throw new Error("expected a tree");
  return content.blob;
}

describe("recipe tree", () => {
  for (const count of [0, 1, 8]) {
    it(`keeps ${count} chunks inline, without any object or key`, async () => {
      const objects = new Objects();
      const content = await objects.write(refs(count));
      expect(content).to.deep.equal({ chunks: [...refs(count)] });
      expect(objects.sealed.size).to.equal(0);
      expect(objects.keysAsked).to.equal(0);
      expect(await objects.read(content)).to.deep.equal([...refs(count)]);
    });
  }

  const shapes: [count: number, level: number, objects: number][] = [
    [9, 0, 1],
    [MAX_LIST_REFS, 0, 1],
    [MAX_LIST_REFS + 1, 1, 3],
    [3 * MAX_LIST_REFS, 1, 4],
    [3 * MAX_LIST_REFS + 1, 1, 5],
  ];
  for (const [count, level, objectCount] of shapes) {
    it(`stores ${count} chunks as ${objectCount} lists of level ${level} and below, and reads them back`, async () => {
      const objects = new Objects();
      const content = await objects.write(refs(count));
      expect(blobOf(content).level).to.equal(level);
      expect(objects.order.length).to.equal(objectCount);
      expect(objects.keysAsked).to.equal(1);
      expect(objects.order.at(-1), "what refers comes after what it refers to").to.equal(blobOf(content).id);
      for (const sealed of objects.sealed.values()) expect(sealed.length).to.be.at.most(MAX_SEALED_RECIPE_BYTES);
      let expectedBytes = 0;
      let n = 0;
      for await (const ref of readContent(content, objects.load)) {
        const expected = refAt(n++);
        // Strings instead of deep equality: this runs tens of thousands of times.
        expect(`${ref.id} ${ref.key[0]} ${ref.key[31]} ${ref.sizeBytes}`).to.equal(
          `${expected.id} ${expected.key[0]} ${expected.key[31]} ${expected.sizeBytes}`,
        );
        expectedBytes += ref.sizeBytes;
      }
      expect(n).to.equal(count);
      expect(contentBytes(content)).to.equal(expectedBytes);
    });
  }

  it("writes equal objects for equal chunks, so that files deduplicate as a whole", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(arbitraryChunkRef, { minLength: 9, maxLength: 40 }), async (chunks) => {
        const [first, second] = [new Objects(), new Objects()];
        expect(await first.write(chunks)).to.deep.equal(await second.write(chunks));
        expect(first.order).to.deep.equal(second.order);
      }),
    );
  });

  it("loads lists one at a time, when their turn comes", async () => {
    const objects = new Objects();
    const content = await objects.write(refs(2 * MAX_LIST_REFS + 1));
    const loaded: string[] = [];
    const reader = readContent(content, (id) => {
      loaded.push(id);
      return objects.load(id);
    });
    await reader.next();
    expect(loaded.length, "the top list and the first below it").to.equal(2);
    await reader.return();
    expect(loaded.length).to.equal(2);
  });

  it("stops at the first list that cannot be stored, and at the first that cannot be loaded", async () => {
    const full = new InvalidInputError("store failed");
    const write = writeContent(
      refs(9),
      async () => FILE_KEY,
      () => Promise.reject(full),
    );
    expect(await failure(write)).to.equal(full);
    const objects = new Objects();
    const content = await objects.write(refs(9));
    objects.sealed.clear();
    expect(await failure(objects.read(content))).to.have.property(
      "message",
      `object ${blobOf(content).id} is not there`,
    );
  });

  it("names the list whose bytes do not match its id, even if the provider changed seal and length", async () => {
    const objects = new Objects();
    const blob = blobOf(await objects.write(refs(9)));
    const sealed = objects.sealed.get(blob.id) as Uint8Array;
    const damaged = sealed.slice();
    damaged[100] = (damaged[100] ?? 0) ^ 1;
    for (const bytes of [damaged, sealed.subarray(0, -1), new Uint8Array(0), new Uint8Array([...sealed, 0])]) {
      objects.sealed.set(blob.id, bytes);
      expect(await failure(objects.read({ blob })))
        .to.be.instanceOf(IntegrityError)
        .with.property("message", `object ${blob.id} is not what its id names`);
    }
  });

  it("refuses lists sealed under another key, of another level, or of an unknown version", async () => {
    const objects = new Objects();
    const blob = blobOf(await objects.write(refs(9)));
    expect(await failure(objects.read({ blob: { ...blob, key: new Uint8Array(32) } }))).to.be.instanceOf(
      IntegrityError,
    );
    expect(await failure(objects.read({ blob: { ...blob, level: 1 } }))).to.be.instanceOf(InvalidInputError);
    const sealed = (objects.sealed.get(blob.id) as Uint8Array).slice();
    sealed[0] = 2;
    expect(await failure(objects.read({ blob: { ...blob, id: objects.add(sealed) } }))).to.be.instanceOf(
      UnknownVersionError,
    );
    const asRoot = sealRecipe(FILE_KEY, "root", encodeList({ level: 0, refs: [...refs(9)] }));
    expect(await failure(objects.read({ blob: { ...blob, id: objects.add(asRoot) } }))).to.be.instanceOf(
      IntegrityError,
    );
  });

  it("refuses lists that do not add up to what refers to them, at any level", async () => {
    const objects = new Objects();
    const blob = blobOf(await objects.write(refs(9)));
    for (const sizeBytes of [blob.sizeBytes - 1, blob.sizeBytes + 1]) {
      expect(await failure(objects.read({ blob: { ...blob, sizeBytes } })))
        .to.be.instanceOf(IntegrityError)
        .with.property("message", `recipe list ${blob.id} does not add up`);
    }
    const upper = (sizeBytes: number) =>
      objects.add(sealRecipe(FILE_KEY, "list", encodeList({ level: 1, refs: [{ id: blob.id, sizeBytes }] })));
    const top = (sizeBytes: number): ChunkedContent => ({
      blob: { ...blob, level: 1, id: upper(sizeBytes), sizeBytes },
    });
    expect((await objects.read(top(blob.sizeBytes))).length).to.equal(9);
    expect(await failure(objects.read(top(blob.sizeBytes + 1)))).to.be.instanceOf(IntegrityError);
  });

  it("refuses a list whose references do not lead one level down, so that no cycle is possible", async () => {
    // A list cannot name itself (its id is a hash), and each step down must be one level lower.
    const objects = new Objects();
    const blob = blobOf(await objects.write(refs(9)));
    const id = objects.add(
      sealRecipe(FILE_KEY, "list", encodeList({ level: 2, refs: [{ id: blob.id, sizeBytes: blob.sizeBytes }] })),
    );
    expect(await failure(objects.read({ blob: { ...blob, id, level: 2 } }))).to.be.instanceOf(InvalidInputError);
  });

  it("tells the plaintext of a chunk from other bytes by compressing and sealing it again", async () => {
    const compress = await loadCompressor();
    for (const [plaintext, other] of [
      [pseudoRandomBytes("plaintext", 3000), pseudoRandomBytes("other", 3000)],
      [pseudoText("plaintext", 3000), pseudoText("other", 3000)],
    ] as const) {
      const sealed = sealChunk(FILE_KEY, compressFrame(storedFrame(plaintext), compress));
      const ref = { id: contentId(sealed), key: FILE_KEY, sizeBytes: 3000, sealedBytes: sealed.length };
      expect(await isPlaintextOf(ref, plaintext)).to.equal(true);
      expect(await isPlaintextOf(ref, other)).to.equal(false);
      expect(await isPlaintextOf(ref, plaintext.subarray(1))).to.equal(false);
      expect(await isPlaintextOf({ ...ref, key: new Uint8Array(32) }, plaintext)).to.equal(false);
    }
  });

  it("seals a root whose id is the data id, and opens only that", () => {
    const root: RootRecipe = {
      version: 1,
      domain: "public",
      keyMode: "oprf",
      entryCount: 1,
      totalBytes: 5,
      listingBytes: 1,
      listing: { chunks: [{ ...refAt(1), sizeBytes: 1, sealedBytes: 18 }] },
    };
    const { id, sealed } = sealRoot(FILE_KEY, root);
    expect(id).to.equal(contentId(sealed));
    expect(openRoot(FILE_KEY, id, sealed)).to.deep.equal(root);
    expect(sealRoot(FILE_KEY, root).id).to.equal(id);
    expect(() => openRoot(FILE_KEY, ids[0] as string, sealed)).to.throw(IntegrityError, `object ${ids[0]} is not`);
    expect(() => openRoot(new Uint8Array(32), id, sealed)).to.throw(IntegrityError, "does not decrypt");
    const other = sealed.slice();
    other[0] = 9;
    expect(() => openRoot(FILE_KEY, contentId(other), other)).to.throw(UnknownVersionError);
  });
});

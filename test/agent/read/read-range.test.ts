/** Ranges of stored files: the right bytes, from no more objects than they lie in. */
import { expect } from "chai";
import fc from "fast-check";
import { readBytes, readEntries } from "../../../offchain/agent/read/read-entries.ts";
import { fileStream } from "../../../offchain/agent/read/read-range.ts";
import { streamPieces } from "../../../offchain/agent/read/stream-pieces.ts";
import { CHUNK_LIMITS } from "../../../offchain/core/recipe/chunker.ts";
import { MAX_LIST_REFS, type RegularFileEntry } from "../../../offchain/core/recipe/recipe.ts";
import { openRoot } from "../../../offchain/core/recipe/tree.ts";
import { MemoryProvider } from "../../helpers/memory-data-plane.ts";
import { storeInMemory } from "../../helpers/memory-put.ts";
import { collect } from "../../helpers/promises.ts";
import { pseudoRandomBytes } from "../../helpers/pseudo-random.ts";
import { expectAsyncRejection } from "../../helpers/rejection.ts";
import { counting, storeInChunks } from "../../helpers/stored-file.ts";

/** The smallest chunks of a tree with two levels of lists. */
const TINY = 5;

async function bytesOf(stream: ReadableStream<Uint8Array>): Promise<Buffer> {
  return Buffer.concat(await collect(streamPieces(stream)));
}

describe("ranges of a file", () => {
  let provider: MemoryProvider;
  beforeEach(() => {
    provider = new MemoryProvider();
  });

  it("are the bytes that a slice of the whole has, whatever the chunks", async () => {
    const cases = fc.record({
      size: fc.nat(400),
      chunk: fc.integer({ min: 1, max: 60 }),
      start: fc.nat(420),
      length: fc.option(fc.nat(420), { nil: undefined }),
      ahead: fc.integer({ min: 1, max: 4 }),
    });
    await fc.assert(
      fc.asyncProperty(cases, async ({ size, chunk, start, length, ahead }) => {
        const bytes = pseudoRandomBytes("file", size);
        const entry = await storeInChunks(provider.objects, "f", bytes, chunk);
        const range = length === undefined ? { start } : { start, end: start + length };
        const read = await bytesOf(fileStream(entry, provider, range, { chunksAhead: ahead }));
        expect(read.equals(bytes.slice(start, range.end))).to.equal(true);
      }),
    );
  });

  describe("in a tree of lists of lists", () => {
    let bytes: Uint8Array;
    let entry: RegularFileEntry;
    const chunks = 2 * MAX_LIST_REFS + 3;

    const provider = new MemoryProvider();
    before(async () => {
      bytes = pseudoRandomBytes("tree", chunks * TINY - 2);
      entry = await storeInChunks(provider.objects, "tree", bytes, TINY);
      expect("blob" in entry.content && entry.content.blob.level).to.equal(1);
    });

    for (const [what, start, end, objects] of [
      ["the first byte", 0, 1, 3],
      ["one byte in the second list", MAX_LIST_REFS * TINY + 1, MAX_LIST_REFS * TINY + 2, 3],
      ["the first byte of a chunk", 7 * TINY, 7 * TINY + 1, 3],
      ["the first byte of the second list", MAX_LIST_REFS * TINY, MAX_LIST_REFS * TINY + 1, 3],
      ["the last byte", chunks * TINY - 3, chunks * TINY - 2, 3],
      ["the border of two chunks", 2 * TINY - 1, 2 * TINY + 1, 4],
      ["the border of two lists", MAX_LIST_REFS * TINY - 1, MAX_LIST_REFS * TINY + 1, 5],
      ["up to the border of two lists", MAX_LIST_REFS * TINY - 1, MAX_LIST_REFS * TINY, 3],
      ["nothing", 7, 7, 0],
      ["what is beyond the end", chunks * TINY + 5, chunks * TINY + 9, 0],
    ] as const) {
      it(`fetches the lists and chunks on the path alone for ${what}`, async () => {
        const source = counting(provider);
        const read = await bytesOf(fileStream(entry, source, { start, end }));
        expect(read.equals(bytes.slice(start, end))).to.equal(true);
        expect(source.asked.length, "objects fetched").to.equal(objects);
      });
    }

    it("names the damaged object and the byte it begins at, and passes on nothing of it", async () => {
      const source = counting(provider);
      const at = MAX_LIST_REFS * TINY + 100 * TINY;
      await bytesOf(fileStream(entry, source, { start: at, end: at + 1 }));
      const victim = source.asked.at(-1) ?? "";
      const sealed = provider.objects.get(victim) ?? new Uint8Array();
      sealed[1] = (sealed[1] ?? 0) ^ 1;
      const stream = fileStream(entry, provider, { start: at - 2 * TINY, end: at + 3 * TINY });
      const passed: Uint8Array[] = [];
      const error = await expectAsyncRejection(async () => {
        for await (const piece of streamPieces(stream)) passed.push(piece);
      }, "INTEGRITY");
      expect(error.details).to.include({ path: "tree", offsetBytes: at, id: victim });
      expect(Buffer.concat(passed).length).to.equal(2 * TINY);
    });
  });

  it("come from files of a put as streams and as bytes, within the limit of the range", async () => {
    const bytes = pseudoRandomBytes("large", 9 * CHUNK_LIMITS.averageBytes);
    const { dataId, fileKey } = await storeInMemory(provider, [{ name: "large", bytes }]);
    const root = openRoot(fileKey, dataId, await provider.fetch(dataId));
    const source = counting(provider);
    const [file] = await collect(readEntries(root, source));
    if (file?.type !== "file") throw new Error("no file");
    source.asked.length = 0;
    const start = 4 * CHUNK_LIMITS.averageBytes;
    const read = await readBytes(file, 1000, { start, end: start + 1000 });
    expect(Buffer.from(read).equals(bytes.slice(start, start + 1000))).to.equal(true);
    expect(source.asked.length).to.be.at.most(3);
    expect((await bytesOf(file.stream({ start: bytes.length - 10 }))).equals(bytes.slice(-10))).to.equal(true);
    await expectAsyncRejection(() => readBytes(file, 1000, { start, end: start + 1001 }), "INVALID_INPUT", /too large/);
    await expectAsyncRejection(async () => file.stream({ start: 2, end: 1 }), "INVALID_INPUT", /no range/);
  });
});

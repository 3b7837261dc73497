import { bytesToHex } from "@noble/hashes/utils.js";
import { expect } from "chai";
import fc from "fast-check";
import { sha256 } from "#primitives";
import { CHUNK_OVERHEAD_BYTES, sealChunk } from "../../../offchain/core/crypto/encryption.ts";
import { CHUNK_LIMITS, Chunker, GEAR } from "../../../offchain/core/recipe/chunker.ts";
import { MAX_SEALED_RECIPE_BYTES } from "../../../offchain/core/recipe/recipe.ts";
import { MAX_CHUNK_BYTES } from "../../../offchain/core/wire/csp.ts";
import { createGearKernel, createGearOracle, type RollGear } from "../../../offchain/kernels/gear.ts";
import { inPieces, pseudoRandomBytes } from "../../helpers/pseudo-random.ts";
import { loadVectors } from "../../helpers/vectors.ts";

interface Vectors {
  inputs: { seed: string; sizeBytes: number; cutLengths: number[] }[];
  zeros: { sizeBytes: number; cutLengths: number[] };
}

const MIB = 1_048_576;

/** The chunks of a stream: frames without their codec byte. */
function* chunkStream(
  source: Iterable<Uint8Array>,
  options?: ConstructorParameters<typeof Chunker>[0],
): Generator<Uint8Array, void, undefined> {
  const chunker = new Chunker(options);
  for (const piece of source) for (const frame of chunker.push(piece)) yield frame.subarray(1);
  const last = chunker.finish();
  if (last !== undefined) yield last.subarray(1);
}

function chunksOf(bytes: Uint8Array, ...pieceBytes: number[]): Uint8Array[] {
  return [...chunkStream(inPieces(bytes, ...pieceBytes))];
}

const lengthsOf = (chunks: Uint8Array[]) => chunks.map((chunk) => chunk.length);

/** Bytes of `changed` that a store holding the chunks of `original` lacks. */
async function missingBytes(original: Uint8Array, changed: Uint8Array): Promise<number> {
  const digest = (chunk: Uint8Array) => bytesToHex(sha256(chunk));
  const known = new Set((await chunksOf(original, 4 * MIB)).map(digest));
  const missing = new Map((await chunksOf(changed, 4 * MIB)).map((chunk) => [digest(chunk), chunk.length]));
  return [...missing].reduce((sum, [id, length]) => sum + (known.has(id) ? 0 : length), 0);
}

describe("chunker", () => {
  const vectors = loadVectors<Vectors>("chunker.json");

  it("cuts where an independent implementation of the specification cuts", async () => {
    for (const { seed, sizeBytes, cutLengths } of vectors.inputs) {
      expect(lengthsOf(await chunksOf(pseudoRandomBytes(seed, sizeBytes), 100_003)), seed).to.deep.equal(cutLengths);
    }
  });

  it("cuts constant bytes at the maximum, whatever the byte, so that no byte degrades to smallest chunks", async () => {
    const { sizeBytes, cutLengths } = vectors.zeros;
    expect(lengthsOf(await chunksOf(new Uint8Array(sizeBytes), sizeBytes))).to.deep.equal(cutLengths);
    for (let byte = 0; byte < 256; byte++) {
      const chunker = new Chunker();
      const [first] = chunker.push(new Uint8Array(CHUNK_LIMITS.maxBytes).fill(byte));
      expect(first?.length, `byte ${byte}`).to.equal(1 + CHUNK_LIMITS.maxBytes);
    }
  });

  it("cuts no chunk whose sealed object is larger than 2 MiB, the largest block that peers of IPFS exchange", () => {
    const [largest] = new Chunker().push(new Uint8Array(4 * MIB));
    expect(sealChunk(new Uint8Array(32), largest ?? new Uint8Array()).length).to.equal(2_097_152);
    expect(MAX_CHUNK_BYTES).to.equal(2_097_152);
    expect(1 + CHUNK_LIMITS.maxBytes + CHUNK_OVERHEAD_BYTES).to.equal(MAX_CHUNK_BYTES);
    expect(MAX_SEALED_RECIPE_BYTES).to.be.at.most(MAX_CHUNK_BYTES);
  });

  it("cuts alike however the input is split into pieces", async () => {
    const bytes = pseudoRandomBytes("pieces", 5 * MIB);
    const expected = lengthsOf(await chunksOf(bytes, bytes.length));
    expect(expected.length).to.be.greaterThan(2);
    for (const sizes of [[65_536], [1, 524_287], [262_144, 1], [917_504, 3], [4095, 4097], [100, 5000, 30_000]]) {
      expect(lengthsOf(await chunksOf(bytes, ...sizes)), `${sizes}`).to.deep.equal(expected);
    }
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 500, max: MIB }), { minLength: 1, maxLength: 6 }), async (sizes) => {
        expect(lengthsOf(await chunksOf(bytes, ...sizes))).to.deep.equal(expected);
      }),
      { numRuns: 15 },
    );
  });

  it("takes an input that comes byte by byte", async () => {
    const bytes = pseudoRandomBytes("drops", CHUNK_LIMITS.maxBytes + 5);
    const chunks = await chunksOf(bytes, 1);
    expect(lengthsOf(chunks)).to.deep.equal(lengthsOf(await chunksOf(bytes, bytes.length)));
    expect(Buffer.compare(Buffer.concat(chunks), bytes)).to.equal(0);
  });

  it("gives back the input, in chunks within the limits that own their memory", async () => {
    const bytes = pseudoRandomBytes("limits", 48 * MIB + 77);
    const chunks = await chunksOf(bytes, 1_000_000, 3000, 70, 4096);
    let offset = 0;
    for (const [index, chunk] of chunks.entries()) {
      expect(Buffer.compare(chunk, bytes.subarray(offset, offset + chunk.length)), `chunk ${index}`).to.equal(0);
      offset += chunk.length;
      expect(chunk.length).to.be.at.most(CHUNK_LIMITS.maxBytes);
      if (index < chunks.length - 1) expect(chunk.length).to.be.greaterThan(CHUNK_LIMITS.minBytes);
      expect(chunk.buffer).to.not.equal(bytes.buffer);
      expect(chunk.buffer).to.not.equal(chunks[index - 1]?.buffer);
    }
    expect(offset).to.equal(bytes.length);
    const averageBytes = bytes.length / chunks.length;
    expect(averageBytes).to.be.within(0.85 * CHUNK_LIMITS.averageBytes, 1.15 * CHUNK_LIMITS.averageBytes);
  });

  it("has no chunks for no input, and one for a single byte", async () => {
    expect(await chunksOf(new Uint8Array(0))).to.deep.equal([]);
    expect(await chunksOf(Uint8Array.of(9))).to.deep.equal([Uint8Array.of(9)]);
  });

  it("lays a chunk out as the frame that stores it, and lets the caller use the memory of a piece again", () => {
    const bytes = pseudoRandomBytes("reused", 3 * MIB);
    const buffer = new Uint8Array(100_000);
    const frames: Uint8Array[] = [];
    const chunker = new Chunker();
    for (const piece of inPieces(bytes, buffer.length)) {
      buffer.set(piece);
      frames.push(...chunker.push(buffer.subarray(0, piece.length)));
      buffer.fill(0xee);
    }
    const last = chunker.finish();
    if (last !== undefined) frames.push(last);
    expect(frames.map((frame) => frame[0])).to.deep.equal(frames.map(() => 0));
    expect(Buffer.compare(Buffer.concat(frames.map((frame) => frame.subarray(1))), bytes)).to.equal(0);
  });

  it("takes memory for what is announced, and copes with an input that is longer or shorter", () => {
    for (const [announced, actual] of [
      [1000, 1000],
      [1000, 999],
      [1000, 70_000],
      [0, 5000],
      [3 * MIB, 3 * MIB],
      [3 * MIB, 5 * MIB],
    ] as const) {
      const bytes = pseudoRandomBytes("announced", actual);
      const chunks = [...chunkStream(inPieces(bytes, 65_536), { sizeBytes: announced })];
      expect(Buffer.compare(Buffer.concat(chunks), bytes), `${announced}, ${actual}`).to.equal(0);
      expect(lengthsOf(chunks)).to.deep.equal(lengthsOf(chunksOf(bytes, actual)));
      if (announced === actual && actual === 1000) expect(chunks[0]?.buffer.byteLength).to.equal(1001);
    }
    const slots = [new Uint8Array(2_097_136), new Uint8Array(2_097_136), new Uint8Array(2_097_136)];
    const [first] = slots;
    const free = [...slots];
    const bytes = pseudoRandomBytes("slots", 2 * MIB);
    const allocate = () => free.shift() ?? new Uint8Array(0);
    const chunks = [...chunkStream(inPieces(bytes, 65_536), { allocate })];
    expect(chunks[0]?.buffer).to.equal(first?.buffer);
    expect(Buffer.compare(Buffer.concat(chunks), bytes)).to.equal(0);
  });

  it("cuts in the kernel where its twin cuts, whatever the bytes, the pieces and the state in between", () => {
    const twins: RollGear[] = [createGearKernel(GEAR), createGearOracle(GEAR)];
    const bytes = pseudoRandomBytes("twins", 300_000);
    fc.assert(
      fc.property(
        fc.nat(299_999),
        fc.nat(150_000),
        fc.integer({ min: 8, max: 22 }),
        fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
        (start, length, bits, fingerprint) => {
          const range = { start, stop: Math.min(bytes.length, start + length), mask: -1 << (32 - bits), fingerprint };
          const [kernel, twin] = twins.map((roll) => roll(bytes, range));
          expect(kernel).to.deep.equal(twin);
        },
      ),
    );
    const input = pseudoRandomBytes("twins", 20 * MIB);
    const roll = createGearOracle(GEAR);
    expect(lengthsOf([...chunkStream(inPieces(input, 65_537), { roll })])).to.deep.equal(
      lengthsOf(chunksOf(input, 1_000_000)),
    );
  });

  it("asks for no more input than the chunk at hand needs", async () => {
    let taken = 0;
    const source = (function* () {
      for (const piece of inPieces(pseudoRandomBytes("lazy", 8 * MIB), 65_536)) {
        taken += piece.length;
        yield piece;
      }
    })();
    const chunks = chunkStream(source);
    const first = chunks.next();
    if (first.done) throw new Error("expected a chunk");
    expect(taken).to.be.below(first.value.length + 65_536);
    chunks.return();
  });

  for (const seed of ["a", "b", "c", "d", "e", "f"]) {
    it(`re-uploads at most 18 % of 64 MiB after five changes of a byte (seed ${seed})`, async () => {
      const original = pseudoRandomBytes(`file ${seed}`, 64 * MIB);
      const places = new DataView(pseudoRandomBytes(`places ${seed}`, 20).buffer);
      const changed = original.slice();
      for (let edit = 0; edit < 5; edit++) {
        const at = places.getUint32(4 * edit) % changed.length;
        changed[at] = (changed[at] ?? 0) ^ 0xff;
      }
      const missing = await missingBytes(original, changed);
      expect(missing).to.be.greaterThan(0);
      expect(missing / changed.length).to.be.at.most(0.18);
    });

    it(`re-uploads at most 18 % of 64 MiB after five insertions of a byte (seed ${seed})`, async () => {
      const original = pseudoRandomBytes(`file ${seed}`, 64 * MIB);
      const view = new DataView(pseudoRandomBytes(`insertions ${seed}`, 20).buffer);
      const places = Array.from({ length: 5 }, (_, edit) => view.getUint32(4 * edit) % original.length);
      places.sort((a, b) => a - b);
      const changed = new Uint8Array(original.length + 5);
      for (let edit = 0, from = 0; edit <= 5; edit++) {
        const to = places[edit] ?? original.length;
        changed.set(original.subarray(from, to), from + edit);
        from = to;
      }
      expect((await missingBytes(original, changed)) / changed.length).to.be.at.most(0.18);
    });
  }
});

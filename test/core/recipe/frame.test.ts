import { Zstd } from "@hpcc-js/wasm-zstd";
import { bytesToHex as hex } from "@noble/hashes/utils.js";
import { expect } from "chai";
import fc from "fast-check";
import { sha256 } from "#primitives";
import { IntegrityError, UnknownVersionError } from "../../../offchain/core/errors.ts";
import {
  compressFrame,
  FRAME_HEAD_BYTES,
  fileDigest,
  MAX_FRAME_BYTES,
  readFrame,
  storedFrame,
} from "../../../offchain/core/recipe/frame.ts";
import {
  type Compress,
  type Decompress,
  loadCompressor,
  loadDecompressor,
  loadKernelDecompressor,
} from "../../../offchain/kernels/zstd.ts";
import { type FrameInputKind, frameInput, pseudoText } from "../../helpers/frame-inputs.ts";
import { failure } from "../../helpers/promises.ts";
import { pseudoRandomBytes } from "../../helpers/pseudo-random.ts";
import { loadVectors, unhex } from "../../helpers/vectors.ts";

interface Vectors {
  vectors: {
    kind: FrameInputKind;
    sizeBytes: number;
    codec: number;
    frameBytes: number;
    digest: string;
    frame?: string;
  }[];
}

const TEXT = pseudoText("frames", 5000);

/** Text, random bytes, or a mixture. */
const plaintext = fc
  .tuple(fc.nat(40_000), fc.nat(40_000), fc.nat(1_000_000))
  .map(([text, random, seed]) => Buffer.concat([pseudoText(`${seed}`, text), pseudoRandomBytes(`${seed}`, random)]));

describe("frames", () => {
  let compress: Compress;
  let oracle: Zstd;

  before(async () => {
    compress = await loadCompressor();
    oracle = await Zstd.load();
  });

  const framed = (bytes: Uint8Array) => compressFrame(storedFrame(bytes), compress);

  it("have the bytes that another build of zstd and a second writing of the rule give", () => {
    for (const { kind, sizeBytes, codec, frameBytes, digest, frame } of loadVectors<Vectors>("frames.json").vectors) {
      const made = framed(frameInput(kind, sizeBytes));
      expect([made[0], made.length, hex(sha256(made))], `${kind} ${sizeBytes}`).to.deep.equal([
        codec,
        frameBytes,
        digest,
      ]);
      if (frame !== undefined) expect(hex(made)).to.equal(frame);
    }
  });

  it("give the plaintext back, and are never longer than it by more than the codec byte", async () => {
    await fc.assert(
      fc.asyncProperty(plaintext, async (bytes) => {
        const frame = framed(bytes);
        expect(frame.length).to.be.at.most(bytes.length + FRAME_HEAD_BYTES);
        expect(Buffer.compare(await readFrame(frame, bytes.length, "x"), bytes)).to.equal(0);
      }),
      { numRuns: 40 },
    );
  });

  it("are compressed into the memory of the stored frame, so that nothing is copied twice", () => {
    const stored = storedFrame(TEXT);
    const frame = compressFrame(stored, compress);
    expect(frame[0]).to.equal(1);
    expect(frame.buffer).to.equal(stored.buffer);
  });

  it("refuse another codec, none, and a length that is not that of the reference", async () => {
    const stored = storedFrame(Uint8Array.of(1, 2, 3));
    expect(await failure(readFrame(new Uint8Array(0), 0, "x"))).to.be.instanceOf(UnknownVersionError);
    for (const codec of [2, 255]) {
      const frame = stored.slice();
      frame[0] = codec;
      expect(await failure(readFrame(frame, 3, "x"))).to.be.instanceOf(UnknownVersionError);
    }
    for (const [frame, sizeBytes] of [
      [stored, 2],
      [stored, 4],
      [framed(TEXT), TEXT.length - 1],
      [framed(TEXT), TEXT.length + 1],
      [framed(TEXT), 2 ** 40],
      // Stored by a writer that should have compressed is fine to read; compressed without gain is not.
      [Buffer.concat([Uint8Array.of(1), oracle.compress(pseudoRandomBytes("a", 100))]), 100],
    ] as const) {
      const error = await failure(readFrame(frame, sizeBytes, "chunk c1"));
      expect(error).to.be.instanceOf(IntegrityError);
      expect((error as Error).message).to.contain("chunk c1");
    }
  });

  it("refuse a zstd frame with another content size, a checksum, a dictionary, or anything behind it", async () => {
    const good = new Uint8Array(oracle.compress(TEXT));
    const changed = (at: number, byte: number) => {
      const bytes = good.slice();
      bytes[at] = byte;
      return bytes;
    };
    const hostile: Record<string, Uint8Array> = {
      "no bytes": new Uint8Array(0),
      "another magic number": changed(0, 0x29),
      "a checksum": changed(4, (good[4] ?? 0) | 4),
      "a dictionary": changed(4, (good[4] ?? 0) | 1),
      "a reserved bit": changed(4, (good[4] ?? 0) | 8),
      "a window of its own": changed(4, (good[4] ?? 0) & ~0x20),
      "a larger content size": changed(5, (good[5] ?? 0) + 1),
      "a reserved block type": changed(7, (good[7] ?? 0) | 6),
      "no last block": changed(7, (good[7] ?? 0) & ~1),
      "two frames": Buffer.concat([good, good]),
      "a skippable frame behind it": Buffer.concat([good, unhex("502a4d1800000000")]),
      "a byte behind it": Buffer.concat([good, Uint8Array.of(0)]),
      "its last byte missing": good.subarray(0, -1),
    };
    for (const decompress of [await loadDecompressor(), await loadKernelDecompressor()]) {
      expect(decompress(good, TEXT.length)).to.deep.equal(new Uint8Array(TEXT));
      for (const [what, bytes] of Object.entries(hostile)) {
        expect(decompress(bytes, TEXT.length), what).to.equal(undefined);
      }
    }
  });

  it("allocate no more than the reference says, whatever the frame unpacks to", async () => {
    // 1 GiB of zeros in 33 KB: RLE blocks of 128 KiB.
    const header = unhex("28b52ffda0");
    const size = Buffer.alloc(4);
    size.writeUInt32LE(2 ** 30);
    const blocks = Array.from({ length: 8192 }, (_, n) => {
      const head = (131_072 << 3) | (1 << 1) | (n === 8191 ? 1 : 0);
      return Buffer.from([head & 255, (head >> 8) & 255, head >> 16, 0]);
    });
    const bomb = Buffer.concat([header, size, ...blocks]);
    size.writeUInt32LE(1000);
    const liar = Buffer.concat([header, size, ...blocks]);
    for (const decompress of [await loadDecompressor(), await loadKernelDecompressor()]) {
      expect(decompress(bomb, 1000)).to.equal(undefined);
      expect(decompress(liar, 1000)).to.equal(undefined);
    }
  });

  it("decompress to the announced length or not at all, whatever byte is changed", async () => {
    // Whether damage within a block is noticed differs between decoders; the tag of the object is what detects it.
    const decompressors: Decompress[] = [await loadDecompressor(), await loadKernelDecompressor()];
    const good = new Uint8Array(oracle.compress(TEXT));
    fc.assert(
      fc.property(fc.nat(good.length - 1), fc.nat(255), (at, byte) => {
        const bytes = good.slice();
        bytes[at] = byte;
        for (const decompress of decompressors) {
          expect(decompress(bytes, TEXT.length)?.length ?? TEXT.length).to.equal(TEXT.length);
        }
      }),
      { numRuns: 300 },
    );
  });

  it("fit an object of 2 MiB with the tag", () => {
    expect(MAX_FRAME_BYTES + 16).to.equal(2_097_152);
  });

  it("make the digest of a file from their digests", () => {
    const { frames, fileDigest: expected } = loadVectors<{ frames: string[]; fileDigest: string }>("sealing.json");
    expect(hex(fileDigest(frames.map((frame) => sha256(unhex(frame)))))).to.equal(expected);
  });
});

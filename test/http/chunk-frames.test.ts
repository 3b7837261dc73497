import { expect } from "chai";
import fc from "fast-check";
import { fromHex, toHex } from "../../offchain/core/encoding/hex.ts";
import { TallystickError } from "../../offchain/core/errors.ts";
import { MAX_BODY_CHUNKS, MAX_CHUNK_BODY_BYTES, MAX_CHUNK_BYTES } from "../../offchain/core/wire/csp.ts";
import { readChunkFrames } from "../../offchain/http/chunk-frames.ts";
import { frame, randomChunk, refusal, streamOf } from "../csp/provider-fixture.ts";
import vectors from "../vectors/provider.json" with { type: "json" };

async function readAll(body: AsyncIterable<Uint8Array>) {
  const frames = [];
  for await (const one of readChunkFrames(body)) frames.push(one);
  return frames;
}

function join(parts: Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

describe("chunk frames", () => {
  it("have the documented layout", async () => {
    const { chunks, body } = vectors.chunkFrames;
    const frames = await readAll(streamOf(fromHex(body)));
    expect(frames.map(({ id, bytes }) => ({ hex: toHex(bytes), id }))).to.deep.equal(chunks);
    const written = chunks.map(({ hex, id }) => frame({ id, bytes: fromHex(hex) }));
    expect(toHex(join(written))).to.equal(body);
  });

  it("come out as they went in, however the network cuts them", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 3000 }), { minLength: 1, maxLength: 8 }),
        fc.array(fc.nat(), { maxLength: 40 }),
        async (sizes, cuts) => {
          const chunks = sizes.map(randomChunk);
          const body = join(chunks.map((chunk) => frame(chunk)));
          const places = [0, ...cuts.map((cut) => cut % body.length).sort((a, b) => a - b), body.length];
          const pieces = places.slice(1).map((end, k) => body.subarray(places[k], end));
          const frames = await readAll(streamOf(...pieces));
          expect(frames.map(({ id }) => id)).to.deep.equal(chunks.map(({ id }) => id));
          for (const [k, { bytes }] of frames.entries()) expect(bytes).to.deep.equal(chunks[k]?.bytes);
        },
      ),
      { numRuns: 50 },
    );
  });

  it("takes a chunk of exactly the largest size, and refuses one byte more before reading it", async () => {
    const largest = { ...randomChunk(1), bytes: new Uint8Array(MAX_CHUNK_BYTES) };
    expect((await readAll(streamOf(frame(largest))))[0]?.bytes.length).to.equal(MAX_CHUNK_BYTES);
    const head = frame(randomChunk(1), undefined, MAX_CHUNK_BYTES + 1).subarray(0, 40);
    const error = await refusal(readAll(streamOf(head)), "INVALID_INPUT");
    expect(error.check).to.equal("chunk size");
    expect(error.received).to.equal(`${MAX_CHUNK_BYTES + 1} bytes`);
  });

  it("refuses a length of zero", async () => {
    const error = await refusal(readAll(streamOf(frame(randomChunk(5), undefined, 0))), "INVALID_INPUT");
    expect(error.check).to.equal("chunk size");
  });

  it("refuses an id of another codec, hash or version", async () => {
    for (const position of [0, 1, 2, 3]) {
      const bytes = frame(randomChunk(10));
      bytes[position] = (bytes[position] ?? 0) ^ 1;
      expect((await refusal(readAll(streamOf(bytes)), "INVALID_INPUT")).check).to.equal("frame id");
    }
  });

  it("refuses a body cut off at any byte but the end of a frame", async () => {
    const [first, second] = [frame(randomChunk(30)), frame(randomChunk(20))];
    const body = join([first, second]);
    for (let end = 0; end < body.length; end++) {
      if (end === first.length) continue;
      await refusal(readAll(streamOf(body.subarray(0, end))), "INVALID_INPUT");
    }
  });

  it("refuses more frames than a body may have", async () => {
    const tiny = frame(randomChunk(1));
    const body = async function* () {
      for (let k = 0; k <= MAX_BODY_CHUNKS; k++) yield tiny;
    };
    expect((await refusal(readAll(body()), "INVALID_INPUT")).check).to.equal("frame count");
  });

  it("stops reading a body that is too large", async () => {
    const large = frame({ ...randomChunk(1), bytes: new Uint8Array(MAX_CHUNK_BYTES) });
    let sentBytes = 0;
    const endless = async function* () {
      for (;;) {
        sentBytes += large.length;
        yield large;
      }
    };
    try {
      await readAll(endless());
      expect.fail("it was accepted");
    } catch (error) {
      expect(error).to.be.instanceOf(TallystickError);
      expect((error as TallystickError).check).to.equal("body size");
    }
    expect(sentBytes).to.be.lessThan(MAX_CHUNK_BODY_BYTES + 2 * large.length);
  });
});

/**
 * Derives frames.json: which codec a frame has, and its bytes, from docs/spec.md and a second build of zstd 1.5.7
 * (@hpcc-js/wasm-zstd). It shares no code with offchain/core. Run it from the root of the checkout:
 *
 *   node test/vectors/derive-frames.ts
 */
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { Zstd } from "@hpcc-js/wasm-zstd";
import { type FrameInputKind, frameInput } from "../helpers/frame-inputs.ts";

const LEVEL = 3;
const INPUTS: readonly (readonly [FrameInputKind, number])[] = [
  ["text", 1],
  ["text", 60],
  ["text", 300],
  ["text", 65_536],
  ["text", 65_537],
  ["text", 1_048_576],
  ["text", 2_097_135],
  ["random", 1000],
  ["random", 65_537],
  ["random", 2_097_135],
  ["half", 20_000],
  ["half", 1_000_000],
  ["probed", 1_000_000],
];

const zstd = await Zstd.load();
const gains = (before: number, after: number): boolean => after / before < 0.95;

function frameOf(plaintext: Uint8Array): Buffer {
  const stored = Buffer.concat([Buffer.from([0]), plaintext]);
  if (plaintext.length > 65_536) {
    const probes = [0, 1, 2, 3].map((k) => Math.floor((k * (plaintext.length - 16_384)) / 3));
    const after = probes.map((start) => zstd.compress(plaintext.slice(start, start + 16_384), LEVEL).length);
    const sum = after.reduce((a, b) => a + b, 0);
    if (!gains(65_536, sum)) return stored;
  }
  const compressed = zstd.compress(plaintext, LEVEL);
  return gains(plaintext.length, compressed.length) ? Buffer.concat([Buffer.from([1]), compressed]) : stored;
}

const vectors = INPUTS.map(([kind, sizeBytes]) => {
  const frame = frameOf(frameInput(kind, sizeBytes));
  return {
    kind,
    sizeBytes,
    codec: frame[0],
    frameBytes: frame.length,
    digest: createHash("sha256").update(frame).digest("hex"),
    ...(frame.length < 400 ? { frame: frame.toString("hex") } : {}),
  };
});
const source = "derive-frames.ts with @hpcc-js/wasm-zstd (zstd 1.5.7); inputs: test/helpers/frame-inputs.ts";
writeFileSync(new URL("frames.json", import.meta.url), `${JSON.stringify({ source, vectors }, null, 2)}\n`);

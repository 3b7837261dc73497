/** Plaintexts that a compressor treats differently, the same on every run. */
import { pseudoRandomBytes } from "./pseudo-random.ts";

/** Words in random order, as compressible as prose. */
export function pseudoText(seed: string, sizeBytes: number): Uint8Array {
  const choices = pseudoRandomBytes(seed, sizeBytes);
  const words: string[] = [];
  for (let at = 0, length = 0; length < sizeBytes; at++) {
    const word = `${((choices[at] ?? 0) * 7919).toString(36)} `;
    words.push(word);
    length += word.length;
  }
  return new TextEncoder().encode(words.join("")).subarray(0, sizeBytes);
}

/** What a vector names: text, random bytes, text after random bytes, or text with random bytes where a probe looks. */
export type FrameInputKind = "text" | "random" | "half" | "probed";

export function frameInput(kind: FrameInputKind, sizeBytes: number): Uint8Array {
  const seed = `frame vector ${kind} ${sizeBytes}`;
  if (kind === "text") return pseudoText(seed, sizeBytes);
  const random = pseudoRandomBytes(seed, sizeBytes);
  if (kind === "random") return random;
  const bytes = pseudoText(seed, sizeBytes).slice();
  if (kind === "half") {
    bytes.set(random.subarray(0, sizeBytes >> 1));
    return bytes;
  }
  for (let probe = 0; probe < 4; probe++) {
    const start = Math.floor((probe * (sizeBytes - 16_384)) / 3);
    bytes.set(random.subarray(start, start + 16_384), start);
  }
  return bytes;
}

/** Bytes that look random and are the same on every run and machine: the input of test vectors and of measurements. */
import { createCipheriv, createHash } from "node:crypto";

/** AES-256-CTR key stream under SHA-256(seed), zero initial counter. test/vectors/derive-data.py makes the same. */
export function pseudoRandomBytes(seed: string, sizeBytes: number): Uint8Array {
  const cipher = createCipheriv("aes-256-ctr", createHash("sha256").update(seed).digest(), new Uint8Array(16));
  return new Uint8Array(cipher.update(new Uint8Array(sizeBytes)));
}

/** Cuts bytes into pieces whose sizes repeat the given ones, as a stream would bring them. */
export function* inPieces(bytes: Uint8Array, ...sizesBytes: number[]): Generator<Uint8Array, void, undefined> {
  for (let start = 0, turn = 0; start < bytes.length; turn++) {
    const end = Math.min(bytes.length, start + Math.max(sizesBytes[turn % sizesBytes.length] ?? 1, 1));
    yield bytes.subarray(start, end);
    start = end;
  }
}

/**
 * Reproducible incompressible bytes for samples and benchmarks: the AES-256-CTR keystream of a named seed.
 */
import { createCipheriv, createHash } from "node:crypto";

/** @returns `sizeBytes` bytes that depend on the seed alone */
export function aesCtrStream(seed: string, sizeBytes: number): Buffer {
  const key = createHash("sha256").update(`tallystick sample ${seed}`).digest();
  return createCipheriv("aes-256-ctr", key, Buffer.alloc(16)).update(Buffer.alloc(sizeBytes));
}

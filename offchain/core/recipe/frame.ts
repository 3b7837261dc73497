/**
 * Frames: what is encrypted. B = u8 codec ‖ payload; codec 0 stores the bytes as they are, codec 1 holds them as one
 * zstd frame. Keys derive from H(B), the SHA-256 of the frame, not from the plaintext: if two builds of a compressor
 * ever made different bytes of one plaintext, key and nonce would differ too.
 *
 * Which codec a writer takes is part of the format, because it decides what deduplicates: see `compressFrame`.
 */
import { createSha256 } from "#primitives";
import { type Compress, loadCompressor, loadDecompressor } from "../../kernels/zstd.ts";
import { domainTag } from "../crypto/kdf.ts";
import { IntegrityError, UnknownVersionError } from "../errors.ts";

/** The codec byte. */
export const FRAME_HEAD_BYTES = 1;

/**
 * Longest frame: 2 MiB less the tag of AES-256-GCM, so that every sealed object has at most 2 MiB: peers of IPFS
 * exchange no larger blocks.
 */
export const MAX_FRAME_BYTES = 2_097_136;

const STORED = 0;
const ZSTD = 1;
const CODECS = [STORED, ZSTD];

/** Plaintexts above four probes are probed before they are compressed as a whole. */
const PROBE_BYTES = 16_384;
const PROBES = 4;
/** A compressed form counts only below this share of the plaintext: 19/20. */
const GAIN = { numerator: 19, denominator: 20 } as const;

/** Lays bytes out as the frame that stores them. */
export function storedFrame(plaintext: Uint8Array): Uint8Array {
  const frame = new Uint8Array(FRAME_HEAD_BYTES + plaintext.length);
  frame[0] = STORED;
  frame.set(plaintext, FRAME_HEAD_BYTES);
  return frame;
}

/**
 * Chooses the codec. A plaintext of more than 64 KiB is probed at four places of 16 KiB, the first at its start, the
 * last at its end; if they do not shrink below 19/20 together, it is stored. Otherwise it is compressed as a whole, and
 * stored if that does not shrink it below 19/20.
 *
 * @param stored a stored frame; it is overwritten with the compressed one if that is shorter
 * @returns a view of `stored`
 */
export function compressFrame(stored: Uint8Array, compress: Compress): Uint8Array {
  const plaintext = stored.subarray(FRAME_HEAD_BYTES);
  if (plaintext.length === 0 || !seemsCompressible(plaintext, compress)) return stored;
  const compressed = compress(plaintext);
  if (!shrinks(plaintext.length, compressed.length)) return stored;
  stored[0] = ZSTD;
  stored.set(compressed, FRAME_HEAD_BYTES);
  return stored.subarray(0, FRAME_HEAD_BYTES + compressed.length);
}

/** `compressFrame` with the compressor of this thread, which is loaded when it is first asked for. */
export async function loadFramer(): Promise<(stored: Uint8Array) => Uint8Array> {
  const compress = await loadCompressor();
  return (stored) => compressFrame(stored, compress);
}

function seemsCompressible(plaintext: Uint8Array, compress: Compress): boolean {
  const probedBytes = PROBES * PROBE_BYTES;
  if (plaintext.length <= probedBytes) return true;
  let compressedBytes = 0;
  for (let probe = 0; probe < PROBES; probe++) {
    const start = Math.floor((probe * (plaintext.length - PROBE_BYTES)) / (PROBES - 1));
    compressedBytes += compress(plaintext.subarray(start, start + PROBE_BYTES)).length;
  }
  return shrinks(probedBytes, compressedBytes);
}

function shrinks(bytes: number, compressedBytes: number): boolean {
  return compressedBytes * GAIN.denominator < bytes * GAIN.numerator;
}

/**
 * Returns the plaintext of a frame.
 * @param sizeBytes length that the recipe states; nothing longer is ever allocated
 * @param label names the object in errors
 * @returns for a stored frame, a view of it
 * @throws UnknownVersionError for another codec
 * @throws IntegrityError if it does not hold exactly this many bytes, or has a codec that no writer would have chosen
 */
export async function readFrame(frame: Uint8Array, sizeBytes: number, label: string): Promise<Uint8Array> {
  const codec = frame[0];
  if (codec === undefined || !CODECS.includes(codec)) throw new UnknownVersionError("frame", codec ?? "none", CODECS);
  const payload = frame.subarray(FRAME_HEAD_BYTES);
  if (codec === STORED) {
    if (payload.length === sizeBytes) return payload;
    throw wrongFrame(label, "stored length", `${sizeBytes} bytes`, `${payload.length} bytes`);
  }
  if (!shrinks(sizeBytes, payload.length)) {
    throw wrongFrame(label, "compressed length", `less than 19/20 of ${sizeBytes} bytes`, `${payload.length} bytes`);
  }
  const plaintext = (await loadDecompressor())(payload, sizeBytes);
  if (plaintext !== undefined) return plaintext;
  throw wrongFrame(label, "zstd frame", `one frame of ${sizeBytes} bytes`, "something else");
}

function wrongFrame(label: string, check: string, expected: string, received: string): IntegrityError {
  return new IntegrityError(`the content of ${label} is not what its reference says`, { check, expected, received });
}

/**
 * Digest of a file (or of a listing): SHA-256(domainTag("file-digest") ‖ H(B_1) ‖ … ‖ H(B_n)), so that no byte is
 * hashed for it a second time.
 */
export function fileDigest(frameDigests: Iterable<Uint8Array>): Uint8Array {
  const hash = createSha256();
  hash.update(domainTag("file-digest"));
  for (const digest of frameDigests) hash.update(digest);
  return hash.digest();
}

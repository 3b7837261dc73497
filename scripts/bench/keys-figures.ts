/**
 * The time to derive keys of files and of their blocks, against a bare SHA-256 of the same bytes: processor time, which
 * other programs on the machine disturb little.
 */
import { sha256 } from "#primitives";
import { chunkKey, fileKey, oprfInput, PUBLIC_DOMAIN } from "../../offchain/core/crypto/encryption.ts";
import { merkleChunkKey, merkleRoot, merkleSecret } from "../../offchain/core/crypto/merkle-keys.ts";
import { Chunker } from "../../offchain/core/recipe/chunker.ts";
import { fileDigest, loadFramer, MAX_FRAME_BYTES, storedFrame } from "../../offchain/core/recipe/frame.ts";
import { aesCtrStream } from "../demo/keystream.ts";
import { median } from "./data-figures.ts";
import type { BenchCommittee } from "./keys-committee.ts";
import { cpuMilliseconds } from "./process-cost.ts";

const MEGABYTE = 1_000_000;
const KIB = 1024;
export const FILE_MEGABYTES = [20, 40, 60, 80, 100];
export const BLOCK_FILE_MEGABYTES = [10, 20, 30, 40, 50];
export const BLOCK_KIB = [8, 12];
/** Figure 7 of the published scheme gives one value in its text: a file of 100 MB takes about two seconds. */
export const PUBLISHED_FILE_MILLISECONDS: Readonly<Record<number, number>> = { 100: 2000 };

export interface KeyFigure {
  readonly what: "file key" | "file key, with cutting" | "block keys";
  readonly mode: string;
  readonly megabytes: number;
  /** Of block keys. */
  readonly blockKib?: number;
  readonly keys: number;
  /** Work of the user, and of one node: nodes work at the same time, on machines of their own. */
  readonly milliseconds: number;
  readonly nodeMilliseconds: number;
  readonly sha256Milliseconds: number;
  /** `milliseconds` and `nodeMilliseconds` together, against the bare SHA-256. */
  readonly ratio: number;
  readonly publishedMilliseconds?: number;
}

/** How the keys of a file's blocks are made: from their frames, which a reader lays out as it reads. */
export interface BlockKeyMode {
  readonly name: string;
  keysOf(frames: readonly Uint8Array[]): Promise<readonly Uint8Array[]>;
}

/** A key for each block from the committee: equal blocks of different files have equal keys. */
export function oprfMode(committee: BenchCommittee): BlockKeyMode {
  return {
    name: "oprf",
    keysOf: async (frames) => {
      const inputs = frames.map((frame) => oprfInput(PUBLIC_DOMAIN, "chunk", sha256(frame)));
      return (await committee.evaluate(inputs)).map((output) => chunkKey(output));
    },
  };
}

/** A key for each block from the file's Merkle root, for which the committee is asked once. */
export function merkleMode(committee: BenchCommittee): BlockKeyMode {
  return {
    name: "merkle",
    keysOf: async (frames) => {
      const digests = frames.map((frame) => sha256(frame));
      const [output] = await committee.evaluate([oprfInput(PUBLIC_DOMAIN, "merkle", merkleRoot(digests))]);
      if (output === undefined) throw new Error("the committee gave no output");
      const secret = merkleSecret(output);
      return digests.map((digest) => merkleChunkKey(secret, digest));
    },
  };
}

/** The frames of a file, as a put makes them: it is cut by content, and tried whether a chunk is worth compressing. */
async function* framesOf(file: Uint8Array, allocate: () => Uint8Array): AsyncGenerator<Uint8Array> {
  const toFrame = await loadFramer();
  const chunker = new Chunker({ sizeBytes: file.length, allocate });
  for (let offset = 0; offset < file.length; offset += MEGABYTE) {
    for (const stored of chunker.push(file.subarray(offset, offset + MEGABYTE))) yield toFrame(stored);
  }
  const last = chunker.finish();
  if (last !== undefined) yield toFrame(last);
}

/**
 * The key of a file derives from the digests of its frames. Measured once from frames, as keys of blocks are, and once
 * with all that a put does before: cutting is what deduplication needs, and not the key.
 */
export async function measureFileKeys(
  megabytes: number,
  committee: BenchCommittee,
  runs: number,
): Promise<KeyFigure[]> {
  const file = aesCtrStream(`file ${megabytes}`, megabytes * MEGABYTE);
  const keyOf = async (frames: Iterable<Uint8Array> | AsyncIterable<Uint8Array>) => {
    const digests: Uint8Array[] = [];
    for await (const frame of frames) digests.push(sha256(frame));
    const [output] = await committee.evaluate([oprfInput(PUBLIC_DOMAIN, "file", fileDigest(digests))]);
    if (output === undefined) throw new Error("the committee gave no output");
    fileKey(output);
    return 1;
  };
  const frames: Uint8Array[] = [];
  for await (const frame of framesOf(file, () => new Uint8Array(MAX_FRAME_BYTES))) frames.push(frame);
  // Each frame is done with when the next one begins.
  const room = new Uint8Array(MAX_FRAME_BYTES);
  const published = PUBLISHED_FILE_MILLISECONDS[megabytes];
  const facts = {
    mode: "oprf",
    megabytes,
    ...(published === undefined ? {} : { publishedMilliseconds: published }),
  };
  const key = await measured(file, committee, runs, () => keyOf(frames));
  const withCutting = await measured(file, committee, runs, () => keyOf(framesOf(file, () => room)));
  return [
    { ...key, ...facts, what: "file key" },
    { ...withCutting, ...facts, what: "file key, with cutting" },
  ];
}

export async function measureBlockKeys(
  mode: BlockKeyMode,
  megabytes: number,
  blockKib: number,
  committee: BenchCommittee,
  runs: number,
): Promise<KeyFigure> {
  const file = aesCtrStream(`file ${megabytes}`, megabytes * MEGABYTE);
  const size = blockKib * KIB;
  const frames: Uint8Array[] = [];
  for (let offset = 0; offset < file.length; offset += size) {
    frames.push(storedFrame(file.subarray(offset, offset + size)));
  }
  const work = async () => (await mode.keysOf(frames)).length;
  return { ...(await measured(file, committee, runs, work)), what: "block keys", mode: mode.name, megabytes, blockKib };
}

/**
 * @param work derives the keys and says how many @returns medians; SHA-256 runs before each, so that noise hits both
 */
async function measured(
  file: Uint8Array,
  committee: BenchCommittee,
  runs: number,
  work: () => Promise<number>,
): Promise<Pick<KeyFigure, "keys" | "milliseconds" | "nodeMilliseconds" | "sha256Milliseconds" | "ratio">> {
  const samples: { user: number; node: number; bare: number }[] = [];
  let keys = 0;
  for (let run = 0; run < runs; run += 1) {
    const bare = await milliseconds(async () => sha256(file));
    committee.takeTimes();
    const nodes = committee.threshold;
    const whole = await milliseconds(async () => {
      keys = await work();
    });
    const { nodeMilliseconds } = committee.takeTimes();
    samples.push({ user: whole - nodes * nodeMilliseconds, node: nodeMilliseconds, bare });
  }
  return {
    keys,
    milliseconds: median(samples.map(({ user }) => user)),
    nodeMilliseconds: median(samples.map(({ node }) => node)),
    sha256Milliseconds: median(samples.map(({ bare }) => bare)),
    ratio: median(samples.map(({ user, node, bare }) => (user + node) / bare)),
  };
}

async function milliseconds(work: () => Promise<unknown>): Promise<number> {
  const started = cpuMilliseconds();
  await work();
  return cpuMilliseconds() - started;
}

interface KeyBar {
  readonly name: string;
  readonly limit: number;
  readonly of: (figure: KeyFigure) => boolean;
}

/** Users rely on these limits. Loosen one only by a decision of the project, never to make the benchmark pass. */
export const KEY_BARS: readonly KeyBar[] = [
  {
    name: "file key, 100 MB, against a bare SHA-256",
    limit: 1.3,
    of: ({ what, megabytes }) => what === "file key" && megabytes === 100,
  },
  {
    name: "block keys, mode merkle, 50 MB in blocks of 8 KiB, against a bare SHA-256",
    limit: 2.5,
    of: ({ mode, megabytes, blockKib }) => mode === "merkle" && megabytes === 50 && blockKib === 8,
  },
];

export interface KeyVerdict {
  readonly name: string;
  readonly bound: "at most" | "at least";
  readonly limit: number;
  readonly unit: "×" | "/s";
  readonly measured?: number;
  readonly met: boolean;
}

/** @returns a bar that nothing was measured for counts as not met */
export function judgeKeys(figures: readonly KeyFigure[], bars = KEY_BARS): KeyVerdict[] {
  return bars.map(({ name, limit, of }) => {
    const measured = figures.find(of)?.ratio;
    return {
      name,
      bound: "at most",
      limit,
      unit: "×",
      ...(measured === undefined ? {} : { measured }),
      met: measured !== undefined && measured <= limit,
    };
  });
}

/**
 * What a possession audit costs whom, measured on one core: processor time, which other load disturbs little. Ours for
 * several sizes of slices, and S-PDP with RSA tags for several sizes of blocks. Nothing is read from disk.
 *
 * Each cost is measured once per slice, index or block on enough of them, and is linear in their number; `costOf` adds
 * it up for a set of any size. All slices have the same content, so only indices, powers and tags take memory.
 */
import { randomBytes } from "node:crypto";
import { sliceBytes } from "../../offchain/core/audit/field.ts";
import { PowersVerifier, powersOfAlpha, powersOfBeta } from "../../offchain/core/audit/powers.ts";
import { proveAudit, type SliceSource } from "../../offchain/core/audit/prover.ts";
import { SliceTagger, TagVerifier } from "../../offchain/core/audit/tags.ts";
import { verifyPrivate, verifyPublic } from "../../offchain/core/audit/verifier.ts";
import { patternBytes, testKeys } from "../../test/helpers/audit-set.ts";
import { proveSpdp, SpdpOwner } from "./spdp.ts";

export const SAMPLES = 460;
const POINT_BYTES = 96;
/** Data that tags are made and checked of. */
const TAGGED_BYTES = 2 ** 26;
/** Indices over which the cost of W is measured. */
const MEASURED_INDICES = 8192;
/** Blocks that S-PDP tags. */
const SPDP_BLOCKS = 64;

/** Costs of one scheme with one size of slices or blocks; milliseconds. */
export interface AuditCosts {
  readonly scheme: "data set" | "S-PDP";
  /** Modulus of S-PDP. */
  readonly modulusBits?: number;
  readonly sliceBytes: number;
  /** Once per device, whatever it stores. */
  readonly setUp: number;
  /** Of the owner, for each slice. */
  readonly preparePerSlice: number;
  /** Of the provider, for each slice, before it agrees. */
  readonly checkTagPerSlice?: number;
  /** Of the provider, for 460 samples. */
  readonly prove: number;
  /** Added for each index of a set, for proofs that anybody can check. */
  readonly provePerIndex: number;
  readonly verifyPublic?: number;
  readonly verifyPrivate: number;
  /** What the provider keeps beside a slice. */
  readonly storedBytesPerSlice: number;
  readonly proofBytes: number;
}

/** Of a set of some size. */
export interface SetCost {
  readonly prepare: number;
  readonly prove: number;
  readonly verify: number;
  readonly storedPercent: number;
}

export function costOf(costs: AuditCosts, setBytes: number): SetCost {
  const slices = Math.ceil(setBytes / costs.sliceBytes);
  return {
    prepare: slices * costs.preparePerSlice,
    prove: costs.prove + slices * costs.provePerIndex,
    verify: costs.verifyPublic ?? costs.verifyPrivate,
    storedPercent: (100 * costs.storedBytesPerSlice) / costs.sliceBytes,
  };
}

async function timed<T>(run: () => T | Promise<T>): Promise<{ result: T; milliseconds: number }> {
  const start = process.cpuUsage();
  const result = await run();
  const { user, system } = process.cpuUsage(start);
  return { result, milliseconds: (user + system) / 1000 };
}

/** Ours. Call after `auditReady`. @throws Error when a proof does not verify */
export async function measureDataSet(sliceElements: number): Promise<AuditCosts> {
  const { secrets, x, publicKey } = testKeys();
  const sizeBytes = sliceBytes(sliceElements);
  const count = Math.ceil(TAGGED_BYTES / sizeBytes);
  const slice = patternBytes(sizeBytes, 1);
  powersOfBeta(secrets, 1, 100);
  const alpha = await timed(() => powersOfAlpha(secrets, 0, sliceElements));
  const beta = await timed(() => powersOfBeta(secrets, 1, MEASURED_INDICES));
  const powersA = alpha.result;
  const powersB = beta.result;
  const tagger = new SliceTagger(secrets, x, 1, sliceElements);
  tagger.push(slice);
  const tagging = await timed(() => {
    for (let n = 1; n < count; n++) tagger.push(slice);
    return tagger.finish();
  });
  const tags = tagging.result;
  const at = (points: Uint8Array, index: number, length = 1) =>
    points.subarray((index - 1) * POINT_BYTES, (index - 1 + length) * POINT_BYTES);
  new PowersVerifier(publicKey).checkPowersA(powersA, sliceElements);
  const checking = await timed(() => {
    const verifier = new TagVerifier(publicKey, powersA, sliceElements);
    for (let n = 1; n <= count; n++) verifier.add(slice, at(powersB, n), at(tags, n));
    verifier.finish();
  });
  // Powers of β are read for W alone, which is the last part of a proof.
  let beforeW: NodeJS.CpuUsage | undefined;
  let indicesOfW = 0;
  const source: SliceSource = {
    sliceElements,
    powersA,
    readSlice: async () => slice,
    // Slices are equal, tags are not: those of the first ones stand for all when only time counts.
    readTag: async (index) => at(tags, ((index - 1) % count) + 1),
    readPowersB: async (first, length) => {
      beforeW ??= process.cpuUsage();
      indicesOfW += length;
      return at(powersB, first, length);
    },
  };
  const few = { seed: new Uint8Array(32).fill(7), sampleCount: SAMPLES, ranges: [{ firstIndex: 1, count }] };
  await proveAudit(few, source, {});
  const own = await timed(() => proveAudit(few, source, {}));
  const proof = await proveAudit(few, source, { key: publicKey });
  const many = { ...few, ranges: [{ firstIndex: 1, count: MEASURED_INDICES }] };
  const alone = await timed(() => proveAudit(many, source, {}));
  [beforeW, indicesOfW] = [undefined, 0];
  await proveAudit(many, source, { key: publicKey });
  const ofW = process.cpuUsage(beforeW);
  const publicly = await timed(() => verifyPublic(publicKey, few, proof));
  const privately = await timed(() => verifyPrivate(secrets, x, few, own.result));
  return {
    scheme: "data set",
    sliceBytes: sizeBytes,
    setUp: alpha.milliseconds,
    preparePerSlice: tagging.milliseconds / Math.max(1, count - 1) + beta.milliseconds / MEASURED_INDICES,
    checkTagPerSlice: checking.milliseconds / count,
    prove: alone.milliseconds,
    provePerIndex: (ofW.user + ofW.system) / 1000 / indicesOfW,
    verifyPublic: publicly.milliseconds,
    verifyPrivate: privately.milliseconds,
    storedBytesPerSlice: 2 * POINT_BYTES,
    proofBytes: 3 * 48 + 32,
  };
}

/** The baseline. @throws Error when a proof does not verify, or a wrong one does */
export async function measureSpdp(modulusBits: number, blockBytes: number): Promise<AuditCosts> {
  const setUp = await timed(() => new SpdpOwner(modulusBits));
  const owner = setUp.result;
  const blocks = Array.from({ length: SPDP_BLOCKS }, () => new Uint8Array(randomBytes(blockBytes)));
  owner.tag(0, blocks[0] ?? new Uint8Array());
  const tagging = await timed(() => blocks.map((block, index) => owner.tag(index, block)));
  const drawn = Array.from({ length: SAMPLES }, (_, t) => t % SPDP_BLOCKS);
  const challenge = owner.challenge(drawn);
  const pick = <Value>(values: readonly Value[]) => drawn.map((index) => values[index] as Value);
  const proving = await timed(() => proveSpdp(owner, challenge, pick(blocks), pick(tagging.result)));
  const verifying = await timed(() => owner.verify(challenge, proving.result));
  const damaged = { ...proving.result, tag: proving.result.tag + 1n };
  if (!verifying.result || owner.verify(challenge, damaged)) throw new Error("the baseline does not work");
  return {
    scheme: "S-PDP",
    modulusBits,
    sliceBytes: blockBytes,
    setUp: setUp.milliseconds,
    preparePerSlice: tagging.milliseconds / SPDP_BLOCKS,
    prove: proving.milliseconds,
    provePerIndex: 0,
    verifyPrivate: verifying.milliseconds,
    storedBytesPerSlice: modulusBits / 8,
    proofBytes: modulusBits / 8 + 32,
  };
}

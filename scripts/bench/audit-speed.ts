/**
 * Speed of the possession audit on one core: the owner's work (powers, tags), the provider's (checking both, proving)
 * and the verifier's. Nothing is read from disk, and times are processor times, so other load on the machine has little
 * effect.
 *
 *   node scripts/bench/audit-speed.ts [--json] [--slices <count>]
 *
 * The large set has as many slices as 4 GiB of data. All slices have the same content, so only indices, powers and tags
 * take memory.
 */
import { parseArgs } from "node:util";
import { FIELD_ORDER, SLICE_BYTES } from "../../offchain/core/audit/field.ts";
import { PowersVerifier, powersOfAlpha, powersOfBeta } from "../../offchain/core/audit/powers.ts";
import type { AuditProof } from "../../offchain/core/audit/proof.ts";
import { proveAudit, type SliceSource } from "../../offchain/core/audit/prover.ts";
import { auditReady } from "../../offchain/core/audit/ready.ts";
import { SliceTagger, TagVerifier } from "../../offchain/core/audit/tags.ts";
import { verifyPrivate, verifyPublic } from "../../offchain/core/audit/verifier.ts";
import { loadFieldKernel } from "../../offchain/kernels/field.ts";
import { patternBytes, testKeys } from "../../test/helpers/audit-set.ts";

/** One measurement. */
export interface SpeedFigure {
  readonly name: string;
  readonly value: number;
  readonly unit: "ms" | "MB/s" | "MiB";
}

const POINT_BYTES = 96;
const SMALL_SLICES = Math.ceil(2 ** 26 / SLICE_BYTES);
const LARGE_SLICES = Math.ceil(2 ** 32 / SLICE_BYTES);
const SAMPLES = 460;

async function timed<T>(run: () => T | Promise<T>): Promise<{ result: T; milliseconds: number }> {
  const start = process.cpuUsage();
  const result = await run();
  const { user, system } = process.cpuUsage(start);
  return { result, milliseconds: (user + system) / 1000 };
}

/** Measures everything. @param largeSlices slices of the large set */
export async function measureAuditSpeed(largeSlices = LARGE_SLICES): Promise<SpeedFigure[]> {
  await auditReady();
  const { secrets, x, publicKey } = testKeys();
  const figures: SpeedFigure[] = [];
  const record = async <T>(
    name: string,
    unit: SpeedFigure["unit"],
    run: () => T | Promise<T>,
    bytes = 0,
  ): Promise<T> => {
    const { result, milliseconds } = await timed(run);
    figures.push({ name, unit, value: unit === "MB/s" ? bytes / milliseconds / 1000 : milliseconds });
    return result;
  };
  const slice = patternBytes(SLICE_BYTES, 1);

  const kernel = await loadFieldKernel();
  const product = kernel.sliceDotProduct(new Array<bigint>(4096).fill(FIELD_ORDER - 1n));
  const accumulator = kernel.sliceAccumulator();
  for (let n = 0; n < 50; n++) {
    product.dotProduct(slice);
    accumulator.add(slice, 1n);
  }
  const bytes = 1000 * SLICE_BYTES;
  const repeat = (run: () => void) => () => {
    for (let n = 0; n < 1000; n++) run();
  };
  await record(
    "kernel: f(α)",
    "MB/s",
    repeat(() => product.dotProduct(slice)),
    bytes,
  );
  await record(
    "kernel: Σ ν·f",
    "MB/s",
    repeat(() => accumulator.add(slice, FIELD_ORDER >> 127n)),
    bytes,
  );

  powersOfBeta(secrets, 1, 100);
  await record("owner: 1000 powers", "ms", () => powersOfBeta(secrets, 1, 1000));
  const powersA = powersOfAlpha(secrets);
  const powersB = powersOfBeta(secrets, 1, largeSlices);
  const tagger = new SliceTagger(secrets, x, 1);
  const tags = await record(
    "owner: tagging",
    "MB/s",
    () => {
      for (let n = 0; n < largeSlices; n++) tagger.push(slice);
      return tagger.finish();
    },
    largeSlices * SLICE_BYTES,
  );

  await record("provider: check the powers of α", "ms", () => new PowersVerifier(publicKey).checkPowersA(powersA));
  await record("provider: check 1000 powers of β", "ms", () => {
    const verifier = new PowersVerifier(publicKey);
    verifier.addPowersB(powersB.subarray(0, 1000 * POINT_BYTES));
    verifier.finishPowersB();
  });
  const at = (points: Uint8Array, index: number, size = POINT_BYTES, count = 1) =>
    points.subarray((index - 1) * size, (index - 1 + count) * size);
  const checkedSlices = Math.min(largeSlices, 8 * SMALL_SLICES);
  await record(
    "provider: check tags",
    "MB/s",
    () => {
      const verifier = new TagVerifier(publicKey, powersA);
      for (let n = 1; n <= checkedSlices; n++) verifier.add(slice, at(powersB, n), at(tags, n));
      verifier.finish();
    },
    checkedSlices * SLICE_BYTES,
  );

  const source: SliceSource = {
    powersA,
    readSlice: async () => slice,
    readTag: async (index) => at(tags, index),
    readPowersB: async (first, count) => at(powersB, first, POINT_BYTES, count),
  };
  const prove = async (label: string, sliceCount: number, isPublic: boolean): Promise<AuditProof> => {
    const challenge = { seed: new Uint8Array(32).fill(7), sampleCount: SAMPLES, firstIndex: 1, sliceCount };
    const proof = await record(`provider: prove ${SAMPLES} samples, ${label}`, "ms", () =>
      proveAudit(challenge, source, { public: isPublic }),
    );
    if (isPublic) verifyPublic(publicKey, challenge, proof);
    else verifyPrivate(secrets, x, challenge, proof);
    return proof;
  };
  await prove("64 MiB, private", SMALL_SLICES, false);
  const proof = await prove("64 MiB", SMALL_SLICES, true);
  await prove("large set", largeSlices, true);

  const challenge = { seed: new Uint8Array(32).fill(7), sampleCount: SAMPLES, firstIndex: 1, sliceCount: SMALL_SLICES };
  await record("anybody: verify", "ms", () => verifyPublic(publicKey, challenge, proof));
  await record("owner: verify", "ms", () => verifyPrivate(secrets, x, challenge, proof));
  figures.push({ name: "peak memory of the process", unit: "MiB", value: process.resourceUsage().maxRSS / 1024 });
  return figures;
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: { json: { type: "boolean", default: false }, slices: { type: "string", default: String(LARGE_SLICES) } },
  });
  const figures = await measureAuditSpeed(Number(values.slices));
  if (values.json) console.log(JSON.stringify(figures, null, 2));
  else for (const { name, value, unit } of figures) console.log(`${name.padEnd(60)} ${value.toFixed(0)} ${unit}`);
}

/**
 * Speed of the possession audit on one core: the owner's work (powers, tags), the provider's (checking both, proving)
 * and the verifier's. Nothing is read from disk, and times are processor times, so other load on the machine has little
 * effect. The sizes of slices are measured in one run, so that their ratios hold whatever the machine does.
 *
 *   node scripts/bench/audit-speed.ts [--json] [--bytes <size of the set>]
 *
 * All slices have the same content, so only indices, powers and tags take memory.
 */
import { parseArgs } from "node:util";
import { DEFAULT_SLICE_ELEMENTS, FIELD_ORDER, sliceBytes } from "../../offchain/core/audit/field.ts";
import { PowersVerifier, powersOfAlpha, powersOfBeta } from "../../offchain/core/audit/powers.ts";
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
  /** The value in parts of that of default slices. */
  readonly ratio?: number;
}

const POINT_BYTES = 96;
const SET_BYTES = 2 ** 30;
const SAMPLES = 460;
const SLICE_SIZES = [DEFAULT_SLICE_ELEMENTS, 8192, 33_792];
/** Data that kernels and checks of tags go over. */
const CHECKED_BYTES = 2 ** 28;

async function timed<T>(run: () => T | Promise<T>): Promise<{ result: T; milliseconds: number }> {
  const start = process.cpuUsage();
  const result = await run();
  const { user, system } = process.cpuUsage(start);
  return { result, milliseconds: (user + system) / 1000 };
}

/** Measures everything. @param setBytes size of the data set */
export async function measureAuditSpeed(setBytes = SET_BYTES): Promise<SpeedFigure[]> {
  await auditReady();
  const { secrets } = testKeys();
  const figures: SpeedFigure[] = [];
  powersOfBeta(secrets, 1, 100);
  const powers = await timed(() => powersOfBeta(secrets, 1, 1000));
  figures.push({ name: "owner: 1000 powers", unit: "ms", value: powers.milliseconds });
  const measured: SpeedFigure[][] = [];
  for (const elements of SLICE_SIZES) measured.push(await measureSlices(elements, setBytes));
  const [reference = []] = measured;
  for (const [k, list] of measured.entries()) {
    for (const [n, figure] of list.entries()) {
      const ratio = k === 0 ? {} : { ratio: figure.value / (reference[n]?.value ?? 1) };
      figures.push({ ...figure, name: `${SLICE_SIZES[k]} elements, ${figure.name}`, ...ratio });
    }
  }
  figures.push({ name: "peak memory of the process", unit: "MiB", value: process.resourceUsage().maxRSS / 1024 });
  return figures;
}

/** Everything that depends on the size of slices. */
async function measureSlices(sliceElements: number, setBytes: number): Promise<SpeedFigure[]> {
  const { secrets, x, publicKey } = testKeys();
  const sizeBytes = sliceBytes(sliceElements);
  const sliceCount = Math.ceil(setBytes / sizeBytes);
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
  const slice = patternBytes(sizeBytes, 1);
  const kernel = await loadFieldKernel();
  const product = kernel.sliceDotProduct(new Array<bigint>(sliceElements).fill(FIELD_ORDER - 1n));
  const accumulator = kernel.sliceAccumulator(sliceElements);
  const repeats = Math.ceil(CHECKED_BYTES / sizeBytes);
  const repeat = (run: () => void) => () => {
    for (let n = 0; n < repeats; n++) run();
  };
  for (let n = 0; n < 50; n++) product.dotProduct(slice);
  for (let n = 0; n < 50; n++) accumulator.add(slice, 1n);
  const dotProducts = repeat(() => product.dotProduct(slice));
  await record("kernel: f(α)", "MB/s", dotProducts, repeats * sizeBytes);
  const sums = repeat(() => accumulator.add(slice, FIELD_ORDER >> 127n));
  await record("kernel: Σ ν·f", "MB/s", sums, repeats * sizeBytes);

  const powersA = powersOfAlpha(secrets, 0, sliceElements);
  const powersB = powersOfBeta(secrets, 1, sliceCount);
  const tagger = new SliceTagger(secrets, x, 1, sliceElements);
  const tagAll = () => {
    for (let n = 0; n < sliceCount; n++) tagger.push(slice);
    return tagger.finish();
  };
  const tags = await record("owner: tagging", "MB/s", tagAll, sliceCount * sizeBytes);
  await record("provider: check the powers of α", "ms", () => {
    new PowersVerifier(publicKey).checkPowersA(powersA, sliceElements);
  });
  const at = (points: Uint8Array, index: number, count = 1) =>
    points.subarray((index - 1) * POINT_BYTES, (index - 1 + count) * POINT_BYTES);
  const checked = Math.min(sliceCount, repeats);
  const checkTags = () => {
    const verifier = new TagVerifier(publicKey, powersA, sliceElements);
    for (let n = 1; n <= checked; n++) verifier.add(slice, at(powersB, n), at(tags, n));
    verifier.finish();
  };
  await record("provider: check tags", "MB/s", checkTags, checked * sizeBytes);

  const source: SliceSource = {
    sliceElements,
    powersA,
    readSlice: async () => slice,
    readTag: async (index) => at(tags, index),
    readPowersB: async (first, count) => at(powersB, first, count),
  };
  const ranges = [{ firstIndex: 1, count: sliceCount }];
  const challenge = { seed: new Uint8Array(32).fill(7), sampleCount: SAMPLES, ranges };
  const own = await record(`provider: prove ${SAMPLES} samples, private`, "ms", () =>
    proveAudit(challenge, source, {}),
  );
  const proof = await record(`provider: prove ${SAMPLES} samples`, "ms", () =>
    proveAudit(challenge, source, { key: publicKey }),
  );
  await record("anybody: verify", "ms", () => verifyPublic(publicKey, challenge, proof));
  await record("owner: verify", "ms", () => verifyPrivate(secrets, x, challenge, own));
  return figures;
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: { json: { type: "boolean", default: false }, bytes: { type: "string", default: String(SET_BYTES) } },
  });
  const figures = await measureAuditSpeed(Number(values.bytes));
  if (values.json) console.log(JSON.stringify(figures, null, 2));
  else {
    for (const { name, value, unit, ratio } of figures) {
      console.log(
        `${name.padEnd(60)} ${value.toFixed(0)} ${unit}${ratio === undefined ? "" : `  × ${ratio.toFixed(2)}`}`,
      );
    }
  }
}

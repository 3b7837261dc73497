/** How often real challenges find damage, against the formula of docs/audit.md. */
import { expandChallenge } from "../../offchain/core/audit/challenge.ts";

const RANGES = [
  { firstIndex: 3, count: 4000 },
  { firstIndex: 5000, count: 1 },
  { firstIndex: 9000, count: 5999 },
];
const SLICES = 10_000;
/** Damaged slices: 0.1, 0.5, 1 and 5 %. */
const DAMAGED = [10, 50, 100, 500];
const SAMPLES = 460;

/** What a number of audits found of one amount of damage. */
export interface Detection {
  readonly name: string;
  /** The part of the audits that drew a damaged slice. */
  readonly rate: number;
  /** 1 − (1 − d)^c */
  readonly expected: number;
  readonly standardError: number;
}

/** Draws one challenge for each audit, from numbered seeds, so that every run counts the same. */
export function simulateDetection(audits: number): Detection[] {
  const found = DAMAGED.map(() => 0);
  const places = new Map<number, number>();
  for (const { firstIndex, count } of RANGES) {
    for (let k = 0; k < count; k++) places.set(firstIndex + k, places.size);
  }
  const seed = new Uint8Array(32).fill(0xd5);
  for (let audit = 0; audit < audits; audit++) {
    new DataView(seed.buffer).setUint32(0, audit);
    // 7919 is coprime to the number of slices: slices that are damaged are spread over all ranges.
    const lowest = expandChallenge({ seed, sampleCount: SAMPLES, ranges: RANGES }).indices.reduce(
      (least, index) => Math.min(least, ((places.get(index) ?? 0) * 7919) % SLICES),
      SLICES,
    );
    DAMAGED.forEach((damaged, k) => {
      if (lowest < damaged) found[k] = (found[k] ?? 0) + 1;
    });
  }
  return DAMAGED.map((damaged, k) => {
    const expected = 1 - (1 - damaged / SLICES) ** SAMPLES;
    return {
      name: `${(100 * damaged) / SLICES} % damage`,
      rate: (found[k] ?? 0) / audits,
      expected,
      // At least that of one miss, since 5 % damage is missed too seldom for a normal distribution.
      standardError: Math.max(Math.sqrt((expected * (1 - expected)) / audits), 1 / (3 * audits)),
    };
  });
}

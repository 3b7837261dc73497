/**
 * Multiplication of the fixed generator of G1 by many scalars: a table of d·256^w·G1 for all bytes d and positions w
 * turns one multiplication into at most 31 additions (Brickell et al. 1992, with 8-bit windows), about three times
 * faster than a multiplication of an unknown point. The table takes 30 ms to build and about 2 MiB.
 *
 * The additions depend on the scalar's bytes, so the time does too; see the threat model.
 */
import { addG1, generatorG1, identityG1, normalizeMany, type PointG1 } from "./curve.ts";

const WINDOWS = 32;
const DIGITS = 256;

let table: PointG1[] | undefined;

function buildTable(): PointG1[] {
  const entries: PointG1[] = [];
  let base = generatorG1();
  for (let window = 0; window < WINDOWS; window++) {
    let multiple = identityG1();
    for (let digit = 0; digit < DIGITS; digit++) {
      entries.push(multiple);
      multiple = addG1(multiple, base);
    }
    base = multiple;
  }
  return normalizeMany(entries);
}

/** scalar · G1. @param scalar in [0, r) */
export function multiplyGeneratorG1(scalar: bigint): PointG1 {
  table ??= buildTable();
  let sum = identityG1();
  let rest = scalar;
  for (let offset = 0; rest > 0n; offset += DIGITS) {
    const digit = Number(rest & 0xffn);
    rest >>= 8n;
    const entry = table[offset + digit];
    if (digit !== 0 && entry !== undefined) sum = addG1(sum, entry);
  }
  return sum;
}

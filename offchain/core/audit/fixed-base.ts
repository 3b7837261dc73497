/**
 * Multiplication of the fixed generator of G1 by many scalars: a table of d·256^w·G1 for all bytes d and positions w
 * turns one multiplication into at most 31 additions (Brickell et al. 1992, with 8-bit windows). The table takes 30 ms
 * to build and 1.2 MiB. It lies in the memory of mcl, where it is added from: as objects, its points would be copied
 * there and back for every addition, which takes as long as the addition.
 *
 * The additions depend on the scalar's bytes, so the time does too; see the threat model.
 */
import { type CurveMemory, curveMemory, generatorG1, identityG1, type PointG1 } from "./curve.ts";

const WINDOWS = 32;
const DIGITS = 256;

interface Table {
  readonly memory: CurveMemory;
  /** Address of the first point. */
  readonly start: number;
  /** Address of the sum under way. */
  readonly sum: number;
}

let table: Table | undefined;

function buildTable(): Table {
  const memory = curveMemory();
  const { pointBytes } = memory;
  const start = memory.allocate(WINDOWS * DIGITS * pointBytes);
  const [base, sum] = [memory.allocate(pointBytes), memory.allocate(pointBytes)];
  generatorG1().copyToMem(base);
  for (let window = 0; window < WINDOWS; window++) {
    const first = start + window * DIGITS * pointBytes;
    memory.clear(first);
    for (let digit = 1; digit < DIGITS; digit++) {
      memory.add(first + digit * pointBytes, first + (digit - 1) * pointBytes, base);
    }
    memory.add(base, first + (DIGITS - 1) * pointBytes, base);
  }
  // Points with z = 1 are cheaper to add.
  memory.normalize(start, WINDOWS * DIGITS);
  return { memory, start, sum };
}

/** scalar · G1. @param scalar in [0, r) */
export function multiplyGeneratorG1(scalar: bigint): PointG1 {
  table ??= buildTable();
  const { memory, start, sum } = table;
  const { pointBytes } = memory;
  memory.clear(sum);
  let rest = scalar;
  for (let offset = 0; rest > 0n; offset += DIGITS) {
    const digit = Number(rest & 0xffn);
    rest >>= 8n;
    if (digit !== 0) memory.add(sum, sum, start + (offset + digit) * pointBytes);
  }
  const point = identityG1();
  point.copyFromMem(sum);
  return point;
}

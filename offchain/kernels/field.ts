/**
 * Loader of the field kernel (assembly/field.ts, compiled into field.wasm.ts): Σ m_j·p_j over the 4096 elements of a
 * slice, and Σ_t ν_t·m_t,j over slices. An instance holds one memory of 768 KiB and serves one purpose.
 */
import { FIELD_WASM_BASE64 } from "./field.wasm.ts";

const ELEMENTS = 4096;
const SLICE_BYTES = 126_976;
const LIMB_BITS = 29n;
const LIMB_MASK = (1n << LIMB_BITS) - 1n;

// Addresses in the kernel's memory; assembly/field.ts holds the same numbers.
const RESULT_OFFSET = 512;
const RESULT_COLUMNS = 18;
const SLICE_OFFSET = 1024;
const POWERS_OFFSET = 131_072;
const POWER_LIMBS = 9;
const SUMS_OFFSET = 278_528;
const SUM_COLUMNS = 14;

interface KernelExports {
  readonly memory: WebAssembly.Memory;
  dotProduct(): void;
  accumulate(w0: bigint, w1: bigint, w2: bigint, w3: bigint, w4: bigint): void;
  carrySums(): void;
}

/** Inner products of slices with one fixed vector. */
export interface SliceDotProduct {
  /** Σ_j element_j · vector_j, not reduced. @param slice 126,976 bytes @throws RangeError for another length */
  dotProduct(slice: Uint8Array): bigint;
}

/** A weighted sum of slices, element by element. */
export interface SliceAccumulator {
  /**
   * Adds weight · slice.
   * @param slice 126,976 bytes
   * @param weight 0 to 2^128 − 1
   * @throws RangeError for another length or weight, and after 65,535 additions
   */
  add(slice: Uint8Array, weight: bigint): void;
  /** The 4096 sums, not reduced, below 2^392. */
  sums(): bigint[];
}

/** The compiled kernel. */
export interface FieldKernel {
  /** @param vector 4096 integers from 0 to 2^256 − 1 @throws RangeError for another length or larger values */
  sliceDotProduct(vector: readonly bigint[]): SliceDotProduct;
  sliceAccumulator(): SliceAccumulator;
}

/** Additions after which a sum could leave its 14 columns: 2^16 · 2^128 · 2^248 = 2^392 < 2^406. */
const ADDITIONS_LIMIT = 65_535;

let loading: Promise<FieldKernel> | undefined;

/** Compiles the kernel once per process. */
export function loadFieldKernel(): Promise<FieldKernel> {
  loading ??= compile();
  return loading;
}

async function compile(): Promise<FieldKernel> {
  const code = Uint8Array.from(atob(FIELD_WASM_BASE64), (character) => character.charCodeAt(0));
  const module = await WebAssembly.compile(code);
  const instantiate = (): KernelExports => new WebAssembly.Instance(module).exports as unknown as KernelExports;
  return {
    sliceDotProduct: (vector) => createDotProduct(instantiate(), vector),
    sliceAccumulator: () => createAccumulator(instantiate()),
  };
}

function loadSlice(memory: Uint8Array, slice: Uint8Array): void {
  if (slice.length !== SLICE_BYTES) throw new RangeError(`a slice has ${SLICE_BYTES} bytes, not ${slice.length}`);
  memory.set(slice, SLICE_OFFSET);
}

/** Σ column_k · 2^(29k). */
function joinColumns(columns: BigUint64Array): bigint {
  let value = 0n;
  for (let k = columns.length - 1; k >= 0; k--) value = (value << LIMB_BITS) + (columns[k] ?? 0n);
  return value;
}

function createDotProduct(kernel: KernelExports, vector: readonly bigint[]): SliceDotProduct {
  if (vector.length !== ELEMENTS) throw new RangeError(`the vector has ${ELEMENTS} entries, not ${vector.length}`);
  const memory = new Uint8Array(kernel.memory.buffer);
  const powers = new Uint32Array(kernel.memory.buffer, POWERS_OFFSET, ELEMENTS * POWER_LIMBS);
  vector.forEach((value, j) => {
    if (value < 0n || value >> 256n !== 0n) throw new RangeError(`entry ${j} of the vector does not fit 256 bits`);
    for (let k = 0, rest = value; k < POWER_LIMBS; k++, rest >>= LIMB_BITS) {
      powers[j * POWER_LIMBS + k] = Number(rest & LIMB_MASK);
    }
  });
  const columns = new BigUint64Array(kernel.memory.buffer, RESULT_OFFSET, RESULT_COLUMNS);
  return {
    dotProduct(slice) {
      loadSlice(memory, slice);
      kernel.dotProduct();
      return joinColumns(columns);
    },
  };
}

function createAccumulator(kernel: KernelExports): SliceAccumulator {
  const memory = new Uint8Array(kernel.memory.buffer);
  let additions = 0;
  return {
    add(slice, weight) {
      if (weight < 0n || weight >> 128n !== 0n) throw new RangeError("the weight does not fit 128 bits");
      if (++additions > ADDITIONS_LIMIT) throw new RangeError(`more than ${ADDITIONS_LIMIT} slices in one sum`);
      loadSlice(memory, slice);
      const limb = (k: bigint) => (weight >> (LIMB_BITS * k)) & LIMB_MASK;
      kernel.accumulate(limb(0n), limb(1n), limb(2n), limb(3n), limb(4n));
    },
    sums() {
      kernel.carrySums();
      const sums: bigint[] = [];
      for (let j = 0; j < ELEMENTS; j++) {
        const offset = SUMS_OFFSET + j * SUM_COLUMNS * 8;
        sums.push(joinColumns(new BigUint64Array(kernel.memory.buffer, offset, SUM_COLUMNS)));
      }
      return sums;
    },
  };
}

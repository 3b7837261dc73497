/**
 * Loader of the field kernel (assembly/field.ts, compiled into field.wasm.ts): Σ m_j·p_j over the elements of a slice,
 * and Σ_t ν_t·m_t,j over slices. An instance holds one memory of 768 KiB and serves one purpose for up to 4096
 * elements; larger slices are cut into blocks, with an instance each.
 */
import { FIELD_WASM_BASE64 } from "./field.wasm.ts";

/** Elements that one instance has memory for. */
const BLOCK_ELEMENTS = 4096;
const ELEMENT_BYTES = 31;
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
  dotProduct(elements: number): void;
  accumulate(elements: number, w0: bigint, w1: bigint, w2: bigint, w3: bigint, w4: bigint): void;
  carrySums(): void;
}

/** Inner products of slices with one fixed vector. */
export interface SliceDotProduct {
  /** Σ_j element_j · vector_j, not reduced. @param slice 31 bytes an entry @throws RangeError for other lengths */
  dotProduct(slice: Uint8Array): bigint;
}

/** A weighted sum of slices, element by element. */
export interface SliceAccumulator {
  /**
   * Adds weight · slice.
   * @param slice 31 bytes for each element
   * @param weight 0 to 2^128 − 1
   * @throws RangeError for another length or weight, and after 65,535 additions
   */
  add(slice: Uint8Array, weight: bigint): void;
  /** One sum for each element, not reduced, below 2^392. */
  sums(): bigint[];
}

/** The compiled kernel. */
export interface FieldKernel {
  /** @param vector integers from 0 to 2^256 − 1, one for each element @throws RangeError for larger values */
  sliceDotProduct(vector: readonly bigint[]): SliceDotProduct;
  /** @param elements of a slice */
  sliceAccumulator(elements: number): SliceAccumulator;
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
    sliceDotProduct: (vector) => createDotProduct(instantiate, vector),
    sliceAccumulator: (elements) => createAccumulator(instantiate, elements),
  };
}

/** A part of every slice, and the instance for it. */
interface Block {
  readonly kernel: KernelExports;
  readonly memory: Uint8Array;
  readonly firstElement: number;
  readonly elements: number;
}

function blocksOf(instantiate: () => KernelExports, elements: number): Block[] {
  const blocks: Block[] = [];
  for (let firstElement = 0; firstElement < elements; firstElement += BLOCK_ELEMENTS) {
    const kernel = instantiate();
    const memory = new Uint8Array(kernel.memory.buffer);
    blocks.push({ kernel, memory, firstElement, elements: Math.min(BLOCK_ELEMENTS, elements - firstElement) });
  }
  return blocks;
}

function checkSlice(slice: Uint8Array, elements: number): void {
  const expectedBytes = elements * ELEMENT_BYTES;
  if (slice.length !== expectedBytes) throw new RangeError(`a slice has ${expectedBytes} bytes, not ${slice.length}`);
}

function loadBlock({ memory, firstElement, elements }: Block, slice: Uint8Array): void {
  const start = firstElement * ELEMENT_BYTES;
  memory.set(slice.subarray(start, start + elements * ELEMENT_BYTES), SLICE_OFFSET);
}

/** Σ column_k · 2^(29k). */
function joinColumns(columns: BigUint64Array): bigint {
  let value = 0n;
  for (let k = columns.length - 1; k >= 0; k--) value = (value << LIMB_BITS) + (columns[k] ?? 0n);
  return value;
}

function createDotProduct(instantiate: () => KernelExports, vector: readonly bigint[]): SliceDotProduct {
  const blocks = blocksOf(instantiate, vector.length);
  for (const { kernel, firstElement, elements } of blocks) {
    const powers = new Uint32Array(kernel.memory.buffer, POWERS_OFFSET, elements * POWER_LIMBS);
    vector.slice(firstElement, firstElement + elements).forEach((value, j) => {
      if (value < 0n || value >> 256n !== 0n) {
        throw new RangeError(`entry ${firstElement + j} of the vector does not fit 256 bits`);
      }
      for (let k = 0, rest = value; k < POWER_LIMBS; k++, rest >>= LIMB_BITS) {
        powers[j * POWER_LIMBS + k] = Number(rest & LIMB_MASK);
      }
    });
  }
  return {
    dotProduct(slice) {
      checkSlice(slice, vector.length);
      let product = 0n;
      for (const block of blocks) {
        loadBlock(block, slice);
        block.kernel.dotProduct(block.elements);
        product += joinColumns(new BigUint64Array(block.kernel.memory.buffer, RESULT_OFFSET, RESULT_COLUMNS));
      }
      return product;
    },
  };
}

function createAccumulator(instantiate: () => KernelExports, sliceElements: number): SliceAccumulator {
  const blocks = blocksOf(instantiate, sliceElements);
  let additions = 0;
  return {
    add(slice, weight) {
      if (weight < 0n || weight >> 128n !== 0n) throw new RangeError("the weight does not fit 128 bits");
      checkSlice(slice, sliceElements);
      if (++additions > ADDITIONS_LIMIT) throw new RangeError(`more than ${ADDITIONS_LIMIT} slices in one sum`);
      const limb = (k: bigint) => (weight >> (LIMB_BITS * k)) & LIMB_MASK;
      for (const block of blocks) {
        loadBlock(block, slice);
        block.kernel.accumulate(block.elements, limb(0n), limb(1n), limb(2n), limb(3n), limb(4n));
      }
    },
    sums() {
      const sums: bigint[] = [];
      for (const { kernel, elements } of blocks) {
        kernel.carrySums();
        for (let j = 0; j < elements; j++) {
          const offset = SUMS_OFFSET + j * SUM_COLUMNS * 8;
          sums.push(joinColumns(new BigUint64Array(kernel.memory.buffer, offset, SUM_COLUMNS)));
        }
      }
      return sums;
    },
  };
}

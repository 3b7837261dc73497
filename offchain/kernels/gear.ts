/**
 * The rolling hash of the chunker, twice: the WebAssembly kernel (assembly/gear.ts, compiled into gear.wasm.ts) and its
 * twin in TypeScript, which is the oracle of its tests. Both find the same places.
 */
import { GEAR_WASM_BASE64 } from "./gear.wasm.ts";

// Addresses in the kernel's memory; assembly/gear.ts holds the same numbers.
const TABLE_OFFSET = 1024;
const WINDOW_OFFSET = 4096;
const WINDOW_BYTES = 65_536;

interface KernelExports {
  readonly memory: WebAssembly.Memory;
  readonly fingerprint: WebAssembly.Global;
  roll(length: number, mask: number, start: number): number;
}

/** A range of a piece, and what a gear fingerprint is compared with. */
export interface GearRange {
  readonly start: number;
  readonly stop: number;
  /** The bits that must be zero. */
  readonly mask: number;
  /** Fingerprint before the range. */
  readonly fingerprint: number;
}

/** Where a roll ended. */
export interface GearStop {
  /** Index after the first byte at which the masked bits of the fingerprint are zero; undefined if there is none. */
  readonly found?: number;
  /** Fingerprint after the range. Without meaning when something was found. */
  readonly fingerprint: number;
}

/** Rolls a gear fingerprint over a range. It keeps nothing between calls, so that chunkers may share one. */
export type RollGear = (piece: Uint8Array, range: GearRange) => GearStop;

/**
 * The kernel, with a memory of 128 KiB. The module has less than 4 KiB, so browsers compile it synchronously on the
 * main thread too.
 * @param table 256 entries
 */
export function createGearKernel(table: Int32Array): RollGear {
  const code = Uint8Array.from(atob(GEAR_WASM_BASE64), (character) => character.charCodeAt(0));
  const kernel = new WebAssembly.Instance(new WebAssembly.Module(code)).exports as unknown as KernelExports;
  new Int32Array(kernel.memory.buffer, TABLE_OFFSET, 256).set(table);
  const window = new Uint8Array(kernel.memory.buffer, WINDOW_OFFSET, WINDOW_BYTES);
  return (piece, { start, stop, mask, fingerprint }) => {
    let current = fingerprint;
    for (let from = start; from < stop; from += WINDOW_BYTES) {
      const length = Math.min(WINDOW_BYTES, stop - from);
      window.set(piece.subarray(from, from + length));
      const found = kernel.roll(length, mask, current);
      if (found > 0) return { found: from + found, fingerprint: 0 };
      current = kernel.fingerprint.value;
    }
    return { fingerprint: current };
  };
}

/** The twin in TypeScript. @param table 256 entries */
export function createGearOracle(table: Int32Array): RollGear {
  return (piece, { start, stop, mask, fingerprint }) => {
    let current = fingerprint;
    for (let index = start; index < stop; index++) {
      // Indices are in range by construction; the casts only say so.
      current = ((current << 1) + (table[piece[index] as number] as number)) | 0;
      if ((current & mask) === 0) return { found: index + 1, fingerprint: 0 };
    }
    return { fingerprint: current };
  };
}

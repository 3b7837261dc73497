/**
 * Trees of files for `npm run bench:data`: the same bytes on every machine, from seeds.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { aesCtrStream } from "../demo/keystream.ts";

const MIB = 1024 * 1024;
export const LARGE_FILE_BYTES = 16 * MIB;
export const SMALL_FILE_BYTES = 1024;
const FILES_PER_FOLDER = 100;
/** Not a power of two, so that no block boundary of the original is one of the copy. */
const SHIFT_BYTES = 1031;

/**
 * Incompressible files of 16 MiB, half of whose bytes repeat others: of four files, the third repeats the first and the
 * fourth has the content of the second moved by {@link SHIFT_BYTES}.
 */
export function writeHalfDuplicateTree(folder: string, files: number): void {
  mkdirSync(folder, { recursive: true });
  for (let index = 0; index < files; index += 1) {
    writeFileSync(join(folder, `${String(index).padStart(4, "0")}.bin`), halfDuplicateFile(index));
  }
}

/** Bytes of one file of the half-duplicate tree. */
export function halfDuplicateFile(index: number, sizeBytes = LARGE_FILE_BYTES): Buffer {
  const place = index % 4;
  if (place < 2) return aesCtrStream(`large ${index}`, sizeBytes);
  const original = aesCtrStream(`large ${index - 2}`, sizeBytes);
  if (place === 2) return original;
  const inserted = aesCtrStream(`shift ${index}`, SHIFT_BYTES);
  return Buffer.concat([inserted, original.subarray(0, sizeBytes - SHIFT_BYTES)]);
}

/** Incompressible files of 1 KiB, all different, 100 in a folder. */
export function writeSmallFiles(folder: string, files: number): void {
  for (let first = 0; first < files; first += FILES_PER_FOLDER) {
    const parent = join(folder, String(first / FILES_PER_FOLDER).padStart(5, "0"));
    mkdirSync(parent, { recursive: true });
    const count = Math.min(FILES_PER_FOLDER, files - first);
    const bytes = aesCtrStream(`small ${first}`, count * SMALL_FILE_BYTES);
    for (let index = 0; index < count; index += 1) {
      const content = bytes.subarray(index * SMALL_FILE_BYTES, (index + 1) * SMALL_FILE_BYTES);
      writeFileSync(join(parent, `${String(first + index).padStart(6, "0")}.dat`), content);
    }
  }
}

/** Gives the file in the middle of a tree of small files another content of the same size. @returns its path */
export function changeOneSmallFile(folder: string, files: number, change: number): string {
  const index = Math.floor(files / 2);
  const parent = String(Math.floor(index / FILES_PER_FOLDER)).padStart(5, "0");
  const path = join(folder, parent, `${String(index).padStart(6, "0")}.dat`);
  writeFileSync(path, aesCtrStream(`change ${change}`, SMALL_FILE_BYTES));
  return path;
}

/** Adds a file of 1 KiB to a tree. */
export function addOneSmallFile(folder: string, change: number): void {
  writeFileSync(join(folder, `added-${change}.dat`), aesCtrStream(`added ${change}`, SMALL_FILE_BYTES));
}

/** Files of 16 MiB of words, which zstd makes three times smaller. */
export function writeTextTree(folder: string, files: number): void {
  mkdirSync(folder, { recursive: true });
  for (let index = 0; index < files; index += 1) {
    writeFileSync(join(folder, `${String(index).padStart(4, "0")}.txt`), textFile(index));
  }
}

/** Words of a made-up language, frequent ones more often, as in natural text; lines of twelve words. */
export function textFile(seed: number, sizeBytes = LARGE_FILE_BYTES): Buffer {
  const words = vocabulary();
  const text = Buffer.alloc(sizeBytes, 0x2e);
  const random = generator(seed + 1);
  let offset = 0;
  for (let count = 1; ; count += 1) {
    // The cube of a uniform number prefers the first words.
    const word = words[Math.floor(random() ** 3 * words.length)] ?? Buffer.alloc(0);
    if (offset + word.length + 1 > sizeBytes) return text;
    text.set(word, offset);
    offset += word.length;
    text[offset] = count % 12 === 0 ? 0x0a : 0x20;
    offset += 1;
  }
}

function vocabulary(): Buffer[] {
  const syllables = [
    "ka",
    "ro",
    "mi",
    "ten",
    "sul",
    "va",
    "per",
    "on",
    "dri",
    "esh",
    "ul",
    "an",
    "qui",
    "to",
    "ne",
    "lo",
  ];
  const random = generator(7);
  return Array.from({ length: 8192 }, (_, rank) => {
    const length = 1 + Math.floor(Math.log2(rank + 2) / 3);
    const parts = Array.from({ length }, () => syllables[Math.floor(random() * syllables.length)]);
    return Buffer.from(parts.join(""));
  });
}

/** The mulberry32 generator. @returns numbers from 0 to below 1 */
function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

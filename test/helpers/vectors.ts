/** Reads test vectors. They are compared as JSON, so a test states the type it expects and fails on anything else. */
import { readFileSync } from "node:fs";
import { hexToBytes } from "@noble/hashes/utils.js";

/** Loads test/vectors/<name>. */
export function loadVectors<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(`../vectors/${name}`, import.meta.url), "utf8")) as T;
}

/** Bytes of a hexadecimal string without prefix. */
export function unhex(text: string): Uint8Array {
  return hexToBytes(text);
}

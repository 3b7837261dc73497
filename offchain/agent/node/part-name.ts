/**
 * Temporary names of what a restore puts together: the same at every attempt, so that a run can go on, and known to a
 * put, which leaves them out.
 */
import { sha256 } from "#primitives";
import { toHex } from "../../core/encoding/hex.ts";
import { pathToBytes } from "../../core/recipe/path-name.ts";

const PART_NAME = /^\.tallystick-[0-9a-f]{24}\.part$/;

/** @param path of the entry in the put */
export function partNameOf(dataId: string, path: string): string {
  const name = toHex(sha256(Buffer.concat([pathToBytes(dataId), pathToBytes(path)]))).slice(2, 26);
  return `.tallystick-${name}.part`;
}

export function isPartName(name: string): boolean {
  return PART_NAME.test(name);
}

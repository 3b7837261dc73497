/**
 * Reproducible random numbers. Each follows from a seed, which is printed, and which TALLYSTICK_TEST_SEED sets.
 */

import { randomBytes } from "node:crypto";
import { pseudoRandomBytes } from "./pseudo-random.ts";

/** The seed of this run. */
export const SEED = process.env.TALLYSTICK_TEST_SEED ?? randomBytes(4).toString("hex");

/** @returns a whole number from 0 to `below` − 1 that depends on the seed and the name alone */
export function chance(name: string, below: number): number {
  const bytes = Buffer.from(pseudoRandomBytes(`${SEED} ${name}`, 6));
  return bytes.readUIntBE(0, 6) % below;
}

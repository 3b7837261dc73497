/**
 * Which file to give Node to start a program of this checkout. Set-up (`scripts/run.mjs`) builds `dist/bin` and names
 * it in the environment of what it starts, so that a network of many processes starts quickly. Without set-up (a single
 * test file run by hand) programs run from their sources, which are never outdated.
 */
import { join, resolve } from "node:path";

export type ProgramName = "tallystick" | "tallystick-nbm" | "tallystick-csp" | "tallystick-verifier";

const SOURCES = resolve(import.meta.dirname, "..", "offchain", "bin");

export function programPath(name: ProgramName): string {
  const built = process.env.TALLYSTICK_PROGRAMS;
  return built === undefined ? join(SOURCES, `${name}.ts`) : join(built, `${name}.js`);
}

/**
 * The programs, and what file to start one from. Reading hundreds of modules takes longer than most commands work, so set-up
 * (`scripts/bundle.mjs`) joins each program and its packages into one file. That file counts only while nothing it was made of
 * has changed since; otherwise the program starts from its sources, as it does where no set-up ran.
 *
 * Plain JavaScript, because it may be read by a Node that cannot run TypeScript.
 */
import { existsSync, readFileSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..", "..");

/** The source that each program starts with. */
export const PROGRAMS = {
  tallystick: join(root, "offchain", "cli", "main.ts"),
  nbm: join(root, "offchain", "nbm", "main.ts"),
  csp: join(root, "offchain", "csp", "main.ts"),
};

/** Where a program's one file is, and the list of what it was made of. */
export function bundleOf(name) {
  const folder = join(root, "node_modules", ".cache", "programs");
  return { file: join(folder, `${name}.mjs`), inputs: join(folder, `${name}.json`) };
}

/** What tells a file from its other versions. */
export function stampOf(path) {
  const { mtimeMs, size } = statSync(join(root, path));
  return `${mtimeMs} ${size}`;
}

function isCurrent({ file, inputs }) {
  try {
    const stamps = Object.entries(JSON.parse(readFileSync(inputs, "utf8")));
    return existsSync(file) && stamps.every(([path, stamp]) => stampOf(path) === stamp);
  } catch {
    // None was made, or a source is gone.
    return false;
  }
}

/** @returns what to give Node to start the program: its one file while that is current, else its source */
export function programPath(name) {
  const bundle = bundleOf(name);
  return isCurrent(bundle) ? bundle.file : PROGRAMS[name];
}

/**
 * Contracts revert in one way: `if (condition) revert CustomError(...)`. `require` evaluates the error's arguments also
 * when the condition holds, and texts cost gas and cannot be decoded by callers. Contracts of tests are free.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join, sep } from "node:path";

/** Comments and strings, which may hold anything. */
const NO_CODE = /\/\*[\s\S]*?\*\/|\/\/[^\n]*|"(?:\\.|[^"\\\n])*"/g;
/**
 * `revert(` is the form with a text, or with nothing; in assembly it returns raw bytes. That is right for what a called
 * contract said, which is passed on.
 */
const OTHER_IDIOM = /\b(require|assert|revert)\s*\((?!\w+, returndatasize\(\)\))/g;

/** @returns one line for each other way to revert: `path:line: what` */
export function revertIdiomProblems(path: string, source: string): string[] {
  const code = source.replace(NO_CODE, (text) => text.replace(/[^\n]/g, " "));
  return [...code.matchAll(OTHER_IDIOM)].map((found) => {
    const line = code.slice(0, found.index).split("\n").length;
    return `${path}:${line}: ${found[1]}(...): write if (condition) revert CustomError(...)`;
  });
}

/** Holds all contracts but those of tests to the idiom. */
export function contractRevertProblems(root: string): string[] {
  return readdirSync(join(root, "contracts"), { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".sol") && !path.startsWith(`test${sep}`))
    .sort()
    .flatMap((path) =>
      revertIdiomProblems(join("contracts", path), readFileSync(join(root, "contracts", path), "utf8")),
    );
}

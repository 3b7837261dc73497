/**
 * Holds docs/errors.md against the code: every error code is described there once, and nothing else is.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";

function codesInSource(root: string): string[] {
  const source = readFileSync(join(root, "offchain", "core", "errors.ts"), "utf8");
  // The union ends with the blank line after it; semicolons occur in its comments as well.
  const union = /export type ErrorCode =([\s\S]*?)\n\n/.exec(source)?.[1] ?? "";
  return [...union.matchAll(/^\s*\| "([A-Z_]+)"/gm)].map((match) => match[1] ?? "");
}

/** @returns one line for each difference between the catalogue and the code, none when they agree */
export function errorCatalogueProblems(root: string): string[] {
  const inSource = codesInSource(root);
  const document = readFileSync(join(root, "docs", "errors.md"), "utf8");
  const described = [...document.matchAll(/^\| `([A-Z_]+)` \|/gm)].map((match) => match[1] ?? "");
  const twice = described.filter((code, index) => described.indexOf(code) !== index);
  return [
    ...inSource.filter((code) => !described.includes(code)).map((code) => `docs/errors.md does not describe ${code}`),
    ...described
      .filter((code) => !inSource.includes(code))
      .map((code) => `docs/errors.md describes ${code}, which no longer exists`),
    ...twice.map((code) => `docs/errors.md describes ${code} twice`),
    ...(inSource.length === 0 ? ["no error codes found in offchain/core/errors.ts"] : []),
  ];
}

/**
 * The catalogue in docs/errors.md, generated from the table of error codes. `npm run check` compares the two;
 * `node scripts/check/error-catalogue.ts --write` renews the document.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { EXIT } from "../../offchain/cli/exit-codes.ts";
import { ERROR_CODES, type ErrorCode, type ErrorCodeEntry } from "../../offchain/core/error-codes.ts";
import { ERROR_TEXTS, type ErrorText } from "./error-texts.ts";

const DOCUMENT = join("docs", "errors.md");
const START = "<!-- generated from offchain/core/error-codes.ts -->";
const COLUMNS = 120;

/** A list item, wrapped, with the lines after the first indented to the first one's text. */
function item(label: string, text: string): string {
  const lines = [`- ${label}:`];
  for (const word of text.split(" ")) {
    const last = lines.at(-1) ?? "";
    if (last.length + 1 + word.length <= COLUMNS) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(`  ${word}`);
  }
  return lines.join("\n");
}

function section(code: string, entry: ErrorCodeEntry, text: ErrorText): string {
  const retried = entry.retryable ? ", retryable" : "";
  return [
    `### ${code}`,
    "",
    `Exit code ${EXIT[entry.exit]}, HTTP status ${entry.status}${retried}.`,
    "",
    item("Meaning", text.meaning),
    item("Cause", text.cause),
    item("What to do", text.remedy),
    "",
  ].join("\n");
}

/** @returns the generated part of docs/errors.md */
export function errorCatalogue(): string {
  const sections = Object.entries(ERROR_TEXTS).map(([code, text]) =>
    section(code, ERROR_CODES[code as ErrorCode], text),
  );
  return `${START}\n\n${sections.join("\n")}`;
}

function introduction(document: string): string {
  const start = document.indexOf(START);
  return start < 0 ? document : document.slice(0, start);
}

/** @returns what differs between docs/errors.md and the table of error codes; nothing when they agree */
export function errorCatalogueProblems(root: string): string[] {
  const document = readFileSync(join(root, DOCUMENT), "utf8");
  if (document === introduction(document) + errorCatalogue()) return [];
  return [`${DOCUMENT} differs from offchain/core/error-codes.ts: run node scripts/check/error-catalogue.ts --write`];
}

if (import.meta.main && process.argv.includes("--write")) {
  const file = join(resolve(import.meta.dirname, "..", ".."), DOCUMENT);
  writeFileSync(file, introduction(readFileSync(file, "utf8")) + errorCatalogue());
}

/**
 * Holds every line of code, comment and prose to 120 columns. Formatters wrap code only, so comments and documents need
 * this.
 */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const COLUMNS = 120;
const CHECKED = /\.(?:ts|mts|mjs|js|sol|md|html|css|sh|py)$/;
/** Generated, and a licence whose text is not ours. */
const EXEMPT = [
  /^contracts\/test\/PdpVectors\.sol$/,
  /^offchain\/chain\/types\//,
  /\.wasm\.ts$/,
  /^test\/vectors\/.*\.json$/,
  /^LICENSE$/,
];
/** A table row or a line with an address cannot be wrapped. */
const UNBREAKABLE = /^\s*\||https?:\/\//;

/** @returns one line for each tracked line that is too long: `file:number: n columns` */
export function lineWidthProblems(root: string): string[] {
  const listed = spawnSync("git", ["ls-files", "-z"], { cwd: root, encoding: "utf8", maxBuffer: 1 << 26 });
  if (listed.status !== 0) return [`git ls-files: ${listed.stderr.trim() || listed.error?.message}`];
  const files = listed.stdout.split("\0").filter((file) => CHECKED.test(file) && !EXEMPT.some((one) => one.test(file)));
  return files.flatMap((file) =>
    readFileSync(join(root, file), "utf8")
      .split("\n")
      .flatMap((line, index) => {
        const columns = [...line].length;
        const isTooLong = columns > COLUMNS && !UNBREAKABLE.test(line);
        return isTooLong ? [`${file}:${index + 1}: ${columns} columns, at most ${COLUMNS}`] : [];
      }),
  );
}

/** Which test files belong to which run. */
import { readdirSync, readFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";

export const ROOT = resolve(import.meta.dirname, "..", "..");
const TESTS = join(ROOT, "test");
const LONG = "long";
/** Folders whose files take long come first, so that all lanes end together. */
const LONGEST_FIRST = ["integration", "scripts", "csp", "nbm", "contracts"];

/** Files of the folders of test/ with these names; of all but test/long when none is given. */
export function filesOfFolders(wanted: readonly string[]): string[] {
  const rank = (name: string): number =>
    LONGEST_FIRST.includes(name) ? LONGEST_FIRST.indexOf(name) : LONGEST_FIRST.length;
  return readdirSync(TESTS, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && entry.name !== LONG)
    .map((entry) => entry.name)
    .filter((name) => wanted.length === 0 || wanted.includes(name))
    .sort((a, b) => rank(a) - rank(b))
    .flatMap((name) => testFiles(join(TESTS, name)));
}

/** Files of test/long that measure times. They run by name only: what runs beside them would be measured too. */
const MEASUREMENTS: readonly string[] = ["hostile-provider", "committee-times"];

/** Files of test/long with these names; all but the measurements when none is given. */
export function longFiles(wanted: readonly string[]): string[] {
  return testFiles(join(TESTS, LONG)).filter((file) => {
    const name = basename(file, ".test.ts");
    return wanted.length === 0 ? !MEASUREMENTS.includes(name) : wanted.includes(name);
  });
}

/** Files with properties whose number of cases is not their own, and which start no processes. */
export function propertyFiles(): string[] {
  return testFiles(join(TESTS, "core")).filter((file) => /fc\.(assert|check)\(/.test(readFileSync(file, "utf8")));
}

function testFiles(directory: string): string[] {
  return readdirSync(directory, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".test.ts"))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

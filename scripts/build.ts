/**
 * `npm run build`: makes `dist`, what the package consists of beside its contracts. The library is the sources compiled
 * one by one, with types and source maps; the programs are built as set-up builds them.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { buildPrograms } from "./build-programs.mjs";

const ROOT = resolve(import.meta.dirname, "..");
const DIST = join(ROOT, "dist");

function compileLibrary(): void {
  const tsc = join(ROOT, "node_modules", "typescript", "bin", "tsc");
  const done = spawnSync(process.execPath, [tsc, "-p", "tsconfig.build.json"], { cwd: ROOT, stdio: "inherit" });
  if (done.status !== 0) throw new Error("the library does not compile");
}

/**
 * What the compiler leaves: the files that worker threads start with, imports in the type declarations, and the
 * platform's primitives, which the import map of package.json has once for the sources and once for `dist`.
 */
function rewriteRemainingImports(): void {
  for (const entry of readdirSync(DIST, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !/\.(js|d\.ts)$/.test(entry.name)) continue;
    const path = join(entry.parentPath, entry.name);
    const text = readFileSync(path, "utf8");
    const rewritten = text
      .replaceAll(/(new URL\("\.[^"]*)\.ts(", import\.meta\.url\))/g, "$1.js$2")
      .replaceAll(/((?:from |import\()"\.[^"]*)\.ts"/g, '$1.js"')
      .replaceAll('from "#primitives"', 'from "#dist/primitives"');
    if (rewritten !== text) writeFileSync(path, rewritten);
  }
}

for (const name of existsSync(DIST) ? readdirSync(DIST) : []) {
  if (name !== "bin") rmSync(join(DIST, name), { recursive: true });
}
compileLibrary();
rewriteRemainingImports();
// Files of earlier builds go last: while nothing changed there are none, and a program that runs from the folder finds
// all of its own.
const built = await buildPrograms();
for (const name of readdirSync(join(DIST, "bin"))) if (!built.includes(name)) rmSync(join(DIST, "bin", name));

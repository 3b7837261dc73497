/**
 * `npm run build`: makes `dist`, what the package consists of beside its contracts. The library is the sources compiled one by one, with
 * types and source maps; the programs are built as set-up builds them.
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

/** What the compiler leaves: the files that worker threads start with, and imports in the type declarations. */
function rewriteRemainingEndings(): void {
  for (const entry of readdirSync(DIST, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !/\.(js|d\.ts)$/.test(entry.name)) continue;
    const path = join(entry.parentPath, entry.name);
    const text = readFileSync(path, "utf8");
    const rewritten = text
      .replaceAll(/(new URL\("\.[^"]*)\.ts(", import\.meta\.url\))/g, "$1.js$2")
      .replaceAll(/((?:from |import\()"\.[^"]*)\.ts"/g, '$1.js"');
    if (rewritten !== text) writeFileSync(path, rewritten);
  }
}

/**
 * Import maps belong to the nearest package.json. With one of its own, `dist` imports its own primitives, and the sources theirs. No
 * module does anything when it is loaded that others rely on, so bundlers may leave out what is not used.
 */
function writeImportMap(): void {
  const imports = {
    "#primitives": { node: "./kernels/primitives-node.js", default: "./kernels/primitives-web.js" },
  };
  const document = { type: "module", sideEffects: false, imports };
  writeFileSync(join(DIST, "package.json"), `${JSON.stringify(document, null, 2)}\n`);
}

// The folder of the programs stays: a command may be running from it.
for (const name of existsSync(DIST) ? readdirSync(DIST) : []) {
  if (name !== "bin") rmSync(join(DIST, name), { recursive: true });
}
compileLibrary();
rewriteRemainingEndings();
writeImportMap();
await buildPrograms();

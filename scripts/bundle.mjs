/**
 * Joins each program with its packages into one file that Node reads at once. Part of set-up; `offchain/cli/programs.mjs` says when
 * the file counts. Plain JavaScript, like `run.mjs`.
 */
import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { bundleOf, PROGRAMS, programPath, stampOf } from "../offchain/cli/programs.mjs";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");

/** What packages in CommonJS expect to find. */
const BANNER = [
  'import { createRequire as bundleRequire } from "node:module";',
  "const require = bundleRequire(import.meta.url), __filename = import.meta.filename, __dirname = import.meta.dirname;",
].join("\n");

/** What else decides what comes out. */
const CONFIGURATION = ["package.json", "package-lock.json", join("scripts", "bundle.mjs")];

function bundle(name) {
  const { file, inputs } = bundleOf(name);
  const { buildSync } = createRequire(import.meta.url)("esbuild");
  const partial = `${file}.${process.pid}`;
  const { metafile } = buildSync({
    absWorkingDir: root,
    entryPoints: [PROGRAMS[name]],
    outfile: partial,
    bundle: true,
    platform: "node",
    target: "node24",
    format: "esm",
    // The order of ESM first, as Node itself would take them.
    mainFields: ["module", "main"],
    tsconfigRaw: {},
    keepNames: true,
    legalComments: "none",
    banner: { js: BANNER },
    metafile: true,
    logLevel: "error",
  });
  // Packages change with the lock file alone.
  const paths = Object.keys(metafile.inputs).filter((path) => !path.startsWith("node_modules/"));
  const stamps = [...paths, ...CONFIGURATION].map((path) => [path, stampOf(path)]);
  renameSync(partial, file);
  writeFileSync(inputs, JSON.stringify(Object.fromEntries(stamps)));
}

/** Makes what is missing or outdated. Any number of processes may do so at a time. */
export function bundlePrograms() {
  for (const name of Object.keys(PROGRAMS)) {
    if (programPath(name) !== PROGRAMS[name]) continue;
    mkdirSync(dirname(bundleOf(name).file), { recursive: true });
    bundle(name);
  }
}

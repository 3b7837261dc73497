/**
 * Builds the programs of `offchain/bin` into `dist/bin`: each becomes one file with the packages it needs, beside a few
 * files that programs share or load late. Node reads one large file faster than hundreds of modules: a command starts
 * in a quarter of a second instead of six tenths. Part of set-up and of `npm run build`. Plain JavaScript, because
 * `run.mjs` runs it before it can run TypeScript.
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const SOURCES = join(root, "offchain");
const OUTPUT = join(root, "dist", "bin");
/** The programs: entry points in `offchain/bin`, commands of the package. */
export const PROGRAMS = ["tallystick", "tallystick-nbm", "tallystick-csp", "tallystick-verifier"];

/** Packages in CommonJS expect these names. */
const BANNER = [
  'import { createRequire as bundleRequire } from "node:module";',
  "const require = bundleRequire(import.meta.url), __filename = import.meta.filename, __dirname = import.meta.dirname;",
].join("\n");

/** How sources name the module of a worker thread, relative to themselves. */
const WORKER_URL = /new URL\("(\.[^"]*)\.ts", import\.meta\.url\)/g;

/** The TypeScript sources of the package. */
export function packageSources() {
  return readdirSync(SOURCES, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .sort();
}

/** Modules that some source starts in a worker thread: each becomes a file of its own, whatever program starts it. */
function workerModules() {
  return packageSources().flatMap((path) =>
    [...readFileSync(path, "utf8").matchAll(WORKER_URL)].map(([, name]) => resolve(dirname(path), `${name}.ts`)),
  );
}

/** Name of an entry point's output. Workers keep their folder in it, since two folders may have a `worker.ts`. */
function outputName(path) {
  return dirname(path) === join(SOURCES, "bin")
    ? basename(path, ".ts")
    : relative(SOURCES, path).replace(/\.ts$/, "").replaceAll(/[\\/]/g, "-");
}

/**
 * Outputs lie in one folder, so that a worker's file is beside the file that starts it, whichever that became part of.
 */
const workerUrls = {
  name: "worker-urls",
  setup(build) {
    build.onLoad({ filter: /[\\/]offchain[\\/].*\.ts$/ }, ({ path }) => ({
      loader: "ts",
      contents: readFileSync(path, "utf8").replaceAll(
        WORKER_URL,
        (_, name) => `new URL("./${outputName(resolve(dirname(path), `${name}.ts`))}.js", import.meta.url)`,
      ),
    }));
  },
};

/**
 * Node's HTTP modules, taken as CommonJS does. An ESM import reads every name that a module exports, and reading
 * `WebSocket` of `node:http` loads all of undici, which takes 50 ms of every command.
 */
const plainHttp = {
  name: "plain-http",
  setup(build) {
    build.onResolve({ filter: /^(node:)?https?$/ }, ({ path }) => ({ path, namespace: "plain-http" }));
    build.onLoad({ filter: /.*/, namespace: "plain-http" }, ({ path }) => ({
      contents: `module.exports = process.getBuiltinModule(${JSON.stringify(path)});`,
    }));
  },
};

/** The licences of what became part of the programs, packages and the zstd kernel: most ask that copies carry them. */
function licencesOf(inputs) {
  const folders = inputs.map((path) => /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0]);
  const texts = [...new Set(folders.filter((folder) => folder !== undefined))].sort().map((folder) => {
    const { name, version, license } = JSON.parse(readFileSync(join(root, folder, "package.json"), "utf8"));
    const file = readdirSync(join(root, folder)).find((entry) => /^licen[cs]e/i.test(entry));
    const text = file === undefined ? "" : readFileSync(join(root, folder, file), "utf8");
    return `${name} ${version} (${license})\n\n${text.trim()}\n`;
  });
  texts.push(readFileSync(join(SOURCES, "kernels", "zstd-licences.txt"), "utf8"));
  return texts.join(`\n${"-".repeat(80)}\n\n`);
}

/**
 * Builds all programs. Files are replaced one by one and none is removed: a program that runs meanwhile may still load
 * what it was built with, and any number of processes may build at a time.
 *
 * @returns the names of the files
 */
export async function buildPrograms() {
  const { build } = createRequire(import.meta.url)("esbuild");
  const entries = [...PROGRAMS.map((name) => join(SOURCES, "bin", `${name}.ts`)), ...workerModules()];
  const { outputFiles, metafile } = await build({
    absWorkingDir: root,
    entryPoints: [...new Set(entries)].map((path) => ({ in: path, out: outputName(path) })),
    outdir: OUTPUT,
    chunkNames: "[name]-[hash]",
    bundle: true,
    splitting: true,
    platform: "node",
    target: "node22.15",
    format: "esm",
    // The order of ESM first, as Node itself would take them.
    mainFields: ["module", "main"],
    // A module that became part of a program is never the one that Node was started with.
    define: { "import.meta.main": "false" },
    tsconfigRaw: {},
    legalComments: "none",
    banner: { js: BANNER },
    plugins: [workerUrls, plainHttp],
    logLevel: "error",
    metafile: true,
    write: false,
  });
  mkdirSync(OUTPUT, { recursive: true });
  const licences = { path: join(OUTPUT, "LICENSES.txt"), contents: licencesOf(Object.keys(metafile.inputs)) };
  const files = [...outputFiles, licences];
  for (const { path, contents } of files) {
    const partial = `${path}.${process.pid}`;
    writeFileSync(partial, contents, { mode: PROGRAMS.includes(basename(path, ".js")) ? 0o755 : 0o644 });
    renameSync(partial, path);
  }
  return files.map(({ path }) => basename(path));
}

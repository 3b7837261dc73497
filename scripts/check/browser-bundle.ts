/**
 * Bundles what `import … from "tallystick"` gives a page and holds the bundle to its budget. A browser has no modules
 * of Node: bundling fails when a source imports one, and the check fails when the bundle still asks for one at run
 * time.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { buildSync, type Metafile } from "esbuild";

/**
 * Imports that may stay in the bundle, by the package that has them. `@hpke/common` asks for `crypto` only where
 * `globalThis.crypto` is missing, which no page of a secure context is without, and handles its absence.
 */
const HARMLESS_IMPORTS: ReadonlySet<string> = new Set(["@hpke/common: crypto"]);

/** Imports that esbuild left alone: it does so with `import()` in a `try` block. @returns such as `package: module` */
function remainingImports({ inputs }: Metafile): string[] {
  const found = Object.entries(inputs).flatMap(([path, { imports }]) => {
    const owner = /.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1] ?? path;
    return imports.filter(({ external }) => external === true).map((imported) => `${owner}: ${imported.path}`);
  });
  return [...new Set(found)].filter((name) => !HARMLESS_IMPORTS.has(name));
}

/** @param root folder of a built checkout @returns one line for each problem, none when there is none */
export function browserBundleProblems(root: string, entry = "tallystick"): string[] {
  const budget = JSON.parse(readFileSync(join(root, "scripts", "check", "browser-bundle.json"), "utf8"));
  const { gzipBytes: limit } = budget as { gzipBytes: number };
  let bundle: Uint8Array;
  let remaining: string[];
  try {
    const { outputFiles, metafile } = buildSync({
      stdin: { contents: `export * from ${JSON.stringify(entry)};`, resolveDir: root },
      absWorkingDir: root,
      bundle: true,
      minify: true,
      platform: "browser",
      format: "esm",
      target: "es2023",
      tsconfigRaw: {},
      logLevel: "silent",
      write: false,
      metafile: true,
    });
    bundle = outputFiles[0]?.contents ?? new Uint8Array();
    remaining = remainingImports(metafile);
  } catch (error) {
    return [`the bundle for browsers cannot be built: ${error instanceof Error ? error.message : String(error)}`];
  }
  const problems = remaining.map((name) => `the bundle for browsers imports a module at run time: ${name}`);
  const gzipBytes = gzipSync(bundle).length;
  if (gzipBytes > limit) {
    problems.push(
      `the bundle for browsers has ${gzipBytes} bytes (gzip), ${limit} are allowed: import less, ` +
        "or raise the budget in scripts/check/browser-bundle.json and say why there",
    );
  }
  return problems;
}

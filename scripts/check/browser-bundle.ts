/**
 * Bundles what `import … from "tallystick"` gives a page and holds the bundle to its budget. Bundling fails when a
 * module for Node is among the sources, because a browser has none.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { buildSync } from "esbuild";

/** @param root folder of a built checkout @returns one line for each problem, none when there is none */
export function browserBundleProblems(root: string, entry = "tallystick"): string[] {
  const budget = JSON.parse(readFileSync(join(root, "scripts", "check", "browser-bundle.json"), "utf8"));
  const { gzipBytes: limit } = budget as { gzipBytes: number };
  let bundle: Uint8Array;
  try {
    const { outputFiles } = buildSync({
      stdin: { contents: `export * from ${JSON.stringify(entry)};`, resolveDir: root },
      bundle: true,
      minify: true,
      platform: "browser",
      format: "esm",
      target: "es2023",
      tsconfigRaw: {},
      logLevel: "silent",
      write: false,
    });
    bundle = outputFiles[0]?.contents ?? new Uint8Array();
  } catch (error) {
    return [`the bundle for browsers cannot be built: ${error instanceof Error ? error.message : String(error)}`];
  }
  const gzipBytes = gzipSync(bundle).length;
  if (gzipBytes <= limit) return [];
  return [
    `the bundle for browsers has ${gzipBytes} bytes (gzip), ${limit} are allowed: import less, ` +
      "or raise the budget in scripts/check/browser-bundle.json and say why in the commit",
  ];
}

/** Bundles the page into `dist`. */
import { copyFileSync } from "node:fs";
import { build } from "esbuild";

await build({
  entryPoints: ["page.ts"],
  outdir: "dist",
  bundle: true,
  // What is imported when it is needed is a file of its own.
  splitting: true,
  minify: true,
  format: "esm",
  platform: "browser",
  target: "es2023",
});
for (const name of ["index.html", "page.css"]) copyFileSync(name, `dist/${name}`);

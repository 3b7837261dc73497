/**
 * Compiles the AssemblyScript kernels (offchain/kernels/assembly/*.ts) into modules that carry them as base64 text, and
 * copies the pinned zstd into one, so that using the library needs neither the compiler nor a file beside the code.
 *
 *   node scripts/build-kernels.ts           writes offchain/kernels/<name>.wasm.ts
 *   node scripts/build-kernels.ts --check   exits 1 when a committed module is not what its source compiles to
 */
import { readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync, gzipSync } from "node:zlib";
import asc from "assemblyscript/asc";

const KERNELS_DIR = join(dirname(fileURLToPath(import.meta.url)), "..", "offchain", "kernels");

/** Name of each kernel and the memory it lays out for itself, in pages of 64 KiB. */
const KERNELS = [
  { name: "field", memoryPages: 12 },
  { name: "gear", memoryPages: 2 },
] as const;

/** @returns the module text that carries the compiled kernel @throws Error with the compiler's messages */
async function compileKernel(name: string, memoryPages: number): Promise<string> {
  const source = await readFile(join(KERNELS_DIR, "assembly", `${name}.ts`), "utf8");
  let code: Uint8Array | undefined;
  const stderr = asc.createMemoryStream();
  const { error } = await asc.main(
    ["kernel.ts", "--outFile", "kernel.wasm", "-O3", "--noAssert", "--runtime", "stub"].concat([
      "--initialMemory",
      String(memoryPages),
      "--maximumMemory",
      String(memoryPages),
    ]),
    {
      stderr,
      readFile: (path) => (path === "kernel.ts" ? source : null),
      writeFile: (path, contents) => {
        if (path === "kernel.wasm" && typeof contents !== "string") code = contents;
      },
      listFiles: () => [],
    },
  );
  if (error !== null || code === undefined) throw new Error(`kernel ${name} does not compile: ${stderr.toString()}`);
  const origin = `Compiled from assembly/${name}.ts by scripts/build-kernels.ts (AssemblyScript ${asc.version}).`;
  return moduleText(origin, `${name.toUpperCase()}_WASM_BASE64`, code);
}

function moduleText(origin: string, constant: string, bytes: Uint8Array): string {
  const lines = (
    Buffer.from(bytes)
      .toString("base64")
      .match(/.{1,110}/g) ?? []
  ).map((line) => `  "${line}"`);
  return [`// ${origin} Do not edit.`, `export const ${constant}: string =`, `${lines.join(" +\n")};`, ""].join("\n");
}

/**
 * The pinned build of zstd. Compressed, because it is carried as text: 80 KB instead of 250. Compressors differ between
 * processors, so the check compares what comes out, not the text.
 */
async function vendoredZstd(): Promise<{ text: string; isCurrent: (committed: string) => boolean }> {
  const folder = join(KERNELS_DIR, "..", "..", "node_modules", "@bokuweb", "zstd-wasm");
  const { version } = JSON.parse(await readFile(join(folder, "package.json"), "utf8")) as { version: string };
  const code = await readFile(join(folder, "dist", "esm", "zstd.wasm"));
  const origin = `zstd.wasm of @bokuweb/zstd-wasm ${version} (MIT; zstd 1.5.7, BSD-3-Clause), gzip.`;
  return {
    text: moduleText(origin, "ZSTD_WASM_GZIP_BASE64", gzipSync(code, { level: 9 })),
    isCurrent: (committed) =>
      committed.startsWith(`// ${origin} `) &&
      gunzipSync(Buffer.from([...committed.matchAll(/"(.*)"/g)].map(([, line]) => line).join(""), "base64")).equals(
        code,
      ),
  };
}

const check = process.argv.includes("--check");
const modules = new Map<string, { text: string; isCurrent: (committed: string) => boolean }>();
for (const { name, memoryPages } of KERNELS) {
  const text = await compileKernel(name, memoryPages);
  modules.set(name, { text, isCurrent: (committed) => committed === text });
}
modules.set("zstd", await vendoredZstd());
for (const [name, { text, isCurrent }] of modules) {
  const path = join(KERNELS_DIR, `${name}.wasm.ts`);
  if (!check) {
    await writeFile(path, text);
    console.log(`kernels: wrote ${name}.wasm.ts`);
  } else if (!isCurrent(await readFile(path, "utf8"))) {
    console.error(`kernels: error: ${name}.wasm.ts is not what its source gives`);
    console.error("kernels: hint: run `node scripts/build-kernels.ts` and commit the result");
    process.exitCode = 1;
  } else {
    console.log(`kernels: ${name}.wasm.ts is up to date`);
  }
}

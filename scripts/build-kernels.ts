/**
 * Compiles the AssemblyScript kernels (offchain/kernels/assembly/*.ts) into modules that carry them as base64 text, so
 * that using the library needs neither the compiler nor a file beside the code.
 *
 *   node scripts/build-kernels.ts           writes offchain/kernels/<name>.wasm.ts
 *   node scripts/build-kernels.ts --check   exits 1 when a committed module is not what its source compiles to
 */
import { readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import asc from "assemblyscript/asc";

const KERNELS_DIR = join(dirname(fileURLToPath(import.meta.url)), "..", "offchain", "kernels");

/** Name of each kernel and the memory it lays out for itself, in pages of 64 KiB. */
const KERNELS = [{ name: "field", memoryPages: 12 }] as const;

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
  const constant = `${name.toUpperCase()}_WASM_BASE64`;
  const lines = (
    Buffer.from(code)
      .toString("base64")
      .match(/.{1,110}/g) ?? []
  ).map((line) => `  "${line}"`);
  return [
    `// Compiled from assembly/${name}.ts by scripts/build-kernels.ts (AssemblyScript ${asc.version}). Do not edit.`,
    `export const ${constant}: string =`,
    `${lines.join(" +\n")};`,
    "",
  ].join("\n");
}

const check = process.argv.includes("--check");
for (const { name, memoryPages } of KERNELS) {
  const path = join(KERNELS_DIR, `${name}.wasm.ts`);
  const text = await compileKernel(name, memoryPages);
  if (!check) {
    await writeFile(path, text);
    console.log(`kernels: wrote ${name}.wasm.ts`);
  } else if ((await readFile(path, "utf8")) !== text) {
    console.error(`kernels: error: ${name}.wasm.ts is not what assembly/${name}.ts compiles to`);
    console.error("kernels: hint: run `node scripts/build-kernels.ts` and commit the result");
    process.exitCode = 1;
  } else {
    console.log(`kernels: ${name}.wasm.ts is up to date`);
  }
}

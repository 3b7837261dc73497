import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect } from "chai";

/** Prints what importing the command line loads from packages. */
const PROBE = `
  import { registerHooks } from "node:module";
  const packages = new Set();
  registerHooks({
    resolve(specifier, context, next) {
      const found = next(specifier, context);
      const name = /\\/node_modules\\/((?:@[^/]+\\/)?[^/]+)\\//.exec(found.url)?.[1];
      if (name !== undefined) packages.add(name);
      return found;
    },
  });
  const { buildProgram } = await import(process.argv[1]);
  buildProgram();
  process.stdout.write([...packages].sort().join("\\n"));
`;

describe("the start of a command", () => {
  it("loads no code of chain, nodes and providers: that loads while the keystore is being opened", () => {
    const main = fileURLToPath(new URL("../../offchain/cli/main.ts", import.meta.url));
    const flags = ["--disable-warning=ExperimentalWarning", "--input-type=module", "--eval", PROBE, main];
    const { stdout, stderr, status } = spawnSync(process.execPath, flags, { encoding: "utf8" });
    expect(status, stderr).to.equal(0);
    const packages = stdout.split("\n");
    expect(packages).to.include("commander");
    for (const heavy of ["ethers", "fastify", "kysely", "mcl-wasm", "undici"]) expect(packages).not.to.include(heavy);
  });
});

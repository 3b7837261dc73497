/** The committed bindings: those of the product alone, whichever build makes them, with imports that resolve. */

import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { productContracts, productTypes, TYPES_FOLDER, writeExactly } from "../../scripts/product-types.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const artifact = (path: string) => join("/work", "artifacts", "contracts", path);
const PRODUCT = ["KeyLedger.sol/KeyLedger.json", "interfaces/IKeyLedger.sol/IKeyLedger.json", "Pair.sol/Left.json"];
const TESTS = ["test/Vm.sol/Vm.json", "test/zoo/Wallets.sol/ReentrantWallet.json", "test/KeyLedger.t.sol/Handler.json"];

const contractsOf = (paths: string[]) => productContracts(join("/work", "artifacts"), paths.map(artifact));
const generated = async (path: string) =>
  `import type { X } from "./common.js";\nimport { y } from 'ethers.js';\n// ${path}\n`;

describe("bindings of the product's contracts", () => {
  it("are the same from a build with test contracts, from one without, and in any order", async () => {
    const alone = await productTypes(contractsOf(PRODUCT), generated);
    const all = await productTypes(contractsOf([...TESTS, ...PRODUCT].reverse()), generated);
    expect([...all]).to.deep.equal([...alone]);
    expect([...alone.keys()]).to.deep.equal([
      "common.ts",
      "interfaces/IKeyLedger.ts",
      "factories/interfaces/IKeyLedger__factory.ts",
      "KeyLedger.ts",
      "factories/KeyLedger__factory.ts",
      "Pair.sol/Left.ts",
      "factories/Pair.sol/Left__factory.ts",
      "index.ts",
    ]);
  });

  it("import sources, as Node runs them, and packages by their names", async () => {
    const files = await productTypes(contractsOf(PRODUCT), generated);
    expect(files.get("KeyLedger.ts")).to.equal(
      `import type { X } from "./common.ts";\nimport { y } from 'ethers.js';\n// KeyLedger.ts\n`,
    );
    expect(files.get("index.ts")).to.contain('export { Left__factory } from "./factories/Pair.sol/Left__factory.ts";');
  });

  it("replace what a folder holds, and leave alone what is right", async () => {
    const folder = mkdtempSync(join(tmpdir(), "tallystick-types-"));
    try {
      await writeExactly(folder, new Map(Object.entries({ "a.ts": "a", "b/c.ts": "c", "old/d.ts": "d" })));
      utimesSync(join(folder, "a.ts"), 1, 1);
      writeFileSync(join(folder, "b", "c.ts"), "changed");
      await writeExactly(folder, new Map(Object.entries({ "a.ts": "a", "b/c.ts": "c" })));
      expect(readFileSync(join(folder, "b", "c.ts"), "utf8")).to.equal("c");
      expect(existsSync(join(folder, "old", "d.ts"))).to.equal(false);
      expect(statSync(join(folder, "a.ts")).mtimeMs).to.equal(1000);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  describe("as committed", () => {
    const folder = join(ROOT, TYPES_FOLDER);
    const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".ts"));

    it("have no test contracts", () => {
      expect(files).to.include.members(["index.ts", join("interfaces", "IStorageEscrow.ts")]);
      expect(files.filter((name) => /(?:^|[\\/])test[\\/]|zoo|Vm|Harness/.test(name))).to.deep.equal([]);
    });

    it("import only files that exist", () => {
      let imports = 0;
      for (const name of files) {
        const path = join(folder, name);
        for (const [, target] of readFileSync(path, "utf8").matchAll(/from\s+["'](\.[^"']*)["']/g)) {
          imports += 1;
          expect(existsSync(join(dirname(path), target ?? "")), `${name}: ${target}`).to.equal(true);
        }
      }
      expect(imports).to.be.above(20);
    });

    it("are loaded by Node as they are", async () => {
      const index = await import("../../offchain/chain/types/index.ts");
      expect(index.KeyLedger__factory.createInterface().getFunction("record")?.name).to.equal("record");
    });
  });
});

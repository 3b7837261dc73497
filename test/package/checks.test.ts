/** The checks of the package, on packages that are wrong. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { browserBundleProblems } from "../../scripts/check/browser-bundle.ts";
import { dependencyProblems } from "../../scripts/check/package.ts";

describe("checks of the package", () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "tallystick-checks-"));
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  function write(path: string, text: string): void {
    mkdirSync(join(root, path, ".."), { recursive: true });
    writeFileSync(join(root, path), text);
  }

  it("name a package that is imported and not declared, and one that is declared and not imported", () => {
    const manifest = { dependencies: { used: "1", "@scope/used": "1", lazy: "1", solidity: "1", idle: "1" } };
    write("package.json", JSON.stringify({ ...manifest, peerDependencies: { peer: "1" } }));
    write("dist/a.js", 'import {\n  a,\n} from "used/a.js";\nexport * from "@scope/used/b";\nimport "./c.js";\n');
    write(
      "dist/b.js",
      'import { readFile } from "node:fs";\nconst c = await import("lazy");\nimport d from "missing/d";\n',
    );
    write("dist/bin/program.js", 'import "bundled";\nimport x from "also-bundled";\n');
    write("dist/c.js", 'import p from "peer";\nimport q from "#dist/primitives";\n');
    write("contracts/A.sol", 'import { B } from "solidity/B.sol";\nimport { C } from "./C.sol";\n');
    expect(dependencyProblems(root)).to.deep.equal([
      "dist imports missing: add it to dependencies",
      "nothing in dist imports idle: remove it, or move it to devDependencies",
    ]);
  });

  it("refuse a bundle for browsers that is too large, or that needs Node", () => {
    write("scripts/check/browser-bundle.json", '{ "gzipBytes": 300 }');
    write("small.js", 'export const small = "small";');
    write("large.js", `export const large = ${JSON.stringify(Array.from({ length: 2000 }, (_, i) => i * i))};`);
    write("node.js", 'export * from "node:fs";');
    write("late.js", 'export async function late() {\n  try { return await import("fs"); } catch { return 1; }\n}\n');
    expect(browserBundleProblems(root, "./small.js")).to.deep.equal([]);
    expect(browserBundleProblems(root, "./large.js").join()).to.match(/has \d+ bytes \(gzip\), 300 are allowed/);
    expect(browserBundleProblems(root, "./node.js").join()).to.match(/cannot be built: .*node:fs/s);
    expect(browserBundleProblems(root, "./late.js")).to.deep.equal([
      "the bundle for browsers imports a module at run time: late.js: fs",
    ]);
  });
});

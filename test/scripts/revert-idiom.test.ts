import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { contractRevertProblems, revertIdiomProblems } from "../../scripts/check/revert-idiom.ts";

const problemsOf = (source: string) => revertIdiomProblems("A.sol", source);

describe("the revert idiom of contracts", () => {
  it("is if (condition) revert CustomError(...)", () => {
    expect(problemsOf("if (x == 0) revert ZeroFee();\nif (y) revert I.TooMany(1, 2);")).to.deep.equal([]);
  });

  it("lets assembly pass on what a called contract said", () => {
    expect(problemsOf("assembly { if iszero(ok) { revert(place, returndatasize()) } }")).to.deep.equal([]);
  });

  for (const [name, code] of [
    ["require with a custom error", "require(x > 0, ZeroFee());"],
    ["require over several lines", "require(\n  x > 0,\n  ZeroFee()\n);"],
    ["require with a text", 'require (x > 0, "no fee");'],
    ["revert with a text", 'revert("no fee");'],
    ["revert in assembly", "assembly { revert(0, 0) }"],
    ["revert in assembly of something else", "assembly { revert(0, add(1, returndatasize())) }"],
    ["assert", "assert(x > 0);"],
  ] as const) {
    it(`is not ${name}`, () => {
      const problems = problemsOf(`contract A {\n${code}\n}`);
      expect(problems).to.have.length(1);
      expect(problems[0]).to.match(/^A\.sol:2: (require|revert|assert)\(/);
    });
  }

  it("does not mind comments, texts and longer names", () => {
    const source = '// require(x)\n/* revert("a")\n assert(b) */\nemit Said("require(");\n_require(x); requireAll(x);';
    expect(problemsOf(source)).to.deep.equal([]);
    expect(problemsOf(`${source}\nrequire(x);`)).to.deep.equal([
      "A.sol:6: require(...): write if (condition) revert CustomError(...)",
    ]);
  });

  it("holds in all contracts of the product", () => {
    expect(contractRevertProblems(fileURLToPath(new URL("../../", import.meta.url)))).to.deep.equal([]);
  });
});

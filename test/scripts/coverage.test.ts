import { expect } from "chai";
import { coverageProblems, parseLcov } from "../../scripts/check/coverage.ts";

/** As Hardhat writes it: 20 lines of code in one contract, 19 executed; 40 in the other, 37 executed. */
const REPORT = `TN:
SF:contracts/Good.sol
DA:1,1
LH:19
LF:20
end_of_record
SF:contracts/libraries/Bad.sol
DA:1,0
LH:37
LF:40
end_of_record
`;

describe("coverage of the contracts", () => {
  it("reads lines found and lines hit of every file", () => {
    expect(parseLcov(REPORT)).to.deep.equal([
      { path: "contracts/Good.sol", lines: 20, executed: 19 },
      { path: "contracts/libraries/Bad.sol", lines: 40, executed: 37 },
    ]);
    expect(parseLcov("TN:\n")).to.deep.equal([]);
  });

  it("accepts 95 % and names the file below it", () => {
    expect(coverageProblems(parseLcov(REPORT), ["contracts/Good.sol"])).to.deep.equal([]);
    expect(coverageProblems(parseLcov(REPORT), ["contracts/Good.sol", "contracts/libraries/Bad.sol"])).to.deep.equal([
      "contracts/libraries/Bad.sol: 92.50 % of its lines are covered, 95 % are needed",
    ]);
  });

  it("does not let a contract pass that no test compiles", () => {
    expect(coverageProblems(parseLcov(REPORT), ["contracts/Forgotten.sol"])).to.deep.equal([
      "contracts/Forgotten.sol: no test compiles it, so none of its lines are covered",
    ]);
  });
});

import { readFileSync } from "node:fs";
import { expect } from "chai";
import { MAX_CODE_BYTES, sizeProblems, snapshotProblems } from "../../scripts/check/snapshots.ts";

const committed = (name: string): Record<string, number> =>
  JSON.parse(readFileSync(new URL(`../../contracts/snapshots/${name}.json`, import.meta.url), "utf8"));

describe("snapshots of gas and code size", () => {
  it("take any difference for a problem: dearer, cheaper, new, gone", () => {
    const before = { same: 1, dearer: 10, cheaper: 10, gone: 5 };
    expect(snapshotProblems("gas", before, { same: 1, dearer: 11, cheaper: 9, fresh: 7 })).to.deep.equal([
      "gas: dearer: committed 10, measured 11",
      "gas: cheaper: committed 10, measured 9",
      "gas: gone: committed 5, measured nothing",
      "gas: fresh: committed nothing, measured 7",
    ]);
    expect(snapshotProblems("gas", before, before)).to.deep.equal([]);
  });

  it("allow deployed code up to and including 23,000 bytes", () => {
    expect(MAX_CODE_BYTES).to.equal(23_000);
    expect(sizeProblems({ A: 23_000 })).to.deep.equal([]);
    expect(sizeProblems({ A: 23_000, B: 23_001 })).to.deep.equal(["B: 23001 bytes of deployed code, at most 23000"]);
  });

  it("are committed for every deployed contract, within the limit", () => {
    const sizes = committed("sizes");
    expect(Object.keys(sizes)).to.have.members([
      "AccountDirectory",
      "BlockRandomness",
      "DataSetRules",
      "DrandRandomness",
      "KeyLedger",
      "LiveRanges",
      "NodeRegistry",
      "OprfDisputes",
      "OwnersPolicy",
      "PossessionVerifier",
      "PrevrandaoRandomness",
      "RecoveryPolicy",
      "Ristretto255",
      "StorageEscrow",
    ]);
    expect(sizeProblems(sizes)).to.deep.equal([]);
  });
});

/** The list of mutations, held against the contracts as they are: one that no longer applies would be passed over. */
import { readFileSync } from "node:fs";
import { expect } from "chai";
import { MUTATIONS } from "../../scripts/test/mutation-list.ts";

describe("the list of mutations", () => {
  it("replaces what is in its contract exactly once", () => {
    const stale = MUTATIONS.filter(({ file, original, replacement }) => {
      const text = readFileSync(new URL(`../../contracts/${file}`, import.meta.url), "utf8");
      return text.split(original).length !== 2 || original === replacement;
    });
    expect(stale.map(({ file, original }) => `${file}: ${original}`)).to.deep.equal([]);
  });
});

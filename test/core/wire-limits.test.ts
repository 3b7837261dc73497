import { expect } from "chai";
import { MAXIMUM_PAGE, RecordsQuery } from "../../offchain/core/wire/nbm.ts";
import { firstMismatch } from "../../offchain/core/wire/schema.ts";

describe("core/wire limits", () => {
  it("take a page of 1 to 200 records and no other", () => {
    const fits = (limit: string) => firstMismatch(RecordsQuery, { limit }) === undefined;
    for (const limit of ["1", "9", "10", "99", "100", "199", String(MAXIMUM_PAGE)])
      expect(fits(limit), limit).to.equal(true);
    for (const limit of ["0", "01", "201", "210", "300", "999", "1000", "-1", "1e1", ""]) {
      expect(fits(limit), limit).to.equal(false);
    }
  });
});

import { expect } from "chai";
import { checkExpiry } from "../../offchain/daemon/request-time.ts";
import { expectRejection } from "../helpers/rejection.ts";

describe("lifetime of a signed request", () => {
  const now = 1_800_000_000;
  const check = (expiresAt: number) => checkExpiry("the request", { expiresAt, now, maximumSeconds: 3600 });

  it("ends in the future, at most the longest lifetime and two minutes for clocks ahead", () => {
    check(now + 1);
    check(now + 3720);
  });

  it("that has ended, or ends too late, is refused with this daemon's time", () => {
    for (const [expiresAt, message] of [
      [now, /has expired/],
      [now - 1, /has expired/],
      [now + 3721, /valid for too long/],
    ] as const) {
      const error = expectRejection(() => check(expiresAt), "INVALID_SIGNATURE", message);
      expect(error).to.deep.include({ check: "clock", details: { nowSeconds: now, expiresAt } });
      expect(error.hint).to.contain("2027-01-15T08:00:00.000Z");
    }
  });
});

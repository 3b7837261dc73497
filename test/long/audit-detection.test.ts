import { expect } from "chai";
import { simulateDetection } from "../helpers/audit-detection.ts";

describe("detection of damage by 20,000 audits over several ranges", () => {
  it("is as frequent as the formula says, within three standard errors", () => {
    for (const { name, rate, expected, standardError } of simulateDetection(20_000)) {
      expect(Math.abs(rate - expected), `${name}: ${rate} for ${expected}`).to.be.at.most(3 * standardError);
    }
  }).timeout(600_000);
});

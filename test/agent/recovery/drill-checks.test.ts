/** The three outcomes of a drill's checks, and which of them decide. */

import { expect } from "chai";
import { DrillChecks } from "../../../offchain/agent/recovery/drill-checks.ts";
import { type ErrorCode, TallystickError } from "../../../offchain/core/errors.ts";
import { expectAsyncRejection } from "../../helpers/rejection.ts";

const FACTS = { party: "node 1", check: "health", detail: "told" };

describe("checks of a drill", () => {
  const failing = (code: ErrorCode, hint?: string) => async () => {
    throw new TallystickError("did not work", { code, party: "node 2", ...(hint === undefined ? {} : { hint }) });
  };

  it("fail by what was seen, and are open where nobody answered or could look, each with what to do", async () => {
    const checks = new DrillChecks();
    expect(checks.outcome).to.equal("passed");
    expect(await checks.run("node 1", "health", async () => [7, "told"])).to.equal(7);
    expect(checks.outcome).to.equal("passed");
    for (const code of ["UNREACHABLE", "TIMED_OUT", "SHARES_MISSING", "FUNDS"] as const) {
      expect(await checks.run("node 1", "health", failing(code)), code).to.equal(undefined);
      expect(checks.list.at(-1), code).to.include({ outcome: "unchecked", party: "node 2", decides: true });
      expect(checks.list.at(-1)?.remedy, code).to.be.a("string");
    }
    expect(checks.outcome).to.equal("unchecked");
    await checks.run("node 1", "health", failing("INTEGRITY", "seal it anew"));
    expect(checks.list.at(-1)).to.include({ outcome: "failed", remedy: "seal it anew" });
    expect(checks.outcome).to.equal("failed");
    expect(checks.list[0]).to.not.have.property("remedy");
  });

  it("do not decide alone where others can stand in", () => {
    const checks = new DrillChecks();
    checks.failed({ ...FACTS, decides: false }, "repair it");
    checks.unchecked({ ...FACTS, decides: false }, "ask again");
    expect(checks.outcome).to.equal("passed");
    checks.unchecked(FACTS, "ask again");
    expect(checks.outcome).to.equal("unchecked");
  });

  it("end when the chain does not answer: then nothing can be said", async () => {
    const checks = new DrillChecks();
    await expectAsyncRejection(() => checks.run("chain", "plan", failing("CHAIN_UNAVAILABLE")), "CHAIN_UNAVAILABLE");
  });
});

import { expect } from "chai";
import { PolicyQuestions } from "../../../offchain/nbm/releases/policy-questions.ts";
import { expectAsyncRejection } from "../../helpers/rejection.ts";

describe("questions to policies", () => {
  it("are answered to others while an account waits for a slow policy of its own", async () => {
    const questions = new PolicyQuestions({ concurrency: 2, perAccount: 1, inAll: 3 });
    const slow = Promise.withResolvers<string>();
    const attack = questions.run("attacker", () => slow.promise);
    const more = () => questions.run("attacker", async () => "never");
    expect(await expectAsyncRejection(more, "RATE_LIMITED")).to.include({ check: "policies asked of the account" });
    expect(await questions.run("alice", async () => "allowed")).to.equal("allowed");
    slow.resolve("at last");
    expect(await attack).to.equal("at last");
    expect(await questions.run("attacker", async () => "again")).to.equal("again");
  });

  it("are bounded in all, and a failed one gives its place back", async () => {
    const questions = new PolicyQuestions({ concurrency: 1, perAccount: 9, inAll: 2 });
    const slow = Promise.withResolvers<string>();
    const waiting = [questions.run("alice", () => slow.promise), questions.run("bob", async () => "bob's")];
    const third = () => questions.run("carol", async () => "carol's");
    expect(await expectAsyncRejection(third, "RATE_LIMITED")).to.include({ check: "policies asked in all" });
    slow.reject(new Error("the policy reverts"));
    const [first, second] = await Promise.allSettled(waiting);
    expect([first?.status, second?.status]).to.deep.equal(["rejected", "fulfilled"]);
    expect(await third()).to.equal("carol's");
  });
});

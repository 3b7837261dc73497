/** What strangers can make a node ask the chain; the answers themselves are tested in key-generation.test.ts. */
import { expect } from "chai";
import { JsonRpcProvider, Wallet } from "ethers";
import { DkgAnswers, type DkgAnswersOptions } from "../../../offchain/nbm/dkg/answers.ts";
import { failure } from "../../helpers/promises.ts";

describe("answers to members of a committee", () => {
  it("ask the chain for the members once, not once per request", async () => {
    let calls = 0;
    const provider = new (class extends JsonRpcProvider {
      override async call(): Promise<string> {
        calls += 1;
        throw Object.assign(new Error("down"), { code: "TIMEOUT" });
      }
    })("http://127.0.0.1:9", 31_337, { staticNetwork: true });
    const nodeRegistry = Wallet.createRandom().address;
    const answers = new DkgAnswers({
      chain: { provider, deployment: { contracts: { nodeRegistry } } },
      store: { find: () => ({ phase: "round2", index: 1 }) },
      now: () => 1_800_000_000,
    } as unknown as DkgAnswersOptions);
    const ask = () => {
      const request = { to: 2, expiresAt: 1_800_000_060, signature: `0x${"11".repeat(64)}1b` };
      return failure(answers.round2({ committeeId: 1n, generation: 1, purpose: "oprf" } as never, request));
    };
    for (let k = 0; k < 5; k++) expect(await ask()).to.have.property("code", "CHAIN_UNAVAILABLE");
    expect(calls).to.equal(1);
  });
});

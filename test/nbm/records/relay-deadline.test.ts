/** What a node refuses to relay before it spends anything. */
import { expect } from "chai";
import { id, Wallet } from "ethers";
import { KeyLedger__factory } from "../../../offchain/chain/types/factories/KeyLedger__factory.ts";
import { Relay, type RelayOptions } from "../../../offchain/nbm/records/relay.ts";
import { failure } from "../../helpers/promises.ts";

const ABI = KeyLedger__factory.createInterface();
const LEDGER = "0x00000000000000000000000000000000000000aa";
const NOW = 1_800_000_000;
const account = Wallet.createRandom().address;

describe("relay of a signature that expires soon", () => {
  const relay = new Relay({
    chain: {
      deployment: { chainId: 1, contracts: { keyLedger: LEDGER } },
      provider: { call: async () => ABI.encodeFunctionResult("recordedAt", [0n]) },
    },
    memberships: { indicesIn: async () => [1] },
    now: () => NOW,
  } as unknown as RelayOptions);

  const record = (deadline: number) =>
    relay.record(account, {
      record: {
        account,
        fileTag: id("a file"),
        committeeId: "1",
        keyTime: String(NOW),
        ownershipKey: account,
        payload: "0x00",
      },
      deadline: String(deadline),
      signature: "0x",
    });

  for (const left of [-1, 0, 1, 299]) {
    it(`refuses a signature that is valid for ${left} more seconds: it could expire before it is mined`, async () => {
      expect(await failure(record(NOW + left))).to.include({ code: "INVALID_SIGNATURE", check: "deadline" });
    });
  }

  it("goes on to the other checks with a signature that is valid for five more minutes", async () => {
    expect(await failure(record(NOW + 300)))
      .to.have.property("check")
      .that.does.not.equal("deadline");
  });
});

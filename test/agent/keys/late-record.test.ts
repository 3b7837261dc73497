/** Records of an account that was replaced, on a chain that is played. */
import { expect } from "chai";
import { requireNotLate } from "../../../offchain/agent/keys/late-record.ts";
import type { ChainReader } from "../../../offchain/chain/deployment.ts";
import { AccountDirectory__factory } from "../../../offchain/chain/types/factories/AccountDirectory__factory.ts";
import { KeyLedger__factory } from "../../../offchain/chain/types/factories/KeyLedger__factory.ts";
import { isAddressEqual } from "../../../offchain/core/encoding/address.ts";
import { expectAsyncRejection } from "../../helpers/rejection.ts";

const DIRECTORY = "0x00000000000000000000000000000000000000aa";
const ACCOUNT = "0x00000000000000000000000000000000000000bb";
const SUCCESSOR = "0x00000000000000000000000000000000000000cc";
const NOBODY = `0x${"00".repeat(20)}`;
const RECORD = `0x${"11".repeat(32)}`;
const NAMED = 1000;

describe("a record of an account that was replaced", () => {
  function chainWith(successor: string, recordedAt: number): ChainReader {
    const [directory, ledger] = [AccountDirectory__factory.createInterface(), KeyLedger__factory.createInterface()];
    const call = async ({ to }: { to: string }): Promise<string> =>
      isAddressEqual(to, DIRECTORY)
        ? directory.encodeFunctionResult("replacementOf", [
            { successor, replacedAt: successor === NOBODY ? 0 : NAMED, replacedAtBlock: 0 },
          ])
        : ledger.encodeFunctionResult("recordedAt", [recordedAt]);
    const contracts = { accountDirectory: DIRECTORY, keyLedger: NOBODY };
    return { deployment: { contracts }, provider: { call } } as unknown as ChainReader;
  }

  it("counts when the account has no successor, and when it is not later than the naming", async () => {
    await requireNotLate(chainWith(NOBODY, NAMED + 1), ACCOUNT, RECORD);
    await requireNotLate(chainWith(SUCCESSOR, NAMED), ACCOUNT, RECORD);
    await requireNotLate(chainWith(SUCCESSOR, NAMED - 1), ACCOUNT, RECORD);
  });

  it("is no success of a put when it is later", async () => {
    const refused = await expectAsyncRejection(
      () => requireNotLate(chainWith(SUCCESSOR, NAMED + 1), ACCOUNT, RECORD),
      "ACCOUNT_REPLACED",
    );
    expect(refused).to.include({ party: `account ${ACCOUNT}`, check: "time of the record" });
    expect(refused.details).to.deep.equal({ account: ACCOUNT, successor: SUCCESSOR, recordId: RECORD });
  });
});

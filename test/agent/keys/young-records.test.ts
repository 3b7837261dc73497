/** Opening the key of a record that the key nodes do not see yet. */

import { expect } from "chai";
import { onceConfirmed, type YoungRecordContext } from "../../../offchain/agent/keys/young-records.ts";
import type { AgentPlatform } from "../../../offchain/agent/platform.ts";
import type { ChainReader } from "../../../offchain/chain/deployment.ts";
import type { KeyRecord } from "../../../offchain/chain/ledger.ts";
import { AccountDirectory__factory } from "../../../offchain/chain/types/factories/AccountDirectory__factory.ts";
import { KeyLedger__factory } from "../../../offchain/chain/types/factories/KeyLedger__factory.ts";
import { TallystickError } from "../../../offchain/core/errors.ts";
import { walletOf } from "../../helpers/ledger-records.ts";
import { expectAsyncRejection } from "../../helpers/rejection.ts";

const ABI = KeyLedger__factory.createInterface();
const DIRECTORY_ABI = AccountDirectory__factory.createInterface();
const DIRECTORY = "0x00000000000000000000000000000000000000bb";
const LEDGER = "0x00000000000000000000000000000000000000aa";
const found = { recordId: `0x${"01".repeat(32)}`, record: { account: walletOf(1).address } as KeyRecord };

describe("the key of a record that is a few blocks old", () => {
  let head: number;
  /** Block since which the account owns the record. */
  let since: number;
  let opened: number;
  let waits: string[];
  let milliseconds: number;
  /** What a second brings. */
  let tick: () => void;
  let pruned: boolean;

  beforeEach(() => {
    [head, since, opened, milliseconds, pruned] = [1000, 1000, 0, 0, false];
    waits = [];
    tick = () => undefined;
  });

  function context(account: string, owner = account): YoungRecordContext {
    const call = async ({ data, blockTag }: { data: string; blockTag: number | "latest" }) => {
      if (pruned && blockTag !== "latest") throw new Error("missing trie node");
      const owns = (blockTag === "latest" ? head : blockTag) >= since;
      if (data.startsWith(DIRECTORY_ABI.getFunction("mayActFor").selector)) {
        return DIRECTORY_ABI.encodeFunctionResult("mayActFor", [owns]);
      }
      // The predecessor has owned it for long.
      if (owner !== account) return ABI.encodeFunctionResult("recordedAt", [7n]);
      return data.startsWith(ABI.getFunction("recordedAt").selector)
        ? ABI.encodeFunctionResult("recordedAt", [owns ? 7n : 0n])
        : ABI.encodeFunctionResult("isOwner", [owns]);
    };
    const provider = { call, getBlockNumber: async () => head };
    const deployment = { deployedAtBlock: 0, contracts: { keyLedger: LEDGER, accountDirectory: DIRECTORY } };
    const clock: Pick<AgentPlatform["clock"], "now" | "pause"> = {
      now: () => milliseconds,
      pause: async (length) => {
        milliseconds += length;
        tick();
      },
    };
    return {
      chain: { deployment, provider } as unknown as ChainReader,
      clock: clock as AgentPlatform["clock"],
      account,
      owner,
      during: async (step, work) => {
        waits.push(step);
        return await work();
      },
    };
  }

  /** As nodes do that want three blocks. */
  const open = async () => {
    opened += 1;
    if (head - 2 >= since) return "the key";
    const facts = { code: "NOT_RELEASED", check: "said no", details: { nodes: [] } } as const;
    throw new TallystickError("not released", facts);
  };

  for (const [who, account, owner] of [
    ["recorder", walletOf(1).address, undefined],
    ["later owner", walletOf(2).address, undefined],
    ["successor of the recorder", walletOf(3).address, walletOf(1).address],
  ] as const) {
    it(`opens for a ${who} when blocks are upon it, and asks once for each block`, async () => {
      tick = () => {
        if (milliseconds % 12_000 === 0) head += 1;
      };
      expect(await onceConfirmed(context(account, owner), found, open)).to.equal("the key");
      expect(opened).to.equal(3);
      expect(waits).to.have.length(2);
      expect(waits[0]).to.contain(found.recordId);
    });
  }

  it("is refused after a while when no block comes, which may pass", async () => {
    const refused = () => onceConfirmed(context(walletOf(1).address), found, open);
    const error = await expectAsyncRejection(refused, "NOT_RELEASED");
    expect(error).to.include({ retryable: true, check: "age of the record" });
    expect(error.details).to.deep.equal({ nodes: [] });
    expect([opened, milliseconds]).to.deep.equal([1, 90_000]);
  });

  it("is refused at once to who owns it for long, or not at all, or where the chain does not say", async () => {
    const refuse = async () => {
      throw new TallystickError("not released", { code: "NOT_RELEASED", check: "said no" });
    };
    const states: (() => void)[] = [() => (since = head - 64), () => (since = head + 1), () => (pruned = true)];
    for (const set of states) {
      set();
      const refused = () => onceConfirmed(context(walletOf(2).address), found, refuse);
      expect(await expectAsyncRejection(refused, "NOT_RELEASED")).to.include({ retryable: false });
      since = head;
    }
    expect(milliseconds).to.equal(0);
  });
});

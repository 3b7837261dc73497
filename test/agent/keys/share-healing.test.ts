/** Which records a read heals, and what it waits for. */

import { expect } from "chai";
import { AgentAccount } from "../../../offchain/agent/account.ts";
import type { AgentContext } from "../../../offchain/agent/context.ts";
import type { OpenedKey } from "../../../offchain/agent/keys/file-key.ts";
import { healBeside, settleHealing, startHealing } from "../../../offchain/agent/keys/share-healing.ts";
import { SILENT } from "../../../offchain/agent/progress.ts";
import { contentId } from "../../../offchain/core/encoding/content-id.ts";
import { TallystickError } from "../../../offchain/core/errors.ts";
import type { ShareRecipient } from "../../../offchain/core/record/key-record.ts";

const dataId = contentId(new Uint8Array([1]));

describe("healing beside a read", () => {
  const account = new AgentAccount(new Uint8Array(32).fill(1));
  let chainAsked = 0;

  const contextOf = (chain: () => Promise<never>, closing = new AbortController().signal) =>
    ({
      account,
      closing,
      logger: SILENT,
      deployment: { chainId: 1, contracts: { keyLedger: account.address } },
      chain: () => {
        chainAsked += 1;
        return chain();
      },
    }) as unknown as AgentContext;
  const opened = (recipients: ShareRecipient) =>
    ({
      fileKey: new Uint8Array(32).fill(9),
      source: "self",
      owner: account.address,
      found: { recordId: "0x01", record: { committeeId: 1n, keyTime: 1n }, payload: { policy: { recipients } } },
    }) as unknown as OpenedKey;
  const down = async () => {
    throw new TallystickError("the chain does not answer", { code: "CHAIN_UNAVAILABLE" });
  };

  beforeEach(() => {
    chainAsked = 0;
  });

  it("asks nobody about a record that has no shares", async () => {
    for (const recipients of ["sealed", "self"] as const) {
      expect(await startHealing(contextOf(down), opened(recipients), dataId).finish()).to.deep.equal([]);
    }
    expect(chainAsked).to.equal(0);
  });

  it("fails no read when the chain does not answer", async () => {
    expect(await startHealing(contextOf(down), opened("shares"), dataId).finish()).to.deep.equal([]);
    expect(chainAsked).to.equal(1);
  });

  it("is waited for a few seconds at most", async () => {
    const healing = startHealing(
      contextOf(() => new Promise(() => {})),
      opened("shares"),
      dataId,
    );
    const closing = contextOf(() => new Promise(() => {}));
    healBeside(closing, named("0x01"), dataId);
    const started = performance.now();
    const [healed] = await Promise.all([healing.finish(), settleHealing(closing)]);
    expect(healed).to.deep.equal([]);
    expect(performance.now() - started).to.be.within(4900, 9000);
  });

  it("reports a defect as what it is", async () => {
    const broken = async () => {
      throw new TypeError("not a function");
    };
    const healing = startHealing(contextOf(broken), opened("shares"), dataId);
    const error = await healing.finish().catch((cause: unknown) => cause);
    expect(error).to.be.instanceOf(TypeError);
  });

  it("leaves the key of its caller alone, which may be wiped", async () => {
    const key = opened("shares");
    await startHealing(contextOf(down), key, dataId).finish();
    expect(key.fileKey).to.deep.equal(new Uint8Array(32).fill(9));
  });

  const named = (recordId: string, owner = account.address) => {
    const key = opened("shares");
    return { ...key, owner, found: { ...key.found, recordId } } as OpenedKey;
  };

  it("is begun once for each record, however often it is read, and a few at a time", async () => {
    const release = Promise.withResolvers<never>();
    const context = contextOf(() => release.promise);
    const begun = ["0x01", "0x02", "0x01", "0x03", "0x04", "0x05", "0x06"].map((id) =>
      healBeside(context, named(id), dataId),
    );
    expect(begun.map((one) => one !== undefined)).to.deep.equal([true, true, false, true, true, true, true]);
    await new Promise((resolve) => setImmediate(resolve));
    expect(chainAsked, "at the same time").to.equal(4);
    release.reject(new TallystickError("the chain does not answer", { code: "CHAIN_UNAVAILABLE" }));
    await settleHealing(context);
    expect(chainAsked).to.equal(6);
    expect(healBeside(context, named("0x02"), dataId), "within the hour").to.equal(undefined);
    expect(healBeside(contextOf(down), named("0x02"), dataId), "another run").to.not.equal(undefined);
    expect(healBeside(context, opened("sealed"), dataId)).to.equal(undefined);
  });

  it("is left to the owner by a delegate", async () => {
    const owner = `0x${"0e".repeat(20)}`;
    for (const [delegation, asked] of [
      [{ account: owner }, 0],
      [undefined, 1],
    ] as const) {
      chainAsked = 0;
      const context = Object.assign(contextOf(down), { delegation: async () => delegation });
      expect(await startHealing(context, named("0x01", owner), dataId).finish()).to.deep.equal([]);
      expect(chainAsked).to.equal(asked);
    }
  });

  it("says why it did not work", async () => {
    const told: string[] = [];
    const logger = { ...SILENT, warn: (_: unknown, message: string) => told.push(message) };
    const context = Object.assign(contextOf(down), { logger });
    healBeside(context, named("0x01"), dataId);
    await settleHealing(context);
    expect(told).to.deep.equal(["the key shares of this data were not looked after: the chain does not answer"]);
  });
});

/** Which records a read heals, and what it waits for. */

import { expect } from "chai";
import { AgentAccount } from "../../../offchain/agent/account.ts";
import type { AgentContext } from "../../../offchain/agent/context.ts";
import type { OpenedKey } from "../../../offchain/agent/keys/file-key.ts";
import { startHealing } from "../../../offchain/agent/keys/share-healing.ts";
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
    const started = performance.now();
    expect(await healing.finish()).to.deep.equal([]);
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
});

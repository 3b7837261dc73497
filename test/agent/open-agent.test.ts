/** Opening an agent: whose catalogue it is, and what works without a network. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { AgentContext } from "../../offchain/agent/context.ts";
import { openAgent } from "../../offchain/agent/index.ts";
import { openAgent as openAgentInHome } from "../../offchain/agent/node/index.ts";
import { type AgentLogger, SILENT } from "../../offchain/agent/progress.ts";
import { identityFromPhrase, newRecoveryPhrase } from "../../offchain/core/identity/identity.ts";
import type { Transport } from "../../offchain/http/transport.ts";
import { MemoryCatalogue, memoryPlatform } from "../helpers/memory-platform.ts";
import { until } from "../helpers/promises.ts";
import { expectAsyncRejection } from "../helpers/rejection.ts";

describe("opening an agent", () => {
  const newIdentity = () => identityFromPhrase(newRecoveryPhrase());
  const put = {
    dataId: "bafk-1",
    name: "photos",
    entryCount: 3,
    totalBytes: 10,
    domain: "public",
    recordId: "0x01",
    role: "recorder" as const,
    storedAt: 100,
  };

  it("refuses a catalogue of another identity before anything is listed", async () => {
    const catalogue = new MemoryCatalogue();
    const owner = newIdentity();
    const mine = await openAgent({ identity: owner, platform: memoryPlatform({ catalogue }) });
    const other = newIdentity();
    const opening = () => openAgent({ identity: other, platform: memoryPlatform({ catalogue }) });
    const error = await expectAsyncRejection(opening, "CONFLICT", /another identity/);
    expect(error).to.include({ expected: mine.account, received: other.account, check: "account of the catalogue" });
    await openAgent({ identity: owner, platform: memoryPlatform({ catalogue }) });
  });

  it("refuses a home folder of another identity, and closes it", async () => {
    const homeDir = mkdtempSync(join(tmpdir(), "tallystick-open-"));
    try {
      const owner = newIdentity();
      await (await openAgentInHome({ identity: owner, homeDir })).close();
      await expectAsyncRejection(() => openAgentInHome({ identity: newIdentity(), homeDir }), "CONFLICT");
      const agent = await openAgentInHome({ identity: owner, homeDir });
      expect(await agent.list()).to.deep.equal([]);
      await agent.close();
    } finally {
      rmSync(homeDir, { recursive: true });
    }
  });

  it("lists without a deployment, and says what is missing for the rest", async () => {
    const catalogue = new MemoryCatalogue();
    await catalogue.savePut(put);
    const agent = await openAgent({ identity: newIdentity(), platform: memoryPlatform({ catalogue }) });
    expect(await agent.list()).to.deep.equal([put]);
    const error = await expectAsyncRejection(
      () => agent.put([{ name: "a", bytes: new Uint8Array(1) }]),
      "NO_DEPLOYMENT",
    );
    expect(error.hint).to.match(/deployment file/);
    await expectAsyncRejection(() => agent.getBytes(`bafkrei${"a".repeat(52)}`), "NO_DEPLOYMENT");
    await agent.close();
  });

  it("names the provider that does not answer, and the step", async () => {
    const told: string[] = [];
    const logger: AgentLogger = { ...SILENT, warn: (_facts, message) => told.push(message) };
    const address = `0x${"11".repeat(20)}`;
    const contracts = {
      nodeRegistry: address,
      keyLedger: address,
      storageEscrow: address,
      possessionVerifier: address,
      randomness: address,
      ownersPolicy: address,
      recoveryPolicy: address,
      accountDirectory: address,
    };
    const deployment = {
      version: 1 as const,
      chainId: 31_337,
      rpcUrl: "http://chain.invalid",
      contracts,
      deployedAtBlock: 0,
      committeeId: "1",
      providers: [{ account: address, url: "http://user:secret@silent.invalid/path" }],
    };
    let now = 0;
    const clock = {
      now: () => now,
      // Time flies until the notice is there.
      pause: async (milliseconds: number, signal?: AbortSignal) => {
        await new Promise((resolve) => setTimeout(resolve, told.length === 0 ? 1 : 1000));
        signal?.throwIfAborted();
        now += milliseconds;
      },
    };
    const transport: Transport = ({ signal }) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason), { once: true });
      });
    const platform = memoryPlatform({ http: { transport }, clock });
    const context = new AgentContext({ identity: newIdentity(), deployment, platform, logger, confirmations: 1 });
    const reading = context
      .providers()
      .fetch("bafk")
      .catch((error: unknown) => error);
    await until("a notice", () => told.length > 0);
    expect(told[0]).to.equal("still waiting for provider http://silent.invalid: opening a session");
    await context.close();
    expect(await reading).to.be.instanceOf(Error);
  });
});

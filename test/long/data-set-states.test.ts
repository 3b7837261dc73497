/** How a real provider brings states of data sets onto a real chain: at most so many, and again when they get lost. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { depositCollateralCall, updateDataSetCall } from "../../offchain/chain/escrow-calls.ts";
import { fromHex } from "../../offchain/core/encoding/hex.ts";
import { ok } from "../csp/data-sets/device.ts";
import { EPOCH_BLOCKS, FUNDS, OFFER, runningProvider, SLICE_BYTES } from "../csp/data-sets/running-provider.ts";
import { randomChunk } from "../csp/provider-fixture.ts";
import { NATIVE, type ProviderProcess } from "../csp/provider-process.ts";
import { HttpProxy } from "../helpers/http-proxy.ts";
import type { LocalChain } from "../helpers/local-chain.ts";
import { until } from "../helpers/promises.ts";

describe("states of data sets at a provider", function () {
  this.timeout(180_000);
  const running = runningProvider();
  const { replaceSince, device, head, toBlock, toChallenge, send, wordsOf, proven, refused, again } = running;
  let local: LocalChain;
  let provider: ProviderProcess;
  beforeEach(() => {
    ({ local, provider } = running.parts());
  });

  it("are sent by the next start when the provider is killed between signature and transaction", async () => {
    await provider.end();
    const proxy = await HttpProxy.start(local.rpcUrl);
    let isSilent = false;
    proxy.intercept = ({ body }) =>
      isSilent && new TextDecoder().decode(body).includes("eth_sendRawTransaction")
        ? Promise.resolve({ status: 503, type: "text/plain", body: new Uint8Array() })
        : undefined;
    provider.deploymentFrom({ ...local, deployment: { ...local.deployment, rpcUrl: proxy.url } });
    await provider.start();
    try {
      const alice = await device(3);
      await alice.add(randomChunk(SLICE_BYTES));
      ok(await alice.open());
      await alice.add(randomChunk(SLICE_BYTES));
      // Collateral for what comes, so that the states are the only transactions.
      await send(3, depositCollateralCall(local.deployment, NATIVE, provider.operator, FUNDS));
      // The opening has begun: the user may send a change.
      await toBlock((Math.floor((await head()) / EPOCH_BLOCKS) + 1) * EPOCH_BLOCKS);
      isSilent = true;
      const second = await alice.state();
      const answer = ok(await alice.propose(second));
      expect(answer.transaction).to.equal(undefined);
      // The user sends it itself.
      const { providerSignature } = answer;
      const signed = { ...second, version: 2n, ranges: fromHex(second.ranges), providerSignature };
      const words = await wordsOf(alice);
      await send(
        3,
        updateDataSetCall(local.deployment, words, { ...signed, deadlineBlock: BigInt(second.deadlineBlock) }),
      );
      alice.version = 2n;
      await alice.add(randomChunk(SLICE_BYTES));
      const state = await alice.state();
      const answering = alice.propose(state).catch(() => undefined);
      await until(
        "the state is signed",
        async () => (await alice.status()).version === "3",
        30,
        () => provider.log,
      );
      await provider.end("SIGKILL");
      await answering;
      expect((await alice.onChain())?.decoded.version).to.equal(2n);
      isSilent = false;
      await provider.start();
      await until("the state is sent", async () => (await alice.onChain())?.decoded.version === 3n, 30);
      const restarted = await again(alice);
      const repeated = ok(await restarted.propose(state));
      expect(repeated.version).to.equal("3");
      expect(repeated.transaction.blockNumber).to.be.greaterThan(0);
      await toChallenge(alice);
      await proven(restarted, 1);
    } finally {
      await provider.end();
      await proxy.stop();
    }
  });

  it("get their state again after the blocks that held it were replaced", async () => {
    const alice = await device(1);
    await alice.add(randomChunk(SLICE_BYTES));
    ok(await alice.open());
    // The schedule that comes back is older than what is searched first.
    await local.mine(140);
    await alice.add(randomChunk(SLICE_BYTES));
    const before = await local.chain.provider.send("evm_snapshot", []);
    ok(await alice.update());
    await replaceSince(before);
    expect((await alice.onChain())?.decoded.version).to.equal(1n);
    await local.mine(2);
    await until(
      "the state is back",
      async () => (await alice.onChain())?.decoded.version === 2n,
      90,
      () => provider.log,
    );
    await toChallenge(alice);
    await proven(alice, 1);
  });

  it("are opened again after the block of their opening was replaced, with what was signed since", async () => {
    const [alice, bob] = [await device(1), await device(2)];
    await alice.add(randomChunk(SLICE_BYTES));
    await bob.add(randomChunk(SLICE_BYTES));
    // A deep one, which is not looked at again.
    ok(await bob.open());
    await local.mine(140);
    const before = await local.chain.provider.send("evm_snapshot", []);
    ok(await alice.open());
    await alice.add(randomChunk(SLICE_BYTES));
    ok(await alice.update());
    expect(await alice.status()).to.include({ state: "running", version: "2" });
    await replaceSince(before);
    expect(await alice.onChain()).to.equal(undefined);
    await local.mine(5);
    await until(
      "the set is back",
      async () => (await alice.onChain())?.decoded.version === 2n,
      90,
      () => provider.log,
    );
    expect(provider.log).to.contain("the opening of a data set was replaced");
    await until("the provider knows it", async () => (await alice.status()).state === "running", 30);
    ok(await alice.update());
    expect(await bob.status()).to.include({ state: "running", version: "1" });
    await toChallenge(alice);
    await proven(alice, 1);
  });

  it("are let go of when their opening was replaced and its signature has expired", async () => {
    const alice = await device(3);
    const before = await local.chain.provider.send("evm_snapshot", []);
    await alice.add(randomChunk(SLICE_BYTES));
    ok(await alice.open());
    await provider.end();
    await local.chain.provider.send("evm_revert", [before]);
    // Behind the deadline of the state, and further than blocks are replaced.
    await local.mine(60 + 140);
    provider.configure({ offer: OFFER, unusedExpirySeconds: 1 });
    await provider.start();
    await until(
      "the set is removed",
      () => provider.log.includes("abandoned data set removed"),
      60,
      () => provider.log,
    );
    expect(provider.log).to.contain("no signed state can open the data set any more");
    expect(readdirSync(join(provider.dataDir, "data-sets"))).to.deep.equal([]);
    // The salt can be used again.
    const anew = await again(alice);
    refused(await anew.client.request("GET", anew.path), "NOT_FOUND", "salt");
    anew.version = 0n;
    await anew.begin();
    expect(await anew.status()).to.include({ state: "preparing" });
  });

  it("have so many states sent in an epoch, the last ones together at its end, and no more signed", async () => {
    await provider.end();
    provider.configure({ offer: OFFER, quotas: { transactionsPerEpoch: 3, statesPerEpoch: 6 } });
    await provider.start();
    const alice = await device(6);
    const sentBy = () => local.chain.provider.getTransactionCount(provider.operator);
    // From the beginning of an epoch on, so that all of it happens in one.
    const nextEpoch = async () => toBlock((Math.floor((await head()) / EPOCH_BLOCKS) + 1) * EPOCH_BLOCKS);
    await nextEpoch();
    await alice.add(randomChunk(SLICE_BYTES));
    expect(ok(await alice.open()).transaction.blockNumber).to.be.greaterThan(0);
    await send(6, depositCollateralCall(local.deployment, NATIVE, provider.operator, FUNDS));
    const add = async () => {
      await alice.add(randomChunk(SLICE_BYTES));
      return ok(await alice.update());
    };
    expect((await add()).transaction.blockNumber).to.be.greaterThan(0);
    const before = await sentBy();
    let waitsUntil = 0;
    const addWaiting = async (...versions: string[]) => {
      for (const version of versions) {
        const answer = await add();
        expect([answer.version, answer.transaction]).to.deep.equal([version, undefined]);
        expect(answer.waitsUntilBlock).to.equal(waitsUntil);
      }
    };
    waitsUntil = (Math.floor((await head()) / EPOCH_BLOCKS) + 1) * EPOCH_BLOCKS - 1;
    await addWaiting("3", "4");
    // One that expires before it would be sent.
    const early = await alice.propose(await alice.state({ deadlineBlock: (await head()) + 12 }));
    refused(early, "RATE_LIMITED", "deadline of a state that waits");
    expect(early.json.error.retryable).to.equal(true);
    expect([await sentBy(), (await alice.onChain())?.decoded.version]).to.deep.equal([before, 2n]);
    await toBlock((Math.floor((await head()) / EPOCH_BLOCKS) + 1) * EPOCH_BLOCKS - 10);
    await until(
      "the last state is sent",
      async () => (await alice.onChain())?.decoded.version === 4n,
      60,
      () => provider.log,
    );
    expect((await alice.onChain())?.last.sliceCount).to.equal(4);
    expect(await sentBy()).to.equal(before + 1);
    // More than are signed.
    // By a few blocks of the next epoch.
    waitsUntil += 10;
    await addWaiting("5", "6");
    const more = await alice.propose(await alice.state());
    refused(more, "RATE_LIMITED", "states in an epoch");
    expect(more.json.error).to.include({ retryable: true });
    expect(more.json.error.retryAfterSeconds).to.be.greaterThan(0);
    // Before anything is asked that costs more than a look into the database.
    const other = await alice.propose(await alice.state({ contentHash: `0x${"12".repeat(32)}` }));
    refused(other, "RATE_LIMITED", "states in an epoch");
    expect(await sentBy()).to.equal(before + 1);
    await nextEpoch();
    await until(
      "it is sent in the next epoch",
      async () => (await alice.onChain())?.decoded.version === 6n,
      60,
      () => provider.log,
    );
    expect((await add()).transaction?.blockNumber).to.be.greaterThan(0);
  });

  it("have the states that wait sent side by side, not one after the other", async () => {
    await provider.end();
    provider.configure({ offer: OFFER, quotas: { transactionsPerEpoch: 2, statesPerEpoch: 6 } });
    await provider.start();
    const devices = [await device(1), await device(6)];
    await toBlock((Math.floor((await head()) / EPOCH_BLOCKS) + 1) * EPOCH_BLOCKS);
    for (const [k, each] of devices.entries()) {
      await each.add(randomChunk(SLICE_BYTES));
      ok(await each.open());
      await send([1, 6][k] ?? 0, depositCollateralCall(local.deployment, NATIVE, provider.operator, FUNDS));
      await each.add(randomChunk(SLICE_BYTES));
      expect(ok(await each.update()).transaction).to.equal(undefined);
    }
    const rpc = (method: string, ...parameters: unknown[]) => local.chain.provider.send(method, parameters);
    const operatorNonce = (tag: string) => local.chain.provider.getTransactionCount(provider.operator, tag);
    await rpc("evm_setAutomine", false);
    try {
      // No block takes the first before the other one is there.
      const mined = await operatorNonce("latest");
      await toBlock((Math.floor((await head()) / EPOCH_BLOCKS) + 1) * EPOCH_BLOCKS - 10);
      const before = await head();
      await until(
        "both are sent",
        async () => (await operatorNonce("pending")) >= mined + devices.length,
        60,
        () => provider.log,
      );
      expect(await head()).to.equal(before);
    } finally {
      await rpc("evm_setAutomine", true);
      await rpc("hardhat_mine");
    }
    for (const each of devices) expect((await each.onChain())?.decoded.version).to.equal(2n);
  });
});

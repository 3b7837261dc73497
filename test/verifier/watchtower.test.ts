/** A verifier on a real chain: what it checks, reports, warns of, and keeps when it ends or the chain changes. */
import { expect } from "chai";
import { readUserAccount } from "../../offchain/chain/escrow.ts";
import { disputeCall, noticeCall, proveDataSetsCall } from "../../offchain/chain/escrow-calls.ts";
import type { EvidenceSource } from "../../offchain/chain/randomness.ts";
import { toHex } from "../../offchain/core/encoding/hex.ts";
import { checkDrandSignature, drandKeyForChain } from "../../offchain/core/randomness/drand.ts";
import type { RunningDaemon } from "../../offchain/daemon/boot.ts";
import { rankingOf } from "../../offchain/verifier/group.ts";
import { programPath } from "../../scripts/programs.ts";
import { anvilWallet, startFaultyProxy } from "../helpers/anvil.ts";
import { startDaemonProcess } from "../helpers/daemon-process.ts";
import { testNetwork } from "../helpers/drand.ts";
import { freePort } from "../helpers/local-chain.ts";
import { until } from "../helpers/promises.ts";
import {
  EPOCH_BLOCKS,
  epochShown,
  GRACE_END,
  metricOf,
  NATIVE,
  WatchedChain,
  type WatchedSet,
  watchedSet,
} from "./watched-chain.ts";

describe("a verifier", function () {
  this.timeout(120_000);
  let watched: WatchedChain;
  let clean: unknown;
  const running: RunningDaemon[] = [];

  before(async () => {
    watched = await WatchedChain.start();
  });
  after(() => watched?.stop());
  // Each test has a chain without the sets of the others.
  beforeEach(async () => {
    clean = await watched.rpc("evm_snapshot");
    await watched.deposit(1000);
  });
  afterEach(async () => {
    for (const daemon of running.splice(0)) await daemon.close();
    await watched.rpc("evm_revert", [clean]);
  });

  async function watch(config: Record<string, unknown> = {}, log: string[] = []) {
    const folder = await watched.prepare(config);
    const daemon = await watched.watch(folder, log);
    running.push(daemon);
    return { ...folder, url: daemon.url, daemon };
  }

  it("checks each proof of the chain again and lists it, those of one transaction together", async () => {
    const { url } = await watch();
    const [one, other] = [await watched.open(), await watched.open()];
    const receipt = await watched.prove([one, other], one.firstEpoch);
    for (const { id } of [one, other]) await epochShown(url, id, one.firstEpoch, "valid");
    const { epochs, ...set } = await watchedSet(url, one.id);
    expect(epochs).to.deep.equal([
      {
        epoch: one.firstEpoch,
        outcome: "proven",
        transactionHash: receipt.hash,
        check: "valid",
        reason: null,
      },
    ]);
    expect(set).to.include({ status: "running", isOwnVerifier: true, sliceCount: 9, warning: null, lastEpoch: null });
    const first = await (await fetch(`${url}/v1/data-sets?limit=1`)).json();
    const second = await (await fetch(`${url}/v1/data-sets?limit=1&after=${first.next}`)).json();
    expect([...first.dataSets, ...second.dataSets].map(({ id }) => id)).to.deep.equal([one.id, other.id].sort());
    expect(second.next).to.equal(null);
    expect(await (await fetch(`${url}/v1/alarms`)).json()).to.deep.equal({ alarms: [], next: null });
    expect((await fetch(`${url}/v1/data-sets/0x${"77".repeat(32)}`)).status).to.equal(404);
    expect((await fetch(`${url}/healthz`)).status).to.equal(200);
    expect(await metricOf(url, "tallystick_verifier_proofs_checked_total", 'verdict="valid"')).to.equal(2);
  });

  it("reports a miss once its grace window is over, for the bounty, and not before", async () => {
    const { url, operator } = await watch();
    const set = await watched.open();
    const graceEnd = set.firstEpoch * EPOCH_BLOCKS + GRACE_END;
    await watched.mineTo(graceEnd - 1);
    await until("the events are read", async () => (await metricOf(url, "tallystick_verifier_block")) === graceEnd - 1);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(await watched.misses(set.id)).to.deep.equal([]);
    await watched.mineTo(graceEnd);
    await epochShown(url, set.id, set.firstEpoch, null);
    const [miss, ...more] = await watched.misses(set.id);
    expect([miss?.reporter, miss?.blockNumber, more]).to.deep.equal([operator, graceEnd + 1, []]);
    expect((await readUserAccount(watched.chain, NATIVE, operator)).available)
      .to.equal(miss?.bounty)
      .and.to.equal(2n * 10n ** 15n);
    expect(await watched.reverted()).to.deep.equal([]);
  });

  const network = testNetwork("watched", { marginSeconds: 1n });
  const recorded: Record<string, { deploy: () => Promise<string>; source: EvidenceSource }> = {
    prevrandao: {
      deploy: () => watched.deploy("PrevrandaoRandomness", [1, 8191]),
      source: { kind: "prevrandao" },
    },
    drand: {
      deploy: () => {
        const { genesisTime, periodSeconds, marginSeconds } = network;
        const publicKey = toHex(drandKeyForChain(network.publicKey));
        const described = { publicKey, genesisTime, periodSeconds, marginSeconds };
        return watched.deploy("DrandRandomness", [described, 1, 8191]);
      },
      source: {
        kind: "drand",
        network,
        signatures: {
          signatureOf: async (of, round) => checkDrandSignature(of, round, network.sign(round), "test"),
        },
      },
    },
  };
  for (const [kind, { deploy, source }] of Object.entries(recorded)) {
    it(`checks proofs whose challenges follow from ${kind}, and reports those that nobody recorded`, async () => {
      const { url, operator } = await watch();
      const set = await watched.open({ randomness: await deploy() });
      await watched.record(set, set.firstEpoch, source);
      await watched.prove([set], set.firstEpoch);
      await epochShown(url, set.id, set.firstEpoch, "valid");
      // A miss needs no randomness, so that silence about it protects no provider.
      await watched.mineTo((set.firstEpoch + 1) * EPOCH_BLOCKS + GRACE_END);
      await epochShown(url, set.id, set.firstEpoch + 1, null);
      const misses = await watched.misses(set.id);
      expect(misses.map(({ epoch, reporter }) => [epoch, reporter])).to.deep.equal([[set.firstEpoch + 1, operator]]);
    });
  }

  it("leaves a miss whose bounty does not pay for the gas, unless it may lose something", async () => {
    const { url } = await watch();
    const set = await watched.open({ bountyPercent: 0 });
    await watched.mineTo(set.firstEpoch * EPOCH_BLOCKS + GRACE_END);
    await until(
      "it was weighed",
      async () => (await metricOf(url, "tallystick_verifier_unprofitable_total", 'kind="miss"')) > 0,
    );
    expect(await watched.misses(set.id)).to.deep.equal([]);
    const generous = await watch({ minimumProfitWei: "-1000000000000000" });
    await epochShown(generous.url, set.id, set.firstEpoch, null);
    expect((await watched.misses(set.id)).map(({ reporter }) => reporter)).to.deep.equal([generous.operator]);
  });

  it("raises an alarm for a proof that the verifier of the terms accepts and that proves nothing", async () => {
    const log: string[] = [];
    const { url } = await watch({}, log);
    const verifier = await watched.deploy("FakeVerifier");
    const set = await watched.open({ verifier });
    const receipt = await watched.prove([set], set.firstEpoch);
    await epochShown(url, set.id, set.firstEpoch, "invalid");
    const { alarms } = await (await fetch(`${url}/v1/alarms`)).json();
    expect(alarms).to.have.length(1);
    expect(alarms[0]).to.include({
      dataSet: set.id,
      epoch: set.firstEpoch,
      verifier,
      isOwnVerifier: false,
      transactionHash: receipt.hash,
    });
    expect(alarms[0].reason).to.match(/answer length/);
    expect(await metricOf(url, "tallystick_verifier_proofs_checked_total", 'verdict="invalid"')).to.equal(1);
    const lines = log.map((line) => JSON.parse(line)).filter(({ msg }) => /^ALARM/.test(msg));
    expect(lines.map(({ level, dataSet }) => [level, dataSet])).to.deep.equal([[50, set.id]]);
  });

  it("warns once of a balance that runs out soon and of a notice, and lists both", async () => {
    const log: string[] = [];
    const { url } = await watch({ runwayWarningEpochs: 5 }, log);
    const poor = anvilWallet(5).connect(watched.provider);
    // The notice period of two epochs, and four more.
    await watched.deposit(6, poor);
    const [short, noticed, rich] = [await watched.open({ user: poor }), await watched.open(), await watched.open()];
    await until("it is warned of", async () => (await watchedSet(url, short.id))?.warning === "runway");
    expect((await watchedSet(url, short.id)).epochsBeyondNotice).to.be.within(0, 4);
    await watched.send(watched.user, noticeCall(watched.deployment, noticed));
    await until("the notice is listed", async () => (await watchedSet(url, noticed.id))?.warning === "notice");
    expect((await watchedSet(url, noticed.id)).lastEpoch).to.be.a("number");
    expect((await watchedSet(url, rich.id)).warning).to.equal(null);
    const listed = await (await fetch(`${url}/v1/data-sets?warning=runway`)).json();
    expect(listed.dataSets.map(({ id }: { id: string }) => id)).to.deep.equal([short.id]);
    expect(await metricOf(url, "tallystick_verifier_warnings", 'kind="runway"')).to.equal(1);
    await watched.deposit(50, poor);
    await until("it is over", async () => (await watchedSet(url, short.id)).warning === null);
    const said = log.map((line) => JSON.parse(line)).filter(({ warning }) => warning !== undefined);
    expect(said.map(({ dataSet, warning }) => [dataSet, warning])).to.deep.equal([
      [short.id, "runway"],
      [noticed.id, "notice"],
    ]);
  });

  it("upholds a dispute that was not answered, and checks the answer to another", async () => {
    const { url } = await watch();
    const disputer = anvilWallet(6).connect(watched.provider);
    await watched.deposit(1, disputer);
    const [silent, answering] = [await watched.open({ mode: "on-demand" }), await watched.open({ mode: "on-demand" })];
    await watched.mineTo(silent.firstEpoch * EPOCH_BLOCKS);
    await watched.send(disputer, disputeCall(watched.deployment, silent));
    const { blockNumber } = await watched.send(disputer, disputeCall(watched.deployment, answering));
    const proof = await watched.proofOf(answering, silent.firstEpoch, blockNumber + 2);
    await watched.mineTo(blockNumber + 2);
    await watched.send(watched.csp, proveDataSetsCall(watched.deployment, [proof]));
    await epochShown(url, answering.id, silent.firstEpoch, "valid");
    await watched.mineTo(blockNumber + 9);
    await epochShown(url, silent.id, silent.firstEpoch, null);
    expect(await watched.reverted()).to.deep.equal([]);
  });

  it("goes on from its cursor after a restart, and drops what a reorganisation undid", async () => {
    const proxy = await startFaultyProxy(watched.url);
    const asked: number[] = [];
    proxy.fault = (method, params) => {
      if (method === "eth_getLogs") asked.push(Number((params[0] as { fromBlock: string }).fromBlock));
      return undefined;
    };
    try {
      const folder = await watched.prepare({}, proxy.url);
      const first = await watched.watch(folder);
      const set = await watched.open();
      const before = await watched.rpc("evm_snapshot");
      await watched.prove([set], set.firstEpoch);
      await epochShown(first.url, set.id, set.firstEpoch, "valid");
      expect(Math.min(...asked.splice(0))).to.equal(watched.deployment.deployedAtBlock);
      await first.close();
      const read = await watched.head();
      const again = await watched.watch(folder);
      // It knows the set before it has read anything, and reads on behind the last block.
      expect((await watchedSet(again.url, set.id)).epochs).to.have.length(1);
      await watched.mineTo(read + 3);
      await until("it has read on", () => asked.length > 0);
      expect(Math.min(...asked)).to.equal(read + 1);
      await again.close();
      // Nothing was proven in the blocks that replace these.
      await watched.rpc("evm_revert", [before]);
      await watched.rpc("evm_increaseTime", [1000]);
      await watched.mineTo(set.firstEpoch * EPOCH_BLOCKS + 8);
      const third = await watched.watch(folder);
      running.push(third);
      await until("the proof is gone", async () => (await watchedSet(third.url, set.id))?.epochs.length === 0);
      await watched.mineTo(set.firstEpoch * EPOCH_BLOCKS + GRACE_END);
      await epochShown(third.url, set.id, set.firstEpoch, null);
      expect((await watched.misses(set.id)).map(({ reporter }) => reporter)).to.deep.equal([folder.operator]);
    } finally {
      for (const daemon of running.splice(0)) await daemon.close();
      await proxy.close();
    }
  });

  /** Proves the first epoch of a set by way of a contract that passes its call data on to the escrow. */
  async function proveThroughAnother(set: WatchedSet): Promise<string> {
    const proof = await watched.proofOf(set, set.firstEpoch);
    const relay = "0x00000000000000000000000000000000000fffff";
    const escrow = watched.deployment.contracts.storageEscrow.slice(2);
    await watched.rpc("anvil_setCode", [relay, `0x363d3d373d3d363d3d73${escrow}5af16026575f5ffd5b00`]);
    return (await watched.send(watched.csp, { ...proveDataSetsCall(watched.deployment, [proof]), to: relay })).hash;
  }

  it("reads a proof that went through another contract from a trace", async () => {
    const { url } = await watch();
    const set = await watched.open();
    const hash = await proveThroughAnother(set);
    await epochShown(url, set.id, set.firstEpoch, "valid");
    expect((await watchedSet(url, set.id)).epochs[0].transactionHash).to.equal(hash);
  });

  it("counts such a proof as unreadable when the endpoint does not trace", async () => {
    const proxy = await startFaultyProxy(watched.url);
    proxy.fault = (method) =>
      method === "debug_traceTransaction" ? { error: { code: -32601, message: "method not found" } } : undefined;
    const daemon = await watched.watch(await watched.prepare({}, proxy.url));
    try {
      const set = await watched.open();
      await proveThroughAnother(set);
      await epochShown(daemon.url, set.id, set.firstEpoch, "unreadable");
      expect((await (await fetch(`${daemon.url}/v1/alarms`)).json()).alarms).to.deep.equal([]);
    } finally {
      await daemon.close();
      await proxy.close();
    }
  });

  it("closes sets that were abandoned after a notice or an empty balance, for the bounty", async () => {
    const { url, operator } = await watch();
    const poor = anvilWallet(5).connect(watched.provider);
    await watched.deposit(3, poor);
    const [noticed, exhausted] = [await watched.open(), await watched.open({ user: poor })];
    await watched.send(watched.user, noticeCall(watched.deployment, noticed));
    const ended = async (id: string) => (await watchedSet(url, id))?.lastEpoch ?? undefined;
    await watched.mineTo((noticed.firstEpoch + 6) * EPOCH_BLOCKS);
    for (const { id } of [noticed, exhausted]) {
      await until("its end is known", async () => (await watchedSet(url, id))?.warning === "ended");
    }
    const last = Math.max(await ended(noticed.id), await ended(exhausted.id));
    // A stranger gets the bounty 30 epochs after the first one in which a party could have closed it.
    await watched.mineTo((last + 33) * EPOCH_BLOCKS);
    for (const { id } of [noticed, exhausted]) {
      await until("it is closed", async () => (await watchedSet(url, id))?.status === "closed");
    }
    const { available } = await readUserAccount(watched.chain, NATIVE, operator);
    expect(available >= 2n * 2n * 10n ** 15n).to.equal(true);
    expect(await watched.reverted()).to.deep.equal([]);
  });

  it("leaves a proof to a member of its group that has checked it, and checks it when that is gone", async () => {
    const members = await Promise.all(["a", "b"].map(async (id) => ({ id, port: await freePort() })));
    const group = members.map(({ id, port }) => ({ id, url: `http://127.0.0.1:${port}` }));
    const daemons = new Map<string, RunningDaemon>();
    for (const { id, port } of members) {
      const listen = { host: "127.0.0.1", port };
      const { daemon } = await watch({ listen, group: { self: id, members: group } });
      daemons.set(id, daemon);
    }
    const set = await watched.open();
    const rankingAt = (epoch: number) => rankingOf(["a", "b"], { dataSet: set.id, epoch });
    const urlOf = (id: string | undefined) => group.find((member) => member.id === id)?.url ?? "";
    const epoch = set.firstEpoch;
    await watched.prove([set], epoch);
    const [first, second] = rankingAt(epoch);
    await epochShown(urlOf(first), set.id, epoch, "valid");
    await epochShown(urlOf(second), set.id, epoch, "pending");
    await watched.mineTo((await watched.head()) + 3);
    await epochShown(urlOf(second), set.id, epoch, "by-others");
    const [gone, left] = rankingAt(epoch + 1);
    const ending = daemons.get(gone ?? "");
    if (ending !== undefined) running.splice(running.indexOf(ending), 1);
    await ending?.close();
    await watched.prove([set], epoch + 1);
    await watched.mineTo((await watched.head()) + 3);
    await epochShown(urlOf(left), set.id, epoch + 1, "valid");
  });

  it("takes over the duty of a member of its group that was killed, once, and no transaction fails", async () => {
    const members = [{ id: "a" }, { id: "b" }];
    const names = members.map(({ id }) => id);
    const file = programPath("tallystick-verifier");
    const folders = new Map<string, { operator: string; configFile: string }>();
    for (const id of names) folders.set(id, await watched.prepare({ group: { self: id, members }, takeoverBlocks: 3 }));
    const processes = new Map(
      await Promise.all(
        [...folders].map(async ([id, { configFile }]) => [id, await startDaemonProcess(file, configFile, {})] as const),
      ),
    );
    const endings = new Set(names);
    const operatorOf = (id: string | undefined) => folders.get(id ?? "")?.operator;
    try {
      const set = await watched.open();
      const epoch = set.firstEpoch;
      const [first, second] = [
        rankingOf(names, { dataSet: set.id, epoch }),
        rankingOf(names, { dataSet: set.id, epoch: epoch + 1 }),
      ];
      // While both live, the first of the ranking reports, and the other has nothing to do.
      await watched.mineTo(epoch * EPOCH_BLOCKS + GRACE_END);
      await until("the miss is reported", async () => (await watched.misses(set.id)).length > 0);
      await watched.mineTo(epoch * EPOCH_BLOCKS + GRACE_END + 6);
      // Of the next epoch, the first is killed before the window ends.
      endings.delete(second[0] ?? "");
      await processes.get(second[0] ?? "")?.end("SIGKILL");
      const from = (epoch + 1) * EPOCH_BLOCKS + GRACE_END;
      await watched.mineTo(from + 2);
      await until(
        "the other has read",
        async () =>
          (await metricOf(processes.get(second[1] ?? "")?.url ?? "", "tallystick_verifier_block")) === from + 2,
      );
      await new Promise((resolve) => setTimeout(resolve, 300));
      expect(await watched.misses(set.id)).to.have.length(1);
      await watched.mineTo(from + 3);
      await until("the other reports", async () => (await watched.misses(set.id)).length > 1);
      await watched.mineTo(from + 8);
      await new Promise((resolve) => setTimeout(resolve, 300));
      const misses = await watched.misses(set.id);
      expect(misses.map((miss) => [miss.epoch, miss.reporter])).to.deep.equal([
        [epoch, operatorOf(first[0])],
        [epoch + 1, operatorOf(second[1])],
      ]);
      // Started again, the one that was killed catches up, and takes its turn.
      const configFile = folders.get(second[0] ?? "")?.configFile ?? "";
      processes.set(second[0] ?? "", await startDaemonProcess(file, configFile, {}));
      endings.add(second[0] ?? "");
      await watched.mineTo((epoch + 2) * EPOCH_BLOCKS + GRACE_END);
      const [third] = rankingOf(names, { dataSet: set.id, epoch: epoch + 2 });
      await until("the next miss is reported", async () => (await watched.misses(set.id)).length > 2);
      await watched.mineTo((epoch + 2) * EPOCH_BLOCKS + GRACE_END + 8);
      await new Promise((resolve) => setTimeout(resolve, 300));
      const reporters = (await watched.misses(set.id)).map(({ reporter }) => reporter);
      expect(reporters).to.deep.equal([operatorOf(first[0]), operatorOf(second[1]), operatorOf(third)]);
      expect(await watched.reverted()).to.deep.equal([]);
    } finally {
      for (const id of endings) await processes.get(id)?.end();
    }
  });
});

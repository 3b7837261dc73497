/**
 * kill -9 of the agent, of key nodes and of the provider in the middle of a put: run it again, and nothing is lost or
 * paid twice.
 */
import { randomBytes } from "node:crypto";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { expect } from "chai";
import { openAgent } from "../../offchain/agent/node/index.ts";
import { type ChainReader, connectChain } from "../../offchain/chain/deployment.ts";
import { scanDataSets } from "../../offchain/chain/escrow-events.ts";
import { identityFromPhrase, newRecoveryPhrase } from "../../offchain/core/identity/identity.ts";
import { type LocalNet, SMALL_COMMITTEE, startLocalNet } from "../helpers/local-net.ts";
import { type PutResult, RunningPut } from "../helpers/running-put.ts";

/** More than one group of uploads. */
const FILE_BYTES = 10 * 1024 * 1024;

describe("crashes in the middle of a put", () => {
  let net: LocalNet;
  let chain: ChainReader;
  let phrase: string;
  let homes = 0;
  const at = (...names: string[]) => join(net.dir, ...names);

  before(async () => {
    // Windows that have time for the proofs of all users of these tests.
    net = await startLocalNet({ ...SMALL_COMMITTEE, sampleCount: 30, epochBlocks: 120, windowBlocks: 40 });
    chain = await connectChain(net.deployment);
  });
  after(async () => {
    chain?.close();
    await net?.stop();
  });

  // A test that failed may have left it off.
  afterEach(() => net.chain.provider.send("evm_setAutomine", [true]));

  /** A new user with a new file, and the plan of its put. */
  async function plan(dataSet: boolean): Promise<{ planFile: string; file: string; homeDir: string }> {
    phrase = newRecoveryPhrase();
    homes += 1;
    const homeDir = at(`home-${homes}`);
    const file = at(`file-${homes}`);
    const planFile = at(`plan-${homes}.json`);
    await net.fund([identityFromPhrase(phrase).account]);
    writeFileSync(file, randomBytes(FILE_BYTES));
    writeFileSync(
      planFile,
      JSON.stringify({ phrase, deploymentFile: net.deploymentFile, homeDir, path: file, dataSet }),
    );
    return { planFile, file, homeDir };
  }

  async function finish(planFile: string): Promise<PutResult> {
    const run = new RunningPut(planFile);
    const result = await run.ended();
    if (result === undefined) throw new Error(`the put did not finish: ${run.errors}`);
    return result;
  }

  /** Data sets that the user has opened, and how often the balance was topped up. */
  async function paid(): Promise<{ sets: string[]; deposits: number }> {
    const sets: string[] = [];
    let deposits = 0;
    const { account } = identityFromPhrase(phrase);
    for await (const event of scanDataSets(chain, 0, await chain.provider.getBlockNumber())) {
      if (event.kind === "DataSetOpened" && event.terms.user === account) sets.push(event.id);
      if (event.kind === "Deposited" && event.user === account) deposits += 1;
    }
    return { sets, deposits };
  }

  /** From a new device, which knows nothing of what the put left behind. */
  async function expectIdentical(dataId: string, file: string): Promise<void> {
    homes += 1;
    const agent = await openAgent({
      identity: identityFromPhrase(phrase),
      deployment: net.deployment,
      homeDir: at(`home-${homes}`),
    });
    try {
      await agent.get(dataId, at("out"));
      expect(readFileSync(at("out", file.slice(net.dir.length + 1))).equals(readFileSync(file))).to.equal(true);
    } finally {
      await agent.close();
      rmSync(at("out"), { recursive: true, force: true });
    }
  }

  it("finishes after the agent was killed in every phase, with one record and one deposit", async () => {
    const { planFile, file } = await plan(true);
    const { provider } = net.chain;
    const { account } = identityFromPhrase(phrase);
    const { keyLedger } = net.deployment.contracts;
    const records = async () => (await provider.getLogs({ address: keyLedger, fromBlock: 0 })).length;
    const before = await records();
    const recorded = async () => {
      for (const end = Date.now() + 30_000; Date.now() < end; await pause(10)) {
        if ((await records()) > before) return;
      }
      throw new Error("the key was not recorded");
    };
    for (const phase of ["storing", "recording", "uploading", "verifying"]) {
      // The key is recorded by now; a deposit that is quicker than the kill is not to be mined yet.
      if (phase === "verifying") await provider.send("evm_setAutomine", [false]);
      const run = new RunningPut(planFile);
      // A run that was killed a little late has left nothing to send or to verify.
      await run.reached(phase, "verifying", ...(phase === "verifying" ? ["funding"] : []));
      // Tags are uploaded while the key is recorded.
      if (phase === "uploading") await recorded();
      await pause(Math.random() * 60);
      await run.kill();
    }
    // The worst moment: the deposit is on its way, nobody has heard of it yet, and the next run begins before it is
    // mined.
    const depositing = new RunningPut(planFile);
    const sent = async (tag: string) => await provider.getTransactionCount(account, tag);
    while ((await sent("pending")) === (await sent("latest"))) {
      if (!depositing.running) throw new Error(`the put ended before its deposit: ${depositing.errors}`);
      await pause(20);
    }
    await depositing.kill();
    const next = new RunningPut(planFile);
    await next.reached("storing");
    await pause(1000);
    await provider.send("evm_setAutomine", [true]);
    await net.chain.mine(1);
    await next.reached("signing");
    await next.kill();
    const result = await finish(planFile);
    expect(result.uploadedBytes).to.be.lessThan(result.storedBytes);
    const again = await finish(planFile);
    expect(again).to.deep.equal({ ...result, uploadedBytes: 0 });
    await expectIdentical(result.dataId, file);
    expect(await paid()).to.deep.equal({ sets: [result.dataSetId], deposits: 1 });
  });

  it("finishes after the agent was killed at random moments", async () => {
    const { planFile, file } = await plan(false);
    for (let attempt = 0; attempt < 5; attempt += 1) {
      const run = new RunningPut(planFile);
      await run.reached("storing");
      await pause(Math.random() * 800);
      await run.kill();
    }
    const result = await finish(planFile);
    await expectIdentical(result.dataId, file);
  });

  it("finishes after the provider was killed", async () => {
    for (const phase of ["storing", "recording", "uploading", "signing"]) {
      const { planFile, file } = await plan(true);
      const run = new RunningPut(planFile);
      await run.reached(phase);
      await pause(Math.random() * 300);
      await net.provider.process.stop("SIGKILL");
      await net.provider.process.start();
      // It may have ridden out the break, or given up.
      await run.ended();
      const result = await finish(planFile);
      expect(await paid(), phase).to.deep.equal({ sets: [result.dataSetId], deposits: 1 });
      await expectIdentical(result.dataId, file);
    }
  });

  it("leaves a data set that another device ends with the recovery phrase alone, the first one gone", async () => {
    const { planFile, homeDir } = await plan(true);
    const { dataSetId = "" } = await finish(planFile);
    rmSync(homeDir, { recursive: true });
    homes += 1;
    const identity = identityFromPhrase(phrase);
    const agent = await openAgent({ identity, deployment: net.deployment, homeDir: at(`home-${homes}`) });
    try {
      const [lost] = await agent.dataSets.list();
      expect(lost).to.include({ id: dataSetId, status: "running", device: "other" });
      const { lastEpoch } = await agent.dataSets.giveNotice(dataSetId);
      expect(await agent.dataSets.show(dataSetId)).to.include({ status: "ending", lastEpoch });
      const own = at(`own-${homes}`);
      writeFileSync(own, "what the second device stores");
      const { dataSets } = await agent.put([own]);
      expect(dataSets[0]).to.include({ isNew: true });
      expect(dataSets[0]?.id).to.not.equal(dataSetId);
    } finally {
      await agent.close();
    }
  });

  it("finishes while key nodes are killed and come back", async () => {
    const { planFile, file } = await plan(false);
    const run = new RunningPut(planFile);
    await run.reached("storing");
    for (const position of [0, 2, 1]) {
      const node = net.nodes[position];
      await node?.process.stop("SIGKILL");
      await pause(100);
      await node?.process.start();
    }
    await run.ended();
    const result = await finish(planFile);
    await expectIdentical(result.dataId, file);
  });
});

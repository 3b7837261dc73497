/** How a node leaves the registry, and stays out of it. */
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { nodeRegistry } from "../../offchain/chain/contracts.ts";
import { readNode } from "../../offchain/chain/registry.ts";
import { programPath } from "../../scripts/programs.ts";
import { type FaultyProxy, startFaultyProxy } from "../helpers/anvil.ts";
import { runDaemonCommandBeside } from "../helpers/daemon-process.ts";
import { type LocalChain, startLocalChain } from "../helpers/local-chain.ts";
import { prepareCommittee, type TestCommittee, type TestNode } from "../helpers/nbm-committee.ts";
import { failure } from "../helpers/promises.ts";

const EXIT_DELAY_SECONDS = 3600;

describe("a node that leaves", function () {
  this.timeout(60_000);
  let local: LocalChain;
  let proxy: FaultyProxy;
  let committee: TestCommittee;
  let node: TestNode;

  before(async () => {
    local = await startLocalChain({ parameters: { exitDelaySeconds: BigInt(EXIT_DELAY_SECONDS) } });
    proxy = await startFaultyProxy(local.rpcUrl);
  });
  after(async () => {
    await proxy.close();
    await local.stop();
  });
  beforeEach(async () => {
    committee = await prepareCommittee(local, { size: 1, form: false });
    node = committee.nodes[0] as TestNode;
  });
  afterEach(async () => {
    proxy.fault = () => undefined;
    await committee.stop();
  });

  // biome-ignore lint/suspicious/noExplicitAny: tests look at whatever came back
  async function run(word: string): Promise<any> {
    const args = [word, "--config", node.configFile, "--json"];
    const env = { TALLYSTICK_PASSPHRASE: "nodes in tests" };
    const { status, stdout, stderr } = await runDaemonCommandBeside(programPath("tallystick-nbm"), args, env);
    if (status !== 0) throw new Error(stderr);
    return JSON.parse(stdout);
  }
  const pass = async () => {
    await local.chain.provider.send("evm_increaseTime", [EXIT_DELAY_SECONDS + 1]);
    await local.mine(1);
  };

  it("does not register again by itself once its stake is withdrawn, until it is told to", async () => {
    await node.start();
    await run("exit");
    await node.end();
    const file = join(node.folder, "data", "left-registry");
    // As if another program had asked for it: the daemon notes it at its start.
    rmSync(file);
    await node.start();
    await node.end();
    expect(existsSync(file)).to.equal(true);
    await pass();
    await run("withdraw-stake");
    const refused = (await failure(node.start())) as Error;
    expect(refused.message).to.contain("has left the registry").and.to.contain(`remove ${file}`);
    expect(await readNode(local.chain, node.operator)).to.equal(undefined);
    rmSync(file);
    await node.start();
    expect((await readNode(local.chain, node.operator))?.exitAt).to.equal(0);
  });

  it("is told when its stake is free by the block of its transaction, not by an endpoint that is behind", async () => {
    await node.start();
    await node.end();
    writeFileSync(join(node.folder, "behind.json"), JSON.stringify({ ...local.deployment, rpcUrl: proxy.url }));
    node.configure({ deploymentFile: "behind.json" });
    const registry = nodeRegistry(local.chain);
    const data = registry.interface.encodeFunctionData("nodeOf", [node.operator]);
    const call = { to: local.deployment.contracts.nodeRegistry, data };
    const result: unknown = await local.chain.provider.send("eth_call", [call, "latest"]);
    proxy.fault = (method, [asked, block]) =>
      method === "eth_call" && block === "latest" && (asked as { data: string }).data === data ? { result } : undefined;
    const { exitAt } = await run("exit");
    expect(exitAt).to.be.greaterThan(0);
    expect(exitAt).to.equal((await readNode(local.chain, node.operator))?.exitAt);
  });
});

import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { readNode } from "../../offchain/chain/registry.ts";
import { programPath } from "../../scripts/programs.ts";
import { type LocalChain, startLocalChain } from "../helpers/local-chain.ts";
import { prepareCommittee, type TestCommittee, type TestNode } from "../helpers/nbm-committee.ts";

const MAIN = programPath("tallystick-nbm");

function run(file: string, args: string[], passphrase: string | undefined) {
  const { TALLYSTICK_PASSPHRASE: _, ...env } = process.env;
  return spawnSync(process.execPath, ["--disable-warning=ExperimentalWarning", file, ...args], {
    encoding: "utf8",
    timeout: 60_000,
    env: { ...env, ...(passphrase === undefined ? {} : { TALLYSTICK_PASSPHRASE: passphrase }) },
  });
}

/** What the last line of the log says. */
function lastError(stderr: string): { message: string; code?: string } {
  const line = stderr.trim().split("\n").at(-1) ?? "";
  return (JSON.parse(line) as { err: { message: string; code?: string } }).err;
}

describe("start of an nbm node", () => {
  let local: LocalChain;
  let committee: TestCommittee;
  let node: TestNode;

  before(async () => {
    local = await startLocalChain();
  });
  after(() => local?.stop());
  beforeEach(async () => {
    committee = await prepareCommittee(local, { size: 1, form: false });
    node = committee.nodes[0] as TestNode;
  });
  afterEach(() => committee?.stop());

  it("is refused with a wrong or absent passphrase, or limits that do not fit", () => {
    const wrong = run(MAIN, ["--config", node.configFile], "wrong");
    expect([wrong.status, wrong.stdout]).to.deep.equal([3, ""]);
    expect(wrong.stderr).to.match(/does not open .*passphrase/);
    const none = run(MAIN, ["--config", node.configFile], undefined);
    expect([none.status, none.stdout]).to.deep.equal([2, ""]);
    expect(none.stderr).to.contain("no passphrase");
    node.configure({ oprfBudget: { evaluations: 0, periodSeconds: 1 } });
    const unfit = run(MAIN, ["--config", node.configFile], "nodes in tests");
    expect(unfit.stderr).to.match(/configuration .* is wrong at \/oprfBudget\/evaluations/);
    node.configure({ oprfBudget: { evaluations: 1, periodSeconds: 1 }, privateKey: "0x11" });
    const unknown = run(MAIN, ["--config", node.configFile], "nodes in tests");
    expect(unknown.stderr).to.match(/privateKey/);
    node.configure({ privateKey: undefined, listen: { host: "0.0.0.0", port: 0 } });
    const nowhere = run(MAIN, ["--config", node.configFile], "nodes in tests");
    expect(nowhere.stderr).to.contain("listens on 0.0.0.0").and.to.contain("publicUrl");
  });

  it("is refused when the node is not registered and may not register itself", async () => {
    const config = JSON.parse(readFileSync(node.configFile, "utf8"));
    expect(config.autoRegister).to.deep.equal({ stakeWei: "1000000000000000000" });
    node.configure({ autoRegister: undefined });
    const started = run(MAIN, ["--config", node.configFile], "nodes in tests");
    expect(lastError(started.stderr).message).to.equal(`node ${node.operator} is not registered`);
    expect(await readNode(local.chain, node.operator)).to.equal(undefined);
  });

  it("is refused with a keystore or a database of another chain, which it leaves as it was", async () => {
    await node.start();
    await node.end();
    const other = await startLocalChain();
    try {
      await other.fund([node.operator]);
      const deployment = join(node.folder, "other.json");
      writeFileSync(deployment, JSON.stringify(other.deployment));
      node.configure({ deploymentFile: "other.json" });
      const keystore = run(MAIN, ["--config", node.configFile], "nodes in tests");
      expect(lastError(keystore.stderr)).to.include({ code: "CONFLICT" });
      expect(lastError(keystore.stderr).message).to.match(/keystore .* belongs to another deployment/);
      // Whoever removes the record meets the one in the database.
      rmSync(join(node.folder, "keystore.deployment.json"));
      const started = run(MAIN, ["--config", node.configFile], "nodes in tests");
      expect(lastError(started.stderr)).to.include({ code: "CONFLICT" });
      expect(lastError(started.stderr).message).to.match(/database .* belongs to another deployment/);
      rmSync(join(node.folder, "keystore.deployment.json"));
      expect(await readNode(other.chain, node.operator)).to.equal(undefined);
    } finally {
      await other.stop();
    }
    node.configure({ deploymentFile: "../deployment.json" });
    await node.start();
  });

  it("is refused beside another process on the same folder", async () => {
    await node.start();
    const second = run(MAIN, ["--config", node.configFile], "nodes in tests");
    expect(lastError(second.stderr).message).to.contain("another process uses it");
    expect((await node.request("GET", "/healthz")).status).to.equal(200);
  });

  it("is refused over a database that another node's keystore made", async () => {
    await node.start();
    await node.end();
    const thief = await prepareCommittee(local, { size: 1, form: false });
    try {
      const [other] = thief.nodes as [TestNode];
      mkdirSync(join(other.folder, "data"));
      cpSync(join(node.folder, "data"), join(other.folder, "data"), { recursive: true });
      const started = run(MAIN, ["--config", other.configFile], "nodes in tests");
      expect(lastError(started.stderr).code).to.equal("CONFLICT");
    } finally {
      await thief.stop();
    }
  });
});

/** A committee of real nodes through its generations: whatever changes, its users get the same outputs. */

import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import type { AgentContext } from "../../offchain/agent/context.ts";
import { readCommittee, readCommitteeKeys } from "../../offchain/chain/registry.ts";
import { oprfReady } from "../../offchain/core/oprf/ristretto255.ts";
import { NBM_MIGRATIONS } from "../../offchain/nbm/tables.ts";
import { openDatabase } from "../../offchain/store/index/sqlite.ts";
import {
  agentContext,
  createCommittee,
  generationsAt,
  operatorCommand,
  outputOf,
  serving,
} from "../helpers/committee-commands.ts";
import { type LocalChain, startLocalChain } from "../helpers/local-chain.ts";
import { prepareCommittee, type TestCommittee, type TestNode } from "../helpers/nbm-committee.ts";
import { failure, until } from "../helpers/promises.ts";

const ERASE_AFTER_BLOCKS = 20;

describe("a committee and its generations", function () {
  this.timeout(120_000);
  let local: LocalChain;
  let network: TestCommittee;
  let nodes: readonly TestNode[];
  let context: AgentContext;
  let output: string;

  const some = (...numbers: number[]): TestNode[] => numbers.map((number) => nodes[number - 1] as TestNode);
  const operators = (members: readonly TestNode[]) => members.map(({ operator }) => operator).join(",");

  /** Runs a proposal at several nodes; what the last one printed. */
  async function proposeAt(members: readonly TestNode[], ...words: string[]) {
    let said: unknown;
    for (const node of members) said = await operatorCommand(node, ...words);
    return said as { proposers: number; isOpen: boolean; generation: number };
  }

  before(async () => {
    await oprfReady();
    local = await startLocalChain();
    const config = { pollMilliseconds: 1000, dealingSeconds: 2, eraseAfterBlocks: ERASE_AFTER_BLOCKS };
    network = await prepareCommittee(local, { size: 7, config, form: false });
    nodes = network.nodes;
    await network.startAll();
    context = agentContext(local);
  });
  after(async () => {
    await context?.close();
    await network?.stop();
    await local?.stop();
  });

  it("makes its keys, 3 of 5", async () => {
    await createCommittee(local, some(1, 2, 3, 4, 5), 3);
    await serving(some(1, 2, 3, 4, 5), 1);
    output = await outputOf(context);
  });

  it("is refreshed when three members propose it, and erases the old shares when that is final", async () => {
    const before = await readCommitteeKeys(local.chain, 1n);
    const [first] = some(1) as [TestNode];
    const { box } = await first.keys();
    const stolen = rowsOf(first);
    expect(await operatorCommand(first, "refresh", "1")).to.include({ proposers: 1, needed: 3, isOpen: false });
    expect((await readCommittee(local.chain, 1n)).generation).to.equal(1);
    expect(await proposeAt(some(2, 3), "refresh", "1")).to.include({ proposers: 3, isOpen: true, generation: 2 });
    expect(await operatorCommand(some(4)[0] as TestNode, "refresh", "1")).to.deep.equal({
      committee: "1",
      generation: 2,
      isOpen: true,
    });
    await serving(some(1, 2, 3, 4, 5), 2);
    const after = await readCommitteeKeys(local.chain, 1n);
    expect(after.generation).to.equal(2);
    for (const purpose of ["oprf", "record"] as const) {
      expect(after.keys[purpose].groupPublicKey).to.deep.equal(before.keys[purpose].groupPublicKey);
      expect(after.keys[purpose].verificationShares).not.to.deep.equal(before.keys[purpose].verificationShares);
    }
    // Those who have read the chain before are served as before, until it is final.
    expect(await generationsAt(first)).to.deep.equal([1, 2]);
    expect(onDisk(first, stolen.shares)).to.equal(true);
    expect(await outputOf(context)).to.equal(output);
    await local.mine(ERASE_AFTER_BLOCKS);
    for (const node of some(1, 2, 3, 4, 5)) {
      await until("erasure", async () => (await generationsAt(node)).join() === "2");
    }
    expect(onDisk(first, stolen.shares)).to.equal(false);
    expect(box.open(rowsOf(first).place, rowsOf(first).shares)).to.have.length(109);
    const fresh = agentContext(local);
    expect(await outputOf(fresh)).to.equal(output);
    await fresh.close();
  });

  it("goes on to 4 of 7, which those who knew 3 of 5 notice when they ask", async () => {
    const { oprf } = await context.committeeById(1n);
    const words = ["reshare", "1", "--members", operators(nodes), "--threshold", "4"];
    await proposeAt(some(1, 3, 5), ...words);
    await serving(nodes, 3);
    await local.mine(ERASE_AFTER_BLOCKS);
    for (const node of nodes) await until("erasure", async () => (await generationsAt(node)).join() === "3");
    // Not by way of the context, which would look at the chain first.
    expect([oprf.threshold, oprf.members.length]).to.deep.equal([3, 5]);
    expect(await outputOf({ committeeById: async () => ({ oprf }) } as unknown as AgentContext)).to.equal(output);
    expect([oprf.threshold, oprf.members.length]).to.deep.equal([4, 7]);
    expect(await outputOf(context)).to.equal(output);
  });

  it("gives a node that has lost its disk new shares", async () => {
    const [lost] = some(3) as [TestNode];
    await lost.end("SIGKILL");
    rmSync(join(lost.folder, "data"), { recursive: true });
    await lost.start();
    expect(await generationsAt(lost)).to.deep.equal([]);
    await proposeAt(some(1, 2, 4, 6), "replace", "1", lost.operator, lost.operator);
    await serving(nodes, 4);
    // With the three that are up beside it, it is needed.
    for (const node of some(5, 6, 7)) await node.end();
    expect(await outputOf(context)).to.equal(output);
    await network.startAll();
  });

  it("replaces members that are gone, and lets go of those that stay out", async () => {
    const [gone] = some(7) as [TestNode];
    await gone.end("SIGKILL");
    const members = some(6, 1, 2, 4, 5);
    const words = ["reshare", "1", "--members", operators(members), "--threshold", "3"];
    const stranger = local.deployment.contracts.keyLedger;
    const wrong = (await failure(operatorCommand(gone, "replace", "1", stranger, gone.operator))) as Error;
    expect(wrong.message).to.include("is no member of committee 1");
    await proposeAt(some(1, 2, 3, 4), ...words);
    await serving(members, 5);
    await local.mine(ERASE_AFTER_BLOCKS);
    for (const node of members) await until("erasure", async () => (await generationsAt(node)).join() === "5");
    await until("the one that stays out", async () => (await generationsAt(some(3)[0] as TestNode)).length === 0);
    expect(await outputOf(context)).to.equal(output);
    // The one that was down erases its shares when it is back.
    await gone.start();
    await until("erasure", async () => (await generationsAt(gone)).length === 0);
  });

  function rowsOf(node: TestNode): { place: string; shares: Uint8Array } {
    const database = openDatabase(join(node.folder, "data", "nbm.db"), { migrations: NBM_MIGRATIONS });
    const row = database.prepare("SELECT * FROM run_results ORDER BY generation LIMIT 1").get();
    database.close();
    const place = `run_results.shares 1/${row?.generation} ${row?.key_material_hash}`;
    return { place, shares: row?.shares_sealed as Uint8Array };
  }

  function onDisk(node: TestNode, bytes: Uint8Array): boolean {
    const files = ["nbm.db", "nbm.db-wal"].map((name) => readFileSync(join(node.folder, "data", name)));
    return files.some((file) => file.includes(Buffer.from(bytes)));
  }
});

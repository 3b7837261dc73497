import { readFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect } from "chai";
import { readAttestation } from "../../../offchain/chain/registry.ts";
import { oprfReady } from "../../../offchain/core/oprf/ristretto255.ts";
import { createCommittee, serving } from "../../helpers/committee-commands.ts";
import { type LocalChain, startLocalChain } from "../../helpers/local-chain.ts";
import { prepareCommittee, type TestCommittee, type TestNode } from "../../helpers/nbm-committee.ts";
import { until } from "../../helpers/promises.ts";

const DAY_MILLISECONDS = 86_400_000;

describe("attestations that a node pays for", function () {
  this.timeout(120_000);
  let local: LocalChain;
  let network: TestCommittee;

  before(async () => {
    await oprfReady();
    local = await startLocalChain();
    network = await prepareCommittee(local, {
      size: 2,
      config: { pollMilliseconds: 100, dealingSeconds: 2 },
      form: false,
    });
    await network.startAll();
  });
  after(async () => {
    await network?.stop();
    await local?.stop();
  });

  /** Works on the budgets of a running node. */
  function withBudgets(node: TestNode, work: (database: DatabaseSync) => void): void {
    const { dataDir } = JSON.parse(readFileSync(node.configFile, "utf8")) as { dataDir: string };
    const database = new DatabaseSync(join(node.folder, dataDir, "nbm.db"), { timeout: 5000 });
    try {
      work(database);
    } finally {
      database.close();
    }
  }

  it("are bounded for each committee: above that, it waits, says so, and goes on when it may again", async () => {
    const { nodes } = network;
    const [poor, rich] = nodes as [TestNode, TestNode];
    // As after the last attestation of the day.
    const used = (database: DatabaseSync) =>
      database
        .prepare("INSERT INTO budgets (scope, account, full_at) VALUES ('attestations', 'committee 1', ?)")
        .run(Date.now() + DAY_MILLISECONDS);
    withBudgets(poor, used);
    await createCommittee(local, nodes, 2);
    const attested = (node: TestNode) => readAttestation(local.chain, 1n, 1, node.operator);
    await until("the other one has attested", async () => (await attested(rich)) !== undefined, 60);
    const problem = async () =>
      (await poor.describe()).committees.find(({ committeeId }) => committeeId === "1")?.problem;
    await until(
      "it says why it does not",
      async () => /budget|used/.test((await problem()) ?? ""),
      60,
      () => poor.log,
    );
    expect(await attested(poor)).to.equal(undefined);
    withBudgets(poor, (database) => database.exec("DELETE FROM budgets WHERE scope = 'attestations'"));
    await serving(nodes, 1);
    expect(await attested(poor)).to.equal(await attested(rich));
  });
});

import { expect } from "chai";
import { readCommittee } from "../../offchain/chain/registry.ts";
import { serveHandler } from "../helpers/http-server.ts";
import { freePort, type LocalChain, startLocalChain } from "../helpers/local-chain.ts";
import { prepareCommittee, type TestCommittee, type TestNode } from "../helpers/nbm-committee.ts";
import { until } from "../helpers/promises.ts";

const phaseOf = async (node: TestNode, id = "1") =>
  (await node.describe()).committees.find(({ committeeId }) => committeeId === id)?.phase;

describe("key generation among nodes that crash", () => {
  let local: LocalChain;
  let committee: TestCommittee;
  before(async () => {
    local = await startLocalChain();
  });
  after(() => local?.stop());
  afterEach(() => committee?.stop());

  it("completes when all are killed with messages half exchanged", async () => {
    committee = await prepareCommittee(local, { config: { pollMilliseconds: 50 } });
    const last = committee.nodes[4] as TestNode;
    // The last node is reached through a gate that holds back its round-2 messages, so the others cannot get on.
    let open = false;
    const port = await freePort();
    const gate = await serveHandler(async (request, response) => {
      if (!open && request.url?.endsWith("/round2")) {
        response.statusCode = 503;
        response.end("{}");
        return;
      }
      const body = Buffer.concat(await request.toArray());
      const answer = await fetch(`http://127.0.0.1:${port}${request.url}`, {
        method: request.method ?? "GET",
        ...(body.length === 0 ? {} : { body, headers: { "content-type": "application/json" } }),
      });
      response.writeHead(answer.status, { "content-type": "application/json" });
      response.end(await answer.text());
    });
    try {
      last.configure({ listen: { host: "127.0.0.1", port }, publicUrl: gate.url });
      await committee.startAll();
      const others = committee.nodes.slice(0, 4);
      await until("round 2", async () => {
        const phases = await Promise.all(committee.nodes.map((node) => phaseOf(node)));
        return phases.join() === "round2,round2,round2,round2,attesting";
      });
      await Promise.all(committee.nodes.map((node) => node.end("SIGKILL")));
      await committee.startAll();
      expect(await Promise.all(others.map((node) => phaseOf(node)))).to.deep.equal(others.map(() => "round2"));
      open = true;
      await committee.ready();
      expect((await readCommittee(local.chain, 1n)).status).to.equal("active");
    } finally {
      gate.server.close();
    }
  });

  it("completes when nodes are killed at random moments", async () => {
    committee = await prepareCommittee(local, { config: { pollMilliseconds: 50 } });
    await committee.startAll();
    for (let kill = 0; kill < 6; kill++) {
      const victim = committee.nodes[Math.floor(Math.random() * committee.nodes.length)] as TestNode;
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 150));
      await victim.end("SIGKILL");
      await victim.start();
    }
    await committee.ready("2");
    expect((await readCommittee(local.chain, 2n)).status).to.equal("active");
  });
});

import { expect } from "chai";
import { readCommittee } from "../../offchain/chain/registry.ts";
import { oprfReady } from "../../offchain/core/oprf/ristretto255.ts";
import type { GenerationPhase, RunMessagesAnswer } from "../../offchain/core/wire/nbm.ts";
import {
  agentContext,
  createCommittee,
  generationsAt,
  operatorCommand,
  outputOf,
  serving,
} from "../helpers/committee-commands.ts";
import { serveHandler } from "../helpers/http-server.ts";
import { freePort, type LocalChain, startLocalChain } from "../helpers/local-chain.ts";
import { prepareCommittee, type TestCommittee, type TestNode } from "../helpers/nbm-committee.ts";
import { until } from "../helpers/promises.ts";

/** What the last node's answers lack, so that the others stay at a step. */
const HELD_BACK: Readonly<Record<"announcing" | "dealing" | "attesting", (answer: RunMessagesAnswer) => object>> = {
  announcing: (answer) => ({ ...answer, messages: [] }),
  dealing: (answer) => ({ ...answer, messages: answer.messages.filter(({ kind }) => kind !== "dealing") }),
  attesting: ({ transcript: _, ...answer }) => answer,
};
const STEPS = ["announcing", "dealing", "attesting", "ready"] as const satisfies readonly GenerationPhase[];

describe("generations of nodes that crash", function () {
  this.timeout(300_000);
  let local: LocalChain;
  let committee: TestCommittee;
  let gate: Awaited<ReturnType<typeof serveHandler>>;
  let step: (typeof STEPS)[number] = "ready";
  let output: string;
  let next = 1;

  before(async () => {
    await oprfReady();
    local = await startLocalChain();
    const config = { pollMilliseconds: 100, eraseAfterBlocks: 100 };
    committee = await prepareCommittee(local, { config, form: false });
    // The last node is reached through a gate, so that the others can be kept from getting on.
    const port = await freePort();
    gate = await serveHandler(async (request, response) => {
      const body = Buffer.concat(await request.toArray());
      const answer = await fetch(`http://127.0.0.1:${port}${request.url}`, {
        method: request.method ?? "GET",
        headers: { "content-type": "application/json", ...pick(request.headers.authorization) },
        ...(body.length === 0 ? {} : { body }),
      }).catch(() => undefined);
      let text = (await answer?.text()) ?? "{}";
      const isRun = request.url?.endsWith("/messages") === true && answer?.status === 200;
      if (isRun && step !== "ready") text = JSON.stringify(HELD_BACK[step](JSON.parse(text) as RunMessagesAnswer));
      response.writeHead(answer?.status ?? 503, { "content-type": "application/json" });
      response.end(text);
    });
    const last = committee.nodes[4] as TestNode;
    last.configure({ listen: { host: "127.0.0.1", port }, publicUrl: gate.url });
    await committee.startAll();
  });
  after(async () => {
    gate?.server.close();
    await committee?.stop();
    await local?.stop();
  });

  async function phases(nodes: readonly TestNode[], id: string, generation: number) {
    const answers = await Promise.all(nodes.map((node) => node.describe()));
    return answers.map(({ committees }) => {
      const found = committees.find((each) => each.committeeId === id && each.generation === generation);
      return found?.phase;
    });
  }

  /** By an agent that knows where the nodes are now. */
  async function freshOutput(): Promise<string> {
    const context = agentContext(local);
    try {
      return await outputOf(context);
    } finally {
      await context.close();
    }
  }

  /** Kills all nodes when the first four are at the step, and lets them go on when they are there again. */
  async function killAt(id: string, generation: number): Promise<void> {
    const held = step === "ready" ? committee.nodes : committee.nodes.slice(0, 4);
    const report = () => held.map(({ log }) => log.slice(-800)).join("\n");
    const there = async () => (await phases(held, id, generation)).every((phase) => phase === step);
    await until(`${step} of generation ${id}/${generation}`, there, 60, report);
    await Promise.all(committee.nodes.map((node) => node.end("SIGKILL")));
    await committee.startAll();
    expect(await phases(held, id, generation)).to.deep.equal(held.map(() => step));
    step = "ready";
    await until(`end of generation ${id}/${generation}`, async () => {
      return (await phases(committee.nodes, id, generation)).every((phase) => phase === "ready");
    });
    expect(await readCommittee(local.chain, BigInt(id))).to.include({ generation, status: "active" });
  }

  for (const at of STEPS) {
    it(`end in keys when all are killed while key generation is ${at}`, async () => {
      step = at;
      await createCommittee(local, committee.nodes, 3);
      await killAt(String(next), 1);
      next += 1;
      output ??= await freshOutput();
      expect(await freshOutput()).to.equal(output);
    });
  }

  for (const [position, at] of STEPS.entries()) {
    it(`keep the keys when all are killed while a refresh is ${at}`, async () => {
      const generation = position + 2;
      step = at;
      for (const node of committee.nodes.slice(0, 3)) await operatorCommand(node, "refresh", "1");
      await killAt("1", generation);
      expect(await freshOutput()).to.equal(output);
    });
  }

  it("keep the keys when nodes are killed while the shares that were replaced are erased", async () => {
    await local.mine(100);
    await Promise.all(committee.nodes.map((node) => node.end("SIGKILL")));
    await committee.startAll();
    const old = async () => (await Promise.all(committee.nodes.map(generationsAt))).flat().filter((each) => each < 5);
    // Generation 1 of the other committees is their active one.
    await until("erasure", async () => (await old()).length === 3 * committee.nodes.length);
    expect(await freshOutput()).to.equal(output);
  });

  it("complete when nodes are killed at random moments", async () => {
    for (const node of committee.nodes.slice(0, 3)) await operatorCommand(node, "refresh", "1");
    for (let kill = 0; kill < 6; kill++) {
      const victim = committee.nodes[Math.floor(Math.random() * committee.nodes.length)] as TestNode;
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 150));
      await victim.end("SIGKILL");
      await victim.start();
    }
    await serving(committee.nodes, 6);
    expect(await freshOutput()).to.equal(output);
  });
});

function pick(authorization: string | undefined): Record<string, string> {
  return authorization === undefined ? {} : { authorization };
}

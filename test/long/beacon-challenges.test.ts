/** A provider whose sets are challenged from randomness that somebody has to record: real chain, real process. */
import { expect } from "chai";
import { Contract, Transaction } from "ethers";
import type { RandomnessPlan } from "../../ignition/deploy-tallystick.ts";
import { encodeBlockHeader } from "../../offchain/chain/block-header.ts";
import { readBooks } from "../../offchain/chain/escrow.ts";
import { randomnessEvidence, recordRandomnessCall } from "../../offchain/chain/randomness.ts";
import { PrevrandaoRandomness__factory } from "../../offchain/chain/types/index.ts";
import { auditReady } from "../../offchain/core/audit/ready.ts";
import { Device, ok, SLICE_ELEMENTS } from "../csp/data-sets/device.ts";
import { randomChunk } from "../csp/provider-fixture.ts";
import { ProviderProcess, TEST_OFFER } from "../csp/provider-process.ts";
import { beaconOf, startRelay, type TestRelay, testNetwork } from "../helpers/drand.ts";
import { HttpProxy, jsonAnswer, jsonOf } from "../helpers/http-proxy.ts";
import { type LocalChain, startLocalChain } from "../helpers/local-chain.ts";
import { until } from "../helpers/promises.ts";
import { expectRejection } from "../helpers/rejection.ts";

const EPOCH_BLOCKS = 60;
const GRID_BLOCKS = 5n;
const OFFER = {
  ...TEST_OFFER,
  windowBlocks: 20,
  dataSets: { graceBlocks: 10, sliceElements: [SLICE_ELEMENTS], maximumIndex: 1000 },
};
const RING = { gridBlocks: GRID_BLOCKS, ringSize: 1639n };
/** An epoch has one block on this grid whose windows end in the epoch, so that all sets have it. */
const ONE_PHASE = { gridBlocks: 30n, ringSize: 274n };
const PARAMETERS = { epochBlocks: BigInt(EPOCH_BLOCKS), noticeEpochs: 2n };
/** Blocks that tests mine at once must not lie in the future, where no round is published. */
const dayAgo = () => Math.floor(Date.now() / 1000) - 86_400;

/** What all of them do. */
class Scene {
  readonly local: LocalChain;
  readonly provider: ProviderProcess;

  constructor(local: LocalChain, provider: ProviderProcess) {
    this.local = local;
    this.provider = provider;
  }

  get source(): string {
    return this.local.deployment.contracts.randomness;
  }

  head(): Promise<number> {
    return this.local.chain.provider.getBlockNumber();
  }

  /** A set with data, on chain. */
  async open(account: number): Promise<Device> {
    const device = await Device.connect(this.local.chain, this.provider, this.local.account(account));
    await device.deposit(10n ** 15n);
    await device.begin();
    await device.add(randomChunk(31 * SLICE_ELEMENTS));
    ok(await device.open());
    return device;
  }

  /** Goes to the first block in which the challenge of a set can be answered. @returns the challenge block */
  async toChallenge({ phase }: Device): Promise<number> {
    const block = (Math.floor((await this.head()) / EPOCH_BLOCKS) + 1) * EPOCH_BLOCKS + phase;
    await this.local.mine(block + 1 - (await this.head()));
    return block;
  }

  async proven({ id }: Device, epochs: number): Promise<void> {
    await until(
      `${epochs} epochs are proven`,
      async () => (await readBooks(this.local.chain, id))?.proven === epochs,
      60,
      () => this.provider.log,
    );
  }

  async logged(text: string): Promise<void> {
    await until(
      `the log says ${text}`,
      async () => this.provider.log.includes(text),
      60,
      () => this.provider.log,
    );
  }

  /** Blocks that were recorded, and by whom, in order. */
  async recorded(): Promise<{ block: number; by: string }[]> {
    const contract = new Contract(this.source, PrevrandaoRandomness__factory.abi, this.local.chain.provider);
    const events = await contract.queryFilter("RandomnessRecorded", 0);
    return await Promise.all(
      events.map(async (event) => {
        if (!("args" in event)) throw new Error("not decoded");
        return { block: Number(event.args.blockNumber), by: (await event.getTransaction()).from };
      }),
    );
  }

  /** Attempts to record that failed, by the label of the metric. */
  async failures(reason: string): Promise<number> {
    const text = (await this.provider.request("GET", "/metrics")).json as string;
    const isMeant = (line: string) =>
      line.startsWith("tallystick_csp_randomness_failed_total{") && line.includes(`reason="${reason}"`);
    return Number(text.split("\n").find(isMeant)?.split(" ").at(-1) ?? 0);
  }

  /** Transactions of the provider to the source, also those that found the value known. */
  async recordings(): Promise<number> {
    let count = 0;
    for (let block = await this.head(); block > 0; block--) {
      const found = await this.local.chain.provider.getBlock(block, true);
      for (const { from, to } of found?.prefetchedTransactions ?? []) {
        if (from === this.provider.operator && to === this.source) count += 1;
      }
    }
    return count;
  }
}

async function prepared(randomness: RandomnessPlan, config: Record<string, unknown> = {}) {
  const local = await startLocalChain({ parameters: PARAMETERS, randomness, startTime: dayAgo() });
  const provider = await ProviderProcess.prepare(local, { offer: OFFER, ...config });
  return new Scene(local, provider);
}

describe("a provider whose challenges come from prevrandao", function () {
  this.timeout(180_000);
  let scene: Scene;
  const proxies: HttpProxy[] = [];

  before(() => auditReady());
  beforeEach(async () => {
    scene = await prepared({ kind: "prevrandao", ...ONE_PHASE });
  });
  afterEach(async () => {
    await scene.provider.remove();
    await scene.local.stop();
    for (const proxy of proxies.splice(0)) await proxy.stop();
  });

  /** Puts a proxy between the provider and the chain; before the provider starts. */
  async function proxied(): Promise<HttpProxy> {
    const proxy = await HttpProxy.start(scene.local.rpcUrl);
    proxies.push(proxy);
    scene.provider.deploymentFrom({ ...scene.local, deployment: { ...scene.local.deployment, rpcUrl: proxy.url } });
    return proxy;
  }

  it("records each challenge block once for all sets of it, and proves epoch after epoch", async () => {
    await scene.provider.start();
    const [alice, bob] = [await scene.open(1), await scene.open(2)];
    expect([alice.phase, bob.phase]).to.deep.equal([0, 0]);
    const blocks: number[] = [];
    for (let epoch = 1; epoch <= 3; epoch++) {
      blocks.push(await scene.toChallenge(alice));
      for (const set of [alice, bob]) await scene.proven(set, epoch);
    }
    const by = scene.provider.operator;
    expect(await scene.recorded()).to.deep.equal(blocks.map((block) => ({ block, by })));
    expect(await scene.provider.metric("tallystick_csp_randomness_recorded_total")).to.equal(3);
    expect(await scene.recordings()).to.equal(3);
  });

  it("takes what another party has recorded", async () => {
    await scene.provider.start();
    const alice = await scene.open(1);
    await scene.provider.end();
    const block = await scene.toChallenge(alice);
    const stranger = scene.local.account(5);
    const evidence = await randomnessEvidence(scene.local.chain, { kind: "prevrandao" }, BigInt(block));
    const { to, data } = recordRandomnessCall(scene.source, BigInt(block), evidence);
    await (await stranger.sendTransaction({ to, data })).wait();
    await scene.provider.start();
    await scene.proven(alice, 1);
    expect(await scene.recorded()).to.deep.equal([{ block, by: stranger.address }]);
    expect(await scene.recordings()).to.equal(0);
  });

  /** Lets the provider record, and loses its proofs while it is cut. */
  async function proofsCut(): Promise<{ isCut: boolean }> {
    const proxy = await proxied();
    const cut = { isCut: false };
    proxy.intercept = (request) => {
      const { method, params } = jsonOf(request) as { method?: string; params?: string[] };
      if (!cut.isCut || method !== "eth_sendRawTransaction") return undefined;
      const isProof = Transaction.from(params?.[0] ?? "0x").to !== scene.source;
      return isProof ? Promise.resolve({ status: 503, type: "text/plain", body: new Uint8Array() }) : undefined;
    };
    return cut;
  }

  it("records again, and proves, when the block that recorded is replaced", async () => {
    const cut = await proofsCut();
    await scene.provider.start();
    const alice = await scene.open(1);
    cut.isCut = true;
    const { provider: chain } = scene.local.chain;
    const before: unknown = await chain.send("evm_snapshot", []);
    await scene.toChallenge(alice);
    await scene.logged("randomness recorded");
    const [first] = await scene.recorded();
    await chain.send("evm_revert", [before]);
    expect(await scene.recorded()).to.deep.equal([]);
    const block = await scene.toChallenge(alice);
    cut.isCut = false;
    await scene.proven(alice, 1);
    expect(await scene.recorded()).to.deep.equal([{ block, by: scene.provider.operator }]);
    expect(first?.block).to.equal(block);
  });

  it("proves after a crash between record and proof, without recording again", async () => {
    const cut = await proofsCut();
    await scene.provider.start();
    const alice = await scene.open(1);
    cut.isCut = true;
    const block = await scene.toChallenge(alice);
    await scene.logged("randomness recorded");
    await scene.provider.end("SIGKILL");
    expect((await readBooks(scene.local.chain, alice.id))?.proven).to.equal(0);
    cut.isCut = false;
    await scene.provider.start();
    await scene.proven(alice, 1);
    expect((await scene.recorded()).map((one) => one.block)).to.deep.equal([block]);
    expect(await scene.recordings()).to.equal(1);
  });

  /** What an endpoint may answer in place of a block, and what the log says then. */
  const wrongBlocks: Record<string, { readonly of: (block: number) => Promise<unknown>; readonly said: string }> = {
    "the header of another block": {
      of: (block) => blockOf(block - 1),
      said: "the chain's RPC endpoint answered another block",
    },
    // Its hash is right, so only the contract can tell.
    "a header that was made up": {
      of: async (block) => {
        const made = { ...(await blockOf(block)), extraData: "0x6661" };
        return { ...made, hash: expectRejection(() => encodeBlockHeader(made), "INTEGRITY").received };
      },
      said: "HeaderMismatch",
    },
  };
  const blockOf = (block: number): Promise<Record<string, unknown>> =>
    scene.local.chain.provider.send("eth_getBlockByNumber", [`0x${block.toString(16)}`, false]);

  for (const [what, { of, said }] of Object.entries(wrongBlocks)) {
    it(`sends no transaction with ${what}, says so once, and goes on when the endpoint is right again`, async () => {
      const proxy = await proxied();
      let isWrong = false;
      proxy.intercept = (request) => {
        const { method, params, id } = jsonOf(request) as { method?: string; params?: string[]; id?: number };
        if (!isWrong || method !== "eth_getBlockByNumber" || !params?.[0]?.startsWith("0x")) return undefined;
        return of(Number(params[0])).then((result) => jsonAnswer({ jsonrpc: "2.0", id, result }));
      };
      await scene.provider.start();
      const alice = await scene.open(1);
      isWrong = true;
      const block = await scene.toChallenge(alice);
      await until(
        "it was tried again",
        async () => (await scene.failures("header")) >= 2,
        60,
        () => scene.provider.log,
      );
      expect(await scene.recordings()).to.equal(0);
      const lines = scene.provider.log.split("\n").filter((line) => line.includes("is not recorded"));
      expect(lines).to.have.length(1);
      expect(lines[0]).to.contain(said);
      isWrong = false;
      await scene.proven(alice, 1);
      expect((await scene.recorded()).map((one) => one.block)).to.deep.equal([block]);
    });
  }
});

describe("a provider whose challenges come from drand", function () {
  this.timeout(180_000);
  const network = testNetwork("of a provider", { periodSeconds: 3n, marginSeconds: 2n });
  let scene: Scene;
  let first: TestRelay;
  let second: TestRelay;

  before(() => auditReady());
  beforeEach(async () => {
    [first, second] = [await startRelay(network), await startRelay(network)];
    scene = await prepared({ kind: "drand", network, relays: [first.url, second.url], ...RING });
  });
  afterEach(async () => {
    await scene.provider.remove();
    await scene.local.stop();
    for (const relay of [first, second]) relay.close();
  });

  const answering =
    (body: (round: bigint) => unknown): TestRelay["answer"] =>
    (request, response) => {
      const round = BigInt(/[0-9]+$/.exec(request.url ?? "")?.[0] ?? 0);
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify(body(round)));
    };

  it("records the round of each challenge block, and proves epoch after epoch", async () => {
    await scene.provider.start();
    const alice = await scene.open(1);
    expect(alice.phase % Number(GRID_BLOCKS)).to.equal(0);
    const blocks = [];
    for (let epoch = 1; epoch <= 2; epoch++) {
      blocks.push(await scene.toChallenge(alice));
      await scene.proven(alice, epoch);
    }
    expect((await scene.recorded()).map(({ block }) => block)).to.deep.equal(blocks);
    expect(second.asked).to.deep.equal([]);
  });

  for (const [what, answer] of [
    ["signs another round", answering((round) => ({ ...beaconOf(network, round + 1n), round: Number(round) }))],
    ["has the round of another network", answering((round) => beaconOf(testNetwork("another one"), round))],
  ] as const) {
    it(`asks the next relay when one ${what}, and says which`, async () => {
      first.answer = answer;
      await scene.provider.start();
      const alice = await scene.open(1);
      const block = await scene.toChallenge(alice);
      await scene.proven(alice, 1);
      expect((await scene.recorded()).map((one) => one.block)).to.deep.equal([block]);
      expect(second.asked).to.have.length(1);
      const said = scene.provider.log.split("\n").filter((line) => line.includes("no valid signature"));
      expect(said, scene.provider.log).to.have.length(1);
      expect(said[0]).to.contain(first.url).and.to.contain("INVALID_SIGNATURE");
    });
  }

  it("waits for relays that have the round late, without a transaction", async () => {
    const missing: TestRelay["answer"] = (_request, response) => void response.writeHead(404).end("not yet");
    for (const relay of [first, second]) relay.answer = missing;
    await scene.provider.start();
    const alice = await scene.open(1);
    await scene.toChallenge(alice);
    await until(
      "it was asked again",
      async () => first.asked.length >= 3,
      60,
      () => scene.provider.log,
    );
    expect(await scene.recordings()).to.equal(0);
    expect(await scene.failures("relays")).to.be.at.least(2);
    for (const relay of [first, second]) relay.answer = undefined;
    await scene.proven(alice, 1);
    expect(await scene.recordings()).to.equal(1);
  });

  it("takes relays of its own configuration in place of the deployment's", async () => {
    scene.provider.configure({ offer: OFFER, drandRelays: [second.url] });
    await scene.provider.start();
    const alice = await scene.open(1);
    await scene.toChallenge(alice);
    await scene.proven(alice, 1);
    expect([first.asked.length, second.asked.length]).to.deep.equal([0, 1]);
  });
});

describe("a provider that cannot serve the source of randomness", function () {
  this.timeout(120_000);
  const network = testNetwork("unserved", { periodSeconds: 3n, marginSeconds: 200n });
  const locals: LocalChain[] = [];
  const providers: ProviderProcess[] = [];
  after(async () => {
    for (const provider of providers) await provider.remove();
    for (const local of locals) await local.stop();
  });

  async function refusal(
    local: LocalChain,
    randomness: unknown,
    config: Record<string, unknown> = {},
  ): Promise<string> {
    const provider = await ProviderProcess.prepare(local, { offer: OFFER, ...config });
    providers.push(provider);
    const deployment = { ...local.deployment, randomness } as LocalChain["deployment"];
    provider.deploymentFrom({ ...local, deployment });
    return await provider.start().then(
      () => "started",
      (error: Error) => error.message,
    );
  }

  it("refuses to start, and says why", async () => {
    const drand = await startLocalChain({
      parameters: PARAMETERS,
      randomness: { kind: "drand", network, relays: ["http://127.0.0.1:1"], ...RING },
    });
    locals.push(drand);
    const { randomness } = drand.deployment;
    expect(await refusal(drand, undefined)).to.contain("of another kind than the deployment file says");
    expect(await refusal(drand, { kind: "prevrandao" })).to.contain("randomness.kind");
    expect(await refusal(drand, { kind: "drand" })).to.contain("no chain hash is known of the drand network");
    expect(await refusal(drand, { ...randomness, relays: [] })).to.contain("no relay is known of the drand network");
    // 30 blocks of a second are over before the round of the challenge block, 200 seconds after it.
    expect(await refusal(drand, randomness)).to.contain("over before the randomness of its challenge is known");
    const long = { ...OFFER, windowBlocks: 50 };
    expect(await refusal(drand, randomness, { offer: long })).to.contain("do not fit into an epoch");
    const uneven = await startLocalChain({
      parameters: PARAMETERS,
      randomness: { kind: "prevrandao", gridBlocks: 7n, ringSize: 1171n },
    });
    locals.push(uneven);
    expect(await refusal(uneven, uneven.deployment.randomness)).to.contain("does not divide an epoch");
    const coarse = await startLocalChain({
      parameters: PARAMETERS,
      randomness: { kind: "prevrandao", gridBlocks: BigInt(EPOCH_BLOCKS), ringSize: 274n },
    });
    locals.push(coarse);
    const onDemand = { ...OFFER, dataSets: { ...OFFER.dataSets, modes: ["on-demand"] } };
    const said = await refusal(coarse, coarse.deployment.randomness, { offer: onDemand });
    expect(said).to.contain("too few blocks for disputes");
  });
});

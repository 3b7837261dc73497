import { readFileSync } from "node:fs";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { expect } from "chai";
import { type HDNodeWallet, Wallet } from "ethers";
import {
  attestCommitteeCall,
  createCommitteeCall,
  createdCommitteeId,
  readAttestation,
  readCommittee,
  registerNodeCall,
} from "../../../offchain/chain/registry.ts";
import { TransactionSender } from "../../../offchain/chain/sender.ts";
import { hpkeKeyPairFromSeed, hpkeOpen, hpkeSeal } from "../../../offchain/core/crypto/hpke.ts";
import { type DkgParameters, type DkgRound1, dkgFinish, dkgRound1, dkgRound2 } from "../../../offchain/core/dkg/dkg.ts";
import { keyName, oprfKey } from "../../../offchain/core/dkg/key-id.ts";
import { hashBroadcasts } from "../../../offchain/core/dkg/messages.ts";
import { fromHex, toHex } from "../../../offchain/core/encoding/hex.ts";
import { oprfReady } from "../../../offchain/core/oprf/ristretto255.ts";
import {
  DKG_SHARE_INFO,
  dkgShareContext,
  round1Message,
  round2Message,
  round2RequestMessage,
  signMessage,
} from "../../../offchain/nbm/dkg/signed-messages.ts";
import { serveHandler } from "../../helpers/http-server.ts";
import { type LocalChain, startLocalChain } from "../../helpers/local-chain.ts";
import { type Answer, prepareCommittee, type TestCommittee, type TestNode } from "../../helpers/nbm-committee.ts";
import { until } from "../../helpers/promises.ts";

const phaseOf = async (node: TestNode, id = "1") =>
  (await node.describe()).committees.find(({ committeeId }) => committeeId === id)?.phase;

/** A member run by the test: it follows the protocol but for what a test changes. */
class ForeignMember {
  readonly wallet = new Wallet(toHex(crypto.getRandomValues(new Uint8Array(32))));
  readonly hpke = hpkeKeyPairFromSeed(crypto.getRandomValues(new Uint8Array(32)));
  readonly #local: LocalChain;
  readonly #sender: TransactionSender;
  readonly #states = new Map<bigint, { parameters: DkgParameters; round1: DkgRound1 }>();
  #server: Server | undefined;
  url = "";

  /** What a test changes. */
  broadcastFor: (request: number, honest: Uint8Array, parameters: DkgParameters) => Uint8Array = (_, honest) => honest;
  shareFor: (honest: Uint8Array) => Uint8Array = (honest) => honest;
  signer: Wallet | HDNodeWallet = this.wallet;
  /** Round in which it does not answer. */
  silentIn: number | undefined;
  #round1Requests = 0;

  constructor(local: LocalChain) {
    this.#local = local;
    this.#sender = new TransactionSender(local.chain, fromHex(this.wallet.privateKey));
  }

  behave(): void {
    this.broadcastFor = (_, honest) => honest;
    this.shareFor = (honest) => honest;
    this.signer = this.wallet;
    this.silentIn = undefined;
    this.#round1Requests = 0;
  }

  async attestOtherKeys(id: bigint, size: number): Promise<void> {
    const key = new Uint8Array(32).fill(1);
    const { deployment } = this.#local;
    await this.#sender.send(attestCommitteeCall(deployment, id, key, Array(size).fill(key)));
  }

  async start(): Promise<void> {
    const { server, url } = await serveHandler((request, response) => this.#answer(request, response));
    this.#server = server;
    this.url = url;
    await this.#local.fund([this.wallet.address]);
    const node = { url, hpkePublicKey: this.hpke.publicKey, stakeWei: 10n ** 18n };
    await this.#sender.send(registerNodeCall(this.#local.deployment, node));
  }

  stop(): void {
    this.#server?.close();
  }

  /** Creates a committee of this member and the nodes, and takes part in it. */
  async form(nodes: readonly TestNode[], threshold: number): Promise<bigint> {
    const { deployment } = this.#local;
    const members = [this.wallet.address, ...nodes.map(({ operator }) => operator)];
    const receipt = await this.#sender.send(createCommitteeCall(deployment, members, threshold));
    const committeeId = createdCommitteeId(deployment, receipt);
    const parameters = { ...oprfKey(committeeId), size: members.length, threshold, index: 1 };
    this.#states.set(committeeId, { parameters, round1: dkgRound1(parameters) });
    return committeeId;
  }

  /** Finishes its own part and attests. */
  async attest(id: bigint, nodes: readonly TestNode[]): Promise<void> {
    const { parameters, secret, broadcasts, transcript } = await this.#round2(id, nodes);
    const received = new Map<number, Uint8Array>();
    for (const [position, node] of nodes.entries()) {
      const from = position + 2;
      let answer = await this.fetchRound2(id, node, from);
      await until("round 2 of the node", async () => {
        answer = await this.fetchRound2(id, node, from);
        return answer.status === 200;
      });
      const context = dkgShareContext(this.#scope(id), from, 1, transcript);
      received.set(from, await hpkeOpen(this.hpke.privateKey, DKG_SHARE_INFO, context, fromHex(answer.json.sealed)));
    }
    const keys = dkgFinish(parameters, secret, broadcasts, received);
    const { deployment, chain } = this.#local;
    // The last attestation activates and costs more: estimated before the others are mined, it would run out of gas.
    await until("attestations of the nodes", async () => {
      const attested = await Promise.all(nodes.map(({ operator }) => readAttestation(chain, id, operator)));
      return attested.every((each) => each !== undefined);
    });
    await this.#sender.send(attestCommitteeCall(deployment, id, keys.groupPublicKey, keys.verificationShares));
  }

  nodes: readonly TestNode[] = [];

  /** Asks member `from` for its round-2 message to member `to`, in the name of the signer. */
  async fetchRound2(
    id: bigint,
    node: TestNode,
    from: number,
    over: { to?: number; expiresAt?: number; generation?: number; signer?: Wallet | HDNodeWallet } = {},
  ): Promise<Answer> {
    const { to = 1, expiresAt = Math.floor(Date.now() / 1000) + 60, generation = 1, signer = this.wallet } = over;
    const scope = { ...this.#scope(id), key: oprfKey(id, generation) };
    const signature = await signMessage(signer as Wallet, round2RequestMessage(scope, { from, to, expiresAt }));
    const path = `/v1/dkg/${keyName(oprfKey(id))}/round2`;
    return await node.request("POST", path, { body: { to, expiresAt, signature } });
  }

  async #round2(id: bigint, nodes: readonly TestNode[]) {
    const state = this.#states.get(id);
    if (state === undefined) throw new Error("not mine");
    const broadcasts = new Map([[1, state.round1.broadcast]]);
    for (const [position, node] of nodes.entries()) {
      const { json } = await node.request("GET", `/v1/dkg/${keyName(oprfKey(id))}/round1`);
      broadcasts.set(position + 2, fromHex(json.broadcast));
    }
    const { secret, sharesFor } = dkgRound2(state.parameters, state.round1.secret, broadcasts);
    const transcript = hashBroadcasts([...broadcasts].map(([, broadcast]) => broadcast));
    return { parameters: state.parameters, secret, sharesFor, broadcasts, transcript };
  }

  #scope(committeeId: bigint) {
    return { chainId: 31_337n, registry: this.#local.deployment.contracts.nodeRegistry, key: oprfKey(committeeId) };
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const match = /^\/v1\/dkg\/(\d+)\/1\/oprf\/round(1|2)$/.exec(request.url ?? "");
    const id = BigInt(match?.[1] ?? 0);
    const state = this.#states.get(id);
    if (state === undefined || match?.[2] === String(this.silentIn)) {
      response.statusCode = 404;
      response.end("{}");
      return;
    }
    const named = { committeeId: String(id), generation: 1, purpose: "oprf" };
    let answer: unknown;
    if (match?.[2] === "1") {
      this.#round1Requests += 1;
      const broadcast = this.broadcastFor(this.#round1Requests, state.round1.broadcast, state.parameters);
      const signature = await signMessage(this.signer as Wallet, round1Message(this.#scope(id), 1, broadcast));
      answer = { ...named, index: 1, broadcast: toHex(broadcast), signature };
    } else {
      const { to } = JSON.parse(Buffer.concat(await request.toArray()).toString()) as { to: number };
      const node = this.nodes[to - 2] as TestNode;
      const { sharesFor, transcript } = await this.#round2(id, this.nodes);
      const share = this.shareFor(sharesFor.get(to) ?? new Uint8Array());
      const key = fromHex((await node.describe()).hpkePublicKey);
      const sealed = await hpkeSeal(key, DKG_SHARE_INFO, dkgShareContext(this.#scope(id), 1, to, transcript), share);
      const typed = round2Message(this.#scope(id), { from: 1, to, transcript, sealed });
      const signature = await signMessage(this.signer as Wallet, typed);
      answer = { ...named, from: 1, to, transcript: toHex(transcript), sealed: toHex(sealed), signature };
    }
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify(answer));
  }
}

describe("key generation with a member that lies", () => {
  let local: LocalChain;
  let honest: TestCommittee;
  let liar: ForeignMember;

  before(async () => {
    await oprfReady();
    local = await startLocalChain();
    honest = await prepareCommittee(local, {
      size: 2,
      config: { pollMilliseconds: 50, maximumCommittees: 7 },
      form: false,
    });
    await honest.startAll();
    liar = new ForeignMember(local);
    liar.nodes = honest.nodes;
    await liar.start();
  });
  after(async () => {
    liar?.stop();
    await honest?.stop();
    await local?.stop();
  });
  beforeEach(() => liar.behave());

  async function problems(id: bigint): Promise<(string | undefined)[]> {
    const described = await Promise.all(honest.nodes.map((node) => node.describe()));
    return described.map(({ committees }) => committees.find((each) => each.committeeId === String(id))?.problem);
  }

  /** Waits until every honest member blames the liar; says what they say when they do not. */
  async function allBlame(id: bigint): Promise<void> {
    let seen: (string | undefined)[] = [];
    const blame = async () => {
      seen = await problems(id);
      return seen.every((problem) => problem?.includes("member 1"));
    };
    const report = () => [...seen, ...honest.nodes.map(({ log }) => log)].join("\n");
    await until("all honest members blame member 1", blame, 60, report);
  }

  it("rejects messages not signed by the member's operator key, and completes with signed ones", async () => {
    liar.signer = Wallet.createRandom();
    const id = await liar.form(honest.nodes, 2);
    await until("refusal", async () =>
      (await problems(id)).every((problem) => problem?.includes("not signed by member 1")),
    );
    expect(await phaseOf(honest.nodes[0] as TestNode, String(id))).to.equal("round1");
    liar.behave();
    await liar.attest(id, honest.nodes);
    await honest.ready(String(id));
  });

  it("fails, naming the member, when its broadcast has no valid proof", async () => {
    liar.broadcastFor = (_, broadcast) => broadcast.map((byte, i) => (i === broadcast.length - 10 ? byte ^ 1 : byte));
    const id = await liar.form(honest.nodes, 2);
    await allBlame(id);
    expect(await phaseOf(honest.nodes[0] as TestNode, String(id))).to.equal("failed");
    expect((await problems(id))[0]).to.equal("member 1 does not prove possession of its secret");
  });

  it("fails, naming the member, when its share does not match its commitments", async () => {
    liar.shareFor = (share) => share.map((byte, i) => (i === 3 ? byte ^ 1 : byte));
    const id = await liar.form(honest.nodes, 2);
    await allBlame(id);
    expect((await problems(id))[1]).to.equal("member 1 sent a share that does not fit its commitments");
    expect((await readCommittee(local.chain, id)).status).to.equal("forming");
  });

  it("fails when the member sends different broadcasts to different members", async () => {
    const other = new Map<bigint, Uint8Array>();
    liar.broadcastFor = (request, broadcast, parameters) => {
      if (request % 2 === 1) return broadcast;
      const second = other.get(parameters.committeeId) ?? dkgRound1(parameters).broadcast;
      other.set(parameters.committeeId, second);
      return second;
    };
    const id = await liar.form(honest.nodes, 2);
    await until("failure", async () => {
      const found = await problems(id);
      return found.some((problem) => problem?.includes("saw other round-1 broadcasts"));
    });
    expect((await readCommittee(local.chain, id)).status).to.equal("forming");
  });

  it("names a member that does not answer, does not attest, or attests other keys", async () => {
    const name = `member 1 (${liar.wallet.address})`;
    const says = async (id: bigint, what: string) =>
      await until(what, async () => (await problems(id)).every((problem) => problem?.includes(`${what} of ${name}`)));
    liar.silentIn = 1;
    const id = await liar.form(honest.nodes, 2);
    await says(id, "round 1");
    liar.silentIn = 2;
    await says(id, "round 2");
    liar.behave();
    await says(id, "the attestation");
    await liar.attestOtherKeys(id, 3);
    await says(id, "the same attestation as this node's");
    await liar.attest(id, honest.nodes);
    await honest.ready(String(id));
    expect(await problems(id)).to.deep.equal([undefined, undefined]);
  });

  it("serves a round-2 message to its member alone, and erases it when the key is active", async () => {
    const [first] = honest.nodes as [TestNode, TestNode];
    liar.silentIn = 2;
    const id = await liar.form(honest.nodes, 2);
    await until("round 2", async () => (await phaseOf(first, String(id))) === "round2");
    const refusal = async (over: Parameters<ForeignMember["fetchRound2"]>[3]) => {
      const { status, json } = await liar.fetchRound2(id, first, 2, over);
      return [status, json.error?.code, json.error?.check];
    };
    const unsigned = [401, "INVALID_SIGNATURE", "operator signature"];
    const now = Math.floor(Date.now() / 1000);
    expect(await refusal({ signer: Wallet.createRandom() }), "a stranger").to.deep.equal(unsigned);
    expect(await refusal({ to: 3 }), "another member's message").to.deep.equal(unsigned);
    expect(await refusal({ generation: 2 }), "a signature for another generation").to.deep.equal(unsigned);
    expect(await refusal({ expiresAt: now - 1 }), "expired").to.deep.equal([401, "INVALID_SIGNATURE", "clock"]);
    expect(await refusal({ expiresAt: now + 3600 }), "an hour").to.deep.equal([401, "INVALID_SIGNATURE", "clock"]);
    const path = `/v1/dkg/${keyName(oprfKey(id))}/round2`;
    expect((await first.request("POST", path, { body: {} })).status).to.equal(400);
    expect((await first.request("GET", `${path}/1`)).status).to.equal(404);

    const served = await liar.fetchRound2(id, first, 2);
    expect(served.status).to.equal(200);
    const sealed = Buffer.from(fromHex(served.json.sealed));
    const onDisk = () =>
      ["nbm.db", "nbm.db-wal"].some((name) => readFileSync(`${first.folder}/data/${name}`).includes(sealed));
    expect(onDisk()).to.equal(true);

    liar.behave();
    await liar.attest(id, honest.nodes);
    await honest.ready(String(id));
    expect(onDisk()).to.equal(false);
    expect(await refusal({})).to.deep.equal([404, "NOT_FOUND", "key generation"]);
  });

  it("stops at the limit of committees, which bounds the gas that strangers can make the node spend", async () => {
    const last = await liar.form(honest.nodes, 2);
    await until("last begun", async () => (await phaseOf(honest.nodes[0] as TestNode, String(last))) !== undefined);
    const further = await liar.form(honest.nodes, 2);
    await new Promise((resolve) => setTimeout(resolve, 500));
    for (const node of honest.nodes) {
      expect((await node.request("GET", `/v1/dkg/${keyName(oprfKey(further))}/round1`)).status).to.equal(404);
      expect((await node.describe()).committees).to.have.length(7);
    }
  });
});

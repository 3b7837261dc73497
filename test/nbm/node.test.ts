import { ristretto255_oprf } from "@noble/curves/ed25519.js";
import { keccak_256 } from "@noble/hashes/sha3.js";
import { expect } from "chai";
import { type HDNodeWallet, hexlify, randomBytes, Wallet } from "ethers";
import type { ChainReader, Deployment } from "../../offchain/chain/deployment.ts";
import { readRecordSeal, withCommitteeKeys } from "../../offchain/chain/group-keys.ts";
import { ledgerScope, recordIdOf } from "../../offchain/chain/ledger.ts";
import { readCommittee, readCommitteeKeys, toKeys } from "../../offchain/chain/registry.ts";
import { decodeMemberShares } from "../../offchain/core/committee/member-shares.ts";
import { type HpkeKeyPair, hpkeKeyPairFromSeed } from "../../offchain/core/crypto/hpke.ts";
import { contentId } from "../../offchain/core/encoding/content-id.ts";
import { fromHex, toHex } from "../../offchain/core/encoding/hex.ts";
import {
  addOwnerTypedData,
  keyRecordTypedData,
  ownershipTypedData,
  shareRequestTypedData,
} from "../../offchain/core/identity/typed-messages.ts";
import { ristretto255Group, scalarAdd, scalarMultiply } from "../../offchain/core/oprf/group.ts";
import { blindInputs, combineAndFinalize, oprfReady, verifyEvaluation } from "../../offchain/core/oprf/ristretto255.ts";
import { lagrangeCoefficients } from "../../offchain/core/oprf/threshold.ts";
import {
  buildRecordPayload,
  committeePolicy,
  fileTag,
  type LedgerScope,
  openResealedShare,
  ownershipAddress,
  ownershipKey,
  parseRecordPayload,
  rebuildFileKey,
} from "../../offchain/core/record/key-record.ts";
import { GenerationStore } from "../../offchain/nbm/generations/generation-store.ts";
import { scopeOf } from "../../offchain/nbm/generations/run-parties.ts";
import { nodeShareOfBudget } from "../../offchain/nbm/oprf/budget.ts";
import { NBM_MIGRATIONS } from "../../offchain/nbm/tables.ts";
import { openDatabase } from "../../offchain/store/index/sqlite.ts";
import { type LocalChain, startLocalChain } from "../helpers/local-chain.ts";
import { prepareCommittee, type TestCommittee, type TestNode } from "../helpers/nbm-committee.ts";
import { until } from "../helpers/promises.ts";

const SIZE = 5;
const THRESHOLD = 3;
const BUDGET = 72;
const IDENTITY = `0x${"00".repeat(32)}`;
/** The order of the field as an encoding: congruent to zero, not canonical. */
const NON_CANONICAL = `0xedffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f`;
/** A canonical field element that encodes no ristretto255 element (RFC 9496, appendix A.3: negative field element). */
const NOT_ON_CURVE = `0x0100000000000000000000000000000000000000000000000000000000000000`;

const nowSeconds = () => Math.floor(Date.now() / 1000);

describe("nbm node", () => {
  let local: LocalChain;
  let committee: TestCommittee;
  let nodes: readonly TestNode[];

  const nodeAt = (position: number): TestNode => {
    const node = nodes[position];
    if (node === undefined) throw new Error(`no node ${position}`);
    return node;
  };

  before(async () => {
    await oprfReady();
    local = await startLocalChain();
    committee = await prepareCommittee(local, {
      config: { oprfBudget: { evaluations: BUDGET, periodSeconds: 86_400 }, eraseAfterBlocks: 0 },
    });
    nodes = committee.nodes;
    nodeAt(3).configure({ relayBudget: { perAccount: 10, total: 6, periodSeconds: 86_400 } });
    nodeAt(4).configure({ maximumRelayFeeGwei: 0.000001 });
    await committee.startAll();
    await committee.ready();
  });
  after(async () => {
    await committee?.stop();
    await local?.stop();
  });

  async function evaluate(node: TestNode, signer: HDNodeWallet, blinded: readonly Uint8Array[], committeeId = "1") {
    const token = await node.openSession(signer);
    return node.request("POST", "/v1/oprf/evaluate", {
      token,
      body: { committeeId, generation: 1, blinded: blinded.map(toHex) },
    });
  }

  describe("key generation", () => {
    const unknown = `0x${"11".repeat(32)}`;
    /** Reads the chain with this deployment file. */
    function reading<Result>(
      over: Partial<Deployment>,
      read: (chain: ChainReader) => Promise<Result>,
    ): Promise<Result> {
      return read({ ...local.chain, deployment: { ...local.deployment, ...over } });
    }

    it("ends in an active committee whose keys every node attested", async () => {
      const state = await readCommittee(local.chain, 1n);
      expect(state.status).to.equal("active");
      expect(state.threshold).to.equal(THRESHOLD);
      expect(state.members.map(({ operator }) => operator)).to.deep.equal(nodes.map(({ operator }) => operator));
      for (const [position, node] of nodes.entries()) {
        const answer = await node.describe();
        expect(answer.operator).to.equal(node.operator);
        expect(answer.hpkePublicKey).to.equal(toHex(state.members[position]?.hpkePublicKey ?? new Uint8Array()));
        expect(answer.committees).to.deep.equal([
          { committeeId: "1", generation: 1, index: position + 1, ready: true, phase: "ready" },
        ]);
      }
    });

    it("ends in keys that a deployment file can hold its readers to, and every node has archived", async () => {
      const deployment = await reading({ committeeId: "1" }, withCommitteeKeys);
      const { keys, keyMaterialHash } = await reading(deployment, (chain) => readCommitteeKeys(chain, 1n));
      expect(deployment.committeeKeys).to.deep.equal({
        oprf: toHex(keys.oprf.groupPublicKey),
        record: toHex(keys.record.groupPublicKey),
      });
      for (const purpose of ["oprf", "record"] as const) {
        const committeeKeys = { oprf: IDENTITY, record: IDENTITY, ...deployment.committeeKeys, [purpose]: IDENTITY };
        for (const read of [readCommitteeKeys, readRecordSeal]) {
          const reads = reading<unknown>({ ...deployment, committeeKeys }, (chain) => read(chain, 1n));
          const error = await reads.then(
            () => undefined,
            (cause: unknown) => cause,
          );
          expect(error).to.include({ code: "INTEGRITY", party: "chain", check: `${purpose} key of the committee` });
        }
      }
      for (const node of nodes) {
        const answer = await node.request("GET", `/v1/key-material/${keyMaterialHash}`);
        expect(toKeys(answer.json)).to.deep.equal(keys);
        expect((await node.request("GET", `/v1/key-material/${unknown}`)).json.error.code).to.equal("NOT_FOUND");
      }
    });

    it("keeps no secret of it in the clear", async () => {
      const node = nodeAt(0);
      const { box } = await node.keys();
      const database = openDatabase(`${node.folder}/data/nbm.db`, { migrations: NBM_MIGRATIONS });
      const { shares } = new GenerationStore(database, box).used({ committeeId: 1n, generation: 1 });
      const [generation] = database.prepare("SELECT * FROM generations").all();
      expect(generation).to.include({ receiving_key_sealed: null, is_settled: 1 });
      expect(database.prepare("SELECT count(*) AS n FROM run_messages").get()?.n).to.equal(0);
      const rows = database.prepare("SELECT * FROM run_results").all();
      expect(rows).to.have.length(1);
      const dump = Buffer.concat(
        Object.values(rows[0] ?? {}).map((v) => (v instanceof Uint8Array ? v : Buffer.alloc(0))),
      );
      expect(dump.length).to.be.greaterThan(100);
      // 109 bytes that end in the two shares.
      for (const at of [44, 77]) expect(dump.includes(Buffer.from(shares.slice(at, at + 32)))).to.equal(false);
      database.close();
    });

    it("serves messages of runs that it takes part in, and none once the generation is settled", async () => {
      const path = (id: string) => `/v1/committees/${id}/messages`;
      const ask = (id: string, body: object = { known: [] }) => nodeAt(0).request("POST", path(id), { body });
      const { status, json } = await ask("1/generations/1");
      expect(status).to.equal(200);
      expect(json).to.deep.include({ committeeId: "1", generation: 1, messages: [] });
      for (const id of ["2/generations/1", "1/generations/2"]) expect((await ask(id)).status).to.equal(404);
      for (const id of ["x/generations/1", "1/generations/0"]) expect((await ask(id)).status).to.equal(400);
      for (const known of ["0x12", 7, Array.from({ length: 513 }, () => `0x${"00".repeat(32)}`)]) {
        expect((await ask("1/generations/1", { known })).status).to.equal(400);
      }
    });
  });

  describe("evaluation", () => {
    const inputs = ["", "one", "two"].map((text) => new TextEncoder().encode(text));

    /** The committee's key in one hand: only a test may do this. */
    async function wholeKey(): Promise<Uint8Array> {
      const quorum = [1, 2, 3];
      const coefficients = lagrangeCoefficients(ristretto255Group, quorum, 0);
      let key: Uint8Array = new Uint8Array(32);
      for (const [position, coefficient] of coefficients.entries()) {
        const node = nodeAt(position);
        const database = openDatabase(`${node.folder}/data/nbm.db`, { migrations: NBM_MIGRATIONS });
        const id = { committeeId: 1n, generation: 1 };
        const { generation, shares } = new GenerationStore(database, (await node.keys()).box).used(id);
        database.close();
        const { oprf } = decodeMemberShares(scopeOf(local.deployment, 1n), generation, position + 1, shares);
        key = scalarAdd(key, scalarMultiply(coefficient, oprf));
      }
      return key;
    }

    it("of any quorum equals RFC 9497 under the undivided key", async () => {
      const signer = Wallet.createRandom();
      const { voprf } = ristretto255_oprf;
      const key = await wholeKey();
      const state = await readCommitteeKeys(local.chain, 1n);
      const { groupPublicKey, verificationShares } = state.keys.oprf;
      const expected = inputs.map((input) => {
        const { blind, blinded } = voprf.blind(input);
        const { evaluated, proof } = voprf.blindEvaluate(key, groupPublicKey, blinded);
        return voprf.finalize(input, blind, evaluated, blinded, groupPublicKey, proof);
      });
      for (const quorum of [
        [0, 1, 2],
        [4, 2, 0],
      ]) {
        const batch = blindInputs(inputs);
        const parts = await Promise.all(
          quorum.map(async (position) => {
            const { json, status } = await evaluate(nodeAt(position), signer, batch.blinded);
            expect(status).to.equal(200);
            const evaluated = json.evaluated.map((text: string) => fromHex(text));
            const verificationShare = verificationShares[position] ?? new Uint8Array();
            verifyEvaluation(verificationShare, batch.blinded, evaluated, fromHex(json.proof));
            expect(json.index).to.equal(position + 1);
            return { index: json.index, evaluated };
          }),
        );
        expect(combineAndFinalize(batch, inputs, parts, THRESHOLD)).to.deep.equal(expected);
      }
    });

    it("refuses a body that is malformed, too large, or asks for more than 256", async () => {
      const token = await nodeAt(0).openSession(Wallet.createRandom());
      const { blinded } = blindInputs([new Uint8Array(1)]);
      const element = toHex(blinded[0] ?? new Uint8Array());
      const post = (body: unknown) => nodeAt(0).request("POST", "/v1/oprf/evaluate", { token, body });
      for (const [name, body, status] of [
        ["no elements", { committeeId: "1", generation: 1, blinded: [] }, 400],
        ["257 elements", { committeeId: "1", generation: 1, blinded: Array.from({ length: 257 }, () => element) }, 400],
        ["too large", { committeeId: "1", generation: 1, blinded: Array.from({ length: 1000 }, () => element) }, 413],
        ["short element", { committeeId: "1", generation: 1, blinded: [element.slice(0, -2)] }, 400],
        ["upper case", { committeeId: "1", generation: 1, blinded: [element.toUpperCase().replace("0X", "0x")] }, 400],
        ["unknown field", { committeeId: "1", generation: 1, blinded: [element], more: 1 }, 400],
        ["number for text", { committeeId: 1, generation: 1, blinded: [element] }, 400],
        ["no object", [], 400],
      ] as const) {
        const answer = await post(body);
        expect(answer.status, name).to.equal(status);
        expect(answer.json.error.code, name).to.equal("INVALID_INPUT");
      }
      const notJson = await nodeAt(0).request("POST", "/v1/oprf/evaluate", { token, raw: "{" });
      expect(notJson.status).to.equal(400);
      expect((await post({ committeeId: "1", generation: 1, blinded: [element] })).status).to.equal(200);
    });

    it("refuses elements that are the identity, not canonical, or not on the curve, and charges nothing", async () => {
      const signer = Wallet.createRandom();
      const token = await nodeAt(0).openSession(signer);
      const { blinded } = blindInputs([new Uint8Array(1)]);
      const good = toHex(blinded[0] ?? new Uint8Array());
      const share = nodeShareOfBudget(BUDGET, THRESHOLD, SIZE);
      for (let round = 0; round < 2 * share; round++) {
        for (const bad of [IDENTITY, NON_CANONICAL, NOT_ON_CURVE]) {
          const body = { committeeId: "1", generation: 1, blinded: [good, bad] };
          const answer = await nodeAt(0).request("POST", "/v1/oprf/evaluate", { token, body });
          expect(answer.status, bad).to.equal(400);
          expect(answer.json.error.code, bad).to.equal("INVALID_POINT");
        }
      }
      const body = { committeeId: "1", generation: 1, blinded: Array.from({ length: share }, () => good) };
      expect((await nodeAt(0).request("POST", "/v1/oprf/evaluate", { token, body })).status).to.equal(200);
    });

    it("refuses a committee that the node does not serve", async () => {
      const { blinded } = blindInputs([new Uint8Array(1)]);
      const answer = await evaluate(nodeAt(0), Wallet.createRandom(), blinded, "2");
      expect(answer.status).to.equal(404);
      expect(answer.json.error).to.include({
        code: "NOT_FOUND",
        check: "committee and generation",
        received: "2/1",
      });
    });

    it("refuses requests without a session, with an expired one, or one for another node", async () => {
      const signer = Wallet.createRandom();
      const { blinded } = blindInputs([new Uint8Array(1)]);
      const body = { committeeId: "1", generation: 1, blinded: blinded.map(toHex) };
      const path = "/v1/oprf/evaluate";
      expect((await nodeAt(0).request("POST", path, { body })).status).to.equal(401);
      const foreign = await nodeAt(1).openSession(signer);
      expect((await nodeAt(0).request("POST", path, { body, token: foreign })).status).to.equal(401);
      const brief = await nodeAt(0).sessionRequest(signer, { expiresAt: nowSeconds() + 2 });
      const { token } = (await nodeAt(0).request("POST", "/v1/sessions", { body: brief })).json;
      expect((await nodeAt(0).request("POST", path, { body, token })).status).to.equal(200);
      await new Promise((resolve) => setTimeout(resolve, 2100));
      expect((await nodeAt(0).request("POST", path, { body, token })).status).to.equal(401);
      const again = await nodeAt(0).request("POST", "/v1/sessions", { body: brief });
      expect(again.status).to.equal(401);
    });

    it("refuses a session message used before, also after the node was killed and started again", async () => {
      const message = await nodeAt(4).sessionRequest(Wallet.createRandom());
      const open = () => nodeAt(4).request("POST", "/v1/sessions", { body: message });
      expect((await open()).status).to.equal(200);
      expect((await open()).json.error).to.include({ code: "INVALID_SIGNATURE", check: "nonce" });
      await nodeAt(4).end("SIGKILL");
      await nodeAt(4).start();
      expect((await open()).json.error).to.include({ code: "INVALID_SIGNATURE", check: "nonce" });
    });

    it("grants an account no more than its budget, however it spreads its requests over the committee", async () => {
      const signer = Wallet.createRandom();
      const { blinded } = blindInputs([new Uint8Array(1)]);
      const one = blinded[0] ?? new Uint8Array();
      const granted: number[] = [];
      for (const node of nodes) {
        const token = await node.openSession(signer);
        let evaluations = 0;
        for (const batch of [10, 10, 10, 4, 4, 1]) {
          const body = { committeeId: "1", generation: 1, blinded: Array.from({ length: batch }, () => toHex(one)) };
          const answer = await node.request("POST", "/v1/oprf/evaluate", { token, body });
          if (answer.status === 200) {
            evaluations += batch;
            continue;
          }
          expect(answer.status).to.equal(429);
          expect(answer.json.error).to.include({ code: "RATE_LIMITED", retryable: true });
          expect(Number(answer.headers.get("retry-after"))).to.be.within(1, 86_400);
        }
        granted.push(evaluations);
      }
      expect(granted).to.deep.equal([24, 24, 24, 24, 24]);
      const total = granted.reduce((sum, part) => sum + part, 0);
      expect(Math.floor(total / THRESHOLD)).to.be.at.most(BUDGET);
      const other = await evaluate(nodeAt(0), Wallet.createRandom(), [one]);
      expect(other.status, "another account").to.equal(200);
    });

    it("remembers what an account has used when the node was killed and started again", async () => {
      const signer = Wallet.createRandom();
      const { blinded } = blindInputs([new Uint8Array(1)]);
      const all = Array.from({ length: 24 }, () => blinded[0] ?? new Uint8Array());
      expect((await evaluate(nodeAt(3), signer, all)).status).to.equal(200);
      await nodeAt(3).end("SIGKILL");
      await nodeAt(3).start();
      expect((await evaluate(nodeAt(3), signer, all.slice(0, 1))).status).to.equal(429);
      const tooMany = await evaluate(nodeAt(3), signer, [...all, ...all.slice(0, 1)]);
      expect(tooMany.json.error).to.deep.include({
        code: "INVALID_INPUT",
        details: { capacity: 24, periodSeconds: 86_400 },
      });
    });
  });

  describe("key records", () => {
    const dataId = contentId(new TextEncoder().encode("a sealed recipe"));
    const tag = toHex(fileTag(dataId));
    const fileKey = new Uint8Array(32).fill(5);
    const catalogueKey = new Uint8Array(32).fill(6);
    const alice = Wallet.createRandom();
    const bob = Wallet.createRandom();
    let id: string;
    let session: HpkeKeyPair;
    let request: Awaited<ReturnType<typeof signedRecord>>;

    async function signedRecord(
      over: { keyTime?: bigint; deadline?: bigint; keys?: Uint8Array[]; data?: string; ledger?: LedgerScope } = {},
    ) {
      const state = await readCommittee(local.chain, 1n);
      const { keyTime = BigInt(nowSeconds()), deadline = BigInt(nowSeconds() + 3600), data = dataId } = over;
      const payload = await buildRecordPayload({
        ledger: over.ledger ?? ledgerScope(local.deployment),
        fileKey,
        dataId: data,
        account: alice.address,
        committeeId: 1n,
        keyTime,
        policy: committeePolicy(SIZE, THRESHOLD),
        committeeKeys: over.keys ?? state.members.map(({ hpkePublicKey }) => hpkePublicKey),
        catalogueKey,
      });
      const header = {
        account: alice.address,
        fileTag: toHex(fileTag(data)),
        committeeId: 1n,
        keyTime,
        ownershipKey: ownershipAddress(fileKey),
        payloadHash: toHex(keccak_256(payload)),
      };
      const typed = keyRecordTypedData(31_337n, local.deployment.contracts.keyLedger, { ...header, deadline });
      const signature = await alice.signTypedData(typed.domain, typed.types, typed.message);
      const texts = { committeeId: "1", keyTime: String(keyTime) };
      const { payloadHash, ...fields } = header;
      const record = { ...fields, ...texts, payload: toHex(payload) };
      const body = { record, deadline: String(deadline), signature };
      return { body, header, headerText: { ...header, ...texts }, payloadHash, payload };
    }

    async function relay(node: TestNode, body: unknown, signer: HDNodeWallet = alice) {
      return node.request("POST", "/v1/records", { token: await node.openSession(signer), body });
    }

    async function shareRequest(
      node: TestNode,
      signer: HDNodeWallet,
      over: {
        account?: string;
        expiresAt?: number;
        node?: string;
        record?: string;
        chainId?: bigint;
        ledger?: string;
      } = {},
    ) {
      const account = over.account ?? signer.address;
      const expiresAt = over.expiresAt ?? nowSeconds() + 600;
      const sessionKey = toHex(session.publicKey);
      const typed = shareRequestTypedData(
        over.chainId ?? 31_337n,
        over.ledger ?? local.deployment.contracts.keyLedger,
        {
          recordId: over.record ?? id,
          account,
          sessionKey,
          node: over.node ?? node.operator,
          expiresAt: BigInt(expiresAt),
        },
      );
      const signature = await signer.signTypedData(typed.domain, typed.types, typed.message);
      const body = { account, sessionKey, expiresAt, signature };
      return node.request("POST", `/v1/records/${over.record ?? id}/share`, { body });
    }

    before(async () => {
      session = hpkeKeyPairFromSeed(randomBytes(32));
      request = await signedRecord();
      id = recordIdOf(request.header);
    });

    it("are relayed to the ledger by a node that pays for them", async () => {
      const before = await local.chain.provider.getBalance(nodeAt(1).operator);
      const answer = await relay(nodeAt(1), request.body);
      expect(answer.status, JSON.stringify(answer.json)).to.equal(200);
      expect(answer.json.recordId).to.equal(id);
      const receipt = await local.chain.provider.getTransactionReceipt(answer.json.transactionHash);
      expect(receipt?.blockNumber).to.equal(answer.json.blockNumber);
      expect(receipt?.from).to.equal(nodeAt(1).operator);
      expect((await local.chain.provider.getBalance(nodeAt(1).operator)) < before).to.equal(true);
    });

    it("are not sent twice when the request is repeated, at the same node or another one", async () => {
      const nonces = () => Promise.all(nodes.map(({ operator }) => local.chain.provider.getTransactionCount(operator)));
      const before = await nonces();
      const first = await relay(nodeAt(1), request.body);
      const second = await relay(nodeAt(2), request.body);
      expect(second.status).to.equal(200);
      expect(second.json).to.deep.equal(first.json);
      expect(await nonces()).to.deep.equal(before);
    });

    it("are archived by every node, with a verdict on its own share", async () => {
      for (const node of nodes) {
        const answer = await node.request("GET", `/v1/records/${id}`);
        expect(answer.status).to.equal(200);
        expect(answer.json).to.include({ ...request.body.record, recordId: id, share: "valid" });
        const list = await node.request("GET", `/v1/records?account=${alice.address.toLowerCase()}`);
        expect(list.json.records).to.have.length(1);
        expect(list.json.records[0]).to.include({ account: alice.address, laterOwner: null, recordId: id });
        expect(list.json.next).to.equal(null);
      }
    });

    it("are refused when somebody else's, wrongly signed, late, malformed, or sealed to wrong keys", async () => {
      const good = await signedRecord({ keyTime: BigInt(nowSeconds() + 1) });
      const { record } = good.body;
      const late = await signedRecord({ deadline: BigInt(nowSeconds() - 1), keyTime: BigInt(nowSeconds() + 1) });
      const wrongKeys = Array.from({ length: SIZE }, () => hpkeKeyPairFromSeed(randomBytes(32)).publicKey);
      const misdirected = await signedRecord({ keyTime: BigInt(nowSeconds() + 1), keys: wrongKeys });
      const scope = ledgerScope(local.deployment);
      const later = BigInt(nowSeconds() + 1);
      const copied = await signedRecord({ keyTime: later, ledger: { ...scope, keyLedger: nodeAt(0).operator } });
      const foreign = await signedRecord({ keyTime: later, ledger: { ...scope, chainId: 1n } });
      const cases: [string, unknown, HDNodeWallet, number, string][] = [
        ["another session account", good.body, bob, 403, "NOT_OWNER"],
        ["another signer", { ...good.body, signature: `0x${"11".repeat(65)}` }, alice, 401, "INVALID_SIGNATURE"],
        ["another key time", { ...good.body, record: { ...record, keyTime: "5" } }, alice, 401, "INVALID_SIGNATURE"],
        ["deadline passed", late.body, alice, 401, "INVALID_SIGNATURE"],
        ["payload cut short", { ...good.body, record: { ...record, payload: "0x01ff" } }, alice, 400, "INTEGRITY"],
        ["unknown version", { ...good.body, record: { ...record, payload: "0xff00" } }, alice, 400, "UNKNOWN_VERSION"],
        ["unknown committee", { ...good.body, record: { ...record, committeeId: "7" } }, alice, 404, "NOT_FOUND"],
        ["wrong keys", misdirected.body, alice, 400, "INTEGRITY"],
        ["envelopes of another ledger", copied.body, alice, 400, "INTEGRITY"],
        ["envelopes of another chain", foreign.body, alice, 400, "INTEGRITY"],
        ["beyond 64 bits", { ...good.body, deadline: "99999999999999999999" }, alice, 400, "INVALID_INPUT"],
        ["no record", { deadline: "1", signature: "0x11" }, alice, 400, "INVALID_INPUT"],
      ];
      const nonce = await local.chain.provider.getTransactionCount(nodeAt(1).operator);
      for (const [name, body, signer, status, code] of cases) {
        const answer = await relay(nodeAt(1), body, signer);
        expect(answer.json.error?.code, name).to.equal(code);
        expect(answer.status, name).to.equal(status);
      }
      expect(await local.chain.provider.getTransactionCount(nodeAt(1).operator)).to.equal(nonce);
      expect((await nodeAt(1).request("POST", "/v1/records", { body: good.body })).status).to.equal(401);
    });

    it("are not paid for while gas costs more than the node pays, and the price is stated", async () => {
      const good = await signedRecord({ keyTime: BigInt(nowSeconds() + 1) });
      const answer = await relay(nodeAt(4), good.body);
      expect(answer.status).to.equal(429);
      const { error } = answer.json;
      expect(error).to.include({ code: "RATE_LIMITED", check: "relay fee cap", retryable: true });
      expect(error.expected).to.contain("0.000001 gwei");
      expect(error.received).to.match(/^[0-9.]+ gwei$/);
    });

    it("are refused with the contract's own error when the ledger would not take them", async () => {
      const early = await signedRecord({ keyTime: BigInt(nowSeconds() + 3000) });
      const answer = await relay(nodeAt(1), early.body);
      expect(answer.status).to.equal(422);
      expect(answer.json.error.code).to.equal("CHAIN_REVERTED");
      expect(answer.json.error.details.revert).to.equal("FutureKeyTime");
    });

    it("release shares to the recorder, any three of which rebuild the key", async () => {
      const header = request.header;
      const payload = parseRecordPayload(request.payload);
      const ledger = ledgerScope(local.deployment);
      const shares = new Map<number, Uint8Array>();
      for (const node of [nodeAt(4), nodeAt(1), nodeAt(2)]) {
        const answer = await shareRequest(node, alice);
        expect(answer.status, JSON.stringify(answer.json)).to.equal(200);
        const { index, sealed } = answer.json;
        const context = { index, account: alice.address };
        shares.set(
          index,
          await openResealedShare(payload, ledger, header, context, session.privateKey, fromHex(sealed)),
        );
      }
      expect([...shares.keys()]).to.deep.equal([5, 2, 3]);
      expect(rebuildFileKey(payload, header, shares, dataId)).to.deep.equal(fileKey);
    });

    it("release nothing to strangers, for other nodes, or on expired, far-dated or foreign requests", async () => {
      const node = nodeAt(0);
      const cases: [string, ReturnType<typeof shareRequest>, number, string][] = [
        ["not an owner", shareRequest(node, bob), 403, "NOT_OWNER"],
        ["in the owner's name", shareRequest(node, bob, { account: alice.address }), 401, "INVALID_SIGNATURE"],
        ["for another node", shareRequest(node, alice, { node: nodeAt(1).operator }), 401, "INVALID_SIGNATURE"],
        ["expired", shareRequest(node, alice, { expiresAt: nowSeconds() - 1 }), 401, "INVALID_SIGNATURE"],
        ["far-dated", shareRequest(node, alice, { expiresAt: nowSeconds() + 8000 }), 401, "INVALID_SIGNATURE"],
        ["of another chain", shareRequest(node, alice, { chainId: 1n }), 401, "INVALID_SIGNATURE"],
        ["of another ledger", shareRequest(node, alice, { ledger: node.operator }), 401, "INVALID_SIGNATURE"],
        ["no such record", shareRequest(node, alice, { record: hexlify(randomBytes(32)) }), 404, "NOT_FOUND"],
      ];
      for (const [name, pending, status, code] of cases) {
        const answer = await pending;
        expect(answer.json.error?.code, name).to.equal(code);
        expect(answer.status, name).to.equal(status);
      }
    });

    it("of one file and account stand side by side, and shares of each are released", async () => {
      const newer = await signedRecord({ keyTime: BigInt(nowSeconds() + 2) });
      const newerId = recordIdOf(newer.header);
      expect((await relay(nodeAt(2), newer.body)).json.recordId).to.equal(newerId);
      const ledger = ledgerScope(local.deployment);
      const context = { index: 1, account: alice.address };
      for (const { header, payload } of [request, newer]) {
        const record = recordIdOf(header);
        expect((await nodeAt(0).request("GET", `/v1/records/${record}`)).json.recordId).to.equal(record);
        const sealed = fromHex((await shareRequest(nodeAt(0), alice, { record })).json.sealed);
        const parsed = parseRecordPayload(payload);
        const opened = await openResealedShare(parsed, ledger, header, context, session.privateKey, sealed);
        expect(opened).to.have.length(64);
      }
      const list = await nodeAt(0).request("GET", `/v1/records?fileTag=${tag}`);
      expect(list.json.records.map((entry: { recordId: string }) => entry.recordId)).to.deep.equal([id, newerId]);
    });

    it("take a later owner who has the file, and serve it", async () => {
      const signed = async (signer: HDNodeWallet, key = fileKey, version = request) => {
        const { keyLedger } = local.deployment.contracts;
        const deadline = BigInt(nowSeconds() + 600);
        const note = new Uint8Array(60).fill(3);
        const joining = { recordId: recordIdOf(version.header), owner: signer.address };
        const ownership = ownershipTypedData(31_337n, keyLedger, joining);
        const noteHash = toHex(keccak_256(note));
        const adding = addOwnerTypedData(31_337n, keyLedger, { ...joining, noteHash, deadline });
        return {
          header: version.headerText,
          owner: signer.address,
          note: toHex(note),
          deadline: String(deadline),
          ownershipSignature: await new Wallet(toHex(ownershipKey(key))).signTypedData(
            ownership.domain,
            ownership.types,
            ownership.message,
          ),
          ownerSignature: await signer.signTypedData(adding.domain, adding.types, adding.message),
        };
      };
      const path = `/v1/records/${id}/owners`;
      const token = await nodeAt(3).openSession(bob);
      const without = await nodeAt(3).request("POST", path, {
        token,
        body: await signed(bob, new Uint8Array(32).fill(9)),
      });
      expect(without.json.error).to.include({ code: "INVALID_SIGNATURE", check: "ownership signature" });
      expect((await shareRequest(nodeAt(0), bob)).status).to.equal(403);

      const unknown = await signedRecord({ keyTime: 7n });
      const toUnknown = await nodeAt(3).request("POST", `/v1/records/${recordIdOf(unknown.header)}/owners`, {
        token,
        body: await signed(bob, fileKey, unknown),
      });
      expect(toUnknown.status).to.equal(404);
      expect(toUnknown.json.error).to.include({ code: "NOT_FOUND", check: "record" });

      const body = await signed(bob);
      const carol = await nodeAt(3).openSession(Wallet.createRandom());
      expect((await nodeAt(3).request("POST", path, { token: carol, body })).json.error.code).to.equal("NOT_OWNER");
      const elsewhere = `/v1/records/${hexlify(randomBytes(32))}/owners`;
      expect((await nodeAt(3).request("POST", elsewhere, { token, body })).status).to.equal(400);
      const answer = await nodeAt(3).request("POST", path, { token, body });
      expect(answer.status, JSON.stringify(answer.json)).to.equal(200);
      const again = await nodeAt(2).request("POST", path, { token: await nodeAt(2).openSession(bob), body });
      expect(again.json).to.deep.equal(answer.json);
      const released = await shareRequest(nodeAt(0), bob);
      expect(released.status).to.equal(200);
      const list = await nodeAt(0).request("GET", `/v1/records?account=${bob.address}&fileTag=${tag}`);
      const [entry] = list.json.records;
      expect(entry).to.deep.include({
        account: alice.address,
        laterOwner: { account: bob.address, note: body.note },
      });
      const { fileTag: file, ownershipKey: key } = entry;
      const joinable = `/v1/records?fileTag=${file}&committeeId=1&ownershipKey=`;
      const found = await nodeAt(0).request("GET", `${joinable}${key.toLowerCase()}`);
      expect(found.json.records[0]).to.deep.include({ recordId: id, laterOwner: { account: bob.address, note: "0x" } });
      expect((await nodeAt(0).request("GET", `${joinable}${alice.address}`)).json.records).to.deep.equal([]);
    });

    it("that a later owner has joined stand when their account makes another one", async () => {
      const newer = await signedRecord({ keyTime: BigInt(nowSeconds() + 4) });
      expect((await relay(nodeAt(2), newer.body)).status).to.equal(200);
      for (const account of [alice, bob]) expect((await shareRequest(nodeAt(0), account)).status).to.equal(200);
      expect((await shareRequest(nodeAt(0), bob, { record: recordIdOf(newer.header) })).status).to.equal(403);
    });

    it("survive in the archive when the node is killed and the chain goes on without it", async () => {
      await nodeAt(0).end("SIGKILL");
      const data = contentId(new TextEncoder().encode("another recipe"));
      const other = await signedRecord({ data });
      expect((await relay(nodeAt(1), other.body)).status).to.equal(200);
      await nodeAt(0).start();
      const answer = await nodeAt(0).request("GET", `/v1/records?account=${alice.address}`);
      expect(answer.json.records).to.have.length(4);
      expect(answer.json.records[3].payload).to.equal(toHex(other.payload));
    });

    it("of a recorder that made them wrongly are archived with the share marked invalid", async () => {
      const wrongKeys = Array.from({ length: SIZE }, () => hpkeKeyPairFromSeed(randomBytes(32)).publicKey);
      const data = contentId(new TextEncoder().encode("a recipe sealed to nobody"));
      const wrong = await signedRecord({ data, keys: wrongKeys });
      const { recordCall } = await import("../../offchain/chain/ledger.ts");
      const signed = {
        record: { ...wrong.header, payload: wrong.payload },
        deadline: BigInt(wrong.body.deadline),
        signature: wrong.body.signature,
      };
      const call = recordCall(local.deployment, signed);
      await (await local.account(9).sendTransaction({ to: call.to, data: call.data })).wait();
      const wrongId = recordIdOf(wrong.header);
      const archived = await nodeAt(0).request("GET", `/v1/records/${wrongId}`);
      expect(archived.json.share).to.equal("invalid");
      const answer = await shareRequest(nodeAt(0), alice, { record: wrongId });
      expect(answer.json.error.code).to.equal("INTEGRITY");
    });

    it("are relayed for an account while it has a part of the node's budget, and then by other nodes", async () => {
      const [first, second] = await Promise.all(
        ["the first of two", "the second of two"].map((text) =>
          signedRecord({ data: contentId(new TextEncoder().encode(text)) }),
        ),
      );
      expect((await relay(nodeAt(3), first?.body)).status).to.equal(200);
      const nonce = await local.chain.provider.getTransactionCount(nodeAt(3).operator);
      const refused = await relay(nodeAt(3), second?.body);
      expect(refused.status).to.equal(429);
      expect(refused.json.error).to.include({ check: "relay budget", party: `account ${alice.address}` });
      expect(await local.chain.provider.getTransactionCount(nodeAt(3).operator)).to.equal(nonce);
      // What is on the ledger already costs nothing.
      expect((await relay(nodeAt(3), first?.body)).status).to.equal(200);
      expect((await relay(nodeAt(1), second?.body)).status).to.equal(200);
    });

    it("that the chain takes back in a reorganisation leave the archive", async () => {
      const data = contentId(new TextEncoder().encode("a recipe on a dead branch"));
      const orphan = await signedRecord({ data });
      const snapshot = await local.chain.provider.send("evm_snapshot", []);
      const relayed = await relay(nodeAt(1), orphan.body);
      expect(relayed.status).to.equal(200);
      const orphanId = relayed.json.recordId;
      expect((await nodeAt(3).request("GET", `/v1/records/${orphanId}`)).status).to.equal(200);
      await local.chain.provider.send("evm_revert", [snapshot]);
      await local.mine(3);
      await until("taken back", async () => (await nodeAt(3).request("GET", `/v1/records/${orphanId}`)).status === 404);
      expect((await shareRequest(nodeAt(3), alice, { record: orphanId })).status).to.equal(404);
      const again = await relay(nodeAt(1), orphan.body);
      expect(again.status, JSON.stringify(again.json)).to.equal(200);
      expect((await nodeAt(3).request("GET", `/v1/records/${orphanId}`)).status).to.equal(200);
    });
  });

  describe("operation", () => {
    it("reports health and metrics", async () => {
      const health = await nodeAt(0).request("GET", "/healthz");
      expect(health.json).to.deep.equal({
        ok: true,
        checks: { chain: "ok", database: "ok", transactions: "ok", archive: "ok" },
      });
      const { json: metrics } = await nodeAt(0).request("GET", "/metrics");
      expect(metrics).to.match(/tallystick_nbm_generations\{phase="ready",daemon="nbm"\} 1/);
      expect(metrics).to.match(/tallystick_nbm_archive_events\{kind="record",daemon="nbm"\} [1-9]/);
      expect(metrics).to.match(/tallystick_nbm_evaluations_total\{daemon="nbm"\} /);
    });

    it("stops in order on SIGTERM and serves again at another port with the same registration", async () => {
      const before = nodeAt(2).url;
      await nodeAt(2).end("SIGTERM");
      await nodeAt(2).start();
      expect(nodeAt(2).url).not.to.equal(before);
      const state = await readCommittee(local.chain, 1n);
      expect(state.members[2]?.url).to.equal(nodeAt(2).url);
      expect((await nodeAt(2).describe()).committees[0]?.ready).to.equal(true);
    });
  });
});

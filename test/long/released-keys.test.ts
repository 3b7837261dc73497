/**
 * Keys of records that are sealed to a committee of real nodes: they open for owners on new devices whatever becomes of
 * the members of the day on which they were recorded, and for nobody else.
 */

import { expect } from "chai";
import { keccak256 } from "ethers";
import type { AgentContext } from "../../offchain/agent/context.ts";
import { openFileKey } from "../../offchain/agent/keys/file-key.ts";
import type { NodeReport } from "../../offchain/agent/keys/node-reports.ts";
import { ensureKeyOwnership } from "../../offchain/agent/keys/record-key.ts";
import { openSealedKey } from "../../offchain/agent/keys/sealed-key.ts";
import { readRecordSeal } from "../../offchain/chain/group-keys.ts";
import { pause } from "../../offchain/chain/pause.ts";
import { contentId } from "../../offchain/core/encoding/content-id.ts";
import { toHex } from "../../offchain/core/encoding/hex.ts";
import { newRecoveryPhrase } from "../../offchain/core/identity/identity.ts";
import { keyRecordTypedData } from "../../offchain/core/identity/typed-messages.ts";
import { oprfReady } from "../../offchain/core/oprf/ristretto255.ts";
import { fileTag, ownershipAddress, type ShareRecipient } from "../../offchain/core/record/key-record.ts";
import { buildSealedPayload } from "../../offchain/core/record/sealed-record.ts";
import { ReleaseReceipts } from "../../offchain/nbm/releases/release-receipts.ts";
import { NBM_MIGRATIONS } from "../../offchain/nbm/tables.ts";
import { openDatabase } from "../../offchain/store/index/sqlite.ts";
import { agentContext, createCommittee, operatorCommand, serving } from "../helpers/committee-commands.ts";
import { type LocalChain, startLocalChain } from "../helpers/local-chain.ts";
import { prepareCommittee, type TestCommittee, type TestNode } from "../helpers/nbm-committee.ts";
import { expectAsyncRejection } from "../helpers/rejection.ts";

const dataId = contentId(new TextEncoder().encode("a root recipe"));
const fileKey = new Uint8Array(32).fill(0x42);

describe("keys of records that a committee releases", function () {
  this.timeout(180_000);
  let local: LocalChain;
  let network: TestCommittee;
  let nodes: readonly TestNode[];
  const alicePhrase = newRecoveryPhrase();
  const bobPhrase = newRecoveryPhrase();
  const contexts: AgentContext[] = [];

  const some = (...numbers: number[]): TestNode[] => numbers.map((number) => nodes[number - 1] as TestNode);

  /** A device of an account, which knows nothing but the phrase. */
  function deviceOf(phrase: string): AgentContext {
    const context = agentContext(local, phrase);
    contexts.push(context);
    return context;
  }

  /** Records, and mines what nodes want to see upon it. */
  async function record(context: AgentContext, id = dataId, recipients?: ShareRecipient) {
    const owned = await own(context, id, recipients);
    await local.mine(2);
    return owned;
  }

  async function own(context: AgentContext, id: string, recipients?: ShareRecipient) {
    const { committee, nodes: clients } = await context.committee();
    return await ensureKeyOwnership(
      {
        chain: await context.chain(),
        account: context.account,
        committee,
        nodes: clients,
        archives: await context.archives(),
        catalogueKey: context.identity.catalogueKey,
      },
      id,
      fileKey,
      recipients,
    );
  }

  const open = (phrase: string, id = dataId) => openFileKey(deviceOf(phrase), id, "committee");

  async function opensFor(phrase: string, role: "recorder" | "owner"): Promise<NodeReport[]> {
    const opened = await open(phrase);
    expect(toHex(opened.fileKey)).to.equal(toHex(fileKey));
    expect(opened).to.include({ role, source: "committee" });
    return opened.nodes;
  }

  before(async () => {
    await oprfReady();
    local = await startLocalChain();
    const config = { pollMilliseconds: 500, dealingSeconds: 2, eraseAfterBlocks: 0, releaseConfirmations: 3 };
    network = await prepareCommittee(local, { size: 5, config, form: false });
    nodes = network.nodes;
    await network.startAll();
    await createCommittee(local, some(1, 2, 3), 2);
    await serving(some(1, 2, 3), 1);
  });
  after(async () => {
    await Promise.all(contexts.map((context) => context.close()));
    await network?.stop();
    await local?.stop();
  });

  it("are recorded sealed, which every member finds right, and open for the recorder on a new device", async () => {
    const { recordId, role, isNew } = await record(deviceOf(alicePhrase));
    expect({ role, isNew }).to.deep.equal({ role: "recorder", isNew: true });
    for (const node of some(1, 2, 3)) {
      const { json } = await node.request("GET", `/v1/records/${recordId}`);
      expect(json).to.include({ share: "valid" });
      expect(json.payload).to.have.length(2 + 2 * 260);
    }
    const reports = await opensFor(alicePhrase, "recorder");
    expect(reports.filter(({ answer }) => answer === "right")).to.have.length(2);
    expect(await record(deviceOf(alicePhrase))).to.deep.equal({ recordId, role: "recorder", isNew: false });
  });

  it("open when blocks are upon a record that was made a moment ago", async () => {
    const young = contentId(new TextEncoder().encode("a root recipe of a moment ago"));
    await own(deviceOf(alicePhrase), young);
    const [opened] = await Promise.all([open(alicePhrase, young), pause(1500).then(() => local.mine(2))]);
    expect(toHex(opened.fileKey)).to.equal(toHex(fileKey));
  });

  it("are relayed by no member when they were sealed under another record's label", async () => {
    const mallory = deviceOf(newRecoveryPhrase());
    const chain = await mallory.chain();
    const { committee, nodes: clients } = await mallory.committee();
    const keyTime = BigInt((await chain.provider.getBlock("latest"))?.timestamp ?? 0);
    const header = {
      account: mallory.account.address,
      fileTag: toHex(fileTag(dataId)),
      committeeId: committee.id,
      keyTime,
      ownershipKey: ownershipAddress(fileKey),
    };
    const seal = await readRecordSeal(chain, committee.id);
    const { catalogueKey } = mallory.identity;
    const moved = { ...header, keyTime: keyTime - 1n };
    const payload = buildSealedPayload({ seal, header: moved, fileKey, dataId, catalogueKey });
    const deadline = keyTime + 3600n;
    const message = { ...header, payloadHash: keccak256(payload), deadline };
    const typed = keyRecordTypedData(seal.ledger.chainId, seal.ledger.keyLedger, message);
    const record = { ...header, committeeId: "1", keyTime: String(keyTime), payload: toHex(payload) };
    const request = { record, deadline: String(deadline), signature: await mallory.account.sign(typed) };
    for (const client of clients) {
      const error = await expectAsyncRejection(() => client.relayRecord(request), "INTEGRITY");
      expect(error.message).to.contain("sealed to this node or its committee");
    }
  });

  it("open for a later owner, who joined the same record", async () => {
    const { role, isNew } = await record(deviceOf(bobPhrase));
    expect({ role, isNew }).to.deep.equal({ role: "owner", isNew: true });
    await opensFor(bobPhrase, "owner");
  });

  it("leave a signed receipt at each node that released, which names who had it released", async () => {
    const alice = deviceOf(alicePhrase);
    const { nodes: reports } = await openFileKey(alice, dataId, "committee");
    for (const { operator } of reports.filter(({ answer }) => answer === "right")) {
      const node = nodes.find((each) => each.operator === operator) as TestNode;
      const database = openDatabase(`${node.folder}/data/nbm.db`, { migrations: NBM_MIGRATIONS });
      const [row] = database.prepare("SELECT secret FROM release_receipts").all();
      const kept = new ReleaseReceipts(database).of(String(row?.secret));
      expect(kept.some(({ account }) => account === alice.account.address)).to.equal(true);
      database.close();
    }
  });

  it("are released to nobody who does not own the record, whatever header it shows", async () => {
    const stranger = deviceOf(newRecoveryPhrase());
    const archives = await deviceOf(alicePhrase).archives();
    const tag = toHex(fileTag(dataId));
    const { records } = await archives.find({ fileTag: tag });
    const [found] = records;
    if (found === undefined) throw new Error("no record");
    const { address } = stranger.account;
    const refused = await expectAsyncRejection(() => openSealedKey(stranger, found, address, dataId), "NOT_RELEASED");
    // Nor in the right of the account that does own it, which has not been replaced.
    const { account: owner } = found.record;
    await expectAsyncRejection(() => openSealedKey(stranger, found, owner, dataId), "NOT_RELEASED");
    expect(refused).to.include({ check: "said no", party: "policy of the secret" });
    // The sealed key is bound to its header: under one of the stranger's own it does not even pass as sealed bytes.
    const own = { ...found, record: { ...found.record, account: stranger.account.address } };
    await expectAsyncRejection(() => openSealedKey(stranger, own, address, dataId), "INVALID_PROOF");
    for (const node of some(1, 2, 3)) {
      const { json } = await node.request("GET", "/metrics");
      const lines = String(json).split("\n");
      const refused = lines.filter((line) => /^tallystick_nbm_releases_total\{outcome="refused".*\} [1-9]/.test(line));
      expect(refused, lines.filter((line) => line.includes("releases_total")).join()).to.have.length(1);
    }
  });

  it("cannot be asked for without a session", async () => {
    const { status } = await (nodes[0] as TestNode).request("POST", "/v1/releases", { body: {} });
    expect(status).to.equal(401);
  });

  it("open with n − k members down, and not with one more, which names them", async () => {
    const [first, second] = some(1, 2) as [TestNode, TestNode];
    await first.end("SIGKILL");
    await opensFor(alicePhrase, "recorder");
    await second.end("SIGKILL");
    const error = await expectAsyncRejection(() => open(alicePhrase), "SHARES_MISSING");
    for (const { url } of [first, second]) expect(error.received).to.contain(url);
    await first.start();
    await second.start();
    await serving(some(1, 2, 3), 1);
  });

  it("open after a refresh", async () => {
    for (const node of some(1, 2)) await operatorCommand(node, "refresh", "1");
    await serving(some(1, 2, 3), 2);
    await opensFor(alicePhrase, "recorder");
  });

  it("open after a reshare to members that were none when they were recorded, with the old ones gone", async () => {
    const shared = contentId(new TextEncoder().encode("another root recipe"));
    await record(deviceOf(alicePhrase), shared, "shares");
    const members = some(3, 4, 5)
      .map(({ operator }) => operator)
      .join(",");
    for (const node of some(1, 2))
      await operatorCommand(node, "reshare", "1", "--members", members, "--threshold", "2");
    await serving(some(3, 4, 5), 3);
    for (const node of some(1, 2, 3)) await node.end("SIGKILL");
    await opensFor(alicePhrase, "recorder");
    await opensFor(bobPhrase, "owner");
    // What shares were sealed to members who are gone is gone with them.
    await expectAsyncRejection(() => open(alicePhrase, shared), "SHARES_MISSING");
  });
});

/** Records of shares while all members of their committee are replaced, one by one, by nodes that are killed. */

import { setTimeout as pause } from "node:timers/promises";
import { expect } from "chai";
import { Wallet } from "ethers";
import type { AgentContext } from "../../offchain/agent/context.ts";
import { openFileKey } from "../../offchain/agent/keys/file-key.ts";
import { type KeyRecord, ledgerScope, recordManyCall } from "../../offchain/chain/ledger.ts";
import { readCommittee } from "../../offchain/chain/registry.ts";
import { TransactionSender } from "../../offchain/chain/sender.ts";
import { contentId } from "../../offchain/core/encoding/content-id.ts";
import { toHex } from "../../offchain/core/encoding/hex.ts";
import { identityFromPhrase, newRecoveryPhrase } from "../../offchain/core/identity/identity.ts";
import { shareHandoverTypedData } from "../../offchain/core/identity/typed-messages.ts";
import { oprfReady } from "../../offchain/core/oprf/ristretto255.ts";
import {
  buildRecordPayload,
  committeePolicy,
  fileTag,
  ownershipAddress,
} from "../../offchain/core/record/key-record.ts";
import { MAXIMUM_HANDOVER_PAGE, type RecordsAnswer } from "../../offchain/core/wire/nbm.ts";
import { agentContext, createCommittee, operatorCommand, serving } from "../helpers/committee-commands.ts";
import { signBatch } from "../helpers/ledger-records.ts";
import { type LocalChain, startLocalChain } from "../helpers/local-chain.ts";
import { prepareCommittee, type TestCommittee, type TestNode } from "../helpers/nbm-committee.ts";
import { until } from "../helpers/promises.ts";

const FINAL_AFTER_BLOCKS = 8;
/** More than a page of a hand-over, as batches of 32 records. */
const BATCHES = 3;
const RECORDS = BATCHES * 32;

describe("records of shares while all members are replaced", function () {
  this.timeout(240_000);
  let local: LocalChain;
  let network: TestCommittee;
  let context: AgentContext;
  const phrase = newRecoveryPhrase();
  const identity = identityFromPhrase(phrase);
  const stored: { readonly dataId: string; readonly fileKey: Uint8Array }[] = [];

  /** Members 1 to 5, then 6 to 10, which take their places. */
  const node = (number: number) => network.nodes[number - 1] as TestNode;
  const some = (...numbers: number[]) => numbers.map(node);

  async function makeRecord(keyTime: bigint, committeeKeys: Uint8Array[]): Promise<KeyRecord> {
    const fileKey = crypto.getRandomValues(new Uint8Array(32));
    const dataId = contentId(fileKey);
    stored.push({ dataId, fileKey });
    const fields = { account: identity.account, committeeId: 1n, keyTime };
    const payload = await buildRecordPayload({
      ...{ ...fields, fileKey, dataId, committeeKeys, ledger: ledgerScope(local.deployment) },
      policy: committeePolicy(5, 3),
      catalogueKey: identity.catalogueKey,
    });
    return { ...fields, fileTag: toHex(fileTag(dataId)), ownershipKey: ownershipAddress(fileKey), payload };
  }

  /** How many of the records a node has its share of. */
  async function sharesAt(asked: TestNode): Promise<number> {
    const { json } = await asked.request("GET", `/v1/records?account=${identity.account}`);
    return (json as RecordsAnswer).records.filter(({ share }) => share === "valid").length;
  }

  async function replace(from: number, to: number, generation: number): Promise<void> {
    const { members } = await readCommittee(local.chain, 1n);
    const before = network.nodes.filter(({ operator }) => members.some((each) => each.operator === operator));
    for (const member of before.slice(-3)) {
      await operatorCommand(member, "replace", "1", node(from).operator, node(to).operator);
    }
    await serving([...before.filter((member) => member !== node(from)), node(to)], generation);
  }

  const tellLogs =
    (...numbers: number[]) =>
    () =>
      some(...numbers)
        .map(({ log }) => log.slice(-2000))
        .join("\n");
  const has = (number: number, how: (count: number) => boolean, seconds = 60) =>
    until(`shares at node ${number}`, async () => how(await sharesAt(node(number))), seconds, tellLogs(number));

  before(async () => {
    await oprfReady();
    local = await startLocalChain();
    const config = { pollMilliseconds: 300, dealingSeconds: 2, eraseAfterBlocks: FINAL_AFTER_BLOCKS };
    network = await prepareCommittee(local, { size: 10, config, form: false });
    await network.startAll();
    await createCommittee(local, some(1, 2, 3, 4, 5), 3);
    await serving(some(1, 2, 3, 4, 5), 1);
    context = agentContext(local, phrase);
    const { members } = await readCommittee(local.chain, 1n);
    const keys = members.map(({ hpkePublicKey }) => hpkePublicKey);
    const block = await local.chain.provider.getBlock("latest");
    const sender = new TransactionSender(local.chain, (await node(10).keys()).signingKey);
    for (let batch = 0; batch < BATCHES; batch += 1) {
      const records: KeyRecord[] = [];
      while (records.length < 32) records.push(await makeRecord(BigInt(block?.timestamp ?? 0), keys));
      const signed = await signBatch(local.deployment, new Wallet(toHex(identity.signingKey)), records);
      await sender.send(recordManyCall(local.deployment, signed));
    }
  });
  after(async () => {
    await context?.close();
    await network?.stop();
    await local?.stop();
  });

  it("hands nothing over before the activation of the next generation is final", async () => {
    await has(1, (count) => count === RECORDS);
    await replace(1, 6, 2);
    await pause(2000);
    expect(await sharesAt(node(6))).to.equal(0);
    expect((await ask(6, 1, 2)).status).to.equal(409);
  });

  it("hands every share over, while predecessor and successor are killed in between", async () => {
    await local.mine(FINAL_AFTER_BLOCKS);
    await has(6, (count) => count > 0);
    await node(6).end("SIGKILL");
    await node(1).end("SIGKILL");
    await node(6).start();
    expect(await sharesAt(node(6))).to.be.within(1, RECORDS);
    await node(1).start();
    await has(6, (count) => count === RECORDS);
  });

  it("answers nobody but the member that holds the share, with shares that it alone opens", async () => {
    const page = await ask(6, 1, 2);
    expect(page.status).to.equal(200);
    expect(page.json.shares).to.have.length(MAXIMUM_HANDOVER_PAGE);
    expect(page.json).to.include({ more: true });
    // A member that succeeds another one gets nothing, as one that stays.
    expect((await ask(2, 1, 2)).json.shares).to.deep.equal([]);
    expect((await ask(7, 1, 2)).json.error).to.include({ code: "NOT_OWNER", party: `node ${node(7).operator}` });
    expect((await ask(7, 1, 2, { successor: node(6).operator })).json.error.code).to.equal("INVALID_SIGNATURE");
    expect((await ask(6, 1, 2, { to: 2 })).json.error.code).to.equal("INVALID_SIGNATURE");
    expect((await ask(6, 1, 2, { committeeId: "2" })).json.error.code).to.equal("INVALID_SIGNATURE");
    expect((await ask(6, 1, 1)).json.error).to.include({ code: "CONFLICT", check: "generation of the delivery" });
    expect((await ask(6, 1, 2, { expiresIn: -1 })).json.error.code).to.equal("INVALID_SIGNATURE");
    expect((await ask(6, 9, 2)).json.error.code).to.equal("NOT_FOUND");
  });

  for (const [from, to, generation] of [
    [2, 7, 3],
    [3, 8, 4],
    [4, 9, 5],
    [5, 10, 6],
  ] as const) {
    it(`hands over from node ${from} to node ${to}, which is killed meanwhile`, async () => {
      await replace(from, to, generation);
      await local.mine(FINAL_AFTER_BLOCKS);
      await has(to, (count) => count > 0);
      await node(to).end("SIGKILL");
      await node(to).start();
      await has(to, (count) => count === RECORDS);
    });
  }

  it("reads every record when no member of the first day is left, and two of today are dead", async () => {
    await Promise.all(some(1, 2, 3, 4, 5).map((gone) => gone.end("SIGKILL")));
    await node(8).end("SIGKILL");
    await node(10).end("SIGKILL");
    await readAll();
    await node(8).start();
    await node(10).start();
  });

  it("erases what was handed to a member when it has handed it on", async () => {
    await node(2).start();
    await replace(7, 2, 7);
    await local.mine(FINAL_AFTER_BLOCKS);
    await has(2, (count) => count === RECORDS);
    await has(7, (count) => count === 0);
    await node(7).end("SIGKILL");
    await node(9).end("SIGKILL");
    await node(10).end("SIGKILL");
    await readAll(stored.slice(-8));
  });

  async function readAll(of = stored): Promise<void> {
    const left = of.values();
    const lane = async () => {
      for (const { dataId, fileKey } of left) {
        const opened = await openFileKey(context, dataId, "committee");
        expect(toHex(opened.fileKey)).to.equal(toHex(fileKey));
        expect(opened.nodes.filter(({ answer }) => answer === "right")).to.have.length(3);
      }
    };
    await Promise.all([lane(), lane(), lane(), lane()]);
  }

  interface Asked {
    readonly successor?: string;
    readonly to?: number;
    readonly committeeId?: string;
    readonly expiresIn?: number;
  }

  /** A request for a first page, signed by the operator of `by` for the node `at`; the changes come after signing. */
  async function ask(by: number, at: number, generation: number, changes: Asked = {}) {
    const { wallet } = await node(by).keys();
    const expiresAt = Math.floor(Date.now() / 1000) + (changes.expiresIn ?? 60);
    const { chainId, keyLedger } = ledgerScope(local.deployment);
    const fields = { committeeId: 1n, generation: BigInt(generation), after: 0n, expiresAt: BigInt(expiresAt) };
    const parties = { node: node(at).operator, successor: wallet.address };
    const typed = shareHandoverTypedData(chainId, keyLedger, { ...parties, ...fields });
    const body = {
      committeeId: changes.committeeId ?? "1",
      generation,
      successor: changes.successor ?? wallet.address,
      after: "0",
      expiresAt,
      signature: await wallet.signTypedData(typed.domain, typed.types, typed.message),
    };
    return await node(changes.to ?? at).request("POST", "/v1/handovers", { body });
  }
});

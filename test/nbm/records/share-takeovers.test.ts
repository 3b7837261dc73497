/** How a node fetches the shares that it holds in the place of another one, which may lie. */

import { once } from "node:events";
import type { Server } from "node:http";
import { buffer } from "node:stream/consumers";
import { expect } from "chai";
import { headerOf, type KeyRecord, recordIdOf } from "../../../offchain/chain/ledger.ts";
import { toHex } from "../../../offchain/core/encoding/hex.ts";
import { TallystickError } from "../../../offchain/core/errors.ts";
import { sealShareDelivery } from "../../../offchain/core/record/share-delivery.ts";
import { MAXIMUM_HANDOVER_PAGE, type ShareHandoverAnswer } from "../../../offchain/core/wire/nbm.ts";
import { serveHandler } from "../../helpers/http-server.ts";
import { expectAsyncRejection } from "../../helpers/rejection.ts";
import { keysOf, LEDGER, makeRecord, named, rightShare, ShareNode } from "./share-node.ts";

const { second, third, successor } = named;
const RECORDS = 2 * MAXIMUM_HANDOVER_PAGE + 5;

describe("shares that a node takes over", () => {
  let records: KeyRecord[];
  let few: KeyRecord[];
  let server: Server;
  let url: string;
  /** The predecessor, and what a test makes of its answers. */
  let predecessor: ShareNode;
  let change: (answer: ShareHandoverAnswer) => unknown;
  let asked: string[];

  before(async () => {
    records = await Promise.all(Array.from({ length: RECORDS }, (_, at) => makeRecord(1000n - BigInt(at))));
    few = records.slice(0, 3);
    ({ server, url } = await serveHandler(async (request, response) => {
      const body = JSON.parse(String(await buffer(request)));
      asked.push(body.after);
      response.end(JSON.stringify(change(await predecessor.handovers.answer(body))));
    }));
  });
  after(async () => {
    server.close();
    await once(server, "close");
  });
  const succeed = (of: KeyRecord[]) => {
    predecessor = new ShareNode(third, { records: of });
    predecessor.archiveAll(of);
  };
  beforeEach(() => {
    succeed(few);
    change = (answer) => answer;
    asked = [];
  });

  const takerOf = () => new ShareNode(successor, { records, url });

  it("come a page at a time, each of them the right one", async () => {
    succeed(records);
    const taker = takerOf();
    await taker.takeOver();
    expect(taker.held.count()).to.equal(RECORDS);
    for (const record of [records[0], records[RECORDS - 1]] as KeyRecord[]) {
      expect(await taker.own.open(record)).to.deep.equal({ index: 3, share: rightShare(record, 3) });
    }
    expect(asked.length).to.be.greaterThan(2);
    // Later, only what has come since is asked for.
    asked = [];
    await taker.takeOver();
    expect(asked).to.deep.equal([String(RECORDS)]);
    expect(taker.warnings).to.deep.equal([]);
  });

  it("go on after the last page that was kept when the node or the other one ends in between", async () => {
    succeed(records);
    const taker = takerOf();
    let pages = 0;
    change = (answer) => {
      pages += 1;
      if (pages === 2) throw new Error("killed");
      return answer;
    };
    await taker.takeOver();
    const kept = taker.held.count();
    expect(kept).to.be.within(1, MAXIMUM_HANDOVER_PAGE);
    expect(taker.warnings[0]).to.match(/^node 0x\w+ answered with status 500/);
    asked = [];
    await taker.takeOver();
    expect(asked[0]).to.equal(String(kept));
    expect(taker.held.count()).to.equal(RECORDS);
  });

  it("are fetched although a committee of strangers that named the node cannot be read", async () => {
    const facts = { code: "INVALID_INPUT", check: "generations of the committee" } as const;
    const failing = new Map([[9n, new TallystickError("too many generations", facts)]]);
    const taker = new ShareNode(successor, { records, url, failing });
    await taker.takeOver();
    expect(taker.held.count()).to.equal(few.length);
    failing.set(8n, new TallystickError("no answer", { code: "CHAIN_UNAVAILABLE" }));
    const other = new ShareNode(successor, { records, url, failing });
    await expectAsyncRejection(() => other.takeOver(), "CHAIN_UNAVAILABLE");
    expect(other.held.count()).to.equal(few.length);
  });

  it("are fetched by nobody while the activation is not final", async () => {
    const taker = new ShareNode(successor, { records, url, history: { blocksSince: 19 } });
    await taker.takeOver();
    expect(asked).to.deep.equal([]);
  });

  it("are asked for by no member that succeeds nobody", async () => {
    await new ShareNode(second, { records, url }).takeOver();
    expect(asked).to.deep.equal([]);
  });

  /** One share of the first record as the predecessor would send it, but for what is named. */
  async function share(over: { index?: number; generation?: number; recipient?: string; share?: Uint8Array } = {}) {
    const record = records[0] as KeyRecord;
    const { index = 3, generation = 2, recipient = successor } = over;
    const context = { index, generation, recipient };
    const right = over.share ?? rightShare(record, index);
    const sealed = toHex(await sealShareDelivery(LEDGER, record, context, keysOf(recipient).publicKey, right));
    return { recordId: recordIdOf(headerOf(record)), index, sealed };
  }

  const lies: [what: string, page: () => Promise<object>, warning: RegExp][] = [
    ["a share for another node", async () => ({ shares: [await share({ recipient: second })] }), /does not open/],
    ["another node's share", async () => ({ shares: [await share({ index: 2 })] }), /not for this node/],
    ["a share of another generation", async () => ({ shares: [await share({ generation: 1 })] }), /does not open/],
    ["a wrong share", async () => ({ shares: [await share({ share: new Uint8Array(64) })] }), /share 3 is not the one/],
    [
      "a share under the name of another record",
      async () => ({ shares: [{ ...(await share()), recordId: recordIdOf(headerOf(records[1] as KeyRecord)) }] }),
      /does not open/,
    ],
    [
      "a share of a record that is not on the ledger",
      async () => ({ shares: [{ ...(await share()), recordId: `0x${"77".repeat(32)}` }] }),
      /there is no record/,
    ],
    ["a page again and again", async () => ({ shares: [], next: "0", more: true }), /lead nowhere/],
    [
      "an oversize page",
      async () => ({ shares: Array(MAXIMUM_HANDOVER_PAGE + 1).fill(await share()) }),
      /outside the protocol|shares/,
    ],
    ["no page", async () => ({ shares: "none" }), /outside the protocol|shares/],
  ];
  for (const [what, page, warning] of lies) {
    it(`are not taken from a node that sends ${what}, which is set aside`, async () => {
      const taker = takerOf();
      const wrong = await page();
      change = (answer) => ({ ...answer, ...wrong });
      await taker.takeOver();
      expect(taker.held.count()).to.equal(0);
      expect(asked).to.deep.equal(["0"]);
      expect(taker.warnings.join("\n")).to.match(warning);
      // What it sends rightly later is taken from the beginning.
      change = (answer) => answer;
      await taker.takeOver();
      expect(taker.held.count()).to.equal(few.length);
    });
  }

  it("are not taken from pages that go back", async () => {
    const taker = takerOf();
    change = (answer) => ({ ...answer, next: answer.next === "0" ? "2" : "1", more: true });
    predecessor = new ShareNode(third, { records });
    await taker.takeOver();
    expect(asked).to.deep.equal(["0", "2"]);
    expect(taker.warnings.join("\n")).to.match(/lead nowhere/);
  });

  it("are erased by who was given them before, when the next holder has kept them", async () => {
    const record = records[0] as KeyRecord;
    const recordId = recordIdOf(headerOf(record));
    predecessor.held.keep(recordId, 1n, { index: 3, share: rightShare(record, 3) });
    predecessor.archive.noteShare(recordId, "valid");
    const taker = takerOf();
    await taker.takeOver();
    // The request for a page says nothing of it, and the one for what follows says that it is kept.
    expect(predecessor.held.count()).to.equal(1);
    await taker.takeOver();
    expect(predecessor.held.count()).to.equal(0);
    expect(predecessor.archive.find(recordId)?.share).to.equal("none");
  });
});

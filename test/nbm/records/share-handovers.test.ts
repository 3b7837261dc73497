/** To whom a node hands its shares over, and to whom it does not. */

import { expect } from "chai";
import { headerOf, type KeyRecord, recordIdOf } from "../../../offchain/chain/ledger.ts";
import { fromHex } from "../../../offchain/core/encoding/hex.ts";
import { shareHandoverTypedData } from "../../../offchain/core/identity/typed-messages.ts";
import { parseRecordPayload } from "../../../offchain/core/record/key-record.ts";
import { openShareDelivery } from "../../../offchain/core/record/share-delivery.ts";
import { walletOf } from "../../helpers/ledger-records.ts";
import { expectAsyncRejection } from "../../helpers/rejection.ts";
import { keysOf, LEDGER, makeRecord, named, operators, rightShare, ShareNode } from "./share-node.ts";

const { second, third, successor } = named;

describe("shares that a node hands over", () => {
  let records: KeyRecord[];
  let predecessor: ShareNode;

  interface Changes {
    readonly by?: string;
    readonly node?: string;
    readonly after?: number;
    readonly generation?: number;
    readonly expiresIn?: number;
    /** After signing. */
    readonly told?: object;
  }

  async function body({ by = successor, node = third, after = 0, generation = 2, expiresIn = 60, told }: Changes = {}) {
    const expiresAt = Math.floor(Date.now() / 1000) + expiresIn;
    const typed = shareHandoverTypedData(LEDGER.chainId, LEDGER.keyLedger, {
      ...{ node, successor: by, committeeId: 1n, generation: BigInt(generation), after: BigInt(after) },
      expiresAt: BigInt(expiresAt),
    });
    const number = operators.indexOf(by) + 1;
    const signature = await walletOf(number === 0 ? 70 : number).signTypedData(
      typed.domain,
      typed.types,
      typed.message,
    );
    return { committeeId: "1", generation, successor: by, after: String(after), expiresAt, signature, ...told };
  }
  const ask = async (changes?: Changes) => await predecessor.handovers.answer(await body(changes));

  before(async () => {
    records = [await makeRecord(1000n), await makeRecord(1001n), await makeRecord(3000n)];
  });
  beforeEach(() => {
    predecessor = new ShareNode(third, { records });
    predecessor.archiveAll(records);
  });

  it("are those of records from its time, and open for their next holder alone", async () => {
    const { shares, next, more } = await ask();
    expect([next, more]).to.deep.equal(["3", false]);
    const [one, two] = records as [KeyRecord, KeyRecord];
    expect(shares.map(({ recordId, index }) => [recordId, index])).to.deep.equal(
      [one, two].map((record) => [recordIdOf(headerOf(record)), 3]),
    );
    const open = (operator: string) =>
      openShareDelivery(
        parseRecordPayload(one.payload),
        LEDGER,
        one,
        { index: 3, generation: 2, recipient: operator },
        keysOf(operator).privateKey,
        fromHex(shares[0]?.sealed ?? ""),
      );
    expect(await open(successor)).to.deep.equal(rightShare(one, 3));
    await expectAsyncRejection(() => open(second), "INTEGRITY");
  });

  it("go on after the place that is named", async () => {
    expect((await ask({ after: 1 })).shares).to.have.length(1);
    expect(await ask({ after: 3 })).to.deep.equal({ shares: [], next: "3", more: false });
    expect(await ask({ after: 9 })).to.deep.equal({ shares: [], next: "9", more: false });
  });

  it("are none for a member that holds another share", async () => {
    expect((await ask({ by: second })).shares).to.deep.equal([]);
  });

  it("are none of a node that held no share of the successor", async () => {
    predecessor = new ShareNode(second, { records });
    predecessor.archiveAll(records);
    expect((await ask({ node: second })).shares).to.deep.equal([]);
  });

  it("are not those that the registry gives to somebody else, whatever the node has", async () => {
    const [one, two] = records as [KeyRecord, KeyRecord];
    predecessor.held.keep(recordIdOf(headerOf(one)), 1n, { index: 4, share: rightShare(one, 4) });
    expect((await ask()).shares.map(({ recordId }) => recordId)).to.deep.equal([recordIdOf(headerOf(two))]);
  });

  it("are not those of an envelope that was made wrongly", async () => {
    const [one, ...others] = records as [KeyRecord, KeyRecord, KeyRecord];
    const payload = one.payload.slice();
    // Inside the envelope of share 3.
    const at = 86 + 5 * 32 + 2 * 112 + 50;
    payload[at] = (payload[at] ?? 0) ^ 1;
    predecessor = new ShareNode(third, { records });
    predecessor.archiveAll([{ ...one, payload }, ...others]);
    expect((await ask()).shares).to.have.length(1);
  });

  it("are refused to strangers, to who was a member, and to who speaks for another one", async () => {
    const stranger = walletOf(70).address;
    const error = await expectAsyncRejection(() => ask({ by: stranger }), "NOT_OWNER", /no member of generation 2/);
    expect(error).to.include({ party: `node ${stranger}`, check: "members of the active generation" });
    await expectAsyncRejection(() => ask({ by: third }), "NOT_OWNER");
    const spoken = { by: second, told: { successor } };
    const forged = await expectAsyncRejection(() => ask(spoken), "INVALID_SIGNATURE", /not signed by the successor/);
    expect(forged).to.include({ expected: successor });
  });

  it("are refused to requests for another node, place, committee or generation, and to late ones", async () => {
    await expectAsyncRejection(() => ask({ node: second }), "INVALID_SIGNATURE");
    await expectAsyncRejection(() => ask({ told: { after: "1" } }), "INVALID_SIGNATURE");
    await expectAsyncRejection(() => ask({ told: { committeeId: "2" } }), "INVALID_SIGNATURE");
    await expectAsyncRejection(() => ask({ told: { generation: 1 } }), "INVALID_SIGNATURE");
    await expectAsyncRejection(() => ask({ generation: 1 }), "CONFLICT", /another generation/);
    await expectAsyncRejection(() => ask({ expiresIn: 0 }), "INVALID_SIGNATURE", /expired/);
    await expectAsyncRejection(() => ask({ expiresIn: 4000 }), "INVALID_SIGNATURE", /valid for too long/);
  });

  it("are refused while a reorganisation may name another holder, and by a node that was no member", async () => {
    predecessor = new ShareNode(third, { records, history: { blocksSince: 19 } });
    await expectAsyncRejection(() => ask(), "CONFLICT", /not final/);
    const outsider = walletOf(60).address;
    predecessor = new ShareNode(outsider, { records });
    await expectAsyncRejection(() => ask({ node: outsider }), "NOT_FOUND", /no member of committee 1/);
  });

  it("are not erased for a member that holds another share, whatever it says that it has kept", async () => {
    const recordId = recordIdOf(headerOf(records[0] as KeyRecord));
    predecessor.held.keep(recordId, 1n, { index: 3, share: rightShare(records[0] as KeyRecord, 3) });
    await ask({ by: second, after: 3 });
    await ask({ after: 0 });
    expect(predecessor.held.count()).to.equal(1);
    await ask({ after: 1 });
    expect(predecessor.held.count()).to.equal(0);
  });
});

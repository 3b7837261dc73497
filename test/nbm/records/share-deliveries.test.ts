/** What a node takes as its share of a record, and what it refuses. */

import { expect } from "chai";
import { keccak256 } from "ethers";
import type { MemberHistory } from "../../../offchain/chain/committee-generations.ts";
import { headerOf, type KeyRecord, recordIdOf } from "../../../offchain/chain/ledger.ts";
import { toHex } from "../../../offchain/core/encoding/hex.ts";
import type { ErrorCode } from "../../../offchain/core/errors.ts";
import { shareDeliveryTypedData } from "../../../offchain/core/identity/typed-messages.ts";
import { type ShareDeliveryContext, sealShareDelivery } from "../../../offchain/core/record/share-delivery.ts";
import { walletOf } from "../../helpers/ledger-records.ts";
import { expectAsyncRejection } from "../../helpers/rejection.ts";
import { generations, keysOf, LEDGER, makeRecord, NOW, named, owner, rightShare, ShareNode } from "./share-node.ts";

const { first, second, third, fourth, fifth, successor } = named;

describe("a share that is delivered to a node", () => {
  let record: KeyRecord;
  let recordId: string;
  let other: KeyRecord;

  interface Changes extends Partial<ShareDeliveryContext> {
    readonly of?: KeyRecord;
    readonly chainId?: bigint;
    readonly to?: string;
    readonly share?: Uint8Array;
    readonly signer?: typeof owner;
    readonly signedFor?: string;
    readonly expiresAt?: number;
    readonly told?: { readonly index?: number; readonly generation?: number };
  }

  /** What the owner sends to the successor; the changes make it wrong. */
  async function body(changes: Changes = {}) {
    const { of = record, index = 3, generation = 2, recipient = successor, signer = owner, told = {} } = changes;
    const { to = successor, signedFor = successor, expiresAt = NOW + 60, chainId = LEDGER.chainId } = changes;
    const share = changes.share ?? rightShare(of, index);
    const context = { index, generation, recipient };
    const ledger = { ...LEDGER, chainId };
    const sealed = toHex(await sealShareDelivery(ledger, of, context, keysOf(to).publicKey, share));
    const typed = shareDeliveryTypedData(LEDGER.chainId, LEDGER.keyLedger, {
      recordId,
      account: signer.address,
      node: signedFor,
      sealedHash: keccak256(sealed),
      expiresAt: BigInt(expiresAt),
    });
    const signature = await signer.signTypedData(typed.domain, typed.types, typed.message);
    return { account: signer.address, index, generation, ...told, sealed, expiresAt, signature };
  }

  const nodeAt = (operator: string, of = record, history: Partial<MemberHistory> = {}) =>
    new ShareNode(operator, { records: [of], history });
  const give = (node: ShareNode, request: Awaited<ReturnType<typeof body>>) =>
    node.deliveries.accept(recordId, { request, address: "192.0.2.1" });

  beforeEach(async () => {
    record = await makeRecord(1000n);
    other = await makeRecord(1001n);
    recordId = recordIdOf(headerOf(record));
  });

  it("is kept, sealed, and opened again; once more changes nothing", async () => {
    const node = nodeAt(successor);
    expect(await node.index(record)).to.equal(undefined);
    const request = await body();
    expect(await give(node, request)).to.deep.equal({ index: 3, isNew: true });
    expect(await node.own.open(record)).to.deep.equal({ index: 3, share: rightShare(record, 3) });
    expect(await give(node, request)).to.deep.equal({ index: 3, isNew: false });
    const row = node.database.prepare("SELECT * FROM held_shares").get();
    expect(toHex(row?.share_sealed as Uint8Array)).not.to.include(toHex(rightShare(record, 3)).slice(2));
    expect(node.held.count()).to.equal(1);
  });

  const refused: [what: string, changes: () => Changes, code: ErrorCode, message: RegExp][] = [
    ["sent by a stranger", () => ({ signer: walletOf(81) }), "NOT_OWNER", /does not own/],
    ["signed for another node", () => ({ signedFor: second }), "INVALID_SIGNATURE", /./],
    ["too late", () => ({ expiresAt: NOW }), "INVALID_SIGNATURE", /expired/],
    ["signed too long before", () => ({ expiresAt: NOW + 3721 }), "INVALID_SIGNATURE", /valid for too long/],
    ["sealed to another node's key", () => ({ to: second }), "INTEGRITY", /does not open/],
    ["bound to another node", () => ({ recipient: second }), "INTEGRITY", /does not open/],
    ["of another record", () => ({ of: other }), "INTEGRITY", /does not open/],
    ["of another deployment", () => ({ chainId: 1n }), "INTEGRITY", /does not open/],
    ["sealed for the generation before", () => ({ generation: 1, told: { generation: 2 } }), "INTEGRITY", /open/],
    ["replayed from the generation before", () => ({ generation: 1 }), "CONFLICT", /another generation/],
    ["another one than the record commits to", () => ({ share: new Uint8Array(64) }), "INTEGRITY", /share 3 is not/],
    ["of another length", () => ({ share: new Uint8Array(65) }), "INTEGRITY", /share 3 is not/],
    ["that of another member", () => ({ index: 2 }), "CONFLICT", /share 2 of the record is not for this node/],
    ["none of the record", () => ({ index: 6, share: new Uint8Array(64) }), "CONFLICT", /share 6/],
    [
      "that of another member under its own index",
      () => ({ index: 2, told: { index: 3 } }),
      "INTEGRITY",
      /does not open/,
    ],
  ];
  for (const [what, changes, code, message] of refused) {
    it(`is refused when it is ${what}`, async () => {
      const node = nodeAt(successor);
      await expectAsyncRejection(async () => give(node, await body(changes())), code, message);
      expect([await node.index(record), node.held.count()]).to.deep.equal([undefined, 0]);
    });
  }

  it("is refused by a node that opens another share of the record", async () => {
    // As when the registry names holders of a generation that the record was not made in.
    const history = { generations: [{ activatedAt: 500, members: [first, second, fourth, fifth, successor] }] };
    const node = nodeAt(fourth, record, history);
    const request = await body({ recipient: fourth, to: fourth, signedFor: fourth });
    await expectAsyncRejection(() => give(node, request), "CONFLICT", /has share 4 of record .* no second one/);
    expect(node.held.count()).to.equal(0);
  });

  it("is refused by a node that is no member, and by one whose share another one has taken over", async () => {
    const stranger = nodeAt(walletOf(6).address, record, { generations: generations.slice(0, 1) });
    await expectAsyncRejection(async () => give(stranger, await body()), "CONFLICT", /not for this node/);
    const gone = nodeAt(third);
    const request = await body({ recipient: third, to: third, signedFor: third });
    await expectAsyncRejection(() => give(gone, request), "CONFLICT", /not for this node/);
  });

  it("is refused while a reorganisation may still give the share to another member", async () => {
    const node = nodeAt(successor, record, { blocksSince: 19 });
    const error = await expectAsyncRejection(async () => give(node, await body()), "CONFLICT", /not final/);
    expect(error).to.include({ retryable: true, expected: "20 blocks on it", received: "19" });
  });

  it("makes good an envelope that was sealed wrongly", async () => {
    const bytes = record.payload.slice();
    // Inside the envelope of share 2.
    const at = 86 + 5 * 32 + 112 + 50;
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    const wrong = { ...record, payload: bytes };
    recordId = recordIdOf(headerOf(wrong));
    const node = nodeAt(second, wrong);
    await expectAsyncRejection(() => node.index(wrong), "INTEGRITY", /does not open/);
    const request = await body({ index: 2, recipient: second, to: second, signedFor: second });
    expect(await give(node, request)).to.deep.equal({ index: 2, isNew: true });
    expect(await node.index(wrong)).to.equal(2);
  });

  it("is found altered when the database was, and then taken once more", async () => {
    const node = nodeAt(successor);
    await give(node, await body());
    node.database.exec("UPDATE held_shares SET share_index = 4");
    await expectAsyncRejection(() => node.index(record), "INTEGRITY", /altered/);
    expect(await give(node, await body())).to.deep.equal({ index: 3, isNew: true });
    expect(await node.index(record)).to.equal(3);
    expect(await give(node, await body())).to.deep.equal({ index: 3, isNew: false });
  });
});

/** What a node takes as its share of a record, and what it refuses. */

import { expect } from "chai";
import { keccak256 } from "ethers";
import type { MemberHistory } from "../../../offchain/chain/committee-generations.ts";
import type { ChainReader } from "../../../offchain/chain/deployment.ts";
import { headerOf, type KeyRecord, recordIdOf } from "../../../offchain/chain/ledger.ts";
import { hpkeKeyPairFromSeed } from "../../../offchain/core/crypto/hpke.ts";
import { contentId } from "../../../offchain/core/encoding/content-id.ts";
import { toHex } from "../../../offchain/core/encoding/hex.ts";
import { type ErrorCode, TallystickError } from "../../../offchain/core/errors.ts";
import { shareDeliveryTypedData } from "../../../offchain/core/identity/typed-messages.ts";
import {
  buildRecordPayload,
  committeePolicy,
  fileTag,
  ownershipAddress,
  parseRecordPayload,
  sharesOfRecord,
} from "../../../offchain/core/record/key-record.ts";
import { type ShareDeliveryContext, sealShareDelivery } from "../../../offchain/core/record/share-delivery.ts";
import { checkAccountSignature } from "../../../offchain/daemon/account-signature.ts";
import { Archive } from "../../../offchain/nbm/records/archive.ts";
import { HeldShares } from "../../../offchain/nbm/records/held-shares.ts";
import { OwnShares } from "../../../offchain/nbm/records/own-shares.ts";
import { ShareDeliveries } from "../../../offchain/nbm/records/share-deliveries.ts";
import { ShareLines } from "../../../offchain/nbm/records/share-lines.ts";
import { SecretBox } from "../../../offchain/nbm/secret-box.ts";
import { NBM_MIGRATIONS } from "../../../offchain/nbm/tables.ts";
import { type Database, openDatabase } from "../../../offchain/store/index/sqlite.ts";
import { walletOf } from "../../helpers/ledger-records.ts";
import { expectAsyncRejection } from "../../helpers/rejection.ts";

const NOW = 1_800_000_000;
const LEDGER = { chainId: 31_337n, keyLedger: walletOf(90).address };
const owner = walletOf(80);
const dataId = contentId(new Uint8Array([4, 5, 6]));
const fileKey = new Uint8Array(32).fill(7);
/** Operators 1 to 5 made the record's committee; 6 has taken the place of 3. */
const operators = [1, 2, 3, 4, 5, 6].map((number) => walletOf(number).address);
const [first, second, , fourth, fifth, successor] = operators as [string, string, string, string, string, string];
const keysOf = (operator: string) => hpkeKeyPairFromSeed(new Uint8Array(32).fill(operators.indexOf(operator) + 1));
const generations = [
  { activatedAt: 100, members: operators.slice(0, 5) },
  { activatedAt: 2000, members: [first, second, successor, fourth, fifth] },
];

async function makeRecord(keyTime: bigint): Promise<KeyRecord> {
  const fields = { account: owner.address, committeeId: 1n, keyTime };
  const payload = await buildRecordPayload({
    ...fields,
    ledger: LEDGER,
    fileKey,
    dataId,
    policy: committeePolicy(5, 3),
    committeeKeys: operators.slice(0, 5).map((operator) => keysOf(operator).publicKey),
    catalogueKey: new Uint8Array(32).fill(5),
  });
  return { ...fields, fileTag: toHex(fileTag(dataId)), ownershipKey: ownershipAddress(fileKey), payload };
}

/** A node as it stands to the record of `keyTime` 1000, in generation 2. */
class Node {
  readonly database: Database = openDatabase(":memory:", { migrations: NBM_MIGRATIONS });
  readonly held = new HeldShares(this.database, new SecretBox(new Uint8Array(32).fill(1)));
  readonly own: OwnShares;
  readonly deliveries: ShareDeliveries;
  readonly operator: string;

  constructor(operator: string, record: KeyRecord, history: Partial<MemberHistory> = {}) {
    this.operator = operator;
    const chain = { deployment: { chainId: 31_337, contracts: LEDGER } } as unknown as ChainReader;
    const places = generations.map(({ members }) => members.indexOf(operator) + 1).filter((index) => index > 0);
    const memberships = { indicesIn: async () => places };
    const read = async () => ({ active: 2, blocksSince: 20, generations, ...history });
    const lines = new ShareLines({ chain, finalAfterBlocks: 20, read });
    const hpkePrivateKey = keysOf(operator).privateKey;
    const { held } = this;
    this.own = new OwnShares({ chain, operator, hpkePrivateKey, memberships, lines, held });
    const { own } = this;
    const archive = new Archive(this.database);
    const ownership = {
      recordOf: async (_id: string, account: string) => {
        if (account === owner.address) return record;
        throw new TallystickError("the account does not own the record", { code: "NOT_OWNER" });
      },
    };
    this.deliveries = new ShareDeliveries({
      ...{ chain, operator, hpkePrivateKey, memberships, lines, own, held, archive, ownership },
      checkSignature: (account, typed, signature) => checkAccountSignature(chain, account, typed, signature, unasked),
      now: () => NOW,
    });
  }

  async index(record: KeyRecord): Promise<number | undefined> {
    return (await this.own.open(record))?.index;
  }
}

function unasked(): never {
  throw new TallystickError("no contract wallet", { code: "INVALID_SIGNATURE" });
}

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

  const rightShare = (of: KeyRecord, index: number) =>
    sharesOfRecord(LEDGER, parseRecordPayload(of.payload), of, fileKey, dataId)[index - 1] ?? new Uint8Array();

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

  const give = (node: Node, request: Awaited<ReturnType<typeof body>>) =>
    node.deliveries.accept(recordId, { request, address: "192.0.2.1" });

  beforeEach(async () => {
    record = await makeRecord(1000n);
    other = await makeRecord(1001n);
    recordId = recordIdOf(headerOf(record));
  });

  it("is kept, sealed, and opened again; once more changes nothing", async () => {
    const node = new Node(successor, record);
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
      const node = new Node(successor, record);
      await expectAsyncRejection(async () => give(node, await body(changes())), code, message);
      expect([await node.index(record), node.held.count()]).to.deep.equal([undefined, 0]);
    });
  }

  it("is refused by a node that opens another share of the record", async () => {
    // As when the registry names holders of a generation that the record was not made in.
    const history = { generations: [{ activatedAt: 500, members: [first, second, fourth, fifth, successor] }] };
    const node = new Node(fourth, record, history);
    const request = await body({ recipient: fourth, to: fourth, signedFor: fourth });
    await expectAsyncRejection(() => give(node, request), "CONFLICT", /has share 4 of record .* no second one/);
    expect(node.held.count()).to.equal(0);
  });

  it("is refused by a node that is no member, and by one whose share another one has taken over", async () => {
    const stranger = new Node(walletOf(6).address, record, { generations: generations.slice(0, 1) });
    await expectAsyncRejection(async () => give(stranger, await body()), "CONFLICT", /not for this node/);
    const third = operators[2] as string;
    const gone = new Node(third, record);
    const request = await body({ recipient: third, to: third, signedFor: third });
    await expectAsyncRejection(() => give(gone, request), "CONFLICT", /not for this node/);
  });

  it("is refused while a reorganisation may still give the share to another member", async () => {
    const node = new Node(successor, record, { blocksSince: 19 });
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
    const node = new Node(second, wrong);
    await expectAsyncRejection(() => node.index(wrong), "INTEGRITY", /does not open/);
    const request = await body({ index: 2, recipient: second, to: second, signedFor: second });
    expect(await give(node, request)).to.deep.equal({ index: 2, isNew: true });
    expect(await node.index(wrong)).to.equal(2);
  });

  it("is found altered when the database was", async () => {
    const node = new Node(successor, record);
    await give(node, await body());
    node.database.exec("UPDATE held_shares SET share_index = 4");
    await expectAsyncRejection(() => node.index(record), "INTEGRITY", /altered/);
  });
});

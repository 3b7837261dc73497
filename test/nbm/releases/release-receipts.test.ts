/** Which receipts of releases a node keeps when strangers have secrets of their own released. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import {
  RELEASE_TABLES,
  REPEATED_SECONDS,
  type ReleaseReceipt,
  ReleaseReceipts,
} from "../../../offchain/nbm/releases/release-receipts.ts";
import { type Database, openDatabase } from "../../../offchain/store/index/sqlite.ts";

const LIMITS = { perEntry: 2, otherPolicies: 12 };

describe("receipts of releases", () => {
  let folder: string;
  let database: Database;
  let receipts: ReleaseReceipts;
  let released: number;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "tallystick-receipts-"));
    database = openDatabase(join(folder, "nbm.db"), { migrations: [RELEASE_TABLES] });
    receipts = new ReleaseReceipts(database, LIMITS);
    released = 0;
  });
  afterEach(() => {
    database.close();
    rmSync(folder, { recursive: true });
  });

  /** Each release is another one: of other bytes, to another session. */
  function release(account: string, policy: string, entry?: string): ReleaseReceipt {
    released += 1;
    const secret = `0x${String(released).padStart(64, "0")}`;
    return receipts.keep({
      ...(entry === undefined ? {} : { entry }),
      ...{ secret, recordId: "0x01", version: 1, author: "0xaa", policy, policyData: "0x", evidence: "0x", account },
      ...{ sessionKey: secret, expiresAt: 1, signature: "0x", blockNumber: released, blockHash: "0x0b" },
      ...{ releasedAt: released, receiptSignature: "0x" },
    });
  }
  const isKept = ({ secret }: ReleaseReceipt): boolean => receipts.of(secret).length === 1;
  const times = <Value>(count: number, make: (at: number) => Value): Value[] =>
    Array.from({ length: count }, (_, at) => make(at));

  it("under the deployment's policies give way to nothing but later ones of the same account and entry", () => {
    const alice = times(5, () => release("alice", "owners", "record 1"));
    const bob = release("bob", "owners", "record 1");
    times(50, () => release("mallory", "owners", "record 2"));
    times(50, (at) => release(`sybil ${at}`, "yes"));
    // The earliest and the latest: who got hold of a key cannot remove the trace of the first time.
    expect(alice.map(isKept)).to.deep.equal([true, true, false, true, true]);
    expect(isKept(bob)).to.equal(true);
    expect(database.prepare("SELECT COUNT(*) AS count FROM release_receipts").get()?.count).to.equal(
      4 + 1 + 4 + LIMITS.otherPolicies,
    );
  });

  it("under policies of others give way in the policy with the most, however many accounts a stranger has", () => {
    const honest = times(4, (at) => release(`member ${at}`, "a club's"));
    times(100, (at) => release(`sybil ${at}`, "mallory's"));
    expect(honest.map(isKept)).to.deep.equal([true, true, true, true]);
    // Two contracts do not help either, since what comes last goes first.
    times(100, (at) => release(`sybil ${at}`, at % 2 === 0 ? "mallory's" : "mallory's second"));
    expect(honest.map(isKept)).to.deep.equal([true, true, true, true]);
  });

  it("under one such policy give way in the account with the most, the oldest first", () => {
    const alice = times(3, () => release("alice", "shared"));
    const bob = times(20, () => release("bob", "shared"));
    expect(alice.map(isKept)).to.deep.equal([true, true, true]);
    expect(bob.slice(0, 11).some(isKept)).to.equal(false);
    expect(bob.slice(11).every(isKept)).to.equal(true);
  });

  it("are one of a request that is repeated, and come back as they were kept", () => {
    const first = release("alice", "owners", "record 1");
    const other = { ...first, blockNumber: 99, receiptSignature: "0x99" };
    expect(receipts.keep(other)).to.deep.equal(first);
    expect(receipts.keep({ ...other, evidence: "0x12" })).to.include({ blockNumber: 99 });
    expect(receipts.of(first.secret)).to.deep.equal([first, { ...other, evidence: "0x12" }]);
    const foreign = release("alice", "yes");
    expect(receipts.of(foreign.secret)).to.deep.equal([foreign]);
  });

  it("are of now again when the request is repeated later, and then stay the same for as long", () => {
    const first = release("alice", "owners", "record 1");
    const later = { ...first, releasedAt: first.releasedAt + REPEATED_SECONDS, receiptSignature: "0x99" };
    expect(receipts.keep({ ...later, releasedAt: later.releasedAt - 1 })).to.deep.equal(first);
    expect(receipts.keep(later)).to.deep.equal(later);
    expect(receipts.keep({ ...later, releasedAt: later.releasedAt + 1, receiptSignature: "0x98" })).to.deep.equal(
      later,
    );
    // A clock that was set back makes it another release too, whose time the requester takes.
    const back = { ...first, releasedAt: first.releasedAt - REPEATED_SECONDS, receiptSignature: "0x97" };
    expect(receipts.keep(back)).to.deep.equal(back);
    expect(receipts.of(first.secret)).to.deep.equal([first, later, back]);
  });
});

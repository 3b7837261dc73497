import { expect } from "chai";
import { auditReady } from "../../offchain/core/audit/ready.ts";
import { AccountQuotas, type Quotas } from "../../offchain/csp/quotas.ts";
import { AuditedSet } from "./audited-data.ts";
import {
  ALICE,
  BOB,
  frame,
  framesOf,
  openProvider,
  randomChunk,
  refusal,
  streamOf,
  temporaryFolder,
} from "./provider-fixture.ts";

const LIMITS: Quotas = {
  storedBytes: 10_000,
  objects: 5,
  statesPerEpoch: 9,
  transactionsPerEpoch: 9,
  unused: 2,
  requestsPerMinute: 60,
  freeDiskBytes: 1000,
  weiPerGib: "0",
};

describe("quotas of a provider", () => {
  const folder = temporaryFolder();
  before(() => auditReady());

  async function open(limits: Partial<Quotas> = {}) {
    const provider = await openProvider(folder());
    const outside = { free: 1_000_000, wei: 0n, asked: 0, milliseconds: 0 };
    const quotas = new AccountQuotas({
      quotas: { ...LIMITS, ...limits },
      index: provider.index,
      folders: ["one", "other"],
      fundsOf: async () => {
        outside.asked += 1;
        return outside.wei;
      },
      freeBytes: async (name) => (name === "one" ? outside.free : 2_000_000),
      now: () => outside.milliseconds,
    });
    const upload = (account: string, ...sizes: number[]) =>
      quotas.upload(account, () =>
        provider.chunks.store(account, framesOf(...sizes.map((size) => frame(randomChunk(size))))),
      );
    return { ...provider, quotas, upload, outside };
  }

  it("refuse an upload beyond the account's bytes before the body is read, and serve others", async () => {
    const { quotas, upload } = await open();
    await upload(ALICE, 6000);
    await upload(ALICE, 4000);
    let read = false;
    const error = await refusal(
      quotas.upload(ALICE, async () => {
        read = true;
      }),
      "RATE_LIMITED",
    );
    expect(error).to.include({ check: "stored data of the account", party: "client", retryable: false });
    expect(error.expected).to.equal("at most 10000 bytes in 5 objects");
    expect(read).to.equal(false);
    await upload(BOB, 10);
  });

  it("refuse further objects, however small", async () => {
    const { upload } = await open();
    await upload(ALICE, 50, 51, 52, 53, 54);
    await refusal(upload(ALICE, 1), "RATE_LIMITED");
  });

  it("let an account below its limit exceed it by one body, not by many at the same time", async () => {
    const { quotas, upload } = await open({ objects: 10_000 });
    await upload(ALICE, 1000);
    const ends: (() => void)[] = [];
    const first = quotas.upload(ALICE, () => new Promise<void>((resolve) => ends.push(resolve)));
    while (ends.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    await refusal(upload(ALICE, 1), "RATE_LIMITED");
    for (const end of ends) end();
    await first;
    await upload(ALICE, 1);
  });

  it("count what a claim would add, and nothing that the account owns", async () => {
    const { quotas, chunks, upload } = await open();
    const [own, other] = [randomChunk(9000), randomChunk(2000)];
    await chunks.store(ALICE, framesOf(frame(own)));
    await chunks.store(BOB, framesOf(frame(other)));
    const claimOf = (...claimed: (typeof own)[]) => claimed.map(({ id, bytes }) => ({ id, sizeBytes: bytes.length }));
    await quotas.requireClaim(ALICE, claimOf(own));
    await refusal(quotas.requireClaim(ALICE, claimOf(own, other)), "RATE_LIMITED");
    await quotas.requireClaim(ALICE, claimOf(own, randomChunk(1000)));
    await upload(ALICE, 1000);
    await quotas.requireClaim(ALICE, claimOf(own));
  });

  it("leave room for what data sets cover", async () => {
    const { upload, sets, segments, chunks, database } = await open();
    const chunk = randomChunk(10_000);
    await chunks.store(ALICE, framesOf(frame(chunk)));
    await refusal(upload(ALICE, 1), "RATE_LIMITED");
    const audited = new AuditedSet(1024);
    const { name, body } = audited.segmentOf([chunk]);
    const set = await sets.begin(ALICE, audited.saltHex, audited.request);
    const { id } = await segments.begin(set, name, 1, streamOf(body));
    // A segment that no state includes covers nothing.
    await refusal(upload(ALICE, 1), "RATE_LIMITED");
    const include = database.prepare("UPDATE segments SET included = ? WHERE id = ?");
    include.run(1, id);
    await upload(ALICE, 1);
    include.run(0, id);
    await refusal(upload(ALICE, 1), "RATE_LIMITED");
  });

  it("give another GiB for each deposit, and ask the chain only when it matters", async () => {
    const { upload, outside } = await open({ weiPerGib: "100" });
    await upload(ALICE, 10_000);
    expect(outside.asked).to.equal(0);
    outside.wei = 99n;
    const error = await refusal(upload(ALICE, 1), "RATE_LIMITED");
    expect(error.hint).to.contain("100 wei");
    outside.wei = 100n;
    await refusal(upload(ALICE, 1), "RATE_LIMITED");
    expect(outside.asked).to.equal(1);
    outside.milliseconds += 60_000;
    await upload(ALICE, 1);
    expect(outside.asked).to.equal(2);
  });

  it("refuse uploads of everybody while the disk is nearly full, and take them again", async () => {
    const { upload, outside } = await open();
    outside.free = 999;
    const error = await refusal(upload(ALICE, 1), "STORAGE_UNAVAILABLE");
    expect(error).to.include({ party: "provider", check: "free disk space", retryable: true });
    outside.free = 1000;
    outside.milliseconds += 1000;
    await upload(ALICE, 1);
  });

  it("limit the requests of an account per minute", async () => {
    const { quotas, outside } = await open();
    for (let k = 0; k < 60; k++) quotas.countRequest(ALICE);
    expect(() => quotas.countRequest(ALICE.toUpperCase().replace("X", "x"))).to.throw(/budget/);
    quotas.countRequest(BOB);
    outside.milliseconds += 1000;
    quotas.countRequest(ALICE);
  });

  it("count the head of a snapshot list, and take a smaller one from an account that is above its limit", async () => {
    const { quotas, upload, index, outside } = await open();
    await quotas.requireHead(ALICE, 9000);
    await index.heads.replace(
      ALICE,
      { version: 0, releases: await index.heads.releasesOf(ALICE) },
      { version: 1, sealed: new Uint8Array(9000) },
    );
    await upload(ALICE, 1000);
    const error = await refusal(upload(ALICE, 10), "RATE_LIMITED");
    expect(error.received).to.equal("10001 bytes in 2 objects");
    await refusal(quotas.requireHead(ALICE, 9001), "RATE_LIMITED");
    await quotas.requireHead(ALICE, 9000);
    await quotas.requireHead(BOB, 9000);
    outside.free = 0;
    outside.milliseconds += 2000;
    await refusal(quotas.requireHead(ALICE, 9001), "STORAGE_UNAVAILABLE");
    await quotas.requireHead(ALICE, 8999);
  });

  it("count stub files, and take one that is not larger from an account that is above its limit", async () => {
    const { quotas, upload, index, outside } = await open();
    const digest = new Uint8Array(32);
    await quotas.requireStubFile(ALICE, 9000, true);
    await index.stubFiles.replace(ALICE, digest, 0, { epoch: 1, sealed: new Uint8Array(9000 - 128) });
    await upload(ALICE, 1000);
    const error = await refusal(upload(ALICE, 10), "RATE_LIMITED");
    expect(error.received).to.equal("10001 bytes in 2 objects");
    await refusal(quotas.requireStubFile(ALICE, 1, false), "RATE_LIMITED");
    await quotas.requireStubFile(ALICE, 0, false);
    await quotas.requireStubFile(BOB, 9000, true);
    outside.free = 0;
    outside.milliseconds += 2000;
    await refusal(quotas.requireStubFile(BOB, 1, true), "STORAGE_UNAVAILABLE");
    await quotas.requireStubFile(ALICE, -8, false);
  });
});

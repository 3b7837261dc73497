/** A put to several providers: each lists the snapshots whose data it has, and one that fails hides nothing. */
import { expect } from "chai";
import type { AgentContext } from "../../../offchain/agent/context.ts";
import type { StorageProvider } from "../../../offchain/agent/providers/storage-provider.ts";
import {
  checkLabels,
  snapshotOf as makeOf,
  recordSnapshot,
  timeRemark,
} from "../../../offchain/agent/snapshots/record-snapshot.ts";
import {
  acceptOlderLists,
  readLists,
  removeListed,
  resolveListed,
} from "../../../offchain/agent/snapshots/snapshot-lists.ts";
import { TallystickError } from "../../../offchain/core/errors.ts";
import { identityFromPhrase, newRecoveryPhrase } from "../../../offchain/core/identity/identity.ts";
import { MemoryListKeeper } from "../../helpers/memory-data-plane.ts";
import { memoryPlatform } from "../../helpers/memory-platform.ts";
import { expectAsyncRejection, expectRejection } from "../../helpers/rejection.ts";
import { NOTHING_NEEDED, snapshotOf, someId, vectors } from "../../helpers/snapshots.ts";

describe("snapshots at several providers", () => {
  let one: MemoryListKeeper;
  let other: MemoryListKeeper;
  let context: AgentContext;

  beforeEach(() => {
    one = new MemoryListKeeper(`0x${"11".repeat(20)}`);
    other = new MemoryListKeeper(`0x${"22".repeat(20)}`);
    const platform = memoryPlatform({ origin: { host: "laptop", user: "alice" } });
    const identity = identityFromPhrase(newRecoveryPhrase());
    context = {
      identity,
      platform,
      catalogue: platform.catalogue,
      account: { address: identity.account },
      deployment: { chainId: 31337, contracts: { keyLedger: vectors.keyLedger } },
      providers: () => [one, other],
    } as unknown as AgentContext;
  });

  const record = (providers: readonly MemoryListKeeper[], n: number) =>
    recordSnapshot(context, providers as unknown as StorageProvider[], snapshotOf(n), () => NOTHING_NEEDED);
  const failing = (keeper: MemoryListKeeper) => {
    keeper.head = async () => {
      throw new TallystickError(`${keeper.name} cannot be reached`, { code: "UNREACHABLE", party: keeper.name });
    };
  };

  it("are listed by each provider that has the data, once, and removed from all", async () => {
    await record([one, other], 1);
    await record([one], 2);
    const { snapshots, failures } = await readLists(context);
    expect(snapshots.map(({ id, providers }) => [id, providers])).to.deep.equal([
      [snapshotOf(1).id, [one.account, other.account]],
      [snapshotOf(2).id, [one.account]],
    ]);
    expect(failures).to.deep.equal([]);
    expect([one.heads.length, other.heads.length]).to.deep.equal([2, 1]);
    await removeListed(context, new Set([snapshotOf(1).id]));
    expect((await readLists(context)).snapshots.map(({ id }) => id)).to.deep.equal([snapshotOf(2).id]);
    expect(other.heads).to.have.length(2);
  });

  it("are listed from the others when one cannot be read, and a name is not called unknown then", async () => {
    await record([one, other], 1);
    await record([other], 2);
    failing(other);
    const { snapshots, failures } = await readLists(context);
    expect(snapshots.map(({ id }) => id)).to.deep.equal([snapshotOf(1).id]);
    expect(failures.map(({ provider, error }) => [provider, error.code])).to.deep.equal([
      [other.account, "UNREACHABLE"],
    ]);
    expect((await resolveListed(context, snapshotOf(1).id)).dataId).to.equal(snapshotOf(1).dataId);
    await expectAsyncRejection(() => resolveListed(context, snapshotOf(2).id), "UNREACHABLE");
    failing(one);
    await expectAsyncRejection(() => readLists(context), "UNREACHABLE");
  });

  it("are recorded at the others when one fails, and the put says that its list is incomplete", async () => {
    failing(one);
    const error = await expectAsyncRejection(() => record([one, other], 1), "UNREACHABLE");
    expect(error.message).to.match(/^the data is stored, but no snapshot of it is listed: provider 0x1111 cannot/);
    expect(other.heads).to.have.length(1);
  });

  it("are refused from a provider that has gone back in time, until that is accepted", async () => {
    await record([one, other], 1);
    await record([one, other], 2);
    one.heads.pop();
    const { snapshots, failures } = await readLists(context);
    expect(snapshots).to.have.length(2);
    expect(failures.map(({ error }) => [error.code, error.party])).to.deep.equal([["INTEGRITY", one.name]]);
    await expectAsyncRejection(() => record([one, other], 3), "INTEGRITY", /older snapshot list/);
    await acceptOlderLists(context);
    await record([one, other], 4);
    expect((await readLists(context)).failures).to.deep.equal([]);
  });

  it("carry what the user and the machine say, and labels are refused before anything is stored", () => {
    const facts = {
      dataId: someId(1),
      metadataId: someId(2),
      startedAtMillis: 5000,
      paths: ["/a"],
      totals: { entries: 1, bytes: 2, addedObjects: 3, addedBytes: 4 },
      unreadEntries: 0,
    };
    expect(makeOf(context, {}, facts)).to.include({ host: "laptop", user: "alice", timeMillis: 5000 });
    const labels = { host: "desk", tags: ["b", "a"], time: new Date(7000) };
    expect(makeOf(context, labels, facts)).to.deep.include({ host: "desk", tags: ["a", "b"], timeMillis: 7000 });
    expectRejection(() => checkLabels(context, { tags: ["a,b"] }), "INVALID_INPUT");
    expectRejection(() => checkLabels(context, { host: "x".repeat(256) }), "INVALID_INPUT");
    expectRejection(() => checkLabels(context, { time: new Date(Number.NaN) }), "INVALID_INPUT");
  });

  it("of the future are remarked upon, and no others", () => {
    const now = context.platform.clock.now();
    expect(timeRemark(context, { time: new Date(now + 60_000) })).to.match(/^the snapshot .* is in the future/);
    for (const time of [new Date(now - 60_000), undefined]) {
      expect(timeRemark(context, time === undefined ? {} : { time })).to.equal(undefined);
    }
  });
});

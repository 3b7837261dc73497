/** Snapshots that devices have left: what the owner takes over, and what it says of a provider or device that lies. */
import { expect } from "chai";
import { AgentAccount } from "../../../offchain/agent/account.ts";
import type { AgentContext } from "../../../offchain/agent/context.ts";
import { acceptOlderEntries, leaveSnapshot } from "../../../offchain/agent/delegates/leave-snapshot.ts";
import type { StorageProvider } from "../../../offchain/agent/providers/storage-provider.ts";
import { snapshotListAt } from "../../../offchain/agent/snapshots/account-keys.ts";
import { isReleased } from "../../../offchain/agent/snapshots/confirm-objects.ts";
import { readLists } from "../../../offchain/agent/snapshots/snapshot-lists.ts";
import { directoryAbi } from "../../../offchain/chain/abis.ts";
import { fromHex } from "../../../offchain/core/encoding/hex.ts";
import { TallystickError } from "../../../offchain/core/errors.ts";
import { type Identity, identityFromPhrase, newRecoveryPhrase } from "../../../offchain/core/identity/identity.ts";
import { encodeEntry, entryTypedData, FIRST_FOLLOWS, nextPlace } from "../../../offchain/core/snapshot/device-entry.ts";
import type { Snapshot } from "../../../offchain/core/snapshot/snapshot.ts";
import { MemoryListKeeper } from "../../helpers/memory-data-plane.ts";
import { memoryPlatform } from "../../helpers/memory-platform.ts";
import { rejection } from "../../helpers/rejection.ts";
import { snapshotOf, vectors } from "../../helpers/snapshots.ts";

const DIRECTORY = `0x${"d1".repeat(20)}`;
const NOBODY = `0x${"00".repeat(20)}`;
const FAR = 4_000_000_000;

describe("snapshots of devices that are taken over", () => {
  const owner = identityFromPhrase(newRecoveryPhrase());
  const device = identityFromPhrase(newRecoveryPhrase());
  const other = identityFromPhrase(newRecoveryPhrase());
  let provider: MemoryListKeeper;
  /** What the directory says of keys. */
  let delegations: Map<string, { account: string; scopes: number; expiresAt: number; isRevoked: boolean }>;
  let home: AgentContext;

  /** A home of an identity, with a catalogue of its own. */
  function homeOf(identity: Identity): AgentContext {
    const platform = memoryPlatform({ origin: { host: "laptop", user: "alice" } });
    const abi = directoryAbi();
    const call = async ({ data }: { data: string }) => {
      const { name, args } = abi.parseTransaction({ data }) ?? {};
      if (name === "replacementOf") return abi.encodeFunctionResult("replacementOf", [[NOBODY, 0, 0]]);
      const found = delegations.get(String(args?.[0]).toLowerCase());
      const { account, scopes, expiresAt, isRevoked } = found ?? {
        account: NOBODY,
        scopes: 0,
        expiresAt: 0,
        isRevoked: false,
      };
      return abi.encodeFunctionResult("delegationOf", [[account, expiresAt, scopes, isRevoked]]);
    };
    const deployment = {
      chainId: 31337,
      contracts: { keyLedger: vectors.keyLedger, accountDirectory: DIRECTORY },
    };
    return {
      identity,
      platform,
      catalogue: platform.catalogue,
      account: new AgentAccount(identity.signingKey),
      deployment,
      chain: async () => ({ deployment, provider: { call } }),
      providers: () => [provider],
      predecessors: async () => [],
    } as unknown as AgentContext;
  }

  beforeEach(() => {
    provider = new MemoryListKeeper(`0x${"c5".repeat(20)}`);
    const live = { account: owner.account, scopes: 2, expiresAt: FAR, isRevoked: false };
    delegations = new Map([device, other].map(({ account }) => [account.toLowerCase(), live]));
    home = homeOf(owner);
  });

  const of = (n: number, { account }: Identity = device) => snapshotOf(n, { device: account });
  async function leave(snapshot: Snapshot, by = device, at = homeOf(by), releases: number | null = 7) {
    const delegation = { account: owner.account, key: by.account, scopes: ["write" as const], expiresAt: FAR };
    const leaving = {
      provider: provider as unknown as StorageProvider,
      part: { accountKey: owner.hpkePublicKey },
      releases: releases ?? undefined,
    };
    await leaveSnapshot(at, delegation, leaving, snapshot);
  }
  const entriesOf = ({ account }: Identity = device) => provider.left.get(account) ?? [];
  const read = async (at = home, acceptGaps = false) => await readLists(at, undefined, { acceptGaps });
  const idsOf = async (at = home, acceptGaps = false) => (await read(at, acceptGaps)).snapshots.map(({ id }) => id);
  const faultsOf = async (at = home) =>
    (await read(at)).failures.map(({ device: of_, error }) => [of_, error.party, error.check]);
  const all = (...numbers: number[]) => numbers.map((n) => of(n).id);

  it("are in the list in one change, each once, and again nothing when they were removed", async () => {
    for (const n of [1, 2, 3, 4, 5]) await leave(of(n));
    await leave(of(1, other), other);
    expect(new Set(await idsOf())).to.deep.equal(new Set([...all(1, 2, 3, 4, 5), of(1, other).id]));
    expect(provider.heads).to.have.length(2);
    expect([...provider.taken.values()]).to.have.members([5, 1]);
    await idsOf();
    expect(provider.heads).to.have.length(2);
    // The provider shows again what was taken over and removed since.
    const list = snapshotListAt(home, provider as unknown as StorageProvider);
    await list.remove(({ id }) => id === of(2).id);
    provider.taken.clear();
    expect(await idsOf()).to.not.include(of(2).id);
    expect(await idsOf(homeOf(owner)), "on a new machine").to.have.length(5);
    expect(provider.taken.get(device.account)).to.equal(5);
  });

  it("are taken over by one of two homes of the owner, and lose nothing when a home stops in the middle", async () => {
    for (const n of [1, 2]) await leave(of(n));
    const took = provider.tookEntries.bind(provider);
    provider.tookEntries = async () => {
      throw new Error("killed");
    };
    expect(await idsOf().catch((error: Error) => error.message)).to.equal("killed");
    provider.tookEntries = took;
    const both = await Promise.all([idsOf(home), idsOf(homeOf(owner))]);
    for (const ids of both) expect(ids).to.have.members(all(1, 2));
    expect(provider.taken.get(device.account)).to.equal(2);
    expect(provider.heads).to.have.length(1);
  });

  it("are told to be taken over only as far as another home has come that took fewer over", async () => {
    for (const n of [1, 2]) await leave(of(n));
    const told: number[] = [];
    const took = provider.tookEntries.bind(provider);
    provider.tookEntries = async (key, position) => {
      told.push(position);
      await took(key, position);
    };
    const second = homeOf(owner);
    const lists = provider.deviceLists.bind(provider);
    provider.beforeReplace = async () => {
      provider.beforeReplace = async () => undefined;
      provider.deviceLists = async () => (await lists()).map((one) => ({ ...one, position: 1 }));
      const entries = provider.deviceEntries.bind(provider);
      provider.deviceEntries = async (key, position) => (await entries(key, position)).slice(0, 1 - position);
      expect(await idsOf(second)).to.deep.equal(all(1));
      Object.assign(provider, { deviceLists: lists, deviceEntries: entries });
    };
    expect(await idsOf(), "what is not taken over is shown").to.have.members(all(1, 2));
    expect(told).to.deep.equal([1]);
    expect(await idsOf()).to.have.members(all(1, 2));
    expect(told).to.deep.equal([1, 2]);
  });

  it("are not brought back by a home that comes second, after another one has removed them", async () => {
    for (const n of [1, 2]) await leave(of(n));
    const second = homeOf(owner);
    provider.beforeReplace = async () => {
      provider.beforeReplace = async () => undefined;
      await idsOf(second);
      const list = snapshotListAt(second, provider as unknown as StorageProvider);
      await list.remove(({ id }) => id === of(1).id);
    };
    expect(await idsOf()).to.deep.equal(all(2));
    expect(provider.heads).to.have.length(2);
  });

  it("name a provider that withholds what this home could not take over before", async () => {
    for (const n of [1, 2]) await leave(of(n));
    const replace = provider.replaceHead.bind(provider);
    provider.replaceHead = async () => {
      throw new TallystickError("no room", { code: "STORAGE_UNAVAILABLE" });
    };
    const { snapshots, failures } = await read();
    expect(
      snapshots.map(({ id }) => id),
      "they are shown",
    ).to.have.members(all(1, 2));
    expect(failures.map(({ error }) => error.code)).to.deep.equal(["STORAGE_UNAVAILABLE"]);
    provider.replaceHead = replace;
    entriesOf().pop();
    expect((await faultsOf())[0]).to.deep.equal([device.account, provider.name, "number of the device's snapshots"]);
  });

  it("go on after a loss at the provider that device and owner have accepted", async () => {
    const at = homeOf(device);
    for (const n of [1, 2, 3]) await leave(of(n), device, at);
    await idsOf();
    entriesOf().splice(1);
    const delegation = { account: owner.account, key: device.account, scopes: ["write" as const], expiresAt: FAR };
    await acceptOlderEntries(at, delegation, provider);
    await leave(of(4), device, at);
    expect((await faultsOf())[0]).to.deep.equal([device.account, provider.name, "number of the device's snapshots"]);
    expect(await idsOf(home, true)).to.have.members(all(1, 2, 3, 4));
    expect(await faultsOf()).to.deep.equal([]);
    await leave(of(5), device, at);
    expect(await idsOf()).to.have.members(all(1, 2, 3, 4, 5));
  });

  it("are left once for each put, after the last one, and not behind one older than the device has seen", async () => {
    const at = homeOf(device);
    await leave(of(1), device, at);
    await leave(of(2), device, at);
    expect(entriesOf()).to.have.length(2);
    const [first] = entriesOf();
    const kept = entriesOf().splice(1);
    const older = await rejection(leave(of(3), device, at));
    expect(older).to.include({ code: "INTEGRITY", check: "position of the last snapshot", party: provider.name });
    provider.left.set(device.account, []);
    expect(await rejection(leave(of(3), device, at))).to.include({ code: "INTEGRITY", received: "none" });
    provider.left.set(device.account, [first ?? new Uint8Array(0), ...kept]);
    await leave(of(3), device, at);
    expect(await idsOf()).to.have.members(all(1, 2, 3));
    const released = await rejection(leave(of(4), device, at, 6));
    expect(isReleased(released)).to.equal(true);
    expect(isReleased(await rejection(leave(of(4), device, at, null))), "nobody knows").to.equal(true);
  });

  describe("from a provider that lies", () => {
    const NAMED = () => [device.account, provider.name, "position of the snapshot"];
    beforeEach(async () => {
      for (const n of [1, 2, 3, 4, 5]) await leave(of(n));
      await leave(of(9, other), other);
    });

    it("name it for a gap; what is behind is shown, and taken over when the loss is accepted", async () => {
      const kept = entriesOf();
      // Positions stay as they were signed.
      provider.deviceEntries = async (key, position) =>
        key === device.account
          ? kept.filter((_, k) => k >= position && k !== 2)
          : (provider.left.get(key)?.slice(position) ?? []);
      const { snapshots, failures } = await read();
      expect(snapshots.map(({ id }) => id)).to.have.members([...all(1, 2, 4, 5), of(9, other).id]);
      expect(failures.map(({ error }) => [error.party, error.check])).to.deep.equal([NAMED().slice(1)]);
      expect(provider.taken.get(device.account)).to.equal(2);
      expect(await faultsOf(), "each time").to.deep.equal([NAMED()]);
      expect(await idsOf(home, true)).to.have.length(5);
      expect(provider.taken.get(device.account)).to.equal(5);
      expect(await faultsOf()).to.deep.equal([]);
    });

    it("name it for another order, and for one entry shown twice", async () => {
      const [a, b, c, d, e] = entriesOf() as [Uint8Array, Uint8Array, Uint8Array, Uint8Array, Uint8Array];
      for (const order of [
        [b, a, c, d, e],
        [a, a, b, c, d],
      ]) {
        provider.left.set(device.account, order);
        expect(await faultsOf(homeOf(owner))).to.deep.equal([NAMED()]);
      }
    });

    it("name it for entries of another device, another account and another chain", async () => {
      const place = nextPlace(FIRST_FOLLOWS, 5);
      const sealed = new Uint8Array(60);
      const scope = { chainId: 31337n, directory: DIRECTORY, account: owner.account, key: device.account };
      for (const [changed, by] of [
        [{}, other],
        [{ account: other.account }, device],
        [{ chainId: 1n }, device],
        [{ provider: other.account }, device],
      ] as const) {
        const typed = entryTypedData({ ...scope, provider: provider.account, ...changed }, place, sealed);
        const signature = await new AgentAccount(by.signingKey).sign(typed);
        provider.left.set(device.account, [encodeEntry(place, fromHex(signature), sealed)]);
        expect((await faultsOf(homeOf(owner)))[0]).to.deep.equal([
          device.account,
          provider.name,
          "signature of the snapshot",
        ]);
      }
      provider.left.set(device.account, [new Uint8Array(40).fill(1)]);
      expect((await faultsOf(homeOf(owner)))[0]?.[1]).to.equal(provider.name);
    });

    it("name it when it withholds what this home has seen, or the list says to be taken over", async () => {
      await idsOf();
      const kept = entriesOf();
      provider.left.set(device.account, kept.slice(0, 3));
      const fewer = [device.account, provider.name, "number of the device's snapshots"];
      expect(await faultsOf(homeOf(owner)), "on a new machine").to.deep.equal([fewer]);
      provider.left.delete(device.account);
      expect(await faultsOf()).to.deep.equal([fewer]);
      expect(await idsOf()).to.have.length(6);
    });

    it("name it for a key that is no device of the account, or only reads", async () => {
      delegations.set(device.account.toLowerCase(), {
        account: other.account,
        scopes: 2,
        expiresAt: FAR,
        isRevoked: false,
      });
      delegations.set(other.account.toLowerCase(), {
        account: owner.account,
        scopes: 1,
        expiresAt: FAR,
        isRevoked: false,
      });
      expect(await faultsOf()).to.have.deep.members(
        [device, other].map(({ account }) => [account, provider.name, "delegation"]),
      );
      expect(provider.heads).to.have.length(0);
    });
  });

  it("are looked for of a few keys that are no devices, until a provider is not believed", async () => {
    const lists = provider.deviceLists.bind(provider);
    const strange = Array.from({ length: 4000 }, (_, k) => `0x${(k + 1).toString(16).padStart(40, "0")}`);
    provider.deviceLists = async () => [...strange.map((key) => ({ key, position: 1, taken: 0 })), ...(await lists())];
    expect(await faultsOf()).to.deep.equal(strange.slice(0, 16).map((key) => [key, provider.name, "delegation"]));
    provider.deviceLists = lists;
    await leave(of(1));
    expect(await idsOf()).to.deep.equal(all(1));
    await leave(of(2));
    provider.deviceLists = async () => [...strange.map((key) => ({ key, position: 1, taken: 0 })), ...(await lists())];
    expect(await idsOf(), "a device that is known is looked for all the same").to.have.members(all(1, 2));
  });

  it("are there after the device was revoked, and left out when it signed after its end", async () => {
    await leave(of(1));
    const ended = { account: owner.account, scopes: 2, expiresAt: FAR, isRevoked: true };
    delegations.set(device.account.toLowerCase(), ended);
    expect(await idsOf()).to.deep.equal(all(1));
    await leave(of(2));
    delegations.set(device.account.toLowerCase(), { ...ended, expiresAt: 1000 });
    expect(await faultsOf()).to.deep.equal([[device.account, `device ${device.account}`, "time of the snapshot"]]);
    expect(await idsOf()).to.deep.equal(all(1));
  });

  it("hide nothing when the chain does not answer, and are taken over when it does", async () => {
    await leave(of(1));
    const away = { ...home, chain: async () => Promise.reject(await unavailable()) } as unknown as AgentContext;
    const { failures } = await read(away);
    expect(failures.map(({ error }) => error.code)).to.deep.equal(["CHAIN_UNAVAILABLE"]);
    expect(await idsOf()).to.deep.equal(all(1));
  });
});

async function unavailable() {
  const { ChainUnavailableError } = await import("../../../offchain/chain/revert.ts");
  return new ChainUnavailableError("the endpoint does not answer");
}

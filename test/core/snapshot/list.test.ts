import { expect } from "chai";
import { sha256 } from "#primitives";
import { checksumAddress } from "../../../offchain/core/encoding/address.ts";
import { decodeCbor } from "../../../offchain/core/encoding/cbor.ts";
import { fromHex } from "../../../offchain/core/encoding/hex.ts";
import { u64be } from "../../../offchain/core/encoding/integers.ts";
import {
  EARLIER_HEADS,
  earlierHeads,
  HEAD_PREFIX_BYTES,
  headVersion,
  idAtVersion,
  MAX_HEAD_BYTES,
  MAX_HEAD_DEVICES,
  openHead,
  openPage,
  type SnapshotHead,
  sealHead,
  sealPage,
  withTakenOver,
} from "../../../offchain/core/snapshot/list-objects.ts";
import {
  MAX_RECORD_BYTES,
  makeSnapshot,
  recordBytes,
  snapshotFromCbor,
} from "../../../offchain/core/snapshot/snapshot.ts";
import { expectRejection } from "../../helpers/rejection.ts";
import { SNAPSHOT_KEYS, scopeOf, snapshotOf, someId, vectors } from "../../helpers/snapshots.ts";
import { unhex } from "../../helpers/vectors.ts";

const { provider } = vectors;
const OTHER = `0x${"0d".repeat(20)}`;

describe("snapshot record", () => {
  const records = vectors.list.records.map((hex) => snapshotFromCbor(decodeCbor(unhex(hex), MAX_RECORD_BYTES, 2, "x")));

  it("matches the vectors, and has the id of its bytes", () => {
    expect(records.map(({ id }) => id)).to.deep.equal(vectors.list.ids);
    expect(records.map(makeSnapshot)).to.deep.equal(records);
    expect(records.map(recordBytes)).to.deep.equal(vectors.list.records.map((hex) => hex.length / 2));
    expect(records[2]).to.deep.include({
      timeMillis: 1_700_000_000_002,
      host: "laptop",
      user: "alice",
      paths: ["/home/alice", "/home/alice/\udcff"],
      tags: ["a", "b"],
      totals: { entries: 3, bytes: 1002, addedObjects: 2, addedBytes: 900 },
      unreadEntries: 2,
    });
  });

  it("keeps each tag once, in one order", () => {
    const one = snapshotOf(1, { tags: ["b", "a", "b"] });
    expect(one.tags).to.deep.equal(["a", "b"]);
    expect(snapshotOf(1, { tags: ["a", "b"] }).id).to.equal(one.id);
    expect(snapshotOf(1).id).to.not.equal(one.id);
  });

  for (const [what, changed, check] of [
    ["no host", { host: "" }, "host"],
    ["a host with a NUL", { host: "a\0" }, "host"],
    ["no path", { paths: [] }, "number of paths"],
    ["too many paths", { paths: Array.from({ length: 129 }, (_, k) => `/${k}`) }, "number of paths"],
    ["an empty tag", { tags: [""] }, "tag"],
    ["a tag with a comma", { tags: ["a,b"] }, "tag"],
    ["too many tags", { tags: Array.from({ length: 65 }, (_, k) => `t${k}`) }, "number of tags"],
    ["a time that no calendar has", { timeMillis: 9e15 }, "time"],
    ["a fraction of a millisecond", { timeMillis: 0.5 }, "CBOR type"],
    ["a negative count", { unreadEntries: -1 }, "unread entries"],
    ["a record that is too long", { paths: Array.from({ length: 3 }, (_, k) => `/${k}${"x".repeat(8000)}`) }, "size"],
  ] as const) {
    it(`refuses ${what}`, () => {
      expect(expectRejection(() => snapshotOf(1, changed), "INVALID_INPUT").check).to.equal(check);
    });
  }

  it("refuses tags out of order, and other shapes", () => {
    const value = (hex: string) => decodeCbor(unhex(hex), MAX_RECORD_BYTES, 2, "x");
    const [, , third = ""] = vectors.list.records;
    const swapped = third.replace("8241614162", "8241624161");
    expect(swapped).to.not.equal(third);
    expect(expectRejection(() => snapshotFromCbor(value(swapped)), "INVALID_INPUT").check).to.equal("tag order");
    expectRejection(() => snapshotFromCbor([1, 2]), "INVALID_INPUT", /shape/);
    expectRejection(() => snapshotFromCbor(7), "INVALID_INPUT", /shape/);
  });
});

describe("snapshot list", () => {
  const page = { id: vectors.list.page.id, recordCount: 2 };
  const head: SnapshotHead = {
    version: 3,
    pages: [page],
    recent: [snapshotOf(1), snapshotOf(2)],
    earlier: [someId(12), someId(11)],
    devices: [],
  };

  it("matches the vectors", () => {
    const [first, second, third] = vectors.list.records.map((hex) =>
      snapshotFromCbor(decodeCbor(unhex(hex), MAX_RECORD_BYTES, 2, "x")),
    );
    if (first === undefined || second === undefined || third === undefined) throw new Error("three records");
    expect(sealPage(SNAPSHOT_KEYS, [first, second])).to.deep.equal({
      id: page.id,
      sealed: unhex(vectors.list.page.sealed),
    });
    const { version, earlier } = vectors.list;
    const sealed = { version, pages: [page], recent: [third], earlier, devices: [] };
    expect(sealHead(SNAPSHOT_KEYS, provider, sealed)).to.deep.equal(unhex(vectors.list.head));
    expect(openHead(SNAPSHOT_KEYS, provider, unhex(vectors.list.head))).to.deep.equal(sealed);
    expect(openPage(SNAPSHOT_KEYS, page, unhex(vectors.list.page.sealed))).to.deep.equal([first, second]);
    expect(headVersion(unhex(vectors.list.head))).to.equal(41);
  });

  it("says how far snapshots of devices were taken over, as the vectors do", () => {
    const [low, high] = [`0x${"0d".repeat(20)}`, `0x${"de".repeat(20)}`].map((text) => checksumAddress(fromHex(text)));
    const entry = (n: number) => sha256(new TextEncoder().encode(`entry ${n}`));
    const opened = openHead(SNAPSHOT_KEYS, provider, unhex(vectors.list.headWithDevices));
    expect(opened.devices).to.deep.equal([
      { device: low, position: 3, digest: entry(3) },
      { device: high, position: 9, digest: entry(9) },
    ]);
    expect(opened.recent.map(({ device }) => device)).to.deep.equal([high]);
    expect(sealHead(SNAPSHOT_KEYS, provider, opened)).to.deep.equal(unhex(vectors.list.headWithDevices));
    const seal = (devices: SnapshotHead["devices"]) => sealHead(SNAPSHOT_KEYS, provider, { ...head, devices });
    const order = expectRejection(() => seal(opened.devices.toReversed()), "INVALID_INPUT");
    expect(order.check).to.equal("order of devices");
    const [one] = opened.devices;
    if (one === undefined) throw new Error("no device");
    expectRejection(() => seal([one, one]), "INVALID_INPUT");
    expectRejection(() => seal([{ ...one, position: 0 }]), "INVALID_INPUT");
    const many = Array.from({ length: MAX_HEAD_DEVICES + 1 }, (_, k) => ({
      ...one,
      device: checksumAddress(Uint8Array.from({ length: 20 }, (_, at) => (at === 0 ? k >> 8 : at === 1 ? k & 255 : 0))),
    }));
    expectRejection(() => seal(many), "INVALID_INPUT", /number of devices/);
    expect(withTakenOver(opened.devices, { ...one, position: 4 }).map(({ position }) => position)).to.deep.equal([
      4, 9,
    ]);
  });

  it("does not open for another account, ledger, chain or provider", () => {
    const sealed = sealHead(SNAPSHOT_KEYS, provider, head);
    expect(openHead(SNAPSHOT_KEYS, provider, sealed)).to.deep.equal(head);
    expectRejection(() => openHead(SNAPSHOT_KEYS, OTHER, sealed), "INTEGRITY", /does not open/);
    for (const keys of [scopeOf({ account: OTHER }), scopeOf({ chainId: 1n }), scopeOf({ key: 1 })]) {
      expectRejection(() => openHead(keys, provider, sealed), "INTEGRITY", /does not open/);
      const object = sealPage(SNAPSHOT_KEYS, [snapshotOf(1)]);
      const ref = { id: object.id, recordCount: 1 };
      expectRejection(() => openPage(keys, ref, object.sealed), "INTEGRITY", /does not open/);
    }
  });

  it("does not open with another version number: an old head cannot pass as a new one", () => {
    const sealed = sealHead(SNAPSHOT_KEYS, provider, head);
    sealed.set(u64be(4n), 1);
    expect(headVersion(sealed)).to.equal(4);
    expectRejection(() => openHead(SNAPSHOT_KEYS, provider, sealed), "INTEGRITY", /does not open/);
  });

  const sealed = () => sealHead(SNAPSHOT_KEYS, provider, head);
  const withVersion = (version: bigint) => {
    const bytes = sealed();
    bytes.set(u64be(version), 1);
    return bytes;
  };
  for (const [what, bytes, code] of [
    ["an empty head", new Uint8Array(0), "INTEGRITY"],
    ["a truncated head", sealed().subarray(0, HEAD_PREFIX_BYTES + 15), "INTEGRITY"],
    ["a head cut off in its middle", sealed().subarray(0, -1), "INTEGRITY"],
    ["a flipped bit", sealed().with(40, (sealed()[40] ?? 0) ^ 4), "INTEGRITY"],
    ["another format version", sealed().with(0, 2), "UNKNOWN_VERSION"],
    ["version 0", withVersion(0n), "INVALID_INPUT"],
    ["a version beyond 2^53", withVersion(2n ** 53n), "INVALID_INPUT"],
    ["the largest version", withVersion(2n ** 64n - 1n), "INVALID_INPUT"],
    ["a head larger than a provider keeps", new Uint8Array(MAX_HEAD_BYTES + 1).fill(1), "INVALID_INPUT"],
  ] as const) {
    it(`refuses ${what}`, () => {
      expectRejection(() => openHead(SNAPSHOT_KEYS, provider, bytes), code);
    });
  }

  it("names the heads that it follows, as many as there are and at most 32", () => {
    let [head, earlier]: [{ version: number; id: string } | undefined, string[]] = [undefined, []];
    for (let version = 1; version <= 40; version += 1) {
      earlier = earlierHeads(head === undefined ? undefined : { ...head, earlier });
      head = { version, id: someId(version) };
    }
    expect(earlier).to.deep.equal(Array.from({ length: EARLIER_HEADS }, (_, k) => someId(39 - k)));
    const last = { version: 40, id: someId(40), earlier };
    expect([40, 39, 8, 7, 41].map((version) => idAtVersion(last, version))).to.deep.equal([
      someId(40),
      someId(39),
      someId(8),
      undefined,
      undefined,
    ]);
  });

  it("refuses a page that is not the one the head names", () => {
    const object = sealPage(SNAPSHOT_KEYS, [snapshotOf(1)]);
    expectRejection(() => openPage(SNAPSHOT_KEYS, { id: someId(1), recordCount: 1 }, object.sealed), "INTEGRITY");
    const error = expectRejection(
      () => openPage(SNAPSHOT_KEYS, { id: object.id, recordCount: 2 }, object.sealed),
      "INTEGRITY",
      /does not add up/,
    );
    expect(error).to.include({ expected: "2", received: "1" });
  });

  it("refuses to write a page without records, and a head that a provider would refuse", () => {
    expectRejection(() => sealPage(SNAPSHOT_KEYS, []), "INVALID_INPUT");
    const recent = Array.from({ length: 800 }, (_, k) => snapshotOf(k));
    const error = expectRejection(() => sealHead(SNAPSHOT_KEYS, provider, { ...head, recent }), "INVALID_INPUT");
    expect(error.check).to.equal("size of the head");
    expectRejection(() => sealHead(SNAPSHOT_KEYS, provider, { ...head, version: 0 }), "INVALID_INPUT");
    for (const version of [2, 4, 100]) {
      const error = expectRejection(() => sealHead(SNAPSHOT_KEYS, provider, { ...head, version }), "INVALID_INPUT");
      expect(error.check).to.equal("number of earlier heads");
    }
  });
});

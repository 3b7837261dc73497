/**
 * The object store on a real IPFS node (Kubo): the suite, what the node does, and blocks between two implementations.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { contentId } from "../../offchain/core/encoding/content-id.ts";
import { EmbeddedIpfsObjectStore } from "../../offchain/store/object/ipfs/embedded-object-store.ts";
import { KuboObjectStore } from "../../offchain/store/object/ipfs/kubo-object-store.ts";
import { pseudoRandomBytes } from "../helpers/pseudo-random.ts";
import { type KuboNode, startKubo } from "../helpers/real-peers.ts";
import { expectAsyncRejection } from "../helpers/rejection.ts";
import { ByContent, type Names } from "../store/object/ipfs/by-content.ts";
import { describeObjectStore, idsOf } from "../store/object/object-store-suite.ts";

describe("a real IPFS node", function () {
  this.timeout(300_000);
  let kubo: KuboNode;
  before(async () => {
    kubo = await startKubo();
  });
  after(() => kubo?.stop());

  // Each place is a store with a name of its own on the one node, so each test also shows that stores do not mix.
  let places = 0;
  describeObjectStore("Kubo", async () => {
    const name = `place-${places++}`;
    const names: Names = new Map();
    return {
      open: async () => new ByContent(await KuboObjectStore.open({ rpcUrl: kubo.url, name }), names),
      remove: async () => undefined,
    };
  });

  const objects = [1, 1000, 300_000, 2 * 1024 * 1024].map((sizeBytes) => {
    const bytes = pseudoRandomBytes(`kubo ${sizeBytes}`, sizeBytes);
    return { id: contentId(bytes), bytes };
  });
  const open = (name: string) => KuboObjectStore.open({ rpcUrl: kubo.url, name });

  it("keeps objects as pinned raw blocks, which the node's program reads and its collection keeps", async () => {
    const store = await open("pins");
    await store.putMany(objects);
    kubo.ipfs("repo", "gc", "--quiet");
    for (const { id, bytes } of objects) {
      expect(kubo.ipfs("pin", "ls", "--type=recursive", "--names", id)).to.contain("tallystick:pins");
      expect(kubo.ipfs("block", "stat", id)).to.contain(`Size: ${bytes.length}`);
      expect(Buffer.compare((await store.get(id)) ?? new Uint8Array(), bytes)).to.equal(0);
    }
    await store.deleteMany(objects.map(({ id }) => id));
    for (const { id } of objects) expect(() => kubo.ipfs("block", "stat", "--offline", id)).to.throw(/could not find/);
  });

  it("leaves the node's other pins alone", async () => {
    const store = await open("alone");
    const [first, second] = objects;
    if (first === undefined || second === undefined) throw new Error("objects are missing");
    await store.put(first.id, first.bytes);
    const other = await open("other");
    await other.put(second.id, second.bytes);
    expect(await idsOf(store)).to.deep.equal([first.id]);
    expect(await store.delete(second.id)).to.equal(false);
    expect(await store.has(second.id)).to.equal(false);
    expect(await other.get(second.id)).to.deep.equal(second.bytes);
    await Promise.all([store.delete(first.id), other.delete(second.id)]);
  });

  it("lets two processes use one store at a time", async () => {
    const [left, right] = await Promise.all([open("shared"), open("shared")]);
    const [first, second] = objects;
    if (first === undefined || second === undefined) throw new Error("objects are missing");
    await Promise.all([left.put(first.id, first.bytes), right.put(second.id, second.bytes)]);
    expect(await right.get(first.id)).to.deep.equal(first.bytes);
    expect(await idsOf(left)).to.deep.equal([first.id, second.id].sort());
    const claims = await Promise.all([left.claim("left"), right.claim("right")]);
    expect(new Set(claims).size).to.equal(1);
    await left.deleteMany([first.id, second.id]);
    expect(await idsOf(right)).to.deep.equal([]);
  });

  it("asks no other node for an object that is lost", async () => {
    const [, object] = objects;
    if (object === undefined) throw new Error("objects are missing");
    const store = await open("lost");
    await store.put(object.id, object.bytes);
    kubo.ipfs("pin", "rm", object.id);
    kubo.ipfs("block", "rm", object.id);
    expect(await store.get(object.id)).to.equal(undefined);
    expect(await store.size(object.id)).to.equal(undefined);
  });

  it("gets objects from the node that a provider embeds, by their CIDs", async () => {
    const folder = mkdtempSync(join(tmpdir(), "tallystick-embedded-"));
    const store = await EmbeddedIpfsObjectStore.open({ path: folder, listen: ["/ip4/127.0.0.1/tcp/0"], peers: [] });
    try {
      await store.putMany(objects);
      // By the RPC: waiting for a child process would block the node that is embedded here.
      const address = encodeURIComponent(store.addresses[0] ?? "");
      const connected = await fetch(`${kubo.url}/api/v0/swarm/connect?arg=${address}`, { method: "POST" });
      expect(connected.status, await connected.text()).to.equal(200);
      for (const { id, bytes } of objects) {
        const response = await fetch(`${kubo.url}/api/v0/block/get?arg=${id}&timeout=30s`, { method: "POST" });
        expect(Buffer.compare(new Uint8Array(await response.arrayBuffer()), bytes), id).to.equal(0);
      }
    } finally {
      await store.close();
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it("is refused while its settings would lose acknowledged objects in a crash", async () => {
    const node = await startKubo({ sync: false });
    try {
      const opening = () => KuboObjectStore.open({ rpcUrl: node.url, name: "objects" });
      await expectAsyncRejection(opening, "INVALID_INPUT", /would lose acknowledged objects/);
    } finally {
      await node.stop();
    }
  });
});

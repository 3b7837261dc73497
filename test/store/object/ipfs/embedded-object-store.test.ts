/** An IPFS node in the process, and another one that gets objects from it by their CIDs, over TCP on loopback. */
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { withBitswap } from "@helia/bitswap";
import { withLibp2pLight } from "@helia/libp2p";
import { identify } from "@libp2p/identify";
import { noise } from "@libp2p/noise";
import { tcp } from "@libp2p/tcp";
import { yamux } from "@libp2p/yamux";
import { multiaddr } from "@multiformats/multiaddr";
import { expect } from "chai";
import { createHeliaLight } from "helia";
import { CID } from "multiformats/cid";
import { contentId } from "../../../../offchain/core/encoding/content-id.ts";
import { EmbeddedIpfsObjectStore } from "../../../../offchain/store/object/ipfs/embedded-object-store.ts";
import { ObjectBlockstore } from "../../../../offchain/store/object/ipfs/object-blockstore.ts";
import { pseudoRandomBytes } from "../../../helpers/pseudo-random.ts";
import { expectAsyncRejection } from "../../../helpers/rejection.ts";
import { describeObjectStore } from "../object-store-suite.ts";
import { ByContent, type Names } from "./by-content.ts";

const LOOPBACK = "/ip4/127.0.0.1/tcp/0";

/** A second node: blocks in memory, no address of its own unless it listens. */
async function startNode(listen: string[] = []) {
  const node = withBitswap(
    withLibp2pLight(createHeliaLight(), {
      addresses: { listen },
      transports: [tcp()],
      connectionEncrypters: [noise()],
      streamMuxers: [yamux()],
      services: { identify: identify() },
    }),
  );
  await node.start();
  return {
    node,
    get: async (id: string, milliseconds = 10_000): Promise<Uint8Array> => {
      const pieces: Uint8Array[] = [];
      const signal = AbortSignal.timeout(milliseconds);
      for await (const piece of node.blockstore.get(CID.parse(id), { signal })) pieces.push(piece);
      return new Uint8Array(Buffer.concat(pieces));
    },
  };
}

describeObjectStore("files that an IPFS node serves", async () => {
  const folder = mkdtempSync(join(tmpdir(), "tallystick-ipfs-"));
  const names: Names = new Map();
  return {
    open: async () =>
      new ByContent(await EmbeddedIpfsObjectStore.open({ path: folder, listen: [LOOPBACK], peers: [] }), names),
    remove: async () => rmSync(folder, { recursive: true, force: true }),
  };
});

describe("embedded IPFS node", () => {
  const objects = [1, 1024, 300_000, 2 * 1024 * 1024].map((sizeBytes) => {
    const bytes = pseudoRandomBytes(`ipfs ${sizeBytes}`, sizeBytes);
    return { id: contentId(bytes), bytes };
  });
  let folder: string;
  let store: EmbeddedIpfsObjectStore;
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "tallystick-ipfs-"));
    store = await EmbeddedIpfsObjectStore.open({ path: folder, listen: [LOOPBACK], peers: [] });
  });
  afterEach(async () => {
    await store.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it("gives its objects to a node that knows its address and their CIDs, up to 2 MiB", async () => {
    await store.putMany(objects);
    const { node, get } = await startNode();
    try {
      await node.libp2p.dial(multiaddr(store.addresses[0] ?? ""));
      for (const { id, bytes } of objects) expect(Buffer.compare(await get(id), bytes), id).to.equal(0);
    } finally {
      await node.stop();
    }
  });

  it("gives nothing that it does not have, and keeps nothing that another node has", async () => {
    const [kept, removed, foreign] = objects;
    if (kept === undefined || removed === undefined || foreign === undefined) throw new Error("objects are missing");
    await store.putMany([kept, removed]);
    await store.delete(removed.id);
    const { node, get } = await startNode();
    try {
      await node.blockstore.put(CID.parse(foreign.id), foreign.bytes);
      await node.libp2p.dial(multiaddr(store.addresses[0] ?? ""));
      expect(await get(kept.id)).to.deep.equal(kept.bytes);
      const refusal = await get(removed.id, 700).catch((error: unknown) => error);
      expect(refusal).to.be.instanceOf(Error);
      expect(await store.get(foreign.id)).to.equal(undefined);
    } finally {
      await node.stop();
    }
  });

  it("is the same peer after it was opened again, and says where it is reached", async () => {
    const peerIdOf = (address: string | undefined) => address?.split("/p2p/")[1];
    const before = peerIdOf(store.addresses[0]);
    await store.close();
    store = await EmbeddedIpfsObjectStore.open({ path: folder, listen: [LOOPBACK], peers: [] });
    expect(peerIdOf(store.addresses[0])).to.equal(before).and.to.match(/^12D3/);
    expect(readFileSync(join(folder, "peer-addresses"), "utf8").trim()).to.equal(store.addresses.join("\n"));
    expect(statSync(join(folder, "peer-key")).mode & 0o077).to.equal(0);
  });

  it("connects to the nodes that it is told of", async () => {
    const { node } = await startNode([LOOPBACK]);
    try {
      await store.close();
      const peers = node.libp2p.getMultiaddrs().map(String);
      store = await EmbeddedIpfsObjectStore.open({ path: folder, listen: [LOOPBACK], peers });
      const own = store.addresses[0]?.split("/p2p/")[1];
      const isConnected = () => node.libp2p.getPeers().some((peer) => peer.toString() === own);
      for (let waits = 0; waits < 100 && !isConnected(); waits++) await new Promise((done) => setTimeout(done, 50));
      expect(isConnected()).to.equal(true);
    } finally {
      await node.stop();
    }
  });

  it("refuses ids that are no CIDs, in every call", async () => {
    const id = "not-a-cid";
    for (const call of [
      () => store.put(id, new Uint8Array(1)),
      () => store.putMany([...objects.slice(0, 1), { id, bytes: new Uint8Array(1) }]),
      () => store.get(id),
      () => store.getRange(id, 0, 1),
      () => store.has(id),
      () => store.size(id),
      () => store.delete(id),
      () => store.deleteMany([id]),
    ]) {
      await expectAsyncRejection(call, "INVALID_INPUT", /content id/);
    }
  });

  it("refuses addresses that it cannot use, and leaves the folder unlocked", async () => {
    await store.close();
    const open = (listen: string[], peers: string[] = []) =>
      EmbeddedIpfsObjectStore.open({ path: folder, listen, peers });
    await expectAsyncRejection(() => open(["127.0.0.1:4001"]), "INVALID_INPUT", /no multiaddr/);
    await expectAsyncRejection(() => open(["/ip4/192.0.2.1/tcp/1"]), "INVALID_INPUT", /cannot listen/);
    await expectAsyncRejection(() => open([LOOPBACK], ["/ip4/127.0.0.1/tcp/1"]), "INVALID_INPUT", /no peer id/);
    store = await open([LOOPBACK]);
  });

  it("lets the node read objects, and write or remove none", async () => {
    const [object] = objects;
    if (object === undefined) throw new Error("objects are missing");
    await store.putMany([object]);
    const blocks = new ObjectBlockstore(store);
    const cid = CID.parse(object.id);
    const drain = async (items: AsyncIterable<unknown>) => {
      for await (const _ of items);
    };
    for (const call of [
      () => blocks.put(),
      () => blocks.delete(),
      () => drain(blocks.putMany([{ cid, bytes: object.bytes }])),
      () => drain(blocks.deleteMany([cid])),
    ]) {
      await expectAsyncRejection(call, "INVALID_INPUT", /may not change/);
    }
    const listed: string[] = [];
    for await (const pair of blocks.getAll()) listed.push(pair.cid.toString());
    expect(listed).to.deep.equal([object.id]);
    // The same bytes under a CID of another form are no object of the store.
    expect(await blocks.has(CID.createV1(0x70, cid.multihash))).to.equal(false);
  });
});

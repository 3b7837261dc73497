/** How the store behaves when a Kubo node fails. The node is a stand-in; the real one is in test/long. */
import { expect } from "chai";
import { contentId } from "../../../../offchain/core/encoding/content-id.ts";
import type { TallystickError } from "../../../../offchain/core/errors.ts";
import { requireDurableBlocks } from "../../../../offchain/store/object/ipfs/kubo-durability.ts";
import { KuboObjectStore } from "../../../../offchain/store/object/ipfs/kubo-object-store.ts";
import { RemovalStoppedError, UnreadableObjectError } from "../../../../offchain/store/object/object-store.ts";
import { StoreServiceError } from "../../../../offchain/store/object/store-service.ts";
import { type Fault, type FaultAnswer, type FaultRequest, FaultServer } from "../../../helpers/fault-server.ts";
import { failure } from "../../../helpers/promises.ts";
import { pseudoRandomBytes } from "../../../helpers/pseudo-random.ts";
import { expectAsyncRejection, expectRejection, rejection } from "../../../helpers/rejection.ts";

const PATIENCE = { deadlineSeconds: 3, retries: 2, firstDelayMilliseconds: 5, slowestBytesPerSecond: 2 ** 30 };
/** For answers that never come. */
const IMPATIENT = { ...PATIENCE, deadlineSeconds: 0.3 };
const SECRET = "Bearer kept-out-of-every-message";
const BYTES = pseudoRandomBytes("kubo", 3000);
const ID = contentId(BYTES);
const PIN = "tallystick:objects";
const SYNCED = { type: "mount", mounts: [{ mountpoint: "/blocks", type: "flatfs", sync: true }] };

const json = (value: unknown): FaultAnswer => ({
  body: JSON.stringify(value),
  headers: { "content-type": "application/json" },
});
const refusal = (message: string): FaultAnswer => ({
  status: 500,
  ...json({ Message: message, Code: 0, Type: "error" }),
});

/** A node with one object. */
function answer({ target }: FaultRequest): FaultAnswer {
  const command = target.slice("/api/v0/".length).split("?")[0];
  if (command === "config") return json({ Key: "Datastore.Spec", Value: SYNCED });
  if (command === "block/put") return json({ Key: ID, Size: BYTES.length });
  if (command === "block/get") return { body: BYTES };
  if (command === "block/stat") return json({ Key: ID, Size: BYTES.length });
  if (command === "pin/add") return json({ Pins: [ID] });
  if (command === "pin/rm") return json({ Pins: [ID] });
  if (command === "pin/ls") return json({ Type: "recursive", Cid: ID, Name: PIN });
  if (command === "block/rm") return { body: "" };
  return { status: 404 };
}

describe("object store on a Kubo node that fails", () => {
  let server: FaultServer;
  let store: KuboObjectStore;
  let url: string;
  const open = (patience = PATIENCE) =>
    KuboObjectStore.open({ rpcUrl: url, name: "objects", authorization: SECRET }, patience);
  beforeEach(async () => {
    server = new FaultServer(answer);
    url = await server.start();
    store = await open();
    server.requests.length = 0;
  });
  afterEach(() => server.stop());

  const calls: Readonly<Record<string, () => Promise<unknown>>> = {
    "writing object": () => store.put(ID, BYTES),
    "reading object": () => store.get(ID),
    "looking up object": () => store.has(ID),
    "removing object": () => store.delete(ID),
    "listing objects": async () => {
      const ids: string[] = [];
      for await (const id of store.list()) ids.push(id);
      return ids;
    },
  };

  /** The error names the node and the object, holds no secret, and says whether the call may succeed later. */
  async function expectFailure(what: string, retryable: boolean): Promise<TallystickError> {
    const error = await failure(calls[what]?.() ?? Promise.resolve());
    expect(error, what).to.be.instanceOf(StoreServiceError);
    const told = error as StoreServiceError;
    expect(told.party).to.equal(`object store ${url}`);
    expect(told.message).to.contain(url);
    if (what !== "listing objects") expect(told.message).to.contain(ID);
    expect(told.retryable, `${what}: ${told.message}`).to.equal(retryable);
    expect(JSON.stringify(told) + told.message).not.to.contain("kept-out");
    return told;
  }

  const passing: Readonly<Record<string, Fault>> = {
    "breaks connections": { kind: "reset" },
    "does not answer": { kind: "silent" },
    "answers 503": { kind: "answer", answer: { status: 503 } },
    "answers 429": { kind: "answer", answer: { status: 429, headers: { "retry-after": "0" } } },
    "cuts its answers": { kind: "cut", afterBytes: 1 },
  };
  for (const [name, fault] of Object.entries(passing)) {
    it(`goes on after a node that ${name} once, and gives up after bounded attempts`, async () => {
      if (fault.kind === "silent") store = await open(IMPATIENT);
      for (const what of Object.keys(calls)) {
        if (name.startsWith("cuts") && what === "removing object") continue;
        const first = server.requests.length;
        server.fault = (_, count) => (count === first ? fault : undefined);
        await calls[what]?.();
        server.fault = () => fault;
        const before = server.requests.length;
        await expectFailure(what, true);
        // Two requests run side by side in some calls.
        expect(server.requests.length - before, what).to.be.within(3, 6);
      }
    });
  }

  it("asks right before each request that removes a pin whether it may, its repetitions included", async () => {
    const removals = () => server.requests.filter(({ target }) => target.includes("pin/rm")).length;
    let mayRemove = true;
    const lapse = async (): Promise<void> => {
      mayRemove = false;
    };
    server.fault = ({ target }) => (target.includes("pin/ls") ? { kind: "late", until: lapse() } : undefined);
    expect(await rejection(store.deleteMany([ID], () => mayRemove))).to.be.instanceOf(RemovalStoppedError);
    expect(removals()).to.equal(0);
    mayRemove = true;
    server.fault = ({ target }) => {
      if (!target.includes("pin/rm")) return undefined;
      mayRemove = false;
      return { kind: "reset" };
    };
    expect(await rejection(store.deleteMany([ID], () => mayRemove))).to.be.instanceOf(RemovalStoppedError);
    expect(removals()).to.equal(1);
  });

  it("tells a node that refuses access from one that fails, and asks it once", async () => {
    server.fault = () => ({ kind: "answer", answer: { status: 403 } });
    const error = await expectFailure("looking up object", false);
    expect(error.hint).to.contain("authorizationFile");
    expect(server.requests.length).to.be.at.most(2);
  });

  it("reads wrong bytes again, and returns none of them", async () => {
    const isRead = ({ target }: FaultRequest) => target.includes("block/get");
    server.fault = (request) =>
      isRead(request) && server.requests.filter(isRead).length < 1 ? { kind: "flipped" } : undefined;
    expect(await store.get(ID)).to.deep.equal(BYTES);
    server.fault = (request) => (isRead(request) ? { kind: "flipped" } : undefined);
    const error = await failure(store.get(ID));
    expect(error).to.be.instanceOf(UnreadableObjectError);
    expect((error as TallystickError).message)
      .to.contain(ID)
      .and.to.contain(url);
  });

  it("takes a missing block for lost, and any other failure for no answer", async () => {
    const only = (command: string, message: string) => (request: FaultRequest) =>
      request.target.includes(command) ? ({ kind: "answer", answer: refusal(message) } as const) : undefined;
    server.fault = only("block/", "block was not found locally (offline): ipld: could not find it");
    expect(await store.get(ID)).to.equal(undefined);
    expect(await store.size(ID)).to.equal(undefined);
    server.fault = only("pin/ls", "path is not pinned");
    expect(await store.has(ID)).to.equal(false);
    server.fault = only("block/", "datastore is closed");
    await expectFailure("reading object", false);
    await expectFailure("looking up object", false);
  });

  it("says whose fault it is when the node gives another CID", async () => {
    server.fault = ({ target }) =>
      target.includes("block/put")
        ? { kind: "answer", answer: json({ Key: contentId(new Uint8Array(3)), Size: 1 }) }
        : undefined;
    expect(await failure(store.put(ID, BYTES))).to.be.instanceOf(UnreadableObjectError);
    await expectAsyncRejection(() => store.put(ID, BYTES.slice(1)), "INVALID_INPUT", /not what the id names/);
  });

  it("sends the header that the node asks for, and asks no other peer", async () => {
    await store.get(ID);
    expect(server.requests.every(({ headers }) => headers.authorization === SECRET)).to.equal(true);
    expect(server.requests.find(({ target }) => target.includes("block/get"))?.target).to.contain("offline=true");
  });

  it("refuses ids that are no CIDs before it asks the node", async () => {
    for (const id of ["a", "bafkreia", ID.toUpperCase(), `${ID.slice(0, -1)}1`]) {
      await expectAsyncRejection(() => store.get(id), "INVALID_INPUT");
      await expectAsyncRejection(() => store.putMany([{ id, bytes: BYTES }]), "INVALID_INPUT");
    }
    expect(server.requests.length).to.equal(0);
  });
});

describe("durability of a Kubo node", () => {
  const mounted = (settings: object) => ({
    type: "measure",
    child: {
      type: "mount",
      mounts: [
        { mountpoint: "/blocks", type: "measure", child: settings },
        { mountpoint: "/", type: "levelds" },
      ],
    },
  });

  it("is there with fsync of each block, or with a datastore that syncs on request", () => {
    for (const settings of [
      { type: "flatfs", sync: true },
      { type: "pebbleds" },
      { type: "badgerds", syncWrites: true },
    ]) {
      requireDurableBlocks(mounted(settings), "node");
    }
    requireDurableBlocks({ type: "pebbleds", path: "p" }, "node");
  });

  it("is missed with Kubo's default, and with anything that is not known", () => {
    for (const spec of [
      mounted({ type: "flatfs", sync: false }),
      mounted({ type: "flatfs" }),
      mounted({ type: "badgerds", syncWrites: false }),
      mounted({ type: "flatfs", sync: "true" }),
      { type: "levelds" },
      { type: "mount", mounts: "none" },
      null,
      "flatfs",
      [],
    ]) {
      expectRejection(() => requireDurableBlocks(spec, "node"), "INVALID_INPUT", /crash/);
    }
  });
});

/** Puts with revocable chunks: what is stored, what the recipe holds, and what reads it. */
import { expect } from "chai";
import { openWorkerStages } from "../../../offchain/agent/node/worker-stages.ts";
import type { DataStages } from "../../../offchain/agent/pipeline/data-stages.ts";
import type { AssembledRoot } from "../../../offchain/agent/put/assemble.ts";
import { openSource, type PutInput } from "../../../offchain/agent/put/source.ts";
import { onEvery } from "../../../offchain/agent/put/store-objects.ts";
import { storeTree } from "../../../offchain/agent/put/store-tree.ts";
import { objectOrder } from "../../../offchain/agent/read/object-order.ts";
import { readListing } from "../../../offchain/agent/read/read-content.ts";
import { type ReadFile, readBytes, readEntries } from "../../../offchain/agent/read/read-entries.ts";
import { restore } from "../../../offchain/agent/read/restore.ts";
import { StoredTrees } from "../../../offchain/agent/read/stored-trees.ts";
import { streamPieces } from "../../../offchain/agent/read/stream-pieces.ts";
import { withStubsOf } from "../../../offchain/agent/read/stubbed-source.ts";
import { IntegrityError } from "../../../offchain/core/errors.ts";
import { withStub } from "../../../offchain/core/recipe/chunk-object.ts";
import type { ChunkRef, KeyMode } from "../../../offchain/core/recipe/recipe.ts";
import { isPlaintextOf, openRoot, readContent } from "../../../offchain/core/recipe/tree.ts";
import { STUB_BYTES } from "../../../offchain/core/revocable/package.ts";
import { CountingTarget } from "../../helpers/counting-target.ts";
import { MemoryOracle, MemoryProvider } from "../../helpers/memory-data-plane.ts";
import { collect } from "../../helpers/promises.ts";
import { pseudoRandomBytes } from "../../helpers/pseudo-random.ts";
import { rejection } from "../../helpers/rejection.ts";

const MIB = 1024 * 1024;

async function put(
  provider: MemoryProvider,
  inputs: readonly PutInput[],
  { keyMode = "revocable", stages }: { keyMode?: KeyMode; stages?: DataStages } = {},
): Promise<AssembledRoot> {
  return await storeTree(openSource(inputs, undefined), {
    oracle: new MemoryOracle(),
    // Stages use the memory of objects again.
    place: onEvery([
      {
        provider: {
          store: (objects) => provider.store(objects.map(({ id, sealed }) => ({ id, sealed: sealed.slice() }))),
        },
      },
    ]),
    domain: "public",
    keyMode,
    stages,
    counter: { readBytes: 0, readEntries: 0 },
    totals: { objects: 0, bytes: 0, uploadedObjects: 0, uploadedBytes: 0 },
    onChange: () => undefined,
  });
}

const large = pseudoRandomBytes("large", 14 * MIB);
const inputs = [
  { name: "a/large", bytes: large },
  { name: "a/small", bytes: pseudoRandomBytes("small", 10) },
  { name: "a/small text", bytes: new TextEncoder().encode("compressible ".repeat(900)) },
  { name: "b/copy", bytes: large },
  { name: "b/empty", bytes: new Uint8Array(0) },
] as const;

describe("revocable puts", () => {
  let provider: MemoryProvider;
  let stored: AssembledRoot;

  before(async () => {
    provider = new MemoryProvider();
    stored = await put(provider, inputs);
  });

  const rootOf = async ({ dataId, fileKey }: AssembledRoot) => openRoot(fileKey, dataId, await provider.fetch(dataId));

  async function chunksOf(one: AssembledRoot): Promise<ChunkRef[]> {
    const refs: ChunkRef[] = [];
    for await (const entry of readListing(await rootOf(one), provider)) {
      if (entry.type !== "file") continue;
      if ("segment" in entry.content) throw new Error("a file in a bundle");
      refs.push(...(await collect(readContent(entry.content, (id) => provider.fetch(id)))));
    }
    return refs;
  }

  const filesOf = async (one: AssembledRoot, stubs: Uint8Array | undefined): Promise<ReadFile[]> => {
    const entries = await collect(readEntries(await rootOf(one), withStubsOf(provider, stubs)));
    return entries.filter((entry): entry is ReadFile => entry.type === "file");
  };

  it("have no chunk keys in their recipe, and a stub of 64 bytes for each distinct chunk", async () => {
    const refs = await chunksOf(stored);
    expect(refs.every(({ key, stub }) => key.length === 0 && stub !== undefined)).to.equal(true);
    const distinct = new Map(refs.map(({ id, stub }) => [id, stub]));
    expect([...distinct.values()]).to.deep.equal([...distinct.keys()].map((_, position) => position));
    expect(stored.stubs?.length).to.equal(STUB_BYTES * distinct.size);
    expect(refs.length).to.be.greaterThan(distinct.size);
    expect((await rootOf(stored)).keyMode).to.equal("revocable");
  });

  it("are read with their stubs, whole and in ranges", async () => {
    const files = await filesOf(stored, stored.stubs);
    expect(files.map(({ path }) => path)).to.deep.equal(["a/large", "a/small", "a/small text", "b/copy", "b/empty"]);
    for (const [position, file] of files.entries()) {
      expect(Buffer.compare(await readBytes(file), inputs[position]?.bytes ?? new Uint8Array(1)), file.path).to.equal(
        0,
      );
    }
    const [first] = files;
    if (first === undefined) throw new Error("no file");
    const range = await readBytes(first, MIB, { start: 5 * MIB + 3, end: 5 * MIB + 40 });
    expect(range).to.deep.equal(large.slice(5 * MIB + 3, 5 * MIB + 40));
  });

  it("are read as a tree", async () => {
    const { stubs } = stored;
    const open = async () => ({ root: await rootOf(stored), ...(stubs === undefined ? {} : { stubs }) });
    const tree = new StoredTrees(open, provider).tree(stored.dataId);
    const pieces = await collect(streamPieces(await tree.open("a/large", { start: 13 * MIB })));
    expect(Buffer.compare(Buffer.concat(pieces), large.subarray(13 * MIB))).to.equal(0);
  });

  it("are restored with their stubs, on worker threads as well", async () => {
    const stages = openWorkerStages(2);
    try {
      const again = await put(provider, inputs, { stages });
      expect(again.dataId).to.equal(stored.dataId);
      expect(again.stubs).to.deep.equal(stored.stubs);
      const totals = { entries: 0, bytes: 0, downloadedBytes: 0 };
      const receiving = {
        fetch: (id: string) => provider.fetch(id),
        receive: async <Result>(id: string, { read }: { read(sealed: Uint8Array): Promise<Result> }) =>
          await read((await provider.fetch(id)).slice()),
      };
      const source = withStubsOf(receiving, stored.stubs);
      await restore(await rootOf(stored), source, new CountingTarget(), totals, { stages, onStep: () => undefined });
      expect(totals.bytes).to.equal(2 * large.length + 10 + 11_700);
    } finally {
      await stages.close();
    }
  });

  it("are not read without stubs, and not with those of another put", async () => {
    const [first] = await filesOf(stored, undefined);
    if (first === undefined) throw new Error("no file");
    expect(await rejection(readBytes(first))).to.include({ code: "NOT_OWNER", check: "stub file of the put" });
    const other = await put(new MemoryProvider(), [{ name: "x", bytes: pseudoRandomBytes("other", 9 * MIB) }]);
    const [wrong] = await filesOf(stored, other.stubs);
    if (wrong === undefined) throw new Error("no file");
    expect(await rejection(readBytes(wrong))).to.be.instanceOf(IntegrityError);
    const short = stored.stubs?.subarray(0, STUB_BYTES);
    const files = await filesOf(stored, short);
    const second = files[1];
    if (second === undefined) throw new Error("no file");
    expect(await rejection(readBytes(second))).to.include({ check: "number of stubs" });
  });

  it("share the objects of equal chunks with other revocable puts, and none with others", async () => {
    const before = provider.objects.size;
    const moved = await put(provider, [{ name: "elsewhere/large", bytes: large }]);
    // Lists, listing and root: positions of stubs are those of the put.
    expect(provider.objects.size - before).to.be.at.most(3);
    expect(new Set((await chunksOf(moved)).map(({ id }) => id))).to.deep.equal(
      new Set((await chunksOf(stored)).map(({ id }) => id).slice(0, (await chunksOf(moved)).length)),
    );
    const plain = new MemoryProvider();
    await put(plain, inputs, { keyMode: "oprf" });
    expect([...plain.objects.keys()].filter((id) => provider.objects.has(id))).to.deep.equal([]);
  });

  it("know the plaintext of a chunk that is there already", async () => {
    const [first, second] = await chunksOf(stored);
    if (first === undefined || second === undefined) throw new Error("no chunks");
    const ref = withStub(first, stored.stubs);
    expect(await isPlaintextOf(ref, large.slice(0, ref.sizeBytes))).to.equal(true);
    expect(await isPlaintextOf(ref, large.slice(1, ref.sizeBytes + 1))).to.equal(false);
    expect(await isPlaintextOf(withStub(second, stored.stubs), large.slice(0, second.sizeBytes))).to.equal(false);
  });

  it("have the order of objects that the recipe tells", async () => {
    const fresh = new MemoryProvider();
    const order: string[] = [];
    const tagger = {
      add: async ({ id }: { id: string }) => {
        order.push(id);
      },
    };
    const one = await storeTree(openSource(inputs, undefined), {
      oracle: new MemoryOracle(),
      place: onEvery([{ provider: fresh, tagger }]),
      domain: "public",
      keyMode: "revocable",
      counter: { readBytes: 0, readEntries: 0 },
      totals: { objects: 0, bytes: 0, uploadedObjects: 0, uploadedBytes: 0 },
      onChange: () => undefined,
    });
    const told = await collect(objectOrder(one.dataId, one.root, one.rootBytes, fresh));
    expect(told.map(({ id }) => id)).to.deep.equal(order);
  });
});

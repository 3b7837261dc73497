import { expect } from "chai";
import { bindObjectStore } from "../../../offchain/csp/chunks/store-binding.ts";
import { ProviderDatabase } from "../../../offchain/csp/database.ts";
import { emptyDisk, MemoryObjectStore } from "../../helpers/memory-object-store.ts";
import { refusal } from "../provider-fixture.ts";

const newIndex = async () => (await ProviderDatabase.open({ kind: "sqlite", path: ":memory:" }, "")).index;

describe("binding of the object store", () => {
  it("is to the index that took it first", async () => {
    const store = new MemoryObjectStore();
    const [first, second] = [await newIndex(), await newIndex()];
    await bindObjectStore(store, first);
    await bindObjectStore(store, first);
    const error = await refusal(bindObjectStore(store, second), "CONFLICT");
    expect(error).to.include({ expected: await store.owner(), received: "none: :memory: is new" });
    await bindObjectStore(new MemoryObjectStore(), second);
    expect((await refusal(bindObjectStore(store, second), "CONFLICT")).received).to.match(/^0x/);
  });

  it("is made again after a crash between row and owner, and when the store was emptied", async () => {
    const index = await newIndex();
    const [first, emptied] = [emptyDisk(), emptyDisk()];
    await bindObjectStore(new MemoryObjectStore(first), index);
    await bindObjectStore(new MemoryObjectStore(emptied), index);
    expect(emptied.owner).to.equal(first.owner);
  });
});

/** What every store of preparations promises (agent/platform.ts), held against each implementation. */

import { setTimeout as pause } from "node:timers/promises";
import { expect } from "chai";
import { randomBytes } from "#primitives";
import type { PreparationStore } from "../../../offchain/agent/platform.ts";

/** One store, empty at first. */
export interface PreparationFixture {
  /** Opens it: again later, with what was kept. */
  open(): Promise<PreparationStore>;
  remove(): Promise<void>;
}

/** Adds the tests to the suite under way. */
export function testPreparations(makeFixture: () => Promise<PreparationFixture>): void {
  let fixture: PreparationFixture;
  let preparations: PreparationStore;
  const manifest = Uint8Array.of(1, 2, 3);

  beforeEach(async () => {
    fixture = await makeFixture();
    preparations = await fixture.open();
  });
  afterEach(() => fixture.remove());

  it("returns manifest and tags of what was finished, after a restart too, and nothing before", async () => {
    const writer = await preparations.create("0xaa");
    await writer.append(Uint8Array.of(1, 2));
    await writer.append(Uint8Array.of(3, 4, 5));
    expect(await preparations.find("0xaa")).to.equal(undefined);
    await writer.finish(manifest);
    preparations = await fixture.open();
    const found = await preparations.find("0xaa");
    expect(found?.salt).to.equal("0xaa");
    expect(found?.manifest).to.deep.equal(manifest);
    expect(await found?.readTags(1, 3)).to.deep.equal(Uint8Array.of(2, 3, 4));
    expect(await found?.readTags(4, 9)).to.deep.equal(Uint8Array.of(5));
    expect(await found?.readTags(5, 9)).to.deep.equal(new Uint8Array(0));
    expect(await found?.readTags(0, 0)).to.deep.equal(new Uint8Array(0));
    await preparations.remove("0xaa");
    expect(await preparations.find("0xaa")).to.equal(undefined);
  });

  it("returns any part of many tags, whatever the lengths they came in", async () => {
    const tags = randomBytes(200_000);
    const writer = await preparations.create("0xaa");
    let offset = 0;
    for (const length of [1, 65_535, 48, 65_536, 48, 68_832]) {
      // The caller may use its buffer again.
      const buffer = tags.slice(offset, offset + length);
      await writer.append(buffer);
      buffer.fill(0);
      offset += length;
    }
    await writer.finish(manifest);
    const found = await preparations.find("0xaa");
    for (const [from, length] of [
      [0, 200_000],
      [65_535, 2],
      [65_536, 65_536],
      [131_071, 48],
      [199_999, 48],
      [200_001, 48],
    ] as const) {
      const read = (await found?.readTags(from, length)) ?? new Uint8Array(0);
      expect(Buffer.compare(read, tags.subarray(from, from + length)), `${length} from ${from}`).to.equal(0);
    }
  });

  it("keeps preparations apart", async () => {
    const [one, other] = [await preparations.create("0xaa"), await preparations.create("0xab")];
    await one.append(Uint8Array.of(1));
    await other.append(Uint8Array.of(2));
    await one.finish(manifest);
    await other.discard();
    expect(await (await preparations.find("0xaa"))?.readTags(0, 9)).to.deep.equal(Uint8Array.of(1));
    expect(await preparations.find("0xab")).to.equal(undefined);
  });

  it("keeps nothing of what was discarded", async () => {
    const writer = await preparations.create("0xaa");
    await writer.append(manifest);
    await writer.discard();
    expect(await preparations.find("0xaa")).to.equal(undefined);
    const again = await preparations.create("0xaa");
    await again.append(Uint8Array.of(9));
    await again.finish(manifest);
    expect(await (await preparations.find("0xaa"))?.readTags(0, 9)).to.deep.equal(Uint8Array.of(9));
  });

  it("removes what is old and not needed, finished or not, and only that", async () => {
    const unfinished = await preparations.create("0xunfinished");
    for (const salt of ["0xold", "0xneeded"]) await (await preparations.create(salt)).finish(manifest);
    // Some file systems keep times in steps of a few milliseconds.
    await pause(40);
    const now = Date.now();
    await pause(40);
    await (await preparations.create("0xnew")).finish(manifest);
    await preparations.removeAbandoned(new Set(["0xneeded"]), now);
    expect(await preparations.find("0xold")).to.equal(undefined);
    expect(await preparations.find("0xneeded")).to.not.equal(undefined);
    expect(await preparations.find("0xnew")).to.not.equal(undefined);
    await unfinished.discard();
  });
}

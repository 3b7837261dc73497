/** Where a provider puts the challenges of its data sets, and how much proving it takes on. */
import { expect } from "chai";
import type { ChainReader } from "../../../offchain/chain/deployment.ts";
import type { DataSetMode } from "../../../offchain/core/data-set/terms.ts";
import { ProvingCapacity, provingMilliseconds } from "../../../offchain/csp/data-sets/capacity.ts";
import type { ProvingLoad } from "../../../offchain/store/index/data-set-index.ts";
import { expectAsyncRejection, expectRejection } from "../../helpers/rejection.ts";

const GRID = {
  epochBlocks: 100,
  gridBlocks: 5,
  windowBlocks: 20,
  graceBlocks: 10,
  memoryBlocks: 8191,
  delaySeconds: 0,
};
const BLOCK_SECONDS = 2;

/** A chain with a block every two seconds. */
const chain = {
  provider: {
    getBlockNumber: async () => 5000,
    getBlock: async (number: number) => ({ timestamp: number * BLOCK_SECONDS }),
  },
} as unknown as ChainReader;

function capacity(grid = GRID): { capacity: ProvingCapacity; loads: ProvingLoad[] } {
  const loads: ProvingLoad[] = [];
  return { capacity: new ProvingCapacity(chain, grid), loads };
}

/** What half of a window has time for. */
const room = (GRID.windowBlocks * BLOCK_SECONDS * 1000) / 2;

function load(id: number, phase: number, milliseconds: number, mode: DataSetMode = "every-epoch"): ProvingLoad {
  return { id, phase, mode, milliseconds };
}

describe("proving capacity of a provider", () => {
  it("gives each set a phase of its own, as long as there is one, with all windows in the epoch", async () => {
    const { capacity: one, loads } = capacity();
    for (let id = 1; id <= 28; id++) {
      loads.push({ id, phase: one.choosePhase(loads), mode: "every-epoch", milliseconds: 100 });
    }
    const phases = loads.map(({ phase }) => phase);
    // 0 to 65: behind 69, windows and grace windows would reach the next epoch.
    expect([...new Set(phases)].sort((left, right) => left - right)).to.deep.equal(
      Array.from({ length: 14 }, (_, k) => 5 * k),
    );
    for (const phase of phases) expect(phases.filter((other) => other === phase).length).to.equal(2);
  });

  it("chooses the phase whose windows have the least to do", async () => {
    const { capacity: one, loads } = capacity();
    loads.push(load(1, 0, 1000), load(2, 95, 1));
    // From 20 on the window does not overlap the first one's, up to 65 not that of the second.
    expect(one.choosePhase(loads)).to.equal(20);
  });

  it("is refused when an epoch, or the memory of the source, has no room for the windows", () => {
    const check = "offer.windowBlocks and offer.dataSets.graceBlocks";
    for (const [grid, expected] of [
      [{ ...GRID, windowBlocks: 90 }, "together at most 99 blocks"],
      [{ ...GRID, memoryBlocks: 29 }, "together at most 29 blocks"],
    ] as const) {
      expect(expectRejection(() => capacity(grid), "INVALID_INPUT")).to.include({ check, expected });
    }
    capacity({ ...GRID, windowBlocks: 89, memoryBlocks: 99 });
  });

  it("is refused when the randomness of a challenge comes after its windows", async () => {
    // 30 blocks of two seconds.
    await capacity({ ...GRID, delaySeconds: 59 }).capacity.requireTimely();
    const late = capacity({ ...GRID, delaySeconds: 60 }).capacity;
    const error = await expectAsyncRejection(() => late.requireTimely(), "INVALID_INPUT");
    expect(error).to.include({ expected: "together more than 60 seconds" });
  });

  it("takes on no more than half of what is left of a window once its randomness is known", async () => {
    const { capacity: one } = capacity({ ...GRID, delaySeconds: 30 });
    (await one.roomFor(1, "every-epoch", 0, 5000))([]);
    const refused = async (grid: typeof GRID, milliseconds: number) => {
      const check = await capacity(grid).capacity.roomFor(1, "every-epoch", 0, milliseconds);
      expectRejection(() => check([]), "RATE_LIMITED");
    };
    await refused({ ...GRID, delaySeconds: 30 }, 5001);
    await refused({ ...GRID, delaySeconds: 50 }, 1);
  });

  it("takes on what half of a window has time for, with the windows that overlap", async () => {
    const { capacity: one, loads } = capacity();
    loads.push(load(1, 0, room - 100), load(2, 90, 60));
    const requireRoom = async (id: number, mode: DataSetMode, phase: number, milliseconds: number) =>
      (await one.roomFor(id, mode, phase, milliseconds))(loads);
    // Its own reservation is replaced.
    await requireRoom(1, "every-epoch", 0, room - 60);
    await requireRoom(3, "every-epoch", 10, 100);
    await requireRoom(3, "every-epoch", 20, room);
    await expectAsyncRejection(() => requireRoom(3, "every-epoch", 10, 101), "RATE_LIMITED");
    // The window at the end of an epoch is beside the first one of the next.
    await expectAsyncRejection(() => requireRoom(3, "every-epoch", 0, 41), "RATE_LIMITED");
  });

  it("reserves time in every window for disputes, which may be about all sets on demand at one block", async () => {
    const { capacity: one, loads } = capacity();
    loads.push(load(1, 0, 1000), load(2, 50, room - 5000), load(3, 0, 3000, "on-demand"));
    const requireRoom = async (id: number, mode: DataSetMode, phase: number, milliseconds: number) =>
      (await one.roomFor(id, mode, phase, milliseconds))(loads);
    // The window around 50 has the least room, wherever the phase of the set lies.
    await requireRoom(4, "on-demand", 0, 2000);
    await expectAsyncRejection(() => requireRoom(4, "on-demand", 0, 2001), "RATE_LIMITED");
    // Its own reservation is replaced, also when it is the one for disputes.
    await requireRoom(3, "on-demand", 0, 5000);
    // A set with a phase shares its window with the disputes.
    await requireRoom(4, "every-epoch", 20, room - 3000);
    await expectAsyncRejection(() => requireRoom(4, "every-epoch", 20, room - 2999), "RATE_LIMITED");
  });

  it("lets sets on demand take no phase from others", () => {
    const { capacity: one, loads } = capacity();
    loads.push(load(1, 0, 9000, "on-demand"));
    expect(one.choosePhase(loads)).to.equal(0);
  });

  it("expects a proof to grow with the highest index, the slices and the pieces that they are cut from", () => {
    const pieces = { pieces: 20, squares: 40, most: 2 };
    const segment = { pieces };
    const small = { sliceElements: 4096, sliceCount: 10, highestIndex: 10, sampleCount: 460, segments: [segment] };
    const estimate = provingMilliseconds(small);
    expect(provingMilliseconds({ ...small, highestIndex: 10_010 }) - estimate).to.be.within(1999, 2001);
    const twice = provingMilliseconds({ ...small, sliceCount: 20, segments: [segment, segment] });
    expect(twice - estimate).to.equal(100);
    const denser = { pieces: { pieces: 120, squares: 1440, most: 12 } };
    expect(provingMilliseconds({ ...small, segments: [denser] }) - estimate).to.equal(500);
    expect(provingMilliseconds({ ...small, sliceElements: 8192 })).to.be.greaterThan(estimate);
  });
});

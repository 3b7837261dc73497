/**
 * How much proving the provider takes on. Every set has its challenge block within the epoch, its phase; the proofs of
 * the sets whose windows overlap must all be made in the time of a window. A set reserves the time of its proof in the
 * transaction that records its state, which no other one overlaps, so that no window is promised to more sets than it
 * has time for, whichever process is asked.
 *
 * Sets in mode `on-demand` are challenged when somebody disputes them, and strangers may dispute all of them at one
 * block. So each of them reserves the time of a proof in every window of an epoch.
 */

import type { ChainReader } from "../../chain/deployment.ts";
import { readHeadNumber } from "../../chain/head.ts";
import { readChain } from "../../chain/revert.ts";
import type { DataSetMode } from "../../core/data-set/terms.ts";
import { InvalidInputError, TallystickError } from "../../core/errors.ts";
import type { ProvingLoad } from "../../store/index/data-set-index.ts";
import { PROVING_THREADS } from "./proving-threads.ts";
import { type CountedSegment, mostPieces } from "./slice-pieces.ts";

/**
 * Measured by `npm run bench:audit` on one core of an AMD EPYC (docs/audit.md): W takes 0.18 ms for an index up
 * to the highest drawn, ψ 0.15 ms for an element of a slice, and the check before sending 44 ms. A piece of an object
 * is a read of a disk that turns, which does 200 a second when it has several to order (set-data.ts).
 */
const MILLISECONDS = { perIndex: 0.2, perElement: 0.16, perPiece: 5, perProof: 60 };

/** The part of a window that may be promised: the rest is for retries, transactions and everything else. */
const USABLE_PART = 0.5;

/** Blocks over which the time of a block is measured, and how often. */
const MEASURED_BLOCKS = 1000;
const MEASURE_MILLISECONDS = 3_600_000;
/** What a chain with fewer blocks tells may be far off soon. */
const MEASURE_YOUNG_MILLISECONDS = 60_000;
/** When the chain is too young to be measured. */
const DEFAULT_BLOCK_SECONDS = 12;
/** Times of blocks are whole seconds; a chain of a development network may have many blocks in one. */
const LEAST_BLOCK_SECONDS = 1;

/** Where windows can be. */
export interface PhaseGrid {
  readonly epochBlocks: number;
  /** Blocks whose randomness the source gives: multiples of this. */
  readonly gridBlocks: number;
  readonly windowBlocks: number;
  readonly graceBlocks: number;
  /** Blocks for which the source tells a value. */
  readonly memoryBlocks: number;
  /** The longest time from a challenge block until its randomness can be recorded. */
  readonly delaySeconds: number;
}

/**
 * Estimate of the time that a proof takes, milliseconds.
 * @param set.sliceCount live slices, at least 1
 * @param set.segments all that live slices may belong to
 */
export function provingMilliseconds(set: {
  readonly sliceElements: number;
  readonly sliceCount: number;
  readonly highestIndex: number;
  readonly sampleCount: number;
  readonly segments: readonly CountedSegment[];
}): number {
  const { perIndex, perElement, perPiece, perProof } = MILLISECONDS;
  const pieces = mostPieces(set.segments, set.sliceCount, set.sampleCount);
  return Math.ceil(perProof + perPiece * pieces + perElement * set.sliceElements + perIndex * set.highestIndex);
}

/** The escrow takes no set whose windows are longer. @throws InvalidInputError */
function requireWindowsFit({ epochBlocks, windowBlocks, graceBlocks, memoryBlocks }: PhaseGrid): void {
  const checks = [
    ["an epoch", epochBlocks - 1],
    ["what the source of randomness remembers", memoryBlocks],
  ] as const;
  for (const [room, most] of checks) {
    if (windowBlocks + graceBlocks <= most) continue;
    throw new InvalidInputError(`the windows of a proof do not fit into ${room}`, {
      party: "this daemon",
      check: "offer.windowBlocks and offer.dataSets.graceBlocks",
      expected: `together at most ${most} blocks`,
      received: `${windowBlocks} and ${graceBlocks}`,
      hint: "configure shorter windows, or use contracts with longer epochs",
    });
  }
}

/** Throws when a window has no room for one more proof; see `StateContext.requireRoom`. */
export type RequireRoom = (loads: readonly ProvingLoad[]) => void;

export class ProvingCapacity {
  readonly #chain: ChainReader;
  readonly #grid: PhaseGrid;
  #blockSeconds: { readonly value: number; readonly until: number } | undefined;

  /** @throws InvalidInputError when an epoch, or the memory of the source, has no room for the windows */
  constructor(chain: ChainReader, grid: PhaseGrid) {
    requireWindowsFit(grid);
    this.#chain = chain;
    this.#grid = grid;
  }

  /**
   * For the start of the provider.
   * @throws InvalidInputError when the windows of a challenge are over before its randomness can be recorded
   */
  async requireTimely(): Promise<void> {
    const { windowBlocks, graceBlocks, delaySeconds } = this.#grid;
    if (delaySeconds === 0) return;
    const seconds = (windowBlocks + graceBlocks) * (await this.blockSeconds());
    if (delaySeconds < seconds) return;
    throw new InvalidInputError("the windows of a proof are over before the randomness of its challenge is known", {
      party: "this daemon",
      check: "offer.windowBlocks and offer.dataSets.graceBlocks",
      expected: `together more than ${delaySeconds} seconds`,
      received: `${windowBlocks} and ${graceBlocks} blocks, about ${Math.floor(seconds)} seconds`,
      hint: "configure longer windows, or use a source of randomness with a shorter margin",
    });
  }

  /** A phase for a new set: of those that the fewest sets have, the one whose windows have the least to do. */
  choosePhase(all: readonly ProvingLoad[]): number {
    const { epochBlocks, gridBlocks, windowBlocks, graceBlocks } = this.#grid;
    const last = epochBlocks - 1 - windowBlocks - graceBlocks;
    const loads = all.filter(({ mode }) => mode === "every-epoch");
    const sets = new Map<number, number>();
    for (const { phase } of loads) sets.set(phase, (sets.get(phase) ?? 0) + 1);
    const promised = this.#promised(loads);
    let best = { phase: 0, sets: Number.POSITIVE_INFINITY, milliseconds: Number.POSITIVE_INFINITY };
    for (let phase = 0; phase <= last; phase += gridBlocks) {
      const [count, milliseconds] = [sets.get(phase) ?? 0, promised(phase)];
      if (count > best.sets || (count === best.sets && milliseconds >= best.milliseconds)) continue;
      best = { phase, sets: count, milliseconds };
    }
    return best.phase;
  }

  /**
   * A check that refuses a state whose proofs would need more time than its window has left.
   * @param id of the set, whose present reservation does not count
   * @returns a check that throws TallystickError RATE_LIMITED
   */
  async roomFor(id: number, mode: DataSetMode, phase: number, milliseconds: number): Promise<RequireRoom> {
    const { windowBlocks, delaySeconds } = this.#grid;
    const windowSeconds = windowBlocks * (await this.blockSeconds()) - delaySeconds;
    // What one proof may take, which has one thread, and all of them together.
    const roomForOne = Math.max(0, windowSeconds) * 1000 * USABLE_PART;
    const room = roomForOne * PROVING_THREADS;
    return (loads) => {
      const others = loads.filter((load) => load.id !== id);
      const inWindow = this.#promised(others.filter((load) => load.mode === "every-epoch"));
      const onDemand = others.filter((load) => load.mode === "on-demand");
      const disputes = onDemand.reduce((sum, load) => sum + load.milliseconds, 0);
      const promised = disputes + (mode === "on-demand" ? this.#most(inWindow) : inWindow(phase));
      if (promised + milliseconds <= room && milliseconds <= roomForOne) return;
      throw new TallystickError("the provider could not prove so much in the window of this data set", {
        code: "RATE_LIMITED",
        party: "provider",
        check: "proving time in a window",
        expected: `at most ${Math.max(0, Math.floor(Math.min(room - promised, roomForOne)))} ms more`,
        received: `${milliseconds} ms`,
        hint:
          "store what is new with another provider, or outside of the data set (`--no-data-set`); to end this one " +
          "and begin another with another window, `tallystick data-set notice`",
        retryable: false,
      });
    };
  }

  /** Time of the proofs in the window that has the most to do. */
  #most(inWindow: (phase: number) => number): number {
    let most = 0;
    for (let phase = 0; phase < this.#grid.epochBlocks; phase++) most = Math.max(most, inWindow(phase));
    return most;
  }

  /** Time of the proofs whose windows overlap the one of a phase, by the phase. */
  #promised(loads: readonly Pick<ProvingLoad, "phase" | "milliseconds">[]): (phase: number) => number {
    const { epochBlocks, windowBlocks } = this.#grid;
    const reach = Math.min(windowBlocks - 1, Math.floor((epochBlocks - 1) / 2));
    // Windows at the end of an epoch and at the beginning of the next one are neighbours: three epochs are summed up.
    const sums = new Float64Array(3 * epochBlocks + 1);
    for (const { phase, milliseconds } of loads) {
      for (let at = phase; at < 3 * epochBlocks; at += epochBlocks) sums[at + 1] = (sums[at + 1] ?? 0) + milliseconds;
    }
    for (let at = 1; at < sums.length; at++) sums[at] = (sums[at] ?? 0) + (sums[at - 1] ?? 0);
    return (phase) => {
      const middle = phase + epochBlocks;
      return (sums[middle + reach + 1] ?? 0) - (sums[middle - reach] ?? 0);
    };
  }

  /** Average time of a block, measured now and then. */
  async blockSeconds(): Promise<number> {
    const now = performance.now();
    if (this.#blockSeconds !== undefined && this.#blockSeconds.until > now) return this.#blockSeconds.value;
    const head = await readHeadNumber(this.#chain);
    const first = Math.max(1, head - MEASURED_BLOCKS);
    let value = DEFAULT_BLOCK_SECONDS;
    if (head > first) {
      const { provider } = this.#chain;
      const [from, to] = await readChain("reading the times of blocks", () =>
        Promise.all([provider.getBlock(first), provider.getBlock(head)]),
      );
      if (from !== null && to !== null) {
        value = Math.max(LEAST_BLOCK_SECONDS, (to.timestamp - from.timestamp) / (head - first));
      }
    }
    const isYoung = head - first < MEASURED_BLOCKS;
    this.#blockSeconds = { value, until: now + (isYoung ? MEASURE_YOUNG_MILLISECONDS : MEASURE_MILLISECONDS) };
    return value;
  }
}

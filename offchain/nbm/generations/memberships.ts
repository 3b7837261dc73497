/**
 * This node's positions in each committee, as the chain has them, whether or not this node's database has its shares. A
 * committee's members change with its generations, and a record made in one of them is sealed to the members of that
 * one, so the positions in all generations count. Only generations that name this node are read: records can name any
 * committee of a stranger, with any number of generations.
 */

import type { ChainReader } from "../../chain/deployment.ts";
import { readCommittee } from "../../chain/registry.ts";
import type { Namings, Opening } from "./namings.ts";

/** How long a committee's generations are used again: records are judged one after another. */
const KNOWN_MILLISECONDS = 5000;
/** How long abandoned generations are taken for that: a reorganisation may bring one back. */
const ABANDONED_MILLISECONDS = 600_000;

export class Memberships {
  readonly #chain: ChainReader;
  readonly #operator: string;
  readonly #namings: Pick<Namings, "catchUp" | "openingsOf">;
  /**
   * The position in each generation that was active once, of the committees that name this node, by the place of its
   * opening, which fixes the members; 0 in one that was abandoned, undefined in one that does not count yet.
   */
  readonly #known = new Map<bigint, Map<string, number | undefined>>();
  /** When the abandoned generations of a committee are read again. */
  readonly #abandonedUntil = new Map<bigint, number>();
  /** Committees that are being read: who asks meanwhile waits for the same answer. */
  readonly #reading = new Map<bigint, Promise<void>>();
  /** When the generations of a committee that do not count yet are looked at again. */
  readonly #until = new Map<bigint, number>();
  #readUntil = 0;

  constructor(chain: ChainReader, operator: string, namings: Pick<Namings, "catchUp" | "openingsOf">) {
    this.#chain = chain;
    this.#operator = operator;
    this.#namings = namings;
  }

  /**
   * The node's indices in the generations of a committee that are or were active, the latest first, each once; empty
   * when it has never been a member.
   * @throws TallystickError CHAIN_UNAVAILABLE
   */
  async indicesIn(committeeId: bigint): Promise<readonly number[]> {
    if (performance.now() >= this.#readUntil) {
      await this.#namings.catchUp();
      this.#readUntil = performance.now() + KNOWN_MILLISECONDS;
    }
    const openings = this.#namings.openingsOf(committeeId);
    if (openings.length === 0) return [];
    const known = this.#knownOf(committeeId, openings);
    const isNew = openings.some(({ place }) => !known.has(place));
    if (isNew || performance.now() >= (this.#until.get(committeeId) ?? 0)) {
      const reading = this.#reading.get(committeeId) ?? this.#read(committeeId, openings, known);
      this.#reading.set(committeeId, reading);
      await reading.finally(() => this.#reading.delete(committeeId));
    }
    const latestFirst = openings.map(({ place }) => known.get(place) ?? 0).reverse();
    return [...new Set(latestFirst.filter((index) => index > 0))];
  }

  /** What is known of these openings; that of openings which a reorganisation undid is forgotten. */
  #knownOf(committeeId: bigint, openings: readonly Opening[]): Map<string, number | undefined> {
    const known = this.#known.get(committeeId) ?? new Map<string, number | undefined>();
    this.#known.set(committeeId, known);
    const present = new Set(openings.map(({ place }) => place));
    for (const place of known.keys()) if (!present.has(place)) known.delete(place);
    return known;
  }

  async #read(
    committeeId: bigint,
    openings: readonly Opening[],
    known: Map<string, number | undefined>,
  ): Promise<void> {
    if (performance.now() >= (this.#abandonedUntil.get(committeeId) ?? 0)) {
      for (const [place, index] of known) if (index === 0) known.delete(place);
      this.#abandonedUntil.set(committeeId, performance.now() + ABANDONED_MILLISECONDS);
    }
    for (const { generation, place } of openings.filter((each) => known.get(each.place) === undefined)) {
      const { status, members } = await readCommittee(this.#chain, committeeId, generation);
      const index = members.find(({ operator }) => operator === this.#operator)?.index;
      if (status === "active" || status === "replaced") known.set(place, index ?? 0);
      // A stranger may leave any number of those behind.
      else if (status === "abandoned") known.set(place, 0);
      else known.set(place, undefined);
    }
    this.#until.set(committeeId, performance.now() + KNOWN_MILLISECONDS);
  }
}

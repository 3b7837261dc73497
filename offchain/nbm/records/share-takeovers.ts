/**
 * Fetches the shares of records that this node holds in the place of others, from those that held them before. What is
 * fetched is on disk before the place in the other node's archive is, so a node that is killed goes on from there. A
 * node that sends what an honest one does not is set aside, as in a run (generations/exchange.ts).
 */

import type { Wallet } from "ethers";
import type { MemberHistory } from "../../chain/committee-generations.ts";
import type { ChainReader } from "../../chain/deployment.ts";
import { ledgerScope } from "../../chain/ledger.ts";
import { readNode } from "../../chain/registry.ts";
import { fromHex } from "../../core/encoding/hex.ts";
import { TallystickError } from "../../core/errors.ts";
import { shareHandoverTypedData } from "../../core/identity/typed-messages.ts";
import { predecessorsOf } from "../../core/record/share-holders.ts";
import { ShareHandoverAnswer } from "../../core/wire/nbm.ts";
import type { Logger } from "../../daemon/logger.ts";
import type { Database } from "../../store/index/sqlite.ts";
import type { GenerationStore } from "../generations/generation-store.ts";
import { askPeer } from "../generations/peer.ts";
import type { RecordOwnership } from "./record-ownership.ts";
import { ONE_SHARE_CHECK, type ShareDeliveries } from "./share-deliveries.ts";
import type { ShareLines } from "./share-lines.ts";

const REQUEST_SECONDS = 300;
/** Fetched from one node before others have their turn. */
const PAGES_AT_A_TIME = 16;
/** How long a node is not asked that has nothing more, or failed: the first time, and at most after doubling. */
const PAUSE_MILLISECONDS = 2000;
const LONGEST_PAUSE_MILLISECONDS = 600_000;

export interface ShareTakeoversOptions {
  readonly chain: ChainReader;
  readonly wallet: Wallet;
  readonly database: Database;
  readonly generations: Pick<GenerationStore, "all">;
  readonly lines: Pick<ShareLines, "historyOf" | "isFinal">;
  readonly deliveries: Pick<ShareDeliveries, "take">;
  readonly ownership: Pick<RecordOwnership, "onChain">;
  readonly logger: Logger;
  readonly onTaken: () => void;
  /** A node of the registry; `readNode` unless told. */
  readonly nodeOf?: typeof readNode;
}

/** Whom this node succeeds in a committee. */
interface PlaceInCommittee {
  readonly generation: number;
  readonly membership: number;
  readonly predecessors: ReadonlySet<string>;
}

/** What this node fetches from one other. */
interface Succession {
  readonly committeeId: bigint;
  readonly generation: number;
  readonly membership: number;
  readonly predecessor: string;
}

export class ShareTakeovers {
  readonly #options: ShareTakeoversOptions;
  /** When a node is asked again, and how long the pause was. */
  readonly #pauses = new Map<string, { readonly until: number; readonly milliseconds: number }>();

  readonly #places = new Map<bigint, PlaceInCommittee>();

  constructor(options: ShareTakeoversOptions) {
    this.#options = options;
  }

  /**
   * One round: some pages from each node that this one succeeds. A committee that cannot be followed keeps none of the
   * others waiting: strangers may have made it.
   * @throws ChainUnavailableError, DiskFailedError: the first failure, when everything else is done
   */
  async advance(): Promise<void> {
    const { generations, logger } = this.#options;
    const ready = generations.all().filter(({ phase }) => phase === "ready");
    const failures: unknown[] = [];
    for (const committeeId of new Set(ready.map((state) => state.committeeId))) {
      try {
        await this.#advance(committeeId);
      } catch (cause) {
        if (cause instanceof TallystickError && cause.code === "INVALID_INPUT") {
          logger.debug({ committeeId: String(committeeId) }, cause.message);
        } else failures.push(cause);
      }
    }
    if (failures.length > 0) throw failures[0];
  }

  async #advance(committeeId: bigint): Promise<void> {
    const { lines } = this.#options;
    const history = await lines.historyOf(committeeId);
    if (history.generations.length < 2 || !lines.isFinal(history)) return;
    const { generation, membership, predecessors } = this.#placeIn(committeeId, history);
    for (const predecessor of predecessors) {
      const succession = { committeeId, generation, membership, predecessor };
      const name = `${committeeId} ${membership} ${predecessor}`;
      if (performance.now() < (this.#pauses.get(name)?.until ?? 0)) continue;
      if (await this.#progress(succession)) this.#pauses.delete(name);
      else this.#pause(name);
    }
  }

  /** Computed once for each generation, which is final. */
  #placeIn(committeeId: bigint, history: MemberHistory): PlaceInCommittee {
    const known = this.#places.get(committeeId);
    if (known?.generation === history.active) return known;
    const { database, wallet } = this.#options;
    const membership = membershipsIn(history);
    const predecessors = predecessorsOf(history.generations, wallet.address);
    const place = { generation: history.active, membership, predecessors };
    database.transientTransaction(() =>
      database
        .prepare("DELETE FROM share_takeovers WHERE committee_id = ? AND membership <> ?")
        .run(String(committeeId), membership),
    );
    this.#places.set(committeeId, place);
    return place;
  }

  #pause(name: string): void {
    const before = this.#pauses.get(name)?.milliseconds;
    const milliseconds = before === undefined ? PAUSE_MILLISECONDS : Math.min(2 * before, LONGEST_PAUSE_MILLISECONDS);
    this.#pauses.set(name, { until: performance.now() + milliseconds, milliseconds });
  }

  /** @returns whether there is more to fetch at once */
  async #progress(succession: Succession): Promise<boolean> {
    const { predecessor, committeeId } = succession;
    try {
      for (let page = 0; page < PAGES_AT_A_TIME; page += 1) {
        if (!(await this.#takePage(succession))) return false;
      }
      return true;
    } catch (cause) {
      if (!(cause instanceof TallystickError)) throw cause;
      const { code, message } = cause;
      this.#options.logger.warn(
        { node: predecessor, committeeId, code },
        `${message}; no key shares from the node yet`,
      );
      return false;
    }
  }

  /** @returns whether there is more */
  async #takePage(succession: Succession): Promise<boolean> {
    const { deliveries, ownership, onTaken, logger } = this.#options;
    const { generation, predecessor } = succession;
    const after = this.#placeOf(succession);
    const answer = await this.#ask(succession, after);
    if (answer === undefined) return false;
    for (const { recordId, index, sealed } of answer.shares) {
      const record = await ownership.onChain(recordId);
      try {
        const isNew = await deliveries.take(recordId, record, { index, generation, sealed: fromHex(sealed) });
        if (isNew) onTaken();
      } catch (cause) {
        // Not the sender's fault: the registry and the record disagree about who was a member.
        if (!(cause instanceof TallystickError) || cause.check !== ONE_SHARE_CHECK) throw cause;
        logger.debug({ node: predecessor, recordId }, cause.message);
      }
    }
    const next = Number(answer.next);
    if (next < after || (answer.more && next === after)) throw noEnd(predecessor, after, answer.next);
    if (next > after) this.#keepPlace(succession, next);
    return answer.more;
  }

  async #ask(succession: Succession, after: number): Promise<ShareHandoverAnswer | undefined> {
    const { chain, wallet, nodeOf = readNode } = this.#options;
    const { committeeId, generation, predecessor } = succession;
    const node = await nodeOf(chain, predecessor);
    if (node === undefined) return undefined;
    const expiresAt = Math.floor(Date.now() / 1000) + REQUEST_SECONDS;
    const { chainId, keyLedger } = ledgerScope(chain.deployment);
    const typed = shareHandoverTypedData(chainId, keyLedger, {
      node: predecessor,
      successor: wallet.address,
      committeeId,
      generation: BigInt(generation),
      after: BigInt(after),
      expiresAt: BigInt(expiresAt),
    });
    const signature = await wallet.signTypedData(typed.domain, typed.types, { ...typed.message });
    return await askPeer(node.url, "/v1/handovers", ShareHandoverAnswer, `node ${predecessor}`, {
      committeeId: String(committeeId),
      generation,
      successor: wallet.address,
      after: String(after),
      expiresAt,
      signature,
    });
  }

  #placeOf({ committeeId, membership, predecessor }: Succession): number {
    const row = this.#options.database
      .prepare("SELECT place FROM share_takeovers WHERE committee_id = ? AND membership = ? AND predecessor = ?")
      .get(String(committeeId), membership, predecessor);
    return Number(row?.place ?? 0);
  }

  #keepPlace({ committeeId, membership, predecessor }: Succession, place: number): void {
    const { database } = this.#options;
    database.transaction(() =>
      database
        .prepare(
          "INSERT OR REPLACE INTO share_takeovers (committee_id, membership, predecessor, place) VALUES (?, ?, ?, ?)",
        )
        .run(String(committeeId), membership, predecessor, place),
    );
  }
}

/** How often the members have changed: a refresh changes nothing of who holds what. */
function membershipsIn({ generations }: MemberHistory): number {
  const names = generations.map(({ members }) => [...members].sort().join());
  return names.filter((name, place) => name !== names[place - 1]).length;
}

function noEnd(predecessor: string, after: number, next: string): TallystickError {
  const party = `node ${predecessor}`;
  return new TallystickError(`${party} hands over pages that lead nowhere`, {
    code: "BAD_RESPONSE",
    party,
    check: "order of the pages",
    expected: `a place after ${after}`,
    received: next,
  });
}

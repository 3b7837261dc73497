/**
 * This node's share of a record: from the envelope that the record has for it, or delivered to it when it took the
 * place of a member that has left. Decrypted only while it is needed.
 */

import type { ChainReader } from "../../chain/deployment.ts";
import { headerOf, type KeyRecord, ledgerScope, recordIdOf } from "../../chain/ledger.ts";
import { openShare, parseRecordPayload, type RecordPayload } from "../../core/record/key-record.ts";
import type { Memberships } from "../generations/memberships.ts";
import type { HeldShares, OwnShare } from "./held-shares.ts";
import type { ShareLines } from "./share-lines.ts";

export interface OwnSharesOptions {
  readonly chain: ChainReader;
  readonly operator: string;
  readonly hpkePrivateKey: Uint8Array;
  readonly memberships: Pick<Memberships, "indicesIn">;
  readonly lines: Pick<ShareLines, "of">;
  readonly held: Pick<HeldShares, "find">;
}

export class OwnShares {
  readonly #options: OwnSharesOptions;

  constructor(options: OwnSharesOptions) {
    this.#options = options;
  }

  /**
   * For the caller to wipe; undefined when the record has no share for this node, or the one that it should hold was
   * not delivered yet.
   *
   * @throws IntegrityError when the record was made for this node, and its envelope does not open or holds another
   *   share than the record commits to; TallystickError CHAIN_UNAVAILABLE
   */
  async open(record: KeyRecord): Promise<OwnShare | undefined> {
    const { operator, memberships, lines, held } = this.#options;
    const indices = await memberships.indicesIn(record.committeeId);
    if (indices.length === 0) return undefined;
    const delivered = held.find(recordIdOf(headerOf(record)));
    if (delivered !== undefined) return delivered;
    const payload = parseRecordPayload(record.payload);
    let failure: unknown;
    // The record does not say in which generation of the committee it was made: the share that opens is the one.
    for (const index of indices.filter((each) => each <= payload.policy.shares)) {
      try {
        return await this.#openAt(record, payload, index);
      } catch (cause) {
        failure ??= cause;
      }
    }
    if (failure === undefined) return undefined;
    const found = await lines.of(record, payload.policy.shares);
    if (found.some(({ holders }) => holders[0] === operator)) throw failure;
    return undefined;
  }

  async #openAt(record: KeyRecord, payload: RecordPayload, index: number): Promise<OwnShare> {
    const { chain, hpkePrivateKey } = this.#options;
    return { index, share: await openShare(payload, ledgerScope(chain.deployment), record, index, hpkePrivateKey) };
  }
}

/**
 * Hands over this node's shares of records to the members that hold them in its place: sealed to the key that the
 * registry has of the successor, a page at a time, and only for the share that the registry gives to it. Whoever asks
 * for what follows a page has kept the page, so what this node was itself given of it is erased then. Shares in
 * envelopes on the ledger stay readable by this node as long as it has its keystore.
 */

import type { MemberHistory } from "../../chain/committee-generations.ts";
import type { ChainReader } from "../../chain/deployment.ts";
import { type KeyRecord, ledgerScope } from "../../chain/ledger.ts";
import { readNode } from "../../chain/registry.ts";
import { toHex } from "../../core/encoding/hex.ts";
import { InvalidSignatureError, TallystickError } from "../../core/errors.ts";
import { shareHandoverTypedData } from "../../core/identity/typed-messages.ts";
import { parseRecordPayload, type RecordPayload } from "../../core/record/key-record.ts";
import { isFaultOfRecord } from "../../core/record/record-faults.ts";
import { sealShareDelivery } from "../../core/record/share-delivery.ts";
import { shareLines } from "../../core/record/share-holders.ts";
import {
  MAXIMUM_HANDOVER_PAGE,
  MAXIMUM_SHARE_REQUEST_SECONDS,
  type ShareHandoverAnswer,
  type ShareHandoverRequest,
} from "../../core/wire/nbm.ts";
import { checksumAddress, recoverSigner } from "../../daemon/account-signature.ts";
import { checkExpiry } from "../../daemon/request-time.ts";
import type { Memberships } from "../generations/memberships.ts";
import type { Archive } from "./archive.ts";
import type { HeldShares } from "./held-shares.ts";
import type { OwnShares } from "./own-shares.ts";
import type { ShareLines } from "./share-lines.ts";

/** A page ends when it has taken so long: whoever asks waits for some seconds only. */
const PAGE_MILLISECONDS = 1000;

export interface ShareHandoversOptions {
  readonly chain: ChainReader;
  readonly operator: string;
  readonly memberships: Pick<Memberships, "indicesIn">;
  readonly lines: Pick<ShareLines, "finalHistoryOf">;
  readonly own: Pick<OwnShares, "open">;
  readonly held: Pick<HeldShares, "recordsUpTo" | "erase">;
  readonly archive: Pick<Archive, "sharedBy" | "find" | "noteShare">;
  /** A node of the registry; `readNode` unless told. */
  readonly nodeOf?: typeof readNode;
  /** Unix seconds; the system's clock unless told. */
  readonly now?: () => number;
}

export class ShareHandovers {
  readonly #options: ShareHandoversOptions;
  readonly #now: () => number;

  constructor(options: ShareHandoversOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => Math.floor(Date.now() / 1000));
  }

  /**
   * One page of what a member of the active generation holds in this node's place.
   *
   * @throws InvalidSignatureError when the request is expired, or not signed by the successor for this node;
   *   TallystickError NOT_FOUND when this node was never a member, CONFLICT when another generation is active, or its
   *   activation is not final, NOT_OWNER when whoever asks is no member of it; CHAIN_UNAVAILABLE
   */
  async answer(request: ShareHandoverRequest): Promise<ShareHandoverAnswer> {
    const { chain, memberships, lines, archive, nodeOf = readNode } = this.#options;
    const { generation } = request;
    const committeeId = BigInt(request.committeeId);
    const successor = this.#checkedSuccessor(request);
    if ((await memberships.indicesIn(committeeId)).length === 0) throw notHere(committeeId);
    const history = await lines.finalHistoryOf(committeeId, generation);
    const node = await nodeOf(chain, successor);
    if (node === undefined || history.generations.at(-1)?.members.includes(successor) !== true) {
      throw noMember(successor, committeeId, generation);
    }
    const after = Number(request.after);
    this.#erase(committeeId, after, successor, history);
    const rows = archive.sharedBy(committeeId, after, MAXIMUM_HANDOVER_PAGE);
    const shares: ShareHandoverAnswer["shares"] = [];
    const end = performance.now() + PAGE_MILLISECONDS;
    let place = after;
    for (const { recordId, record, place: own } of rows) {
      if (place > after && performance.now() > end) break;
      place = own;
      const index = this.#passedIndex(record, successor, history);
      const opened = index === undefined ? undefined : await this.#open(record, index);
      if (index === undefined || opened === undefined) continue;
      const context = { index, generation, recipient: successor };
      const ledger = ledgerScope(chain.deployment);
      const sealed = await sealShareDelivery(ledger, record, context, node.hpkePublicKey, opened);
      opened.fill(0);
      shares.push({ recordId, index, sealed: toHex(sealed) });
    }
    const isCut = place !== (rows.at(-1)?.place ?? after);
    return { shares, next: String(place), more: isCut || rows.length === MAXIMUM_HANDOVER_PAGE };
  }

  #checkedSuccessor(request: ShareHandoverRequest): string {
    const { chain, operator } = this.#options;
    const { committeeId, generation, after, expiresAt, signature } = request;
    const successor = checksumAddress(request.successor, "successor");
    checkExpiry("the request", { expiresAt, now: this.#now(), maximumSeconds: MAXIMUM_SHARE_REQUEST_SECONDS });
    const { chainId, keyLedger } = ledgerScope(chain.deployment);
    const typed = shareHandoverTypedData(chainId, keyLedger, {
      node: operator,
      successor,
      committeeId: BigInt(committeeId),
      generation: BigInt(generation),
      after: BigInt(after),
      expiresAt: BigInt(expiresAt),
    });
    const signer = recoverSigner(typed, signature);
    if (signer === successor) return successor;
    throw new InvalidSignatureError("the request is not signed by the successor for this node", {
      party: `node ${successor}`,
      check: "operator signature",
      expected: successor,
      ...(signer === undefined ? {} : { received: signer }),
    });
  }

  /** The share of a record that the successor holds, when this node held it before. */
  #passedIndex(record: KeyRecord, successor: string, { generations }: MemberHistory): number | undefined {
    let payload: RecordPayload;
    try {
      payload = parseRecordPayload(record.payload);
    } catch (cause) {
      if (isFaultOfRecord(cause)) return undefined;
      throw cause;
    }
    const lines = shareLines(generations, record.keyTime, payload.policy.shares);
    const line = lines.find(({ holder }) => holder === successor);
    return line?.holders.includes(this.#options.operator) ? line.index : undefined;
  }

  async #open(record: KeyRecord, index: number): Promise<Uint8Array | undefined> {
    try {
      const opened = await this.#options.own.open(record);
      if (opened?.index === index) return opened.share;
      opened?.share.fill(0);
      return undefined;
    } catch (cause) {
      // Made wrongly for this node: there is nothing to hand over.
      if (isFaultOfRecord(cause)) return undefined;
      throw cause;
    }
  }

  #erase(committeeId: bigint, place: number, successor: string, history: MemberHistory): void {
    const { held, archive } = this.#options;
    const kept = held.recordsUpTo(committeeId, place).filter((recordId) => {
      const found = archive.find(recordId);
      return found !== undefined && this.#passedIndex(found.record, successor, history) !== undefined;
    });
    if (kept.length === 0) return;
    held.erase(kept);
    for (const recordId of kept) archive.noteShare(recordId, "none");
  }
}

function notHere(committeeId: bigint): TallystickError {
  return new TallystickError(`this node was no member of committee ${committeeId}`, {
    code: "NOT_FOUND",
    check: "committee",
  });
}

function noMember(successor: string, committeeId: bigint, generation: number): TallystickError {
  return new TallystickError(`${successor} is no member of generation ${generation} of committee ${committeeId}`, {
    code: "NOT_OWNER",
    party: `node ${successor}`,
    check: "members of the active generation",
  });
}

/**
 * Takes the share that this node is to hold in the place of a member that has left: handed over by that member, or
 * delivered by an owner that has rebuilt the file key. A delivery is right if it holds what the record on the ledger
 * commits to. It is taken only for the share that the registry gives to this node in the active generation, and by a
 * node that has no other share of the record.
 */

import { keccak256 } from "ethers";
import type { ChainReader } from "../../chain/deployment.ts";
import { type KeyRecord, ledgerScope } from "../../chain/ledger.ts";
import { fromHex } from "../../core/encoding/hex.ts";
import { TallystickError } from "../../core/errors.ts";
import { shareDeliveryTypedData } from "../../core/identity/typed-messages.ts";
import { parseRecordPayload } from "../../core/record/key-record.ts";
import { isFaultOfRecord } from "../../core/record/record-faults.ts";
import { openShareDelivery, type ShareDeliveryContext } from "../../core/record/share-delivery.ts";
import { shareLines } from "../../core/record/share-holders.ts";
import {
  MAXIMUM_SHARE_REQUEST_SECONDS,
  type ShareDeliveryAnswer,
  type ShareDeliveryBody,
} from "../../core/wire/nbm.ts";
import { checksumAddress, type SignatureCheck } from "../../daemon/account-signature.ts";
import { checkExpiry } from "../../daemon/request-time.ts";
import type { Memberships } from "../generations/memberships.ts";
import type { Archive } from "./archive.ts";
import type { HeldShares } from "./held-shares.ts";
import type { OwnShares } from "./own-shares.ts";
import type { RecordOwnership } from "./record-ownership.ts";
import type { ShareLines } from "./share-lines.ts";

export interface ShareDeliveriesOptions {
  readonly chain: ChainReader;
  readonly checkSignature: SignatureCheck;
  readonly operator: string;
  readonly hpkePrivateKey: Uint8Array;
  readonly memberships: Pick<Memberships, "indicesIn">;
  readonly lines: Pick<ShareLines, "finalHistoryOf">;
  readonly own: Pick<OwnShares, "open">;
  readonly held: Pick<HeldShares, "keep">;
  readonly archive: Pick<Archive, "noteShare">;
  readonly ownership: Pick<RecordOwnership, "recordOf">;
  /** Unix seconds; the system's clock unless told. */
  readonly now?: () => number;
}

/** The check that refuses a second share of a record. */
export const ONE_SHARE_CHECK = "one share of a record at one node";

/** A sealed share, and what it says it is. */
export interface Delivery extends Omit<ShareDeliveryContext, "recipient"> {
  readonly sealed: Uint8Array;
}

export class ShareDeliveries {
  readonly #options: ShareDeliveriesOptions;
  readonly #now: () => number;

  constructor(options: ShareDeliveriesOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => Math.floor(Date.now() / 1000));
  }

  /**
   * Takes a delivery of an owner. The share is on disk when this returns.
   *
   * @param asked the request, and the address that it comes from
   * @throws InvalidSignatureError when it is expired, or not signed by the account for this node; TallystickError
   *   NOT_FOUND, NOT_OWNER; as `take`
   */
  async accept(
    recordId: string,
    asked: { readonly request: ShareDeliveryBody; readonly address: string },
  ): Promise<ShareDeliveryAnswer> {
    const { chain, checkSignature, operator, ownership } = this.#options;
    const { index, generation, sealed, expiresAt, signature, ...rest } = asked.request;
    const account = checksumAddress(rest.account, "account");
    checkExpiry("the delivery", { expiresAt, now: this.#now(), maximumSeconds: MAXIMUM_SHARE_REQUEST_SECONDS });
    const { chainId, keyLedger } = ledgerScope(chain.deployment);
    const message = { recordId, account, node: operator, sealedHash: keccak256(sealed), expiresAt: BigInt(expiresAt) };
    const typed = shareDeliveryTypedData(chainId, keyLedger, message);
    await checkSignature(account, typed, signature, { address: asked.address });
    const record = await ownership.recordOf(recordId, account, checksumAddress(rest.owner ?? account, "owner"));
    return { index, isNew: await this.take(recordId, record, { index, generation, sealed: fromHex(sealed) }) };
  }

  /**
   * @param record on the ledger
   * @returns false when this node has the share already
   * @throws TallystickError CONFLICT when the share is not for this node in the active generation, whose activation has
   *   to be final, or the node has another share of the record; IntegrityError when the delivery does not open, or
   *   holds another share; CHAIN_UNAVAILABLE
   */
  async take(recordId: string, record: KeyRecord, { index, generation, sealed }: Delivery): Promise<boolean> {
    const { chain, operator, hpkePrivateKey, held, archive } = this.#options;
    const payload = parseRecordPayload(record.payload);
    await this.#requireHolder(record, payload.policy.shares, index, generation);
    const present = await this.#presentIndex(record);
    if (present === index) return false;
    if (present !== undefined) throw otherShare(recordId, present, index);
    const context = { index, generation, recipient: operator };
    const ledger = ledgerScope(chain.deployment);
    const share = await openShareDelivery(payload, ledger, record, context, hpkePrivateKey, sealed);
    try {
      const isNew = held.keep(recordId, record.committeeId, { index, share });
      archive.noteShare(recordId, "valid");
      return isNew;
    } finally {
      share.fill(0);
    }
  }

  /** The share of the record that this node can open, by its envelope or by a delivery. */
  async #presentIndex(record: KeyRecord): Promise<number | undefined> {
    try {
      const opened = await this.#options.own.open(record);
      opened?.share.fill(0);
      return opened?.index;
    } catch (cause) {
      // An envelope that was made wrongly is what the delivery makes good.
      if (isFaultOfRecord(cause)) return undefined;
      throw cause;
    }
  }

  async #requireHolder(record: KeyRecord, shares: number, index: number, generation: number): Promise<void> {
    const { operator, memberships, lines } = this.#options;
    const { committeeId, keyTime } = record;
    const facts = { code: "CONFLICT", party: `node ${operator}`, check: "holder of the share" } as const;
    if ((await memberships.indicesIn(committeeId)).length === 0) {
      throw new TallystickError(`this node is no member of committee ${committeeId}`, facts);
    }
    const { generations } = await lines.finalHistoryOf(committeeId, generation);
    const holder = shareLines(generations, keyTime, shares)[index - 1]?.holder;
    if (holder === operator) return;
    throw new TallystickError(`share ${index} of the record is not for this node`, {
      ...facts,
      expected: holder ?? "nobody",
      received: operator,
    });
  }
}

function otherShare(recordId: string, present: number, index: number): TallystickError {
  return new TallystickError(`this node has share ${present} of record ${recordId}, and takes no second one`, {
    code: "CONFLICT",
    check: ONE_SHARE_CHECK,
    expected: `share ${present}`,
    received: `share ${index}`,
  });
}

/** Records as a signed request of an owner names them: in the archive, on the ledger, and the account's own. */

import { mayActFor } from "../../chain/account-directory.ts";
import type { ChainReader } from "../../chain/deployment.ts";
import { headerOf, isOwner, type KeyRecord, verifyArchivedRecord } from "../../chain/ledger.ts";
import { IntegrityError, TallystickError } from "../../core/errors.ts";
import { type Delegates, requireScope } from "../../daemon/delegates.ts";
import type { Archive } from "./archive.ts";
import type { ArchiveFollower } from "./archive-follower.ts";

export interface RecordOwnershipOptions {
  readonly chain: ChainReader;
  readonly operator: string;
  readonly delegates: Pick<Delegates, "find">;
  readonly archive: Pick<Archive, "find">;
  readonly follower: Pick<ArchiveFollower, "refresh">;
}

export class RecordOwnership {
  readonly #options: RecordOwnershipOptions;

  constructor(options: RecordOwnershipOptions) {
    this.#options = options;
  }

  /**
   * The archived record, verified against contract state, of which `owner` is an owner for whom `account` may act: the
   * rule of `OwnersPolicy`.
   *
   * @throws TallystickError NOT_FOUND when there is no such record, NOT_OWNER when the account does not own it on
   *   chain, was replaced, or succeeds none of its owners; NOT_DELEGATED, OUT_OF_SCOPE for a delegate that may not
   *   read; CHAIN_UNAVAILABLE
   */
  async recordOf(recordId: string, account: string, owner: string): Promise<KeyRecord> {
    const record = await this.onChain(recordId);
    const { chain, delegates } = this.#options;
    const refuse = (message: string, check: string, hint: string): never => {
      throw new TallystickError(message, { code: "NOT_OWNER", party: `account ${account}`, check, hint });
    };
    if (!(await isOwner(chain, headerOf(record), owner))) {
      refuse(
        "the account does not own the record",
        "ownership on chain",
        "open the identity that stored it, or put the same files to become an owner",
      );
    }
    if (!(await mayActFor(chain, account, owner))) {
      const delegation = await delegates.find(account);
      if (delegation !== undefined) requireScope(delegation, ["read"]);
      refuse(
        "the account was replaced, or is no successor of the one that owns the record",
        "successor in the directory of accounts",
        "open the identity that took the place of the owner",
      );
    }
    return record;
  }

  /** @throws TallystickError NOT_FOUND, CHAIN_UNAVAILABLE; IntegrityError when the archive is wrong */
  async onChain(recordId: string): Promise<KeyRecord> {
    const { chain, operator, archive, follower } = this.#options;
    const archived = archive.find(recordId);
    try {
      if (archived !== undefined) {
        await verifyArchivedRecord(chain, archived.record, `node ${operator}`);
        return archived.record;
      }
    } catch (cause) {
      if (!(cause instanceof IntegrityError)) throw cause;
    }
    // Absent, or of a block that was replaced: the chain may be ahead of the archive. Whoever asks needs no record for
    // that, so scans are shared and spaced.
    const atHead = await follower.refresh();
    const fresh = archive.find(recordId);
    if (fresh === undefined) throw atHead ? noRecord(recordId) : archiveBehind(recordId);
    await verifyArchivedRecord(chain, fresh.record, `node ${operator}`);
    return fresh.record;
  }
}

export function noRecord(recordId: string): TallystickError {
  return new TallystickError(`there is no record ${recordId}`, { code: "NOT_FOUND", check: "record" });
}

function archiveBehind(recordId: string): TallystickError {
  return new TallystickError(`record ${recordId} is not in the archive, which the chain's RPC endpoint keeps behind`, {
    code: "CHAIN_UNAVAILABLE",
    party: "chain",
    check: "archive",
    hint: "repeat the request, or ask other members",
    retryable: true,
  });
}

/** From a data id to its key: records from the archives, shares from the nodes, whichever record the account owns. */

import { toHex } from "../../core/encoding/hex.ts";
import { TallystickError } from "../../core/errors.ts";
import { fileTag } from "../../core/record/key-record.ts";
import type { AgentContext } from "../context.ts";
import type { ArchiveReport, VerifiedRecord } from "./archives.ts";
import { rebuildFromRecord } from "./key-shares.ts";
import type { NodeReport } from "./quorum.ts";

export interface OpenedKey {
  /** 32 bytes. */
  readonly fileKey: Uint8Array;
  readonly recordId: string;
  readonly role: "recorder" | "owner";
  /** What each key node answered. */
  readonly nodes: NodeReport[];
}

/**
 * Rebuilds the key of a data id that this account owns.
 *
 * @throws InvalidInputError for a malformed data id
 * @throws TallystickError NOT_FOUND when no archive has a record of it, NOT_OWNER when only others own it, SHARES_MISSING with what
 *   every node answered
 */
export async function openFileKey(context: AgentContext, dataId: string): Promise<OpenedKey> {
  const tag = toHex(fileTag(dataId));
  const account = context.account.address;
  const archives = await context.archives();
  // Others' records of the file may be many: this account's are what is asked for.
  const { records, reports } = await archives.findOrScan({ fileTag: tag, account });
  const owned = records.flatMap((found) => {
    const role = roleIn(found, account);
    return role === undefined ? [] : [{ found, role }];
  });
  // One's own record first: others may have made theirs wrongly.
  owned.sort((a, b) => (a.role === b.role ? 0 : a.role === "recorder" ? -1 : 1));
  let failure: unknown;
  for (const { found, role } of owned) {
    try {
      const { committee, members } = await context.committeeById(found.record.committeeId);
      const { fileKey, nodes } = await rebuildFromRecord(found, dataId, committee, members, {
        account: context.account,
        chainId: BigInt(context.deployment.chainId),
        hpkePrivateKey: context.identity.hpkePrivateKey,
        logger: context.logger,
      });
      return { fileKey, recordId: found.recordId, role, nodes };
    } catch (error) {
      if (!(error instanceof TallystickError)) throw error;
      failure ??= error;
    }
  }
  if (failure !== undefined) throw failure;
  const others = await archives.find({ fileTag: tag });
  throw noRecord(dataId, account, others.records.length > 0, reports);
}

/** How an account stands to a record that was found for it; undefined when it does not own it. */
export function roleIn(found: VerifiedRecord, account: string): "recorder" | "owner" | undefined {
  if (found.record.account.toLowerCase() === account.toLowerCase()) return "recorder";
  return found.ownerNotes.size > 0 ? "owner" : undefined;
}

function noRecord(
  dataId: string,
  account: string,
  ownedByOthers: boolean,
  reports: readonly ArchiveReport[],
): TallystickError {
  const archives = reports.map(({ source, records, error }) => ({
    archive: source,
    answer: error === undefined ? `${records} records` : error.code,
  }));
  const received = archives.map(({ archive, answer }) => `${archive}: ${answer}`).join("; ");
  if (ownedByOthers) {
    return new TallystickError(`account ${account} does not own ${dataId}`, {
      code: "NOT_OWNER",
      party: "you",
      check: "owners on the ledger",
      hint: "open the identity that stored it, or put the same files to become an owner",
      details: { dataId },
    });
  }
  return new TallystickError(`there is no key record of ${dataId}`, {
    code: "NOT_FOUND",
    party: "archives",
    check: "key record",
    received,
    hint: "check the data id; `tallystick recover` lists what this identity has stored",
    details: { dataId, archives },
  });
}

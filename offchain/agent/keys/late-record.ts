/**
 * A record that an account makes after it was replaced is not its successor's: it may be a thief's (`madeBefore` in
 * file-key.ts). A put that was under way on another device when the successor was named must not call it stored.
 */

import { readReplacement } from "../../chain/account-directory.ts";
import type { ChainReader } from "../../chain/deployment.ts";
import { readRecordedAt } from "../../chain/ledger.ts";
import { TallystickError } from "../../core/errors.ts";

/**
 * @param recordId of a record that is on the ledger
 * @throws TallystickError ACCOUNT_REPLACED when it is later than the naming of a successor; CHAIN_UNAVAILABLE
 */
export async function requireNotLate(chain: ChainReader, account: string, recordId: string): Promise<void> {
  const replacement = await readReplacement(chain, account);
  if (replacement === undefined) return;
  const recordedAt = await readRecordedAt(chain, recordId);
  if (recordedAt !== undefined && recordedAt <= BigInt(replacement.at)) return;
  const { successor, at } = replacement;
  throw new TallystickError("the account was replaced before the key was recorded, so the record counts for nobody", {
    code: "ACCOUNT_REPLACED",
    party: `account ${account}`,
    check: "time of the record",
    expected: `not after ${new Date(at * 1000).toISOString()}, when ${successor} was named`,
    received: recordedAt === undefined ? "no record" : new Date(Number(recordedAt) * 1000).toISOString(),
    hint: "put the same files again with the identity of the successor",
    details: { account, successor, recordId },
  });
}

/** What of a replaced account stays under its name, which its successor asks for. */

import { TallystickError } from "../core/errors.ts";
import type { SuccessionIndex } from "../store/index/succession-index.ts";

/**
 * @param of a predecessor whose things are meant; the account's own unless given
 * @throws TallystickError NOT_OWNER when the account took over from no such one here
 */
export async function accountOrPredecessor(
  successions: Pick<SuccessionIndex, "hasTakenOver">,
  account: string,
  of: string | undefined,
): Promise<string> {
  if (of === undefined || (await successions.hasTakenOver(account, of))) return of ?? account;
  throw new TallystickError("the account is no successor of the one whose devices or data sets it asks for", {
    code: "NOT_OWNER",
    party: "client",
    check: "predecessor",
    received: of,
  });
}

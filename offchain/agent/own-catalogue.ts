/** A catalogue belongs to one account: it must not show the puts of one identity to another, or mix the two. */

import { isAddressEqual } from "../core/encoding/address.ts";
import { TallystickError } from "../core/errors.ts";
import type { AgentContext } from "./context.ts";

/** Ties a new catalogue to the account. @throws TallystickError CONFLICT when it belongs to another */
export async function requireOwnCatalogue({ catalogue, account }: AgentContext): Promise<void> {
  const owner = await catalogue.claimFor(account.address);
  if (isAddressEqual(owner, account.address)) return;
  throw new TallystickError("the catalogue here belongs to another identity", {
    code: "CONFLICT",
    party: "you",
    check: "account of the catalogue",
    expected: owner,
    received: account.address,
    hint: "give each identity a home of its own, for example with --home or TALLYSTICK_HOME",
  });
}

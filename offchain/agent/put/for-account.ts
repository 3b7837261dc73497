/** What a put of a delegate is: objects and a key record for another account, which lists them and pays for them. */

import { TallystickError } from "../../core/errors.ts";
import type { Delegation } from "../../core/identity/delegation.ts";
import type { KeyMode } from "../../core/recipe/recipe.ts";
import type { AgentContext } from "../context.ts";
import type { LaneWishes } from "../data-sets/wishes.ts";
import type { PreparedPart } from "../delegates/device.ts";
import type { StorageProvider } from "../providers/storage-provider.ts";

/**
 * @returns undefined for an account that stores for itself
 * @throws TallystickError OUT_OF_SCOPE for a delegate without the scope, or wishes that only the account may have
 */
export async function storingDelegation(
  context: AgentContext,
  { dataSet, keyMode }: { readonly dataSet?: LaneWishes | false; readonly keyMode?: KeyMode },
): Promise<Delegation | undefined> {
  const delegation = await context.delegation();
  if (delegation === undefined) return undefined;
  const { scopes } = delegation;
  if (!scopes.includes("write")) throw refused(delegation, "scope", "write", scopes.join(" and "));
  const wishes = Object.values(dataSet || {}).filter((wish) => wish !== undefined);
  if (wishes.length > 0) throw refused(delegation, "data set", "none", "one with wishes");
  // Stub files are sealed under a key of the account, and are one for all of its devices.
  if (keyMode === "revocable") throw refused(delegation, "key mode", "oprf or merkle", keyMode);
  return delegation;
}

/** What the account has prepared for this delegate, by provider. */
export async function preparedParts(
  context: AgentContext,
  delegation: Delegation,
  providers: readonly StorageProvider[],
  signal: AbortSignal | undefined,
): Promise<ReadonlyMap<string, PreparedPart>> {
  const { preparedPart } = await import("../delegates/device.ts");
  const parts = new Map<string, PreparedPart>();
  for (const provider of providers) {
    const part = await preparedPart(context, delegation, provider, signal);
    if (part !== undefined) parts.set(provider.account, part);
  }
  return parts;
}

function refused({ key, account }: Delegation, check: string, expected: string, received: string): TallystickError {
  return new TallystickError(`the delegate ${key} may not put this for account ${account}`, {
    code: "OUT_OF_SCOPE",
    party: `delegate ${key}`,
    check,
    expected,
    received,
    hint: "put it with the identity of the account, or have its owner grant another key",
    details: { key, account },
  });
}

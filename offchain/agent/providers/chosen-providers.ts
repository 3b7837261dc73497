/** Which providers a put goes to. */

import { isAddressEqual } from "../../core/encoding/address.ts";
import type { AgentContext } from "../context.ts";
import type { StorageProvider } from "./storage-provider.ts";

/**
 * The providers that are named. By default the first of the deployment, or, when the sets of this device there were
 * migrated, the one that they went to.
 * @throws as `ProviderSet.choose`
 */
export async function chosenProviders(
  context: AgentContext,
  accounts: readonly string[] | undefined,
): Promise<StorageProvider[]> {
  const providers = context.providers();
  const [first] = providers.choose(accounts);
  if (accounts !== undefined || first === undefined) return providers.choose(accounts);
  const { storageEscrow } = context.deployment.contracts;
  const sets = (await context.platform.dataSets.sets()).filter(
    ({ escrow, delegate }) => delegate === undefined && isAddressEqual(escrow, storageEscrow),
  );
  const moves = sets
    .flatMap(({ provider, movedTo }) => (movedTo === undefined ? [] : [{ from: provider, ...movedTo }]))
    .sort((a, b) => a.blockNumber - b.blockNumber);
  let current = first;
  for (const { from, provider } of moves) {
    // A set that goes on there keeps the puts: another device's was moved.
    const goesOn = sets.some(
      (set) => set.isOwn && set.state !== "ended" && set.movedTo === undefined && isAddressEqual(set.provider, from),
    );
    if (goesOn || !isAddressEqual(from, current.account)) continue;
    current = providers.find(provider) ?? current;
  }
  return [current];
}

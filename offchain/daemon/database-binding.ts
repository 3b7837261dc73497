/**
 * Ties a daemon's database to one chain, one set of contracts and one keystore: shares, archives and agreements of another deployment
 * must never be mixed with this one's, and a development chain that was started anew is another chain under the same addresses.
 * The database has a table `meta (name, value)`.
 */

import type { ChainReader, Deployment } from "../chain/deployment.ts";
import { readChain } from "../chain/revert.ts";
import { TallystickError } from "../core/errors.ts";
import type { Database } from "../store/index/sqlite.ts";

/**
 * @param contracts those that the daemon's state speaks of.
 * @throws TallystickError CONFLICT when the database belongs to something else.
 */
export async function bindDatabase(
  database: Database,
  chain: ChainReader,
  operator: string,
  contracts: readonly (keyof Deployment["contracts"])[],
): Promise<void> {
  const { chainId, contracts: addresses, deployedAtBlock } = chain.deployment;
  const block = await readChain("reading the deployment's block", () => chain.provider.getBlock(deployedAtBlock));
  const belongsTo = JSON.stringify({
    chainId,
    ...Object.fromEntries(contracts.map((name) => [name, addresses[name].toLowerCase()])),
    deployedAtBlockHash: block?.hash ?? null,
    operator,
  });
  database.prepare("INSERT OR IGNORE INTO meta (name, value) VALUES ('belongs_to', ?)").run(belongsTo);
  const row = database.prepare("SELECT value FROM meta WHERE name = 'belongs_to'").get();
  if (row?.value === belongsTo) return;
  throw new TallystickError(`database ${database.path} belongs to another deployment or keystore`, {
    code: "CONFLICT",
    party: "this daemon",
    check: "deployment of the database",
    expected: belongsTo,
    received: String(row?.value),
    hint: "give each deployment its own dataDir; do not delete one that holds key shares or running agreements",
  });
}

/**
 * Ties the database to one chain, one escrow and one keystore: agreements are known by number, and number 1 of another deployment is
 * another agreement. A development chain that was started anew is another chain under the same addresses.
 */
import type { ChainReader } from "../chain/deployment.ts";
import { readChain } from "../chain/revert.ts";
import { TallystickError } from "../core/errors.ts";
import type { Database } from "../store/sqlite.ts";

/** @throws TallystickError CONFLICT when the database belongs to something else */
export async function bindDatabase(database: Database, chain: ChainReader, operator: string): Promise<void> {
  const { chainId, contracts, deployedAtBlock } = chain.deployment;
  const block = await readChain("reading the deployment's block", () => chain.provider.getBlock(deployedAtBlock));
  const belongsTo = JSON.stringify({
    chainId,
    storageEscrow: contracts.storageEscrow.toLowerCase(),
    deployedAtBlockHash: block?.hash ?? null,
    operator,
  });
  database.prepare("INSERT OR IGNORE INTO meta (name, value) VALUES ('belongs_to', ?)").run(belongsTo);
  const row = database.prepare("SELECT value FROM meta WHERE name = 'belongs_to'").get();
  if (row?.value === belongsTo) return;
  throw new TallystickError(`database ${database.path} belongs to another deployment or keystore`, {
    code: "CONFLICT",
    party: "this provider",
    check: "deployment of the database",
    expected: belongsTo,
    received: String(row?.value),
    hint: "give each deployment its own dataDir; do not delete one whose agreements are still running",
  });
}

/**
 * The accounts that this one has replaced, with their keys: each left its phrase to its successor, sealed, in
 * contract state. The same state says who replaced whom, and when, so that an endpoint cannot make up a predecessor.
 */

import { readHandover, readPredecessor, readReplacement } from "../chain/account-directory.ts";
import type { ChainReader } from "../chain/deployment.ts";
import { isAddressEqual } from "../core/encoding/address.ts";
import { LONGEST_LINE, openHandover } from "../core/identity/handover.ts";
import type { Identity } from "../core/identity/identity.ts";

export interface Predecessor {
  readonly identity: Identity;
  readonly account: string;
  /** Unix seconds. What the account records from then on is not its owner's. */
  readonly replacedAt: number;
}

/**
 * @returns the latest first; whoever gets them wipes their identities
 * @throws IntegrityError naming a predecessor whose handover does not open; ChainUnavailableError
 */
export async function readPredecessors(chain: ChainReader, identity: Identity): Promise<Predecessor[]> {
  const { chainId, contracts } = chain.deployment;
  const line: Predecessor[] = [];
  try {
    let successor = identity;
    while (line.length < LONGEST_LINE) {
      const account = await readPredecessor(chain, successor.account);
      if (account === undefined) break;
      const replacement = await readReplacement(chain, account);
      if (replacement === undefined || !isAddressEqual(replacement.successor, successor.account)) break;
      const scope = {
        chainId: BigInt(chainId),
        directory: contracts.accountDirectory,
        account,
        successor: successor.account,
      };
      const handover = await readHandover(chain, account);
      const opened = openHandover(scope, successor.catalogueKey, handover);
      line.push({ identity: opened, account: opened.account, replacedAt: replacement.at });
      successor = opened;
    }
    return line;
  } catch (error) {
    for (const { identity: opened } of line) opened.wipe();
    throw error;
  }
}

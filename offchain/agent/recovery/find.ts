/** From an address to the accounts that name it: what somebody begins with who knows only the recovery wallet. */

import { readReplacement } from "../../chain/account-directory.ts";
import { connectChain, type Deployment } from "../../chain/deployment.ts";
import type { RecoveryPath, RecoveryPlan } from "../../chain/recovery-policy.ts";
import { type RecoveryNaming, scanNamings } from "../../chain/recovery-publications.ts";
import { isAddressEqual } from "../../core/encoding/address.ts";
import { type Protection, readProtection, requireProtection } from "./protection.ts";
import { proposersOf } from "./requests.ts";
import { replacedOwnerText } from "./warnings.ts";

export interface NamingAccount {
  readonly account: string;
  readonly path: RecoveryPath;
  readonly version: number;
  readonly plan: RecoveryPlan;
}

/** Accounts that name an address, the newest last. */
export interface NamingAccounts {
  readonly accounts: readonly NamingAccount[];
  /** How many older ones were not looked at. */
  readonly leftOut: number;
}

/** Of so many authors one look reads the newest. Anybody can name any address. */
const MOST_AUTHORS = 64;

/** An account that somebody is about to claim. */
export interface ClaimedProtection extends Protection {
  /** What the claimant has to know about the account; absent when there is nothing. */
  readonly warning?: string;
}

/**
 * What protects an account, for whoever is about to claim it.
 * @throws TallystickError as `requireProtection`; NoDeploymentError, ChainUnavailableError
 */
export async function protectionOf(deployment: Deployment, account: string): Promise<ClaimedProtection> {
  const chain = await connectChain(deployment);
  try {
    const [protection, replacement] = await Promise.all([
      requireProtection(chain, account),
      readReplacement(chain, account),
    ]);
    return replacement === undefined ? protection : { ...protection, warning: replacedOwnerText(account, replacement) };
  } finally {
    chain.close();
  }
}

/**
 * Accounts whose live recovery names an address as wallet or guardian. Anybody can publish one that does, so whoever
 * looks for its own account has to recognise it.
 *
 * @throws NoDeploymentError, ChainUnavailableError
 */
export async function accountsNaming(deployment: Deployment, address: string): Promise<NamingAccounts> {
  const chain = await connectChain(deployment);
  try {
    const { authors, leftOut } = await newestAuthors(scanNamings(chain, address));
    const accounts: NamingAccount[] = [];
    for (const account of authors) {
      const found = await readProtection(chain, account);
      if (found?.isLive !== true) continue;
      const { plan, version } = found.secret;
      for (const { path, proposer } of proposersOf(plan)) {
        if (isAddressEqual(proposer, address)) accounts.push({ account, path, version, plan });
      }
    }
    return { accounts, leftOut };
  } finally {
    chain.close();
  }
}

/** The authors of namings, each once, the newest last; of too many, the newest. */
export async function newestAuthors(
  namings: AsyncIterable<Pick<RecoveryNaming, "author">>,
): Promise<{ readonly authors: readonly string[]; readonly leftOut: number }> {
  const authors = new Set<string>();
  for await (const { author } of namings) {
    authors.delete(author);
    authors.add(author);
  }
  const newest = [...authors].slice(-MOST_AUTHORS);
  return { authors: newest, leftOut: authors.size - newest.length };
}

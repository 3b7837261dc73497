/**
 * Recovery and accounts that were replaced. The recovery policy does not look at the directory of accounts: the key
 * that the owner of a wallet or a guardian gave up, because somebody else may have it, can still ask and approve; and
 * what is recovered of an account that was replaced opens no session. So both are told before anybody relies on them.
 */

import { readReplacement } from "../../chain/account-directory.ts";
import type { ChainReader } from "../../chain/deployment.ts";
import type { RecoveryPlan } from "../../chain/recovery-policy.ts";
import { InvalidInputError } from "../../core/errors.ts";
import type { AgentContext } from "../context.ts";
import { readProtection } from "./protection.ts";
import { proposersOf } from "./requests.ts";
import { nameOf, type ReplacedNamed, replacedWarning } from "./warnings.ts";

/** @throws ChainUnavailableError */
export async function replacedIn(chain: ChainReader, plan: RecoveryPlan): Promise<ReplacedNamed[]> {
  const named = await Promise.all(
    proposersOf(plan).map(async ({ path, proposer: account }) => {
      const replacement = await readReplacement(chain, account);
      return replacement === undefined ? [] : [{ path, account, successor: replacement.successor }];
    }),
  );
  return named.flat();
}

/** @throws InvalidInputError for a plan that names an account that was replaced */
export async function requireNoneReplaced(chain: ChainReader, plan: RecoveryPlan): Promise<void> {
  const [first] = await replacedIn(chain, plan);
  if (first === undefined) return;
  throw new InvalidInputError(`${nameOf(first)} was replaced: whoever has its old key could recover the identity`, {
    party: "you",
    check: "recovery plan",
    expected: "accounts without a successor",
    received: first.account,
    hint: `if you know ${first.successor} as the same person's, name it instead`,
  });
}

/** What the owner of a live version is told. @throws ChainUnavailableError */
export async function replacedWarnings(context: AgentContext): Promise<string[]> {
  const chain = await context.chain();
  const found = await readProtection(chain, context.account.address);
  if (found?.isLive !== true) return [];
  return (await replacedIn(chain, found.secret.plan)).map(replacedWarning);
}

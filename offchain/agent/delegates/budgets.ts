/** What delegates may spend, and spend: the data sets that they add to, with the fee of an epoch and its limit. */

import type { OpenedDataSet } from "../../chain/data-set-words.ts";
import { readFeeLimit } from "../../chain/delegates.ts";
import { dataSetsOpened } from "../../chain/escrow-events.ts";
import { lastLevel } from "../../core/data-set/schedule.ts";
import type { Delegation } from "../../core/identity/delegation.ts";
import type { AgentContext } from "../context.ts";
import { hasEnded, readOnChain } from "../data-sets/following.ts";

/** A data set of the account that a delegate adds to. Fees are of an epoch, in the token's smallest unit. */
export interface DelegateBudget {
  readonly dataSet: string;
  /** Account of the provider. */
  readonly provider: string;
  readonly token: string;
  /** Of the set as it is, whoever has added to it. */
  readonly feePerEpoch: bigint;
  /** Up to which the delegate may let it grow. */
  readonly feeLimit: bigint;
}

/**
 * By delegate, in the order given: the sets that go on and that it has a limit for. One that acts no more has none.
 * @param account that all of them act for
 * @throws ChainUnavailableError
 */
export async function readBudgets(
  context: AgentContext,
  account: string,
  delegates: readonly Pick<Delegation, "key" | "scopes">[],
): Promise<DelegateBudget[][]> {
  const budgets: DelegateBudget[][] = delegates.map(() => []);
  if (!delegates.some(({ scopes }) => scopes.includes("write"))) return budgets;
  const chain = await context.chain();
  for await (const opened of dataSetsOpened(chain, { user: account })) {
    const limits = await Promise.all(
      delegates.map(async ({ key, scopes }) =>
        scopes.includes("write") ? await readFeeLimit(chain, { key, account }, opened.id) : 0n,
      ),
    );
    if (limits.every((limit) => limit === 0n)) continue;
    const feePerEpoch = await feeOfRunning(context, opened);
    if (feePerEpoch === undefined) continue;
    const { provider, token } = opened.terms;
    for (const [place, feeLimit] of limits.entries()) {
      if (feeLimit > 0n) budgets[place]?.push({ dataSet: opened.id, provider, token, feePerEpoch, feeLimit });
    }
  }
  return budgets;
}

/** @returns undefined for a set that has ended */
async function feeOfRunning(context: AgentContext, opened: OpenedDataSet): Promise<bigint | undefined> {
  const onChain = await readOnChain(await context.chain(), opened);
  return onChain === undefined || hasEnded(onChain) ? undefined : lastLevel(onChain.schedule).fee;
}

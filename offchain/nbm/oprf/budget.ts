/**
 * The budget of a committee: an OPRF output takes k evaluations at k different nodes. With every one of n nodes granting
 * ⌊B·k/n⌋ evaluations, all of them together grant at most B·k, hence at most B outputs, whichever quorums are asked.
 */

export { type BudgetLimit, Budgets } from "../../daemon/quota.ts";

/** A node's part of a committee's budget: ⌊B·k/n⌋, exact for B·k below 2^53. */
export function nodeShareOfBudget(evaluations: number, threshold: number, size: number): number {
  return Math.floor((evaluations * threshold) / size);
}

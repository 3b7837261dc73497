/**
 * The budget B of a committee bounds the OPRF outputs per account and period even when k − 1 members collude with the
 * account. An output takes evaluations of k different members. Let each honest member grant b of them, and let c
 * members, c < k, evaluate without limit. Then an output takes k − c evaluations of the n − c honest members, so that
 * at most
 *
 *     (n − c) · b / (k − c)
 *
 * outputs are possible. Since n ≥ k, this grows with c; it is largest for c = k − 1, where it is (n − k + 1) · b. Hence
 * b = ⌊B / (n − k + 1)⌋ keeps it at B or below for every c < k. With c ≥ k there is no bound: those members know the
 * key.
 *
 * An account that has no colluding member gets n · b / k outputs when it spreads its requests evenly: 5/9 of B for n =
 * 5, k = 3.
 */

export { type BudgetLimit, Budgets } from "../../daemon/quota.ts";

/** What one node grants an account of a committee's budget: ⌊B / (n − k + 1)⌋ evaluations, but at least one. */
export function nodeShareOfBudget(evaluations: number, threshold: number, size: number): number {
  return Math.max(1, Math.floor(evaluations / (size - threshold + 1)));
}

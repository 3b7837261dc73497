/** How commands print delegates. */

import type { DelegateAccount, DelegateBudget, DelegateView } from "../../agent/index.ts";
import { formatAmount } from "../../core/encoding/amounts.ts";
import { formatTime } from "../output.ts";
import { shortId } from "./data-set-lines.ts";

export function delegateText({ key, ...rest }: Omit<DelegateView, "account">): string {
  return `${key} ${rightsText(rest)}`;
}

/** What it may do, and until when. */
export function rightsText({ scopes, expiresAt, state }: Pick<DelegateView, "scopes" | "expiresAt" | "state">): string {
  const ending = state === "live" ? "" : `: ${state}`;
  return `to ${scopes.join(" and ")}, until ${formatTime(expiresAt * 1000)}${ending}`;
}

/** With what it may spend. */
export function delegateLines(delegate: Omit<DelegateAccount, "account">): string[] {
  return [delegateText(delegate), ...delegate.budgets.map((budget) => `  ${budgetText(budget)}`)];
}

export function budgetText({ dataSet, provider, token, feePerEpoch, feeLimit }: DelegateBudget): string {
  return (
    `adds to data set ${shortId(dataSet)} at provider ${provider}, which costs ` +
    `${formatAmount(feePerEpoch, token)} per epoch, of at most ${formatAmount(feeLimit, token)}`
  );
}

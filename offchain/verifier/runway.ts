/** What the owner of a set should know: that it ends, or will soon. */

import { runwayEpochs, type UserAccount } from "../core/data-set/balance.ts";

/**
 * `runway`: the balance covers few epochs beyond the notice period. `notice`: the last epoch is known, because notice
 * was given or the list was emptied. `ended`: the last epoch is over.
 */
export type Warning = "runway" | "notice" | "ended";

export interface SetOutlook {
  /** Brought up to date; undefined while it is not known. */
  readonly account: Pick<UserAccount, "available" | "rate"> | undefined;
  /** Undefined while the set has no end. */
  readonly lastEpoch: number | undefined;
  readonly currentEpoch: number;
}

export interface RunwayLimits {
  /** Of the escrow. */
  readonly noticeEpochs: number;
  /** Fewer epochs than this beyond the notice period are worth a warning. */
  readonly warningEpochs: number;
}

/**
 * Epochs that a balance covers beyond the notice period of the escrow; negative when it does not cover that.
 * Infinite when nothing runs.
 */
export function epochsBeyondNotice(account: Pick<UserAccount, "available" | "rate">, noticeEpochs: number): number {
  return runwayEpochs({ ...account, paidThrough: 0, generation: 0 }) - noticeEpochs;
}

export function warningOf({ account, lastEpoch, currentEpoch }: SetOutlook, limits: RunwayLimits): Warning | undefined {
  if (lastEpoch !== undefined) return currentEpoch > lastEpoch ? "ended" : "notice";
  if (account === undefined) return undefined;
  return epochsBeyondNotice(account, limits.noticeEpochs) < limits.warningEpochs ? "runway" : undefined;
}

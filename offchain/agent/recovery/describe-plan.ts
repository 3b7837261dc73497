/** Recovery plans, and who acts under them, for people. */
import type { RecoveryPlace, RecoveryPlan } from "../../chain/recovery-policy.ts";

/** Also the party of an error or a check. */
export function proposerText({ path, proposer }: RecoveryPlace): string {
  return `${path === "wallet" ? "wallet" : "guardian"} ${proposer}`;
}

/** For people and documents: who can get the identity back, and when. */
export function describePlan({ wallet, guardians, windowSeconds }: RecoveryPlan): string[] {
  return [
    ...(wallet === undefined
      ? []
      : [`wallet ${wallet.account}, ${durationText(wallet.delaySeconds)} after its request`]),
    ...(guardians === undefined
      ? []
      : [
          `${guardians.threshold} of ${guardians.accounts.length} guardians, ` +
            `${guardians.delaySeconds === 0 ? "at once" : durationText(guardians.delaySeconds)} after the last ` +
            `approval: ${guardians.accounts.join(", ")}`,
        ]),
    `a request stays open for ${durationText(windowSeconds)}`,
  ];
}

/** A duration in the largest unit that states it exactly. */
export function durationText(seconds: number): string {
  for (const [unit, length] of [
    ["day", 86_400],
    ["hour", 3600],
    ["minute", 60],
  ] as const) {
    const count = seconds / length;
    if (Number.isInteger(count) && count > 0) return `${count} ${unit}${count === 1 ? "" : "s"}`;
  }
  return `${seconds} s`;
}

/** What became of ownership groups of puts that the account keeps no longer at a provider, for people. */
import type { LeftGroup } from "../../agent/stubs/leave-groups.ts";
import { printable } from "../output.ts";

/** Whether the account may still be in one. */
export function anyFailed(groups: readonly LeftGroup[]): boolean {
  return groups.some(({ outcome }) => outcome === "failed");
}

export function leftGroupLines(groups: readonly LeftGroup[]): string[] {
  return groups.flatMap(linesOf);
}

function linesOf({ provider, dataId, groupId, outcome, error }: LeftGroup): string[] {
  const group = groupId === undefined ? `the ownership group of ${dataId}` : `ownership group ${groupId} of ${dataId}`;
  switch (outcome) {
    case "left":
      return [`left ${group} at provider ${provider}; its other owners keep the put`];
    case "closed":
      return [`closed ${group} at provider ${provider}: nobody else was in it`];
    case "founder":
      return [
        `this account still administers ${group} at provider ${provider}, for its other owners`,
        `  to end it, which takes the stub file from them: tallystick owners close ${dataId}`,
      ];
    case "failed":
      return [
        `this account may still be in ${group} at provider ${provider}: ${printable(error?.message ?? "no answer")}`,
        `  to leave it: tallystick owners leave ${dataId}`,
      ];
  }
}

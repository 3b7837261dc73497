/** Whole runs that make a generation of a committee's keys, all parties in one process. */

import { reviewDealing } from "../../offchain/core/committee/complaint.ts";
import { dealShares } from "../../offchain/core/committee/dealing.ts";
import { decodeMemberShares } from "../../offchain/core/committee/member-shares.ts";
import { announceMember, RunMembers } from "../../offchain/core/committee/receiving.ts";
import {
  type CommitteeGeneration,
  CommitteeRun,
  type CommitteeScope,
  type PerKey,
  type RunParameters,
} from "../../offchain/core/committee/run.ts";
import { finishRun, type MemberResult, type SignedBy } from "../../offchain/core/committee/settlement.ts";
import type { RecordKeys } from "../../offchain/core/sealed-secrets/decryption-share.ts";

export const SCOPE: CommitteeScope = {
  chainId: 31_337n,
  registry: "0x5FbDB2315678afecb367f032d93F642f64180aa3",
  committeeId: 7n,
};

/** A generation and what its members hold; the shares of member i at position i − 1. */
export interface Committee {
  readonly generation: CommitteeGeneration;
  readonly shares: Uint8Array[];
}

/** A run in which all have announced themselves and all dealers have dealt. */
export interface OpenRun {
  readonly members: RunMembers;
  readonly announcements: Map<number, Uint8Array>;
  readonly secrets: Uint8Array[];
  readonly dealings: SignedBy[];
}

export function range(count: number): number[] {
  return Array.from({ length: count }, (_, at) => at + 1);
}

export function at<T>(items: readonly T[], position: number): T {
  const item = items[position];
  if (item === undefined) throw new Error(`nothing at position ${position}`);
  return item;
}

/** @param dealers of those who deal; all unless stated @param scope of another committee than `SCOPE` */
export function openRun(
  parameters: Pick<RunParameters, "size" | "threshold"> & { generation?: number; scope?: CommitteeScope },
  previous?: Committee,
  dealers?: number[],
): OpenRun {
  const { size, threshold, scope = SCOPE, generation = (previous?.generation.generation ?? 0) + 1 } = parameters;
  const made = { ...scope, generation, size, threshold };
  const run = new CommitteeRun(previous === undefined ? made : { ...made, previous: previous.generation });
  const beginnings = range(size).map((member) => announceMember(run, member));
  const announcements = new Map(beginnings.map(({ announcement }, position) => [position + 1, announcement]));
  const members = new RunMembers(run, announcements);
  const dealings = (dealers ?? range(run.dealers)).map((from) => ({
    from,
    bytes: dealShares(members, from, previous?.shares[from - 1]),
  }));
  return { members, announcements, secrets: beginnings.map(({ secret }) => secret), dealings };
}

/** The complaints of all members about dealings that are valid for everybody to see. */
export function complaintsOf({ members, secrets }: OpenRun, dealings: readonly SignedBy[]): SignedBy[] {
  return secrets.flatMap((secret, position) =>
    dealings.flatMap(({ from, bytes }) => {
      const complaint = reviewDealing(members, position + 1, secret, from, bytes);
      return complaint === undefined ? [] : [{ from: position + 1, bytes: complaint }];
    }),
  );
}

export function finishAll(
  { members, secrets }: OpenRun,
  dealings: readonly SignedBy[],
  complaints: readonly SignedBy[] = [],
): MemberResult[] {
  return secrets.map((secret, position) => finishRun(members, position + 1, secret, dealings, complaints));
}

/** A run of honest parties to its end. */
export function completeRun(...args: Parameters<typeof openRun>): Committee {
  const run = openRun(...args);
  const results = finishAll(run, run.dealings);
  return { generation: at(results, 0).generation, shares: results.map(({ shares }) => shares) };
}

/** Both key shares of a member. */
export function sharesOf({ generation, shares }: Committee, member: number, scope = SCOPE): PerKey<Uint8Array> {
  return decodeMemberShares(scope, generation, member, at(shares, member - 1));
}

/** What is public about the record key. */
export function recordKeys({ generation: { generation, threshold, keys } }: Committee, scope = SCOPE): RecordKeys {
  return { committeeId: scope.committeeId, generation, threshold, ...keys.record };
}

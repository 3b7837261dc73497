/** Notice to a data set that was moved, unless it has ended or its end is known. */

import type { OpenedDataSet } from "../../chain/data-set-words.ts";
import { TallystickError } from "../../core/errors.ts";
import type { AgentContext } from "../context.ts";
import { type DataSetOnChain, hasEnded, readOnChain } from "../data-sets/following.ts";
import { awaitPending } from "../data-sets/funding.ts";

/** A set of this account, and what to do about it. */
export interface MigrationSubject {
  readonly opened: OpenedDataSet;
  readonly onChain: DataSetOnChain;
  /** Gives notice to it. */
  giveNotice(): Promise<{ readonly transactionHash: string }>;
}

/** How the old set ends. */
export interface OldSetEnd {
  /** Last epoch of the old set; absent for one that a breach has ended, to which no notice can be given. */
  readonly lastEpoch?: number;
  /** Of the notice; absent when none had to be given. */
  readonly transactionHash?: string;
}

/** @throws TallystickError what `giveNotice` throws, while the set goes on; CHAIN_UNAVAILABLE */
export async function leaveOld(
  context: AgentContext,
  { opened, giveNotice }: Pick<MigrationSubject, "opened" | "giveNotice">,
  signal?: AbortSignal,
): Promise<OldSetEnd> {
  const now = async () => await readOnChain(await context.chain(), opened);
  // A notice of an earlier run may be under way.
  await awaitPending(context, signal);
  const known = endOf(await now());
  if (known !== undefined) return known;
  let transactionHash: string;
  try {
    ({ transactionHash } = await giveNotice());
  } catch (error) {
    // The other party's notice, a breach or a balance that is used up may have come first.
    const end = endOf(await now().catch(() => undefined));
    if (end !== undefined) return end;
    throw error;
  }
  const end = endOf(await now());
  if (end === undefined) throw undone(opened.id, "no last epoch");
  return { ...end, transactionHash };
}

/** @returns undefined while a set goes on, and when the chain does not show it */
function endOf(onChain: DataSetOnChain | undefined): OldSetEnd | undefined {
  if (onChain === undefined || !hasEnded(onChain)) return undefined;
  const { books, lastEpoch } = onChain;
  // A breach ends a set before the epoch that a notice or the balance would have ended it with.
  return books.status === "breached" || lastEpoch === undefined ? {} : { lastEpoch };
}

/** The chain does not have any more what this device has seen of a set. */
export function undone(id: string, received: string): TallystickError {
  return new TallystickError(`the chain does not show data set ${id} as it did`, {
    code: "CHAIN_UNAVAILABLE",
    party: "chain",
    check: "data set",
    expected: id,
    received,
    hint: "run the command again: it continues where this one stopped",
    retryable: true,
  });
}

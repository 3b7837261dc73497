/** A data set as the chain has it, found by its id. */

import { type OpenedDataSet, requireTermsOfId } from "../../chain/data-set-words.ts";
import { readEscrowClock } from "../../chain/escrow.ts";
import { readOpened } from "../../chain/escrow-events.ts";
import { isAddressEqual } from "../../core/encoding/address.ts";
import { TallystickError } from "../../core/errors.ts";
import type { AgentContext } from "../context.ts";
import { type DataSetView, viewOf } from "./data-set-view.ts";
import { readDisputeView } from "./disputing.ts";
import { type DataSetOnChain, follow, readOnChain } from "./following.ts";
import type { JournaledDataSet } from "./journal.ts";

export interface FoundSet {
  readonly opened: OpenedDataSet;
  readonly onChain: DataSetOnChain;
}

/** @throws TallystickError NOT_FOUND */
export async function requireSet(context: AgentContext, id: string): Promise<FoundSet> {
  const chain = await context.chain();
  const opened = await readOpened(chain, id);
  if (opened === undefined) throw notFound(id);
  return await readFound(context, opened);
}

/** @throws TallystickError NOT_FOUND, NOT_OWNER */
export async function requireOwnSet(context: AgentContext, id: string): Promise<FoundSet> {
  const found = await requireSet(context, id);
  const { address } = context.account;
  if (isAddressEqual(found.opened.terms.user, address)) return found;
  throw new TallystickError(`data set ${id} belongs to another account`, {
    code: "NOT_OWNER",
    party: "you",
    check: "user of the data set",
    expected: found.opened.terms.user,
    received: address,
  });
}

/** How the set of an event stands. @throws TallystickError CHAIN_UNAVAILABLE when contract state does not have it */
export async function readFound(context: AgentContext, opened: OpenedDataSet): Promise<FoundSet> {
  const chain = await context.chain();
  requireTermsOfId(chain.deployment, opened);
  const onChain = await readOnChain(chain, opened);
  if (onChain === undefined) throw notShown(opened.id, "the set of an event");
  return { opened, onChain };
}

/** What this device's journal has of a set; undefined when it has nothing. */
export async function journaledSet(
  { platform }: AgentContext,
  { opened }: Pick<FoundSet, "opened">,
): Promise<JournaledDataSet | undefined> {
  const journaled = await platform.dataSets.set(opened.audit.salt);
  return journaled?.agreed?.id === opened.id ? journaled : undefined;
}

/** Notes in the journal how a set stands now. */
export async function followFound(context: AgentContext, found: FoundSet): Promise<DataSetOnChain> {
  const journaled = await journaledSet(context, found);
  if (journaled !== undefined) await follow(context, journaled);
  return (await readFound(context, found.opened)).onChain;
}

export async function viewOfFound(context: AgentContext, found: FoundSet): Promise<DataSetView> {
  const chain = await context.chain();
  const { epochBlocks } = await readEscrowClock(chain);
  const [own, dispute] = [await journaledSet(context, found), await readDisputeView(chain, found)];
  return viewOf(found.opened, found.onChain, epochBlocks, own, dispute);
}

export function notFound(id: string): TallystickError {
  return new TallystickError(`there is no data set ${id}`, {
    code: "NOT_FOUND",
    party: "chain",
    check: "id of the data set",
    received: id,
    hint: "`tallystick data-set ls` lists yours; of another account's, give the whole id",
  });
}

export function notShown(id: string, what: string): TallystickError {
  return new TallystickError(`the chain does not show ${what}, of data set ${id}`, {
    code: "CHAIN_UNAVAILABLE",
    party: "chain",
    check: "data set",
    expected: id,
    received: "nothing",
    hint: "repeat when the endpoint is in sync",
    retryable: true,
  });
}

/**
 * Has a signed ledger entry relayed: by one node, or another one when that fails or stays silent, until contract state
 * shows the entry. What a node answers is never proof of it. A node that fails after it sent the transaction has still
 * done it, so state is read before another one is asked. Nothing is lost when two nodes send the same entry: it is on
 * the ledger once, and the node that comes second pays for a transaction that reverts.
 */

import pRetry from "p-retry";
import type { ChainReader } from "../../chain/deployment.ts";
import { readHeadNumber } from "../../chain/head.ts";
import { pause } from "../../chain/pause.ts";
import { type AssignableMember, type Assignment, assignedOrder } from "../../core/assignment/assignment.ts";
import { TallystickError } from "../../core/errors.ts";
import { type AgentLogger, SILENT } from "../progress.ts";
import type { NbmClient } from "./nbm-client.ts";
import type { NodeReport } from "./node-reports.ts";
import { bestFirst, gather } from "./quorum.ts";

/** Archives and other endpoints follow the chain with a small delay: half a second, then twice as long each time. */
const POLLS = { minTimeout: 500, factor: 2 };
const RETRIES = 3;
/**
 * A node answers when the transaction is mined. One that has not by then may hang, and another one is asked as well. It
 * is more than a block of the slowest chain takes, since a second transaction costs its node something.
 */
const SILENCE_SECONDS = 20;
/** How often contract state is looked at meanwhile: a node may have relayed and not say so. */
const LOOK_SECONDS = 5;
/** How long the blocks upon an entry are waited for; as the receipt of an own transaction. */
const CONFIRMATION_SECONDS = 300;
/** How long a node has, once its entry is in contract state, to name the transaction. */
const NAME_SECONDS = 3;

export interface Relayed {
  readonly transactionHash?: string;
  readonly blockNumber?: number;
}

export interface RelayContext {
  /** In the order in which they are asked. */
  readonly nodes: readonly NbmClient[];
  readonly logger?: AgentLogger;
}

export interface RelayTimes {
  readonly silenceSeconds?: number;
  readonly lookSeconds?: number;
}

/** Asks a node; the signal aborts when its answer is of no use any more. */
export type SendEntry = (
  node: NbmClient,
  signal: AbortSignal,
) => Promise<{ transactionHash: string; blockNumber: number }>;

/**
 * The order in which members are asked to relay: those that have just answered, those that were not asked, those that
 * failed; among equals that of the assignment, which spreads the cost over the committee. Those without an address are
 * left out.
 */
export function relayOrder<Member extends AssignableMember & { readonly url: string }>(
  assignment: Assignment,
  members: readonly Member[],
  reports: readonly NodeReport[],
): Member[] {
  const reachable = members.filter(({ url }) => url !== "");
  return bestFirst(assignedOrder(assignment, reachable), reports);
}

/**
 * @param isDone whether the entry is in contract state
 * @throws TallystickError of the last node when none could relay
 */
export async function relayEntry(
  { nodes, logger = SILENT }: RelayContext,
  send: SendEntry,
  isDone: () => Promise<boolean>,
  { silenceSeconds = SILENCE_SECONDS, lookSeconds = LOOK_SECONDS }: RelayTimes = {},
): Promise<Relayed> {
  let asked = 0;
  const ask = async (node: NbmClient, unneeded: AbortSignal): Promise<Relayed> => {
    asked += 1;
    if (asked > 1 && (await isDone())) return {};
    if (asked > 1) logger.debug({ node: node.url }, "asking another node to relay");
    try {
      return await relayBy(node, send, isDone, lookSeconds, unneeded);
    } catch (error) {
      if (!(error instanceof TallystickError)) throw error;
      if (await isDone()) return {};
      logger.warn({ node: node.url, code: error.code }, `${error.message}; another node relays`);
      throw error;
    }
  };
  const { answers, failures } = await gather(nodes, 1, ask, silenceSeconds);
  const [first] = answers;
  if (first !== undefined) return first.answer;
  throw (
    failures.at(-1)?.error ??
    new TallystickError("the committee has no node that could relay", { code: "QUORUM_FAILED" })
  );
}

/** Resolves when the entry is in contract state, with the transaction if the node names it. */
async function relayBy(
  node: NbmClient,
  send: SendEntry,
  isDone: () => Promise<boolean>,
  lookSeconds: number,
  unneeded: AbortSignal,
): Promise<Relayed> {
  const end = new AbortController();
  const signal = AbortSignal.any([unneeded, end.signal]);
  const sent = send(node, signal).then(async ({ transactionHash, blockNumber }): Promise<Relayed> => {
    // The node's endpoint may be a block ahead of this one's.
    const done = await polled(async () => ((await isDone()) ? true : undefined));
    if (done !== true) throw unconfirmed(node.name);
    return { transactionHash, blockNumber };
  });
  const seen = whenDone(isDone, lookSeconds, signal).then(async (): Promise<Relayed> => {
    return await Promise.race([sent.catch(() => ({})), pause(NAME_SECONDS * 1000, signal).then(() => ({}))]);
  });
  try {
    return await Promise.race([sent, seen]);
  } finally {
    end.abort();
  }
}

/** @throws the signal's reason when it is aborted before */
async function whenDone(isDone: () => Promise<boolean>, lookSeconds: number, signal: AbortSignal): Promise<void> {
  do {
    await pause(lookSeconds * 1000, signal);
    // A look that fails is repeated: the node's own answer may still come.
  } while (!(await isDone().catch(() => false)));
}

class NotThereYet extends Error {}

/** Looks a few times for what may not be there yet. @returns undefined when it still is not */
export async function polled<Value>(
  look: () => Promise<Value | undefined>,
  retries = RETRIES,
): Promise<Value | undefined> {
  const attempt = async () => {
    const value = await look();
    if (value === undefined) throw new NotThereYet();
    return value;
  };
  try {
    return await pRetry(attempt, { ...POLLS, retries, shouldRetry: ({ error }) => error instanceof NotThereYet });
  } catch (error) {
    if (error instanceof NotThereYet) return undefined;
    throw error;
  }
}

/**
 * Waits until an entry that was relayed is in the state of a block that has some blocks on it, as a transaction of the
 * account's own does (`confirmations` of the agent).
 *
 * @param confirmations 1: the latest block is enough
 * @param isDoneAt whether the entry is in the state of a block
 * @throws TallystickError TIMED_OUT, retryable; CHAIN_UNAVAILABLE
 */
export async function untilConfirmed(
  chain: ChainReader,
  confirmations: number,
  isDoneAt: (blockNumber: number) => Promise<boolean>,
  { patienceSeconds = CONFIRMATION_SECONDS, lookSeconds = 1 } = {},
): Promise<void> {
  const end = performance.now() + patienceSeconds * 1000;
  while (confirmations > 1) {
    const head = await readHeadNumber(chain);
    const block = head - confirmations + 1;
    if (block >= 0 && (await isDoneAt(block))) return;
    if (performance.now() >= end) throw unconfirmedYet(confirmations);
    await pause(lookSeconds * 1000);
  }
}

function unconfirmed(party: string): TallystickError {
  return new TallystickError(`${party} says it relayed, but the ledger does not show it`, {
    code: "BAD_RESPONSE",
    party,
    check: "record in contract state",
  });
}

function unconfirmedYet(confirmations: number): TallystickError {
  return new TallystickError("the entry is on the ledger, but too few blocks are upon it", {
    code: "TIMED_OUT",
    party: "chain",
    check: "confirmations",
    expected: String(confirmations),
    hint: "run the command again: it goes on where it stopped",
    retryable: true,
  });
}

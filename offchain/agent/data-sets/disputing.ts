/**
 * Disputes of data sets in mode `on-demand`: anybody asks for a proof, with a bond that the provider gets when it
 * answers. The contract decides whether there can be one; its refusals are told with what to do about them.
 */
import { escrowAbi } from "../../chain/abis.ts";
import { NATIVE_TOKEN, type OpenedDataSet } from "../../chain/data-set-words.ts";
import type { ChainReader } from "../../chain/deployment.ts";
import { type OpenDispute, readDispute, readEscrowClock } from "../../chain/escrow.ts";
import { disputeCall } from "../../chain/escrow-calls.ts";
import { parseDataSetLog } from "../../chain/escrow-events.ts";
import { quoteFee } from "../../chain/fee-limit.ts";
import { chainLogs } from "../../chain/logs.ts";
import { ChainRevertedError } from "../../chain/revert.ts";
import { lastLevel, levelAt } from "../../core/data-set/schedule.ts";
import type { DataSetAuditTerms } from "../../core/data-set/terms.ts";
import { formatAmount, formatEther } from "../../core/encoding/amounts.ts";
import { type ErrorFacts, TallystickError } from "../../core/errors.ts";
import type { AgentContext } from "../context.ts";
import { restate } from "../restate-error.ts";
import type { DataSetOnChain } from "./following.ts";
import { type SendOptions, type SentTransaction, sendWithin } from "./sending.ts";

/** A dispute that the provider has to answer. */
export interface DisputeView {
  /** Who gets the bond back, and the bounty, if it does not. */
  readonly disputer: string;
  /** Whose randomness decides what is asked for. */
  readonly challengeBlock: number;
  /** Last block in which an answer counts; afterwards anybody can have the dispute decided. */
  readonly answerUntilBlock: number;
  /** In the token's smallest unit. */
  readonly bond: bigint;
}

/** What a dispute would cost now. */
export interface DisputeQuote {
  readonly id: string;
  readonly token: string;
  /** Of the caller's balance in the escrow, until it is decided; lost when the provider proves. */
  readonly bond: bigint;
  /** The bounty that comes back with the bond when the provider does not prove. */
  readonly bounty: bigint;
  /** Blocks after the challenge in which the provider can answer. */
  readonly answerBlocks: number;
  /** At most, of the transaction. */
  readonly gas: bigint;
  /** What so much gas costs now, in wei. */
  readonly gasFee: bigint;
}

/** A dispute that was opened. */
export interface DisputeReceipt extends SentTransaction, DisputeView {
  readonly id: string;
  readonly token: string;
}

interface Disputed {
  readonly opened: OpenedDataSet;
  readonly onChain: DataSetOnChain;
}

/** An open dispute, with the deadline that follows from the audit terms. */
export function disputeViewOf(
  { disputer, challengeBlock, bond }: OpenDispute,
  { windowBlocks, graceBlocks }: DataSetAuditTerms,
): DisputeView {
  return { disputer, challengeBlock, answerUntilBlock: challengeBlock + windowBlocks + graceBlocks, bond };
}

/** The dispute of a set that is open now. @returns undefined without one */
export async function readDisputeView(
  chain: ChainReader,
  { opened, onChain }: Disputed,
): Promise<DisputeView | undefined> {
  if (!onChain.books.disputed) return undefined;
  const dispute = await readDispute(chain, opened.id);
  return dispute === undefined ? undefined : disputeViewOf(dispute, opened.audit);
}

/** Whether no answer can come in time any more, so that the next block can decide it. */
export function isUnanswered({ answerUntilBlock }: DisputeView, { head }: DataSetOnChain): boolean {
  return head >= answerUntilBlock;
}

/**
 * What a dispute would cost, without sending anything.
 * @throws as `openDispute`
 */
export async function quoteDispute(context: AgentContext, found: Disputed): Promise<DisputeQuote> {
  const { id, terms, audit } = found.opened;
  const { schedule, epoch } = found.onChain;
  const fee = (levelAt(schedule, epoch) ?? lastLevel(schedule)).fee;
  const quote = await explained(context, found, async () =>
    quoteFee(await context.chain(), callOf(context, found), context.account.address),
  );
  return {
    id,
    token: terms.token,
    bond: audit.disputeBond,
    bounty: (fee * BigInt(terms.bountyPercent)) / 100n,
    answerBlocks: audit.windowBlocks + audit.graceBlocks,
    ...quote,
  };
}

/**
 * Opens a dispute.
 * @throws TallystickError FUNDS when the balance does not cover the bond, or the gas costs more than allowed; CONFLICT
 *   when the set cannot be disputed now: one dispute is open, the epoch is proven or decided, its challenge would fall
 *   into the next one, or the set has ended; INVALID_INPUT for a set that is proven in every epoch anyway
 */
export async function openDispute(
  context: AgentContext,
  found: Disputed,
  options: SendOptions,
): Promise<DisputeReceipt> {
  const { id, terms, audit } = found.opened;
  const sent = await explained(context, found, async () => await sendWithin(context, callOf(context, found), options));
  const dispute = await disputeOpenedIn(await context.chain(), id, sent.blockNumber);
  return { ...sent, id, token: terms.token, ...disputeViewOf(dispute, audit) };
}

function callOf({ deployment }: AgentContext, { opened, onChain }: Disputed) {
  const { terms, audit } = opened;
  return disputeCall(deployment, { terms, audit, schedule: onChain.scheduled.schedule });
}

/** From the event: the provider may have answered already. */
async function disputeOpenedIn(chain: ChainReader, id: string, block: number): Promise<OpenDispute> {
  const topics = escrowAbi().encodeFilterTopics("DisputeOpened", [id]);
  const filter = { address: chain.deployment.contracts.storageEscrow, topics };
  for await (const log of chainLogs(chain, filter, block, block)) {
    const event = parseDataSetLog(log);
    if (event?.kind === "DisputeOpened") return event;
  }
  throw new TallystickError(`the chain does not show the dispute of data set ${id} that was mined`, {
    code: "CHAIN_UNAVAILABLE",
    party: "chain",
    check: "DisputeOpened event",
    expected: `one in block ${block}`,
    received: "none",
    hint: "repeat `tallystick data-set show` when the endpoint is in sync",
    retryable: true,
  });
}

type Explanation = [message: string, facts: Partial<ErrorFacts>];

/** What each refusal of the contract means for whoever wanted to dispute. */
const EXPLANATIONS: Readonly<
  Record<string, (argument: (name: string) => bigint, facts: ExplainedFacts) => Explanation>
> = {
  BalanceTooLow: (argument, { token, account }) => {
    const [available, required] = [argument("available"), argument("required")];
    const missing = required - available;
    const isCoin = token === NATIVE_TOKEN;
    const topUp = isCoin ? formatEther(missing).replace(" ", "") : `${missing} --token ${token}`;
    const what = `the balance of ${account} in the escrow`;
    return [
      `${what} does not cover the bond of a dispute beside the notice period of its data sets`,
      {
        code: "FUNDS",
        party: "you",
        check: "dispute bond",
        expected: `at least ${formatAmount(required, token)}`,
        received: formatAmount(available, token),
        hint: `\`tallystick data-set top-up ${topUp}\` adds what is missing`,
      },
    ];
  },
  EpochSettled: (argument, { epochBlocks }) => [
    "the provider has proven this epoch already, or its dispute was decided",
    {
      ...conflict("one dispute per epoch"),
      received: `epoch ${argument("epoch")}`,
      hint: `dispute again from block ${(Number(argument("epoch")) + 1) * epochBlocks} on, when the next epoch begins`,
    },
  ],
  DisputeTooLate: (argument, { epochBlocks }) => [
    "the challenge of a dispute would fall into the next epoch",
    {
      ...conflict("challenge block"),
      expected: `a block of epoch ${argument("epoch")}`,
      received: `block ${argument("challengeBlock")}`,
      hint: `dispute again from block ${(Number(argument("epoch")) + 1) * epochBlocks} on, when the next epoch begins`,
      retryable: true,
    },
  ],
  DisputeOpen: (_argument, { id }) => [
    "a dispute of this data set is open already",
    {
      ...conflict("open dispute"),
      hint:
        `\`tallystick data-set show ${id}\` says until when the provider can answer; afterwards ` +
        `\`tallystick data-set settle ${id}\` decides it`,
    },
  ],
  NotPartOfSet: (argument, { epochBlocks }) => [
    "the data set does not run in this epoch, so it has nothing to prove",
    {
      ...conflict("epoch of the data set"),
      received: `epoch ${argument("epoch")}`,
      hint:
        `a set begins with the epoch after its opening (the next one with block ` +
        `${(Number(argument("epoch")) + 1) * epochBlocks}), and is not disputed after its last one`,
    },
  ],
  WrongMode: (_argument, { id }) => [
    "the data set is proven in every epoch, so there is nothing to dispute",
    {
      code: "INVALID_INPUT",
      party: "you",
      check: "mode of the data set",
      expected: "on-demand",
      received: "every-epoch",
      hint: `\`tallystick data-set settle ${id}\` reports epochs that were missed`,
    },
  ],
  WrongStatus: () => [
    "the data set has ended",
    { ...conflict("status of the data set"), expected: "running", hint: "what has ended is not proven any more" },
  ],
  WrongSchedule: () => [
    "the data set has changed meanwhile",
    { ...conflict("schedule of the data set"), hint: "run the command again", retryable: true },
  ],
};

interface ExplainedFacts {
  readonly id: string;
  readonly token: string;
  /** Of the disputer. */
  readonly account: string;
  readonly epochBlocks: number;
}

function conflict(check: string): Pick<ErrorFacts, "code" | "party" | "check"> {
  return { code: "CONFLICT", party: "chain", check };
}

/** Tells refusals of the contract in words of the user. */
async function explained<Result>(
  context: AgentContext,
  { opened: { id, terms } }: Disputed,
  work: () => Promise<Result>,
): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    const explain = error instanceof ChainRevertedError ? EXPLANATIONS[error.revert.name] : undefined;
    if (!(error instanceof ChainRevertedError) || explain === undefined) throw error;
    const { epochBlocks } = await readEscrowClock(await context.chain());
    const argument = (name: string) => BigInt(String(error.revert.args[name]));
    const [message, facts] = explain(argument, {
      id,
      token: terms.token,
      account: context.account.address,
      epochBlocks,
    });
    throw restate(error, message, facts);
  }
}

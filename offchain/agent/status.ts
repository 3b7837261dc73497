/** `status`: the account, its network, and the state of each put on chain. */

import { readEscrowClock } from "../chain/escrow.ts";
import { hasRole } from "../chain/ledger.ts";
import { readChain } from "../chain/revert.ts";
import { TallystickError } from "../core/errors.ts";
import type { CataloguedPut } from "./catalogue.ts";
import { type ClockOffset, clockOffsets } from "./clock-offsets.ts";
import type { AgentContext } from "./context.ts";
import type { DataSetView } from "./data-sets/data-set-view.ts";
import { DataSets } from "./data-sets/data-sets.ts";
import type { UserBalance } from "./data-sets/user-balance.ts";
import { type DelegateAccount, Delegates } from "./delegates/delegates.ts";
import { Recovery } from "./recovery/recovery.ts";
import { replacedWarnings } from "./recovery/replaced.ts";
import type { RequestView } from "./recovery/requests.ts";
import { warningOf } from "./recovery/warnings.ts";
import { readLists, type SnapshotListing } from "./snapshots/snapshot-lists.ts";
import { unkeptSnapshots, unkeptWarnings } from "./snapshots/unkept-snapshots.ts";

export interface PutStatus extends CataloguedPut {
  /** True when the ledger confirms the account as an owner of the key record. */
  readonly recorded: boolean;
  /**
   * Whether a snapshot names it. When none does, its put has failed after the key was recorded, or the snapshot was
   * removed and its objects were left. Absent when a list could not be read.
   */
  readonly listed?: boolean;
}

/** A daemon, as it answers now. */
export interface PartyStatus {
  readonly name: string;
  readonly url: string;
  readonly account: string;
  /** `ready`, `not ready`, or the error code of its failure. */
  readonly state: string;
  readonly message?: string;
}

export interface StatusReport {
  readonly account: string;
  /** Of the key of a device: whose delegate it is or was, and the data sets that it adds to. */
  readonly actsFor?: DelegateAccount;
  readonly chainId: number;
  readonly blockNumber: number;
  /** Of the account, in wei. */
  readonly balance: bigint;
  /** In the escrow, for all data sets that are paid in the chain's coin. */
  readonly escrow: UserBalance;
  readonly dataSets: readonly DataSetView[];
  /** Requests for this identity that are under way. */
  readonly recoveries: readonly RequestView[];
  /** For people: requests for the identity, storage that ends soon, epochs that were missed. */
  readonly warnings: readonly string[];
  readonly committee: { readonly id: bigint; readonly threshold: number; readonly nodes: readonly PartyStatus[] };
  readonly providers: readonly PartyStatus[];
  /** Nodes and providers that answered, and the chain when its newest block is ahead of this machine's clock. */
  readonly clocks: readonly ClockOffset[];
  readonly puts: readonly PutStatus[];
}

/**
 * @param dataId one put; all of the catalogue without it.
 * @throws TallystickError NOT_FOUND for a data id that is not in the catalogue; NO_DEPLOYMENT, CHAIN_UNAVAILABLE
 */
export async function status(context: AgentContext, dataId?: string): Promise<StatusReport> {
  const { account, catalogue, deployment } = context;
  const puts = dataId === undefined ? await catalogue.puts() : [await requirePut(context, dataId)];
  const chain = await context.chain();
  const [block, balance] = await readChain("reading the account", () =>
    Promise.all([chain.provider.getBlock("latest"), chain.provider.getBalance(account.address)]),
  );
  const chainAhead = (block?.timestamp ?? 0) - Math.floor(Date.now() / 1000);
  const { committee, members } = await context.committee();
  const sets = new DataSets(context);
  const [nodes, providers, dataSets, escrow, { noticeEpochs }, recoveries, replaced, clocks, actsFor] =
    await Promise.all([
      Promise.all(
        members.map(async ({ index, url, operator, client }) => ({
          name: `node ${index}`,
          url,
          account: operator,
          ...(await answerOf(async () => {
            const { committees } = await client.node();
            const own = committees.find(({ committeeId }) => committeeId === String(committee.id));
            return own?.ready === true ? "ready" : "not ready";
          })),
        })),
      ),
      Promise.all(
        [...context.providers()].map(async (provider) => ({
          name: "provider",
          url: provider.url,
          account: provider.account,
          ...(await answerOf(async () => {
            await provider.dataSetOffer();
            return "ready";
          })),
        })),
      ),
      sets.list(),
      sets.balance(),
      readEscrowClock(chain),
      new Recovery(context).underWay(),
      replacedWarnings(context),
      clockOffsets([
        ...members.flatMap(({ index, url }) => (url === "" ? [] : [{ name: `node ${index}`, url }])),
        ...[...context.providers()].map(({ url }) => ({ name: "provider", url })),
      ]),
      new Delegates(context).own(),
    ]);
  const lists = await listsOf(context);
  const named = new Set(lists?.snapshots.map((snapshot) => snapshot.dataId));
  const isComplete = lists?.failures.length === 0;
  const described: PutStatus[] = [];
  for (const put of puts) {
    const recorded = await confirmOwnership(context, put);
    const isNamed = named.has(put.dataId);
    described.push({ ...put, recorded, ...(isNamed || isComplete ? { listed: isNamed } : {}) });
  }
  const unkept = lists === undefined ? [] : await unkeptSnapshots(context, async () => lists);
  return {
    account: account.address,
    ...(actsFor === undefined ? {} : { actsFor }),
    chainId: deployment.chainId,
    blockNumber: block?.number ?? 0,
    balance,
    escrow,
    dataSets,
    recoveries,
    warnings: [
      ...recoveries.map(warningOf),
      ...replaced,
      ...delegateWarnings(actsFor),
      ...warningsOf(dataSets, noticeEpochs),
      ...unkeptWarnings(unkept),
    ],
    committee: { id: committee.id, threshold: committee.threshold, nodes },
    providers,
    // A chain that mines on demand has an old newest block; one in the future is a clock.
    clocks: [...clocks, ...(chainAhead > 0 ? [{ name: "chain", offsetSeconds: chainAhead }] : [])],
    puts: described,
  };
}

/** Epochs beyond the notice period below which a balance is short. */
const SHORT_RUNWAY_EPOCHS = 10;

/** Whether the balance that pays for a set will soon be used up. */
export function isRunwayShort({ status, slices, runwayEpochs }: DataSetView, noticeEpochs: number): boolean {
  return status === "running" && slices > 0 && runwayEpochs < noticeEpochs + SHORT_RUNWAY_EPOCHS;
}

function endingText({ lastEpoch, movedTo }: DataSetView): string {
  const what =
    movedTo === undefined
      ? "put what is to be kept again, to this or another provider"
      : `its content is in data set ${movedTo.id.slice(0, 10)} at provider ${movedTo.provider}`;
  return `ends after epoch ${lastEpoch}: ${what}`;
}

/** Of a set that goes on although its content is elsewhere: the command that gives notice failed or was ended. */
function leftText({ id, status, provider, movedTo }: DataSetView): string[] {
  if (status !== "running" || movedTo === undefined) return [];
  const [name, target] = [id.slice(0, 10), movedTo.id.slice(0, 10)];
  const command =
    movedTo.provider === provider ? `compact ${name} --successor` : `migrate ${name} --to ${movedTo.provider}`;
  return [
    `data set ${name} was moved to data set ${target}, but no notice was given, and both are paid: run ` +
      `\`tallystick data-set ${command}\` again`,
  ];
}

/** What the holder of a device should act on. */
export function delegateWarnings(actsFor: DelegateAccount | undefined): string[] {
  if (actsFor === undefined) return [];
  const { account, scopes, state, budgets } = actsFor;
  if (state !== "live") {
    const reason = state === "replaced" ? "the account has a successor" : `it is ${state}`;
    return [
      `this device acts for account ${account} no more, since ${reason}: make another identity on it (\`tallystick ` +
        "init --home <new folder>`), and have the owner grant that",
    ];
  }
  if (!scopes.includes("write") || budgets.length > 0) return [];
  return [
    "no data set is prepared for this device, so that nobody is paid for keeping what it puts: the owner makes one " +
      "with `tallystick delegate prepare`",
  ];
}

/** What an owner should act on. */
export function warningsOf(dataSets: readonly DataSetView[], noticeEpochs: number): string[] {
  return dataSets.flatMap((set) => {
    const name = `data set ${set.id.slice(0, 10)}`;
    const running = set.status === "running" && set.slices > 0;
    return [
      ...(isRunwayShort(set, noticeEpochs)
        ? [`${name} is paid for ${set.runwayEpochs} more epochs: \`tallystick data-set top-up\` adds to the balance`]
        : []),
      ...leftText(set),
      ...(set.status === "ending" ? [`${name} ${endingText(set)}`] : []),
      ...(set.status === "over" ? [`${name} has ended: \`tallystick data-set settle\` pays back what is left`] : []),
      ...(set.status === "breached" ? [`${name} was breached: the provider no longer has to keep it`] : []),
      ...(set.overdueEpoch === undefined
        ? []
        : [
            `${name}: epoch ${set.overdueEpoch} was not proven in time: \`tallystick data-set settle\` reports the ` +
              "miss, until the epoch after it is over",
          ]),
      ...(running && set.missedEpochs > 0
        ? [`${name}: its provider has missed ${set.missedEpochs} of ${set.terms.breachLimit} epochs that end it`]
        : []),
    ];
  });
}

/** @returns undefined when no provider returns its list: that is told of the provider */
async function listsOf(context: AgentContext): Promise<SnapshotListing | undefined> {
  try {
    return await readLists(context);
  } catch (error) {
    if (error instanceof TallystickError) return undefined;
    throw error;
  }
}

async function requirePut(context: AgentContext, dataId: string): Promise<CataloguedPut> {
  const put = await context.catalogue.put(dataId);
  if (put !== undefined) return put;
  throw new TallystickError(`${dataId} is not in the catalogue of this device`, {
    code: "NOT_FOUND",
    party: "you",
    check: "data id",
    hint: "`tallystick ls` shows the catalogue; `tallystick recover` adds what other devices stored",
  });
}

/** Asks the chain, not the catalogue. */
async function confirmOwnership(context: AgentContext, { recordId, role }: CataloguedPut): Promise<boolean> {
  return await hasRole(await context.chain(), recordId, context.account.address, role);
}

async function answerOf(ask: () => Promise<string>): Promise<{ state: string; message?: string }> {
  try {
    return { state: await ask() };
  } catch (error) {
    if (!(error instanceof TallystickError)) throw error;
    return { state: error.code, message: error.message };
  }
}

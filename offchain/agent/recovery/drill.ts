/**
 * A recovery rehearsed: everything that it needs is looked at, nothing is sent, and the platform that it runs on keeps
 * nothing. What is missing is told as checks that fail, each naming the party.
 */

import { readReplacement } from "../../chain/account-directory.ts";
import type { ChainReader } from "../../chain/deployment.ts";
import { dataSetsOpened } from "../../chain/escrow-events.ts";
import { readChain } from "../../chain/revert.ts";
import { isAddressEqual } from "../../core/encoding/address.ts";
import { TallystickError } from "../../core/errors.ts";
import { holdsIdentity } from "../../core/identity/identity-secret.ts";
import type { AgentContext } from "../context.ts";
import { type RecoverReport, recover } from "../read/recover.ts";
import { readLists } from "../snapshots/snapshot-lists.ts";
import { durationText, proposerText } from "./describe-plan.ts";
import { checkProtection, type Protection, requireProtection } from "./protection.ts";
import { replacedIn } from "./replaced.ts";
import { type RequestView, readRequests } from "./requests.ts";
import { replacedOwnerText } from "./warnings.ts";

export type RecoveryWay = "phrase" | "wallet" | "guardians";

/** One thing that a recovery needs. */
export interface DrillCheck {
  /** Who would fail: a node, the chain, the author, the wallet, a guardian, or you. */
  readonly party: string;
  readonly check: string;
  readonly passed: boolean;
  readonly detail: string;
}

/** What would come back. */
export interface ComesBack {
  /** On the ledger; of several for one file, with the identity in hand, the one that opens. */
  readonly records: number;
  readonly dataSets: number;
  /** These need the identity: without it, records and lists are sealed. */
  readonly puts?: RecoverReport["recovered"];
  readonly totalBytes?: number;
  readonly snapshots?: number;
  /** Records that would not come back now. */
  readonly failed?: RecoverReport["failed"];
}

export interface DrillReport {
  readonly account: string;
  readonly way: RecoveryWay;
  /** True when every check passed. */
  readonly possible: boolean;
  readonly checks: readonly DrillCheck[];
  readonly comesBack?: ComesBack;
  /** What would have to be done, and by whom. */
  readonly steps: readonly string[];
}

export interface DrillOptions {
  readonly way: RecoveryWay;
  readonly account: string;
  /** The context is of this account, so that its records open; else it is of anybody. */
  readonly isOwner: boolean;
  /** The address of a wallet key that is at hand. */
  readonly wallet?: string;
  readonly signal?: AbortSignal;
}

/**
 * @param context on a platform that keeps nothing
 * @throws ChainUnavailableError; what else fails is a check that did not pass
 */
export async function drillRecovery(context: AgentContext, options: DrillOptions): Promise<DrillReport> {
  const checks: DrillCheck[] = [];
  const steps: string[] = [];
  await checkAccount(await context.chain(), options.account, checks);
  if (options.way === "phrase") {
    await checkNodes(context, checks, (await context.committee()).committee.id);
    steps.push("you: `tallystick recover --home <new folder>`, with the phrase");
  } else await checkPlan(context, { ...options, way: options.way }, checks, steps);
  const comesBack = await survey(context, options, checks);
  return {
    account: options.account,
    way: options.way,
    possible: checks.every(({ passed }) => passed),
    checks,
    ...(comesBack === undefined ? {} : { comesBack }),
    steps,
  };
}

/** What comes back of an account that was replaced opens no session. */
async function checkAccount(chain: ChainReader, account: string, checks: DrillCheck[]): Promise<void> {
  const replacement = await readReplacement(chain, account);
  if (replacement === undefined) return;
  const detail = replacedOwnerText(account, replacement);
  checks.push({ party: `account ${account}`, check: "no successor", passed: false, detail });
}

type PlanWay = Exclude<RecoveryWay, "phrase">;

async function checkPlan(
  context: AgentContext,
  options: DrillOptions & { readonly way: PlanWay },
  checks: DrillCheck[],
  steps: string[],
): Promise<void> {
  const { account, way } = options;
  const author = `author ${account}`;
  const chain = await context.chain();
  const protection = await passes(checks, author, "recovery on chain", async () => {
    const found = await requireProtection(chain, account);
    return [found, `version ${found.secret.version}, sealed to committee ${found.committeeId}`];
  });
  if (protection === undefined) {
    steps.push("owner: `tallystick recovery protect`");
    return;
  }
  await passes(checks, author, "proof of the sealed identity", async () => {
    const { secret } = await checkProtection(context, protection);
    if (!options.isOwner) return [secret, "right; what is inside shows to the owner only"];
    if (holdsIdentity(secret, context.identity)) return [secret, "right, and it holds this identity"];
    throw new TallystickError("it does not hold this identity", { code: "INTEGRITY", party: author });
  });
  await checkNodes(context, checks, protection.committeeId);
  const requests = await readRequests(chain, protection);
  await checkNamed(chain, way, protection, checks);
  if (way === "wallet") await checkWallet(context, options, protection, requests, checks, steps);
  else await checkGuardians(context, account, protection, requests, checks, steps);
}

async function checkWallet(
  context: AgentContext,
  { account, wallet }: DrillOptions,
  { secret }: Protection,
  requests: readonly RequestView[],
  checks: DrillCheck[],
  steps: string[],
): Promise<void> {
  const named = secret.plan.wallet;
  if (named === undefined) {
    checks.push({ party: `author ${account}`, check: "wallet in the plan", passed: false, detail: "none is named" });
    return;
  }
  const party = `wallet ${named.account}`;
  checks.push({ party, check: "wallet in the plan", passed: true, detail: "named" });
  if (wallet !== undefined) {
    const passed = isAddressEqual(wallet, named.account);
    checks.push({
      party: "you",
      check: "key of the wallet",
      passed,
      detail: passed ? "the wallet's" : `that of ${wallet}`,
    });
  }
  checkBars(requests, "wallet", [named.account], checks);
  await checkCoins(context, party, named.account, checks);
  steps.push(
    `wallet ${named.account}: \`tallystick recover --account ${account} --wallet\` opens the request`,
    `owner: can veto for ${durationText(named.delaySeconds)}`,
    `wallet: the same command again within ${durationText(secret.plan.windowSeconds)} after that`,
  );
}

async function checkGuardians(
  context: AgentContext,
  account: string,
  { secret }: Protection,
  requests: readonly RequestView[],
  checks: DrillCheck[],
  steps: string[],
): Promise<void> {
  const { guardians, windowSeconds } = secret.plan;
  if (guardians === undefined) {
    checks.push({ party: `author ${account}`, check: "guardians in the plan", passed: false, detail: "none is named" });
    return;
  }
  const { accounts, threshold, delaySeconds } = guardians;
  const detail = `${threshold} of ${accounts.length} must approve: ${accounts.join(", ")}`;
  checks.push({ party: `author ${account}`, check: "guardians in the plan", passed: true, detail });
  // A guardian whose request was vetoed can still approve those of others.
  checkBars(requests, "guardians", accounts, checks);
  for (const guardian of accounts) await checkCoins(context, `guardian ${guardian}`, guardian, checks);
  steps.push(
    `you: \`tallystick recover --account ${account} --guardians\` in a new home prints what to approve`,
    `${threshold} guardians: \`tallystick recovery approve ${account} …\` within ${durationText(windowSeconds)}`,
    delaySeconds === 0
      ? "owner: can veto until the last approval"
      : `owner: can veto for ${durationText(delaySeconds)} after the last approval`,
    `you: the same command again within ${durationText(windowSeconds)} after that`,
  );
}

/** Whoever was replaced has given its key up, so nobody should count on it. */
async function checkNamed(
  chain: ChainReader,
  way: PlanWay,
  { secret: { plan } }: Protection,
  checks: DrillCheck[],
): Promise<void> {
  const replaced = (await replacedIn(chain, plan)).filter(({ path }) => path === way);
  const { accounts = [], threshold = 0 } = plan.guardians ?? {};
  const passed = way === "guardians" && accounts.length - replaced.length >= threshold;
  for (const { path, account, successor } of replaced) {
    const detail = `${successor} took its place, and its old key can still ask: \`tallystick recovery protect\``;
    checks.push({
      party: `${path === "wallet" ? "wallet" : "guardian"} ${account}`,
      check: "not replaced",
      passed,
      detail,
    });
  }
}

/** A veto holds for the version. One proposer that is not barred is enough. */
function checkBars(
  requests: readonly RequestView[],
  path: PlanWay,
  accounts: readonly string[],
  checks: DrillCheck[],
): void {
  const barred = requests.filter((request) => request.path === path && request.phase === "barred");
  const passed = barred.length < accounts.length;
  for (const place of barred) {
    const detail = "the owner has vetoed it: it can open no request for this version";
    checks.push({ party: proposerText(place), check: "no veto", passed, detail });
  }
}

/** Who consents pays for a transaction. */
async function checkCoins(context: AgentContext, party: string, address: string, checks: DrillCheck[]): Promise<void> {
  const { provider } = await context.chain();
  const balance = await readChain("reading a balance", () => provider.getBalance(address));
  // No failure: a signature can be sent by somebody else.
  const detail = balance > 0n ? "has coins" : "has no coins: it needs some, or somebody who sends its signature";
  checks.push({ party, check: "coins for the transaction", passed: true, detail });
}

/** Whether enough nodes of the committee answer and have a share of the active generation. */
async function checkNodes(context: AgentContext, checks: DrillCheck[], committeeId: bigint): Promise<void> {
  const link = await passes(checks, `committee ${committeeId}`, "committee of key nodes", async () => [
    await context.committeeById(committeeId),
    "on the chain, and active",
  ]);
  if (link === undefined) return;
  const { committee, members } = link;
  let ready = 0;
  for (const { index, url, client } of members) {
    const party = `node ${index} ${url}`;
    try {
      const { committees } = await client.node();
      const own = committees.find((one) => one.committeeId === String(committeeId));
      const isReady = own?.ready === true && own.generation === committee.generation;
      if (isReady) ready += 1;
      const detail = isReady
        ? `ready, generation ${own.generation}`
        : `not ready for generation ${committee.generation}`;
      checks.push({ party, check: "health of a key node", passed: true, detail });
    } catch (error) {
      if (!(error instanceof TallystickError)) throw error;
      checks.push({ party, check: "health of a key node", passed: true, detail: `${error.code}: ${error.message}` });
    }
  }
  const detail = `${ready} of ${members.length} are ready, ${committee.threshold} needed`;
  checks.push({
    party: `committee ${committeeId}`,
    check: "enough key nodes",
    passed: ready >= committee.threshold,
    detail,
  });
}

async function survey(
  context: AgentContext,
  { account, isOwner, signal }: DrillOptions,
  checks: DrillCheck[],
): Promise<ComesBack | undefined> {
  return await passes(checks, "archives", "records of the account", async () => {
    const { records, reports } = await (await context.archives()).find({ account });
    if (reports.every(({ error }) => error !== undefined)) {
      throw new TallystickError("no archive of key records answered", { code: "UNREACHABLE", party: "archives" });
    }
    if (!isOwner) {
      let dataSets = 0;
      for await (const _ of dataSetsOpened(await context.chain(), { user: account })) dataSets += 1;
      return [{ records: records.length, dataSets }, `${records.length} on the ledger, sealed to the identity`];
    }
    const report = await recover(context, { signal });
    const totalBytes = report.recovered.reduce((sum, put) => sum + put.totalBytes, 0);
    const snapshots = await passes(checks, "providers", "snapshot lists", async () => {
      const { snapshots: listed, failures } = await readLists(context, signal);
      return [
        listed.length,
        `${listed.length} snapshots${failures.length === 0 ? "" : `, ${failures.length} lists failed`}`,
      ];
    });
    const back = {
      records: records.length,
      dataSets: report.dataSets,
      puts: report.recovered,
      totalBytes,
      ...(snapshots === undefined ? {} : { snapshots }),
      failed: report.failed,
    };
    return [back, `${records.length} on the ledger, ${report.recovered.length} readable now`];
  });
}

/** Runs a check. @returns undefined when it does not pass @throws ChainUnavailableError */
async function passes<Value>(
  checks: DrillCheck[],
  party: string,
  check: string,
  look: () => Promise<readonly [Value, string]>,
): Promise<Value | undefined> {
  try {
    const [value, detail] = await look();
    checks.push({ party, check, passed: true, detail });
    return value;
  } catch (error) {
    if (!(error instanceof TallystickError) || error.code === "CHAIN_UNAVAILABLE") throw error;
    checks.push({ party: error.party ?? party, check, passed: false, detail: error.message });
    return undefined;
  }
}

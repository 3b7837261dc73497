/**
 * A recovery rehearsed: everything that it needs is looked at, nothing is sent, and the platform that it runs on keeps
 * nothing. What is missing, and what could not be looked at, is told as checks, each naming the party and what to do.
 */

import { readReplacement } from "../../chain/account-directory.ts";
import type { ChainReader } from "../../chain/deployment.ts";
import { dataSetsOpened } from "../../chain/escrow-events.ts";
import { readChain } from "../../chain/revert.ts";
import { isAddressEqual } from "../../core/encoding/address.ts";
import { TallystickError } from "../../core/errors.ts";
import { holdsIdentity } from "../../core/identity/identity-secret.ts";
import type { AgentContext } from "../context.ts";
import { isGone } from "../read/damage.ts";
import { type RecoverReport, recover } from "../read/recover.ts";
import { readLists } from "../snapshots/snapshot-lists.ts";
import { durationText, proposerText } from "./describe-plan.ts";
import { type DrillCheck, DrillChecks, type DrillOutcome, leavesOpen } from "./drill-checks.ts";
import { checkProtection, type Protection, requireProtection } from "./protection.ts";
import { replacedIn } from "./replaced.ts";
import { type RequestView, readRequests } from "./requests.ts";
import { nameOf, replacedOwnerText } from "./warnings.ts";

export type RecoveryWay = "phrase" | "wallet" | "guardians";

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
  /** Passed: it would work now. Unchecked: nothing speaks against it, and not everything could be looked at. */
  readonly outcome: DrillOutcome;
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
  const checks = new DrillChecks();
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
    outcome: checks.outcome,
    checks: checks.list,
    ...(comesBack === undefined ? {} : { comesBack }),
    steps,
  };
}

/** What comes back of an account that was replaced opens no session. */
async function checkAccount(chain: ChainReader, account: string, checks: DrillChecks): Promise<void> {
  const replacement = await readReplacement(chain, account);
  if (replacement === undefined) return;
  const detail = replacedOwnerText(account, replacement);
  checks.failed({ party: `account ${account}`, check: "no successor", detail }, "rehearse the successor's recovery");
}

type PlanWay = Exclude<RecoveryWay, "phrase">;

async function checkPlan(
  context: AgentContext,
  options: DrillOptions & { readonly way: PlanWay },
  checks: DrillChecks,
  steps: string[],
): Promise<void> {
  const { account, way } = options;
  const author = `author ${account}`;
  const chain = await context.chain();
  const protection = await checks.run(author, "recovery on chain", async () => {
    const found = await requireProtection(chain, account);
    return [found, `version ${found.secret.version}, sealed to committee ${found.committeeId}`];
  });
  if (protection === undefined) {
    steps.push("owner: `tallystick recovery protect`");
    return;
  }
  await checks.run(author, "proof of the sealed identity", async () => {
    const { secret } = await checkProtection(context, protection);
    if (!options.isOwner) return [secret, "right; what is inside shows to the owner only"];
    if (holdsIdentity(secret, context.identity)) return [secret, "right, and it holds this identity"];
    throw new TallystickError("it does not hold this identity", {
      code: "INTEGRITY",
      party: author,
      hint: "seal it anew with `tallystick recovery protect`",
    });
  });
  await checkNodes(context, checks, protection.committeeId);
  const requests = await readRequests(chain, protection);
  await checkNamed(chain, way, protection, checks);
  if (way === "wallet") await checkWallet(context, options, protection, requests, checks, steps);
  else await checkGuardians(context, account, protection, requests, checks, steps);
}

const NAME_IT = "the owner names one with `tallystick recovery protect`";
const SEND_COINS = "send it some coins, or have an account ready that sends its signature and pays";

async function checkWallet(
  context: AgentContext,
  { account, wallet }: DrillOptions,
  { secret }: Protection,
  requests: readonly RequestView[],
  checks: DrillChecks,
  steps: string[],
): Promise<void> {
  const named = secret.plan.wallet;
  if (named === undefined) {
    checks.failed({ party: `author ${account}`, check: "wallet in the plan", detail: "none is named" }, NAME_IT);
    return;
  }
  const party = `wallet ${named.account}`;
  checks.passed({ party, check: "wallet in the plan", detail: "named" });
  await checkConsent(context, party, named.account, wallet, checks);
  checkBars(requests, "wallet", [named.account], checks);
  await checkCoins(context, [{ party, address: named.account }], 1, checks);
  steps.push(
    `wallet ${named.account}: \`tallystick recover --account ${account} --wallet\` opens the request`,
    `owner: can veto for ${durationText(named.delaySeconds)}`,
    `wallet: the same command again within ${durationText(secret.plan.windowSeconds)} after that`,
  );
}

/** @param own address of a key that is at hand */
async function checkConsent(
  context: AgentContext,
  party: string,
  named: string,
  own: string | undefined,
  checks: DrillChecks,
): Promise<void> {
  if (own !== undefined) {
    const facts = { party: "you", check: "key of the wallet" };
    if (isAddressEqual(own, named)) checks.passed({ ...facts, detail: "the wallet's" });
    else checks.failed({ ...facts, detail: `that of ${own}` }, `find the key of ${named}`);
    return;
  }
  const { provider } = await context.chain();
  const code = await readChain("reading the code of a wallet", () => provider.getCode(named));
  if (isContract(code)) {
    // It may answer each question differently, so no rehearsal shows what it will say.
    const detail = "a contract: whether it consents shows when it is asked";
    const remedy = "have its owners sign something else with it, to see that they still can";
    checks.unchecked({ party, check: "consent of the wallet", detail, decides: false }, remedy);
    return;
  }
  checks.unchecked(
    { party: "you", check: "key of the wallet", detail: "not tried" },
    "give it with --wallet-key-file, or make sure that the wallet can still sign",
  );
}

/** Code that an account delegates to (EIP-7702) leaves its key in charge. */
function isContract(code: string): boolean {
  return code !== "0x" && !code.startsWith("0xef0100");
}

async function checkGuardians(
  context: AgentContext,
  account: string,
  { secret }: Protection,
  requests: readonly RequestView[],
  checks: DrillChecks,
  steps: string[],
): Promise<void> {
  const { guardians, windowSeconds } = secret.plan;
  if (guardians === undefined) {
    checks.failed({ party: `author ${account}`, check: "guardians in the plan", detail: "none is named" }, NAME_IT);
    return;
  }
  const { accounts, threshold, delaySeconds } = guardians;
  const detail = `${threshold} of ${accounts.length} must approve: ${accounts.join(", ")}`;
  checks.passed({ party: `author ${account}`, check: "guardians in the plan", detail });
  // A guardian whose request was vetoed can still approve those of others.
  checkBars(requests, "guardians", accounts, checks);
  const payers = accounts.map((address) => ({ party: `guardian ${address}`, address }));
  await checkCoins(context, payers, threshold, checks);
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
  checks: DrillChecks,
): Promise<void> {
  const replaced = (await replacedIn(chain, plan)).filter(({ path }) => path === way);
  const { accounts = [], threshold = 0 } = plan.guardians ?? {};
  const decides = way === "wallet" || accounts.length - replaced.length < threshold;
  for (const named of replaced) {
    const detail = `${named.successor} took its place, and its old key can still ask`;
    const remedy = "the owner names others with `tallystick recovery protect`";
    checks.failed({ party: nameOf(named), check: "not replaced", detail, decides }, remedy);
  }
}

/** A veto holds for the version. One proposer that is not barred is enough. */
function checkBars(
  requests: readonly RequestView[],
  path: PlanWay,
  accounts: readonly string[],
  checks: DrillChecks,
): void {
  const barred = requests.filter((request) => request.path === path && request.phase === "barred");
  const decides = barred.length >= accounts.length;
  for (const place of barred) {
    const detail = "the owner has vetoed it: it can open no request for this version";
    const remedy = "the owner publishes a new version with `tallystick recovery protect`";
    checks.failed({ party: proposerText(place), check: "no veto", detail, decides }, remedy);
  }
}

/**
 * Who consents pays for a transaction. Without coins it may sign, and somebody else pays: who that would be, a drill
 * cannot know.
 */
async function checkCoins(
  context: AgentContext,
  payers: readonly { readonly party: string; readonly address: string }[],
  needed: number,
  checks: DrillChecks,
): Promise<void> {
  const { provider } = await context.chain();
  const check = "coins for the transaction";
  let able = 0;
  const decides = payers.length === 1;
  for (const { party, address } of payers) {
    const balance = await readChain("reading a balance", () => provider.getBalance(address));
    if (balance > 0n) {
      able += 1;
      checks.passed({ party, check, detail: "has coins", decides });
    } else checks.unchecked({ party, check, detail: "has no coins: somebody else has to pay", decides }, SEND_COINS);
  }
  if (decides) return;
  const facts = {
    party: "guardians",
    check: "enough guardians with coins",
    detail: `${able} of ${payers.length} have coins, ${needed} needed`,
  };
  if (able >= needed) checks.passed(facts);
  else checks.unchecked(facts, `send coins to ${needed - able} more of them, or pay for their signatures`);
}

/** Whether enough nodes of the committee answer and have a share of the active generation. */
async function checkNodes(context: AgentContext, checks: DrillChecks, committeeId: bigint): Promise<void> {
  const party = `committee ${committeeId}`;
  const link = await checks.run(party, "committee of key nodes", async () => [
    await context.committeeById(committeeId),
    "on the chain, and active",
  ]);
  if (link === undefined) return;
  const { committee, members } = link;
  let [ready, silent] = [0, 0];
  for (const { index, url, client } of members) {
    const facts = { party: `node ${index} ${url}`, check: "health of a key node", decides: false };
    try {
      const { committees } = await client.node();
      const own = committees.find((one) => one.committeeId === String(committeeId));
      if (own?.ready === true && own.generation === committee.generation) {
        ready += 1;
        checks.passed({ ...facts, detail: `ready, generation ${own.generation}` });
      } else {
        const detail = `not ready for generation ${committee.generation}`;
        checks.failed({ ...facts, detail }, "its operator has to take part in the committee's generation");
      }
    } catch (error) {
      if (!(error instanceof TallystickError)) throw error;
      if (leavesOpen(error)) silent += 1;
      checks.erred(facts, error);
    }
  }
  const facts = {
    party,
    check: "enough key nodes",
    detail: `${ready} of ${members.length} are ready, ${silent} did not answer, ${committee.threshold} needed`,
  };
  if (ready >= committee.threshold) checks.passed(facts);
  else if (ready + silent >= committee.threshold) {
    checks.unchecked(facts, "rehearse it again when more key nodes answer; if they stay away, ask their operators");
  } else checks.failed(facts, "the operators of the key nodes have to repair them");
}

async function survey(
  context: AgentContext,
  { account, isOwner, signal }: DrillOptions,
  checks: DrillChecks,
): Promise<ComesBack | undefined> {
  return await checks.run("archives", "records of the account", async () => {
    const { records, reports } = await (await context.archives()).find({ account });
    if (reports.every(({ error }) => error !== undefined)) {
      throw new TallystickError("no archive of key records answered", {
        code: "UNREACHABLE",
        party: "archives",
        hint: "rehearse it again when a key node answers",
      });
    }
    if (!isOwner) {
      let dataSets = 0;
      for await (const _ of dataSetsOpened(await context.chain(), { user: account })) dataSets += 1;
      return [{ records: records.length, dataSets }, `${records.length} on the ledger, sealed to the identity`];
    }
    const report = await recover(context, { signal });
    checkReadable(report, checks);
    const totalBytes = report.recovered.reduce((sum, put) => sum + put.totalBytes, 0);
    const snapshots = await checkLists(context, checks, signal);
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

/** Records of what was removed stay on the ledger: that they open nothing is right. */
function checkReadable({ failed, recovered, dataSetsFailure }: RecoverReport, checks: DrillChecks): void {
  const unread = failed.filter(({ error }) => !isGone(error));
  for (const { recordId, error } of unread) {
    checks.erred({ party: `record ${recordId}`, check: "contents of a record" }, error);
  }
  if (dataSetsFailure !== undefined) {
    const detail = dataSetsFailure.message;
    const remedy = "rehearse it with an endpoint that keeps old logs";
    checks.unchecked({ party: "chain", check: "data sets of other devices", detail }, remedy);
  }
  if (unread.length > 0) return;
  checks.passed({ party: "providers", check: "contents of the records", detail: `${recovered.length} read` });
}

async function checkLists(
  context: AgentContext,
  checks: DrillChecks,
  signal: AbortSignal | undefined,
): Promise<number | undefined> {
  try {
    const { snapshots, failures } = await readLists(context, signal);
    for (const { provider, error } of failures) {
      checks.erred({ party: `provider ${provider}`, check: "snapshot list" }, error);
    }
    if (failures.length === 0) {
      checks.passed({ party: "providers", check: "snapshot lists", detail: `${snapshots.length} snapshots` });
    }
    return snapshots.length;
  } catch (error) {
    if (!(error instanceof TallystickError) || error.code === "CHAIN_UNAVAILABLE") throw error;
    checks.erred({ party: "providers", check: "snapshot lists" }, error);
    return undefined;
  }
}

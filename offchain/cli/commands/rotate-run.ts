/**
 * `tallystick rotate`: a new identity takes the place of the one of this home folder. The first run makes it and shows
 * its phrase and the cost; with `--yes`, or after the questions on a terminal, it is carried out. A run after an
 * interruption goes on.
 */
import { rmSync } from "node:fs";
import type { Command } from "commander";
import { identityOpeners, requireIdentity } from "../../agent/node/identity-store.ts";
import { meetNetwork } from "../../agent/node/network-pin.ts";
import { type HomeRotation, planHomeRotation, rotateHome } from "../../agent/node/rotate-home.ts";
import { exchangedAccount, exchangeFiles, hasRotation, openRotation } from "../../agent/node/rotation-folder.ts";
import type { LeftSet, RotationPlan, RotationReport } from "../../agent/rotation/rotate.ts";
import { formatAmount, formatEther } from "../../core/encoding/amounts.ts";
import { counted } from "../../core/encoding/counted.ts";
import { InvalidInputError } from "../../core/errors.ts";
import { type Identity, phraseOfEntropy } from "../../core/identity/identity.ts";
import type { KeystoreKey } from "../../core/identity/keystore.ts";
import { agentLogger, requireDeployment } from "../agent-session.ts";
import { EXIT } from "../exit-codes.ts";
import { interruptible } from "../interrupt.ts";
import { readKeystoreKey } from "../keystore-key.ts";
import { formatBytes } from "../output.ts";
import { createProgressBar } from "../progress-bar.ts";
import { ask, isTerminal } from "../secrets.ts";
import { withAgent } from "../session.ts";
import { endWith, type Surroundings, surroundings, wipeKey, withIdentity } from "../surroundings.ts";
import { shortId, tellingCosts } from "./data-set-lines.ts";
import { delegateText } from "./delegate-lines.ts";
import { confirmPhrase, fundOnDevelopmentChain, phraseLines } from "./init.ts";
import { damageLines } from "./migrate.ts";
import { planLines as recoveryPlanLines } from "./recovery-lines.ts";

export interface RotateFlags {
  readonly yes?: boolean;
  readonly removeOld?: boolean;
  readonly collect?: boolean;
}

export async function rotateIdentity(flags: RotateFlags, command: Command): Promise<void> {
  const around = surroundings(command);
  const { homeDir, output } = around;
  if (flags.collect === true) return await collect(command);
  const account = exchangedAccount(homeDir);
  if (account !== undefined) {
    const oldFiles = await exchangeFiles(homeDir, account);
    output.result({ account, oldFiles, ...removal(flags, oldFiles) }, ["the rotation is complete", oldLine(oldFiles)]);
    return;
  }
  if (flags.yes === true && !hasRotation(homeDir)) throw notShown();
  requireIdentity(homeDir);
  const key = await readKeystoreKey(homeDir, around.options);
  try {
    await withIdentity(around, async (old) => await replace(around, command, flags, old, key), { key });
  } finally {
    wipeKey(key);
  }
}

async function replace(
  around: Surroundings,
  command: Command,
  flags: RotateFlags,
  old: Identity,
  key: KeystoreKey,
): Promise<void> {
  const { homeDir, output } = around;
  const next = await openRotation(homeDir, key);
  try {
    const { deployment } = requireDeployment(around);
    const meeting = meetNetwork(homeDir, deployment);
    try {
      await meeting.pinned();
    } finally {
      meeting.close();
    }
    const others = otherOpeners(homeDir, key);
    if (others.length > 0) {
      const opener = typeof key === "string" ? "the passphrase" : `wallet ${key.wallet}`;
      output.say(
        `tallystick: the new keystore opens with ${opener} only; ` +
          `add ${others.join(" and ")} with \`tallystick identity\``,
      );
    }
    const home: HomeRotation = { homeDir, deployment, old, next, logger: agentLogger(output) };
    await interruptible(async (signal) => await run(around, command, flags, home, signal));
  } finally {
    next.wipe();
  }
}

/** What opens the old keystore, and not the new one. */
function otherOpeners(homeDir: string, key: KeystoreKey): string[] {
  const { passphrase, wallets } = identityOpeners(homeDir);
  const others = wallets.filter(({ wallet }) => typeof key === "string" || wallet !== key.wallet);
  return [
    ...(passphrase && typeof key !== "string" ? ["the passphrase"] : []),
    ...others.map(({ wallet }) => `wallet ${wallet}`),
  ];
}

async function collect(command: Command): Promise<void> {
  await withAgent(command, async ({ agent, output }) => {
    const paidOut = await agent.collectFromPredecessors();
    output.result(
      { account: agent.account, paidOut },
      paidOut.length === 0
        ? ["no account that this one has replaced has anything that is free"]
        : paidOut.map(({ token, amount, from, account }) => `${formatAmount(amount, token)} from ${account}, ${from}`),
    );
  });
}

async function run(
  around: Surroundings,
  command: Command,
  flags: RotateFlags,
  home: HomeRotation,
  signal: AbortSignal,
): Promise<void> {
  const { output } = around;
  await fundOnDevelopmentChain(around, home.next.account);
  const recoveryPhrase = phraseOfEntropy(home.next.phraseEntropy);
  if (flags.yes !== true) {
    const plan = await planHomeRotation(home, signal);
    const isAsked = !output.json && isTerminal() && process.stdout.isTTY === true;
    await output.confirmedResult({ plan, recoveryPhrase, sent: false }, [
      ...planLines(plan),
      "",
      ...phraseLines(recoveryPhrase),
      ...(isAsked ? [] : ["", "Nothing was sent. `tallystick rotate --yes` carries it out."]),
    ]);
    if (!isAsked) return;
    await confirmPhrase(around, recoveryPhrase);
    const answer = await ask("Replace the identity for good? Type yes");
    if (answer.trim().toLowerCase() !== "yes") {
      output.say("tallystick: nothing was sent");
      return;
    }
  }
  const progress = createProgressBar(!output.json && around.options.quiet !== true);
  // Before the first step nothing was sent.
  let isUnderWay = false;
  try {
    const report = await rotateHome(home, {
      onStep: (step) => {
        isUnderWay = true;
        output.say(`tallystick: ${step}`);
      },
      onDataSet: tellingCosts({ output, progress }),
      signal,
    });
    progress.stop();
    if (report.damaged.length + report.left.length > 0) endWith(command, EXIT.incomplete);
    const isShown = flags.yes === true ? {} : { recoveryPhrase };
    output.result({ ...report, ...isShown, ...removal(flags, report.oldFiles) }, reportLines(report));
  } catch (error) {
    progress.stop();
    if (isUnderWay)
      output.problem("tallystick: the rotation is not complete: `tallystick rotate --yes` goes on with it");
    throw error;
  } finally {
    progress.stop();
  }
}

function removal({ removeOld }: RotateFlags, oldFiles: string): { readonly removed?: true } {
  if (removeOld !== true) return {};
  rmSync(oldFiles, { recursive: true, force: true });
  return { removed: true };
}

function notShown(): InvalidInputError {
  return new InvalidInputError("there is no successor yet", {
    party: "you",
    check: "rotation in the home folder",
    hint: "run `tallystick rotate` first: it shows the new recovery phrase, which nobody could restore later",
  });
}

function planLines(plan: RotationPlan): string[] {
  const { account, successor, dataSets, left, endedRecovery, endedDelegates, gasFee, isNamed } = plan;
  return [
    `replacing ${account}`,
    `  by       ${successor}${isNamed ? ", which is named on chain already" : ""}`,
    ...dataSets.flatMap(({ id, provider, objects, bytes, fee, feeNow, deposit, token }) => [
      `  set      ${shortId(id)} at provider ${provider}: ${counted(objects, "object")}, ${formatBytes(bytes)}, ` +
        "to be read and tagged again; nothing is sent",
      `           at most ${formatAmount(fee, token)} per epoch, now ${formatAmount(feeNow, token)}; both are paid ` +
        `until the notice period is over; deposit ${formatAmount(deposit, token)}`,
    ]),
    ...left.map(leftLine),
    ...recoveryLines(endedRecovery),
    ...delegateLines(endedDelegates, successor),
    `  gas      ${formatEther(gasFee)} at the current price`,
    "  money    what the old account has, on chain and in the escrow, moves to the new one but for its last gas",
  ];
}

function reportLines(report: RotationReport & { readonly oldFiles: string }): string[] {
  const { account, successor, dataSets, left, endedRecovery, endedDelegates, listedSnapshots, paidOut } = report;
  const { damaged, oldFiles } = report;
  return [
    `account ${account} is replaced by ${successor}`,
    ...dataSets.map(
      ({ id, successor: fresh, lastEpoch }) =>
        `  set      ${shortId(id)} goes on as ${shortId(fresh)}` +
        (lastEpoch === undefined ? "" : `, and ends after epoch ${lastEpoch}`),
    ),
    ...left.map(leftLine),
    `  listed   ${counted(listedSnapshots, "snapshot")} under the new keys`,
    ...paidOut.map(({ token, amount, from }) => `  money    ${formatAmount(amount, token)} from the old ${from}`),
    ...damageLines(damaged),
    ...recoveryLines(endedRecovery),
    ...delegateLines(endedDelegates, successor),
    oldLine(oldFiles),
  ];
}

function leftLine({ id, provider, error }: LeftSet): string {
  return `  LEFT     set ${shortId(id)} at provider ${provider} goes on while the old balance lasts: ${error.message}`;
}

function recoveryLines(ended: RotationPlan["endedRecovery"]): string[] {
  if (ended === undefined) return [];
  return [
    "  RECOVERY the wallet or guardians of the old identity cannot recover the new one. Afterwards, name them again",
    "           with `tallystick recovery protect`; named now:",
    ...recoveryPlanLines(ended).map((line) => `         ${line}`),
  ];
}

function delegateLines(ended: RotationPlan["endedDelegates"], successor: string): string[] {
  if (ended.length === 0) return [];
  return [
    "  DEVICES  keys that act for the old identity end with it. Afterwards, on each device, make another identity",
    "           (`tallystick init --home <new folder>`) and ask with it",
    `           (\`tallystick delegate request ${successor}\`);`,
    "           then grant it, and prepare a data set for one that writes, with the new identity. What devices have",
    "           put goes on with the new identity: snapshots, and the objects of their data sets. Ended:",
    ...ended.map((delegation) => `         ${delegateText({ ...delegation, state: "live" })}`),
  ];
}

function oldLine(oldFiles: string): string {
  return `  old      keystore and catalogue are in ${oldFiles}; remove that folder when you need it no more`;
}

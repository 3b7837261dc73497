/**
 * `tallystick recover`: restores the identity from the recovery phrase, or through the wallet or the guardians
 * (recover-claim.ts), and the list of what the account has stored from the ledger. With an identity in place it renews
 * the list.
 */
import type { Command } from "commander";
import { createIdentity, hasIdentity } from "../../agent/node/identity-store.ts";
import type { Agent } from "../../agent/node/index.ts";
import { isGone } from "../../agent/read/damage.ts";
import type { RecoverReport } from "../../agent/read/recover.ts";
import { replacedOwnerText } from "../../agent/recovery/warnings.ts";
import { InvalidInputError, TallystickError } from "../../core/errors.ts";
import { type Identity, identityFromPhrase } from "../../core/identity/identity.ts";
import type { AgentNeeds, AgentSession } from "../agent-session.ts";
import { formatBytes, type Output, printable } from "../output.ts";
import { givenRecoveryPhrase, readRecoveryPhrase } from "../secrets.ts";
import { withAgent } from "../session.ts";
import { surroundings, wipeKey } from "../surroundings.ts";
import { type ClaimOptions, claimOptions, isClaim } from "./claim-options.ts";
import { fundOnDevelopmentChain, newKeystoreKey } from "./init.ts";
import { tellFailures } from "./snapshots.ts";

/** Of the phrases that `init` makes. Shorter ones are valid as well: other programs make them. */
const PHRASE_WORDS = 24;
/** Other records that are not available are told one by one up to this number. */
const MOST_SHOWN = 20;

const HELP = `
Without the phrase, the wallet or the guardians that \`tallystick recovery protect\` has named get the identity back.
The command does what can be done now, says what is next, and ends with code 10 until the identity is restored: run it
again then.

Examples:
  $ tallystick recover --home ~/.tallystick-new
  $ tallystick recover --home ~/.tallystick-new --keystore-wallet 0x7099… --wallet-url http://127.0.0.1:1248
  $ tallystick recover --drill
  $ tallystick recover --home ~/.tallystick-new --account 0xf39F… --wallet --wallet-key-file ./key
  $ tallystick recover --home ~/.tallystick-new --account 0xf39F… --guardians`;

interface RecoverOptions extends ClaimOptions {
  readonly phraseFile?: string;
  readonly drill?: boolean;
}

export function registerRecover(program: Command): void {
  const recover = program
    .command("recover")
    .description("restore the identity by phrase, wallet or guardians, and the list of what is stored from the ledger")
    .option("--phrase-file <file>", "read the recovery phrase from this file");
  claimOptions(recover)
    .option("--drill", "rehearse it: change nothing, and say what would come back and what is missing")
    .addHelpText("after", HELP)
    .action(async (options: RecoverOptions, command: Command) => {
      requireEffects(options);
      if (options.drill === true) {
        const { drill } = await import("./recover-drill.ts");
        return await drill(command, options);
      }
      const needs = isClaim(options) ? await byClaim(command, options) : await byPhrase(command, options);
      if (needs === undefined) return;
      try {
        await withAgent(command, renewList, needs);
      } finally {
        if (needs.key !== undefined) wipeKey(needs.key);
      }
    });
}

/** @throws InvalidInputError for options that would have no effect beside others */
function requireEffects(options: RecoverOptions): void {
  const { wallet, drill: isDrill, account, keystoreWallet, walletKeyFile, signature, wait, maxGasFee } = options;
  const idle = Object.entries({
    "--account": account !== undefined && !isClaim(options),
    "--keystore-wallet": keystoreWallet !== undefined && isDrill === true,
    "--wallet-key-file": walletKeyFile !== undefined && wallet !== true,
    "--signature": signature !== undefined && (wallet !== true || isDrill === true),
    "--wait": wait === true && (!isClaim(options) || isDrill === true),
    "--max-gas-fee": maxGasFee !== undefined && (!isClaim(options) || isDrill === true),
  }).flatMap(([option, isIdle]) => (isIdle ? [option] : []));
  if (idle.length === 0) return;
  throw new InvalidInputError("options of the recovery would have no effect", {
    party: "you",
    check: "options that go together",
    expected: "--account with --wallet or --guardians, the key or a signature with --wallet; a drill sends nothing",
    received: idle.join(", "),
  });
}

async function byClaim(command: Command, options: ClaimOptions): Promise<AgentNeeds | undefined> {
  const { claimIdentity } = await import("./recover-claim.ts");
  return await claimIdentity(command, options);
}

async function byPhrase(command: Command, options: RecoverOptions): Promise<AgentNeeds> {
  const { homeDir } = surroundings(command);
  if (!hasIdentity(homeDir)) return await restoreIdentity(command, options);
  requireNoKeystoreWallet(options);
  return await sameIdentity(options.phraseFile);
}

/** @throws InvalidInputError for a wallet that is to open a keystore that is there already */
export function requireNoKeystoreWallet({ keystoreWallet }: ClaimOptions): void {
  if (keystoreWallet === undefined) return;
  throw new InvalidInputError("the home folder has an identity already, and --keystore-wallet is for a restored one", {
    party: "you",
    check: "options that go together",
    received: keystoreWallet,
    hint: "have the wallet open this identity with `tallystick identity add-wallet`",
  });
}

async function restoreIdentity(command: Command, { phraseFile, keystoreWallet }: RecoverOptions): Promise<AgentNeeds> {
  const around = surroundings(command);
  const phrase = await readRecoveryPhrase(phraseFile);
  // Before a passphrase is asked for.
  identityFromPhrase(phrase).wipe();
  const words = phrase.split(" ").length;
  if (words !== PHRASE_WORDS) {
    around.output.say(
      `tallystick: this phrase has ${words} words, and \`tallystick init\` makes ${PHRASE_WORDS}: it is most likely ` +
        "that of a wallet, and opens nothing that was stored with another phrase",
    );
  }
  const key = await newKeystoreKey(around, keystoreWallet);
  const { identity, keystoreFile } = await createIdentity(around.homeDir, key, phrase);
  const { account } = identity;
  identity.wipe();
  around.output.say(`tallystick: identity ${account} restored to ${keystoreFile}`);
  await fundOnDevelopmentChain(around, account);
  return { key };
}

/**
 * A phrase that is given along with an existing identity must be its own.
 * @throws InvalidInputError for a wrong phrase
 */
async function sameIdentity(phraseFile: string | undefined): Promise<AgentNeeds> {
  const phrase = await givenRecoveryPhrase(phraseFile);
  if (phrase === undefined) return {};
  const given = identityFromPhrase(phrase);
  const { account } = given;
  given.wipe();
  return { check: (identity) => requireAccount(identity, account) };
}

function requireAccount(identity: Identity, account: string): void {
  if (identity.account === account) return;
  throw new TallystickError("the recovery phrase is of another identity than the one in the home folder", {
    code: "CONFLICT",
    party: "you",
    check: "account of the recovery phrase",
    expected: identity.account,
    received: account,
    hint: "name another folder with --home for the other identity",
  });
}

async function renewList({ agent, output, signal, incomplete }: AgentSession): Promise<void> {
  const report = await agent.recover({ signal });
  const { replacement } = report;
  if (replacement !== undefined) {
    output.problem(`tallystick: ${replacedOwnerText(agent.account, replacement)}`);
    incomplete();
  }
  const snapshots = await snapshotCount(agent, output, signal);
  output.result({ account: agent.account, ...report, ...(snapshots === undefined ? {} : { snapshots }) }, [
    `account  ${agent.account}`,
    ...(snapshots === undefined ? [] : [`snapshots  ${snapshots}, listed by \`tallystick snapshots\``]),
    ...report.recovered.map((put) => `${put.dataId}  ${formatBytes(put.totalBytes)}  ${printable(put.name)}`),
    ...failedLines(report.failed),
    ...dataSetsFailureLines(report),
  ]);
}

function dataSetsFailureLines({ dataSetsFailure }: RecoverReport): string[] {
  if (dataSetsFailure === undefined) return [];
  return [`data sets of other devices were not looked for: ${printable(dataSetsFailure.message)}`];
}

/** Records of removed snapshots stay on the ledger, so after some years there are many of them. */
export function failedLines(failed: RecoverReport["failed"]): string[] {
  const others = failed.filter(({ error }) => !isGone(error));
  const goneCount = failed.length - others.length;
  const hiddenCount = others.length - MOST_SHOWN;
  return [
    ...(goneCount === 0 ? [] : [`removed  ${counted(goneCount)} of data that no provider keeps for this account`]),
    ...others
      .slice(0, MOST_SHOWN)
      .map(({ recordId, error }) => `record ${recordId} is not available now: ${printable(error.message)}`),
    ...(hiddenCount > 0 ? [`and ${counted(hiddenCount)} more, which --json names`] : []),
  ];
}

function counted(records: number): string {
  return records === 1 ? "1 record" : `${records} records`;
}

/** The lists of snapshots come from the providers. One that does not answer keeps nothing else from being recovered. */
async function snapshotCount(agent: Agent, output: Output, signal: AbortSignal): Promise<number | undefined> {
  try {
    const { snapshots, failures } = await agent.snapshots.list({ signal });
    tellFailures(output, failures);
    return snapshots.length;
  } catch (error) {
    if (signal.aborted || !(error instanceof TallystickError)) throw error;
    output.say(`tallystick: the snapshots cannot be listed now: ${error.message}`);
    return undefined;
  }
}

/**
 * `tallystick recover --drill`: a recovery rehearsed. It sends no transaction and writes nothing, not even in the home
 * folder: the network is compared with the pinned one, and the agent runs on a platform that keeps nothing.
 */
import type { Command } from "commander";
import { drillOn } from "../../agent/node/drill.ts";
import { hasIdentity, loadIdentity } from "../../agent/node/identity-store.ts";
import type { DrillReport, RecoveryWay } from "../../agent/recovery/drill.ts";
import type { DrillCheck } from "../../agent/recovery/drill-checks.ts";
import { addressOfPrivateKey, isAddressEqual } from "../../core/encoding/address.ts";
import { freshIdentity, type Identity, identityFromPhrase } from "../../core/identity/identity.ts";
import { agentLogger, requireDeployment } from "../agent-session.ts";
import { EXIT } from "../exit-codes.ts";
import { interruptible } from "../interrupt.ts";
import { readKeystoreKey } from "../keystore-key.ts";
import { formatBytes, printable } from "../output.ts";
import { givenRecoveryPhrase, givenWalletKey, readRecoveryPhrase } from "../secrets.ts";
import { endWith, type Surroundings, surroundings, wipeKey } from "../surroundings.ts";
import type { ClaimOptions } from "./claim-options.ts";
import { requireAccount } from "./recover-claim.ts";

interface Rehearsed {
  readonly account: string;
  /** The owner's, or one for this time. */
  readonly identity: Identity;
  readonly isOwner: boolean;
  /** Whether a phrase was given, and is that of the identity in the home folder if there is one. */
  readonly phrase: "right" | "of another identity" | "not given";
}

export async function drill(command: Command, options: ClaimOptions & { phraseFile?: string }): Promise<void> {
  const around = surroundings(command);
  const way: RecoveryWay = options.wallet === true ? "wallet" : options.guardians === true ? "guardians" : "phrase";
  const { deployment } = requireDeployment(around);
  const walletKey = way === "wallet" ? await givenWalletKey(options.walletKeyFile) : undefined;
  const wallet = walletKey === undefined ? {} : { wallet: addressOfPrivateKey(walletKey) };
  walletKey?.fill(0);
  const { account, identity, isOwner, phrase } = await whoIsRehearsed(around, way, options);
  try {
    await interruptible(async (signal) => {
      const plan = { way, account, isOwner, ...wallet, signal };
      const told = await drillOn({
        identity,
        deployment,
        homeDir: around.homeDir,
        logger: agentLogger(around.output),
        plan,
      });
      const report = way === "phrase" ? withPhrase(told, phrase) : told;
      around.output.result({ ...report, phrase }, lines(report));
      endWith(command, EXIT_OF[report.outcome]);
    });
  } finally {
    identity.wipe();
  }
}

async function whoIsRehearsed(
  around: Surroundings,
  way: RecoveryWay,
  options: ClaimOptions & { phraseFile?: string },
): Promise<Rehearsed> {
  const { homeDir } = around;
  if (hasIdentity(homeDir)) {
    const given = await givenRecoveryPhrase(options.phraseFile);
    const key = await readKeystoreKey(homeDir, around.options);
    const own = await loadIdentity(homeDir, key).finally(() => wipeKey(key));
    const isOther = options.account !== undefined && !isAddressEqual(options.account, own.account);
    if (isOther && way !== "phrase") {
      own.wipe();
      return { account: requireAccount(options), identity: freshIdentity(), isOwner: false, phrase: "not given" };
    }
    return { account: own.account, identity: own, isOwner: true, phrase: comparePhrase(given, own.account) };
  }
  if (way !== "phrase") {
    // Whoever asks the nodes has to be somebody.
    return { account: requireAccount(options), identity: freshIdentity(), isOwner: false, phrase: "not given" };
  }
  const identity = identityFromPhrase(await readRecoveryPhrase(options.phraseFile));
  return { account: identity.account, identity, isOwner: true, phrase: "right" };
}

function comparePhrase(phrase: string | undefined, account: string): Rehearsed["phrase"] {
  if (phrase === undefined) return "not given";
  const given = identityFromPhrase(phrase);
  const isSame = isAddressEqual(given.account, account);
  given.wipe();
  return isSame ? "right" : "of another identity";
}

function checkPhrase(phrase: Rehearsed["phrase"]): DrillCheck {
  const facts = { party: "you", check: "recovery phrase", decides: true };
  switch (phrase) {
    case "right":
      return { ...facts, outcome: "passed", detail: "it gives this account" };
    case "not given":
      return {
        ...facts,
        outcome: "unchecked",
        detail: "not tried",
        remedy: "give it with --phrase-file, as you have written it down",
      };
    case "of another identity":
      return {
        ...facts,
        outcome: "failed",
        detail: "it is of another identity",
        remedy: "find the right one while this device still has it (`tallystick phrase`)",
      };
  }
}

/** The worse of the two decides. */
function withPhrase(report: DrillReport, phrase: Rehearsed["phrase"]): DrillReport {
  const check = checkPhrase(phrase);
  const outcome = check.outcome === "failed" || report.outcome === "passed" ? check.outcome : report.outcome;
  return { ...report, outcome, checks: [check, ...report.checks] };
}

const EXIT_OF = { passed: EXIT.ok, failed: EXIT.incomplete, unchecked: EXIT.unchecked } as const;

const VERDICT = {
  passed: "this recovery would work",
  failed: "this recovery would NOT work now",
  unchecked:
    "whether this recovery would work could NOT be checked in full: nothing that was checked speaks against it",
} as const;

function lines({ account, way, outcome, checks, comesBack, steps }: DrillReport): string[] {
  return [
    `drill: ${account} by ${way === "phrase" ? "its phrase" : `its ${way}`}. Nothing was sent or written.`,
    ...checks.flatMap(checkLines),
    ...(comesBack === undefined ? [] : comesBackLines(comesBack)),
    "to be done:",
    ...steps.map((step, place) => `  ${place + 1}. ${step}`),
    VERDICT[outcome],
  ];
}

/** In capitals what decides. */
function checkLines({ party, check, outcome, detail, remedy, decides }: DrillCheck): string[] {
  const word = { passed: "ok", failed: "failed", unchecked: "unknown" }[outcome];
  const mark = outcome !== "passed" && decides ? word.toUpperCase() : word;
  return [
    `  ${mark.padEnd(7)} ${check}: ${printable(detail)} (${printable(party)})`,
    ...(remedy === undefined ? [] : [`          to do: ${printable(remedy)}`]),
  ];
}

function comesBackLines({
  records,
  dataSets,
  puts,
  totalBytes,
  snapshots,
  failed,
}: NonNullable<DrillReport["comesBack"]>) {
  return [
    `would come back: ${records} records, ${dataSets} data sets` +
      (snapshots === undefined ? "" : `, ${snapshots} snapshots`) +
      (totalBytes === undefined ? "; sizes and names are sealed to the identity" : `, ${formatBytes(totalBytes)}`),
    ...(puts ?? []).map((put) => `  ${put.dataId}  ${formatBytes(put.totalBytes)}  ${printable(put.name)}`),
    ...(failed ?? []).map(({ recordId, error }) => `  NOT record ${recordId}: ${printable(error.message)}`),
  ];
}

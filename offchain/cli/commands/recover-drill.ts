/**
 * `tallystick recover --drill`: a recovery rehearsed. It sends no transaction and writes nothing, not even in the home
 * folder: the network is compared with the pinned one, and the agent runs on a platform that keeps nothing.
 */
import type { Command } from "commander";
import { randomBytes } from "#primitives";
import { drillOn } from "../../agent/node/drill.ts";
import { hasIdentity, loadIdentity } from "../../agent/node/identity-store.ts";
import type { DrillReport, RecoveryWay } from "../../agent/recovery/drill.ts";
import { addressOfPrivateKey, isAddressEqual } from "../../core/encoding/address.ts";
import { type Identity, identityFromEntropy, identityFromPhrase } from "../../core/identity/identity.ts";
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
      if (!report.possible) endWith(command, EXIT.incomplete);
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
      return { account: requireAccount(options), identity: passingIdentity(), isOwner: false, phrase: "not given" };
    }
    return { account: own.account, identity: own, isOwner: true, phrase: comparePhrase(given, own.account) };
  }
  if (way !== "phrase") {
    return { account: requireAccount(options), identity: passingIdentity(), isOwner: false, phrase: "not given" };
  }
  const identity = identityFromPhrase(await readRecoveryPhrase(options.phraseFile));
  return { account: identity.account, identity, isOwner: true, phrase: "right" };
}

/** Whoever asks the nodes has to be somebody. */
function passingIdentity(): Identity {
  const entropy = randomBytes(32);
  try {
    return identityFromEntropy(entropy);
  } finally {
    entropy.fill(0);
  }
}

function comparePhrase(phrase: string | undefined, account: string): Rehearsed["phrase"] {
  if (phrase === undefined) return "not given";
  const given = identityFromPhrase(phrase);
  const isSame = isAddressEqual(given.account, account);
  given.wipe();
  return isSame ? "right" : "of another identity";
}

function withPhrase(report: DrillReport, phrase: Rehearsed["phrase"]): DrillReport {
  const passed = phrase === "right";
  const detail =
    phrase === "right"
      ? "it gives this account"
      : phrase === "not given"
        ? "not tried: give it with --phrase-file, as you have written it down"
        : "it is of another identity: find the right one while this device still has it (`tallystick phrase`)";
  const check = { party: "you", check: "recovery phrase", passed, detail };
  return { ...report, possible: report.possible && passed, checks: [check, ...report.checks] };
}

function lines({ account, way, possible, checks, comesBack, steps }: DrillReport): string[] {
  return [
    `drill: ${account} by ${way === "phrase" ? "its phrase" : `its ${way}`}. Nothing was sent or written.`,
    ...checks.map(
      ({ party, check, passed, detail }) =>
        `  ${passed ? "ok     " : "MISSING"} ${check}: ${printable(detail)} (${party})`,
    ),
    ...(comesBack === undefined ? [] : comesBackLines(comesBack)),
    "to be done:",
    ...steps.map((step, place) => `  ${place + 1}. ${step}`),
    possible ? "this recovery would work" : "this recovery would NOT work now",
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

/**
 * `tallystick recover --wallet` and `--guardians`: the claim of somebody who has lost the phrase. It takes days, so
 * each run does what can be done now and says what is next; the claim in the home folder keeps the rest.
 */
import type { Command } from "commander";
import { systemClock } from "../../agent/clock.ts";
import { giveDevelopmentFunds } from "../../agent/development-funds.ts";
import { type ClaimState, protectionOf, type RecoveryClaim, type RequestView } from "../../agent/index.ts";
import {
  type ClaimFile,
  claimIn,
  claimOpeners,
  openClaim,
  readClaim,
  removeClaim,
} from "../../agent/node/claim-file.ts";
import { createIdentity, hasIdentity } from "../../agent/node/identity-store.ts";
import { meetNetwork } from "../../agent/node/network-pin.ts";
import { addressOfPrivateKey, isAddressEqual } from "../../core/encoding/address.ts";
import { formatEther } from "../../core/encoding/amounts.ts";
import { InvalidInputError, TallystickError } from "../../core/errors.ts";
import { phraseOfEntropy } from "../../core/identity/identity.ts";
import type { KeystoreKey } from "../../core/identity/keystore.ts";
import { type AgentNeeds, agentLogger, requireDeployment } from "../agent-session.ts";
import { EXIT } from "../exit-codes.ts";
import { interruptible } from "../interrupt.ts";
import { readKeyFor } from "../keystore-key.ts";
import { givenWalletKey } from "../secrets.ts";
import { endWith, type Surroundings, surroundings, wipeKey } from "../surroundings.ts";
import type { ClaimOptions } from "./claim-options.ts";
import { maximumFee } from "./gas-fee.ts";
import { newKeystoreKey, refuseExisting } from "./init.ts";
import { phaseText } from "./recovery-lines.ts";

/** How often `--wait` looks. */
const LOOK_MILLISECONDS = 15_000;

/** @returns what the renewal of the list needs when the identity is back; undefined when it has to be run again */
export async function claimIdentity(command: Command, options: ClaimOptions): Promise<AgentNeeds | undefined> {
  const around = surroundings(command);
  const { homeDir, output } = around;
  if (hasIdentity(homeDir) && readClaim(homeDir) !== undefined) {
    // Interrupted when it was done.
    removeClaim(homeDir);
    return {};
  }
  refuseExisting(homeDir);
  const claimed = { account: requireAccount(options), path: pathOf(options) };
  const { deployment } = requireDeployment(around);
  // Before anything is written or asked for.
  const { warning } = await protectionOf(deployment, claimed.account);
  if (warning !== undefined) output.say(`tallystick: ${warning}`);
  const walletKey = claimed.path === "wallet" ? await givenWalletKey(options.walletKeyFile) : undefined;
  const key = await keyOfClaim(around, readClaim(homeDir), options.keystoreWallet);
  const { identity, claim: file } = await claimIn(homeDir, key, deployment, claimed);
  const meeting = meetNetwork(homeDir, deployment);
  const claim = openClaim(identity, deployment, claimed, agentLogger(output));
  try {
    return await interruptible(async (signal) => {
      await meeting.pinned();
      const restored = await advance({ around, claim, file, walletKey, key, signal }, options);
      if (!restored) endWith(command, EXIT.incomplete);
      if (restored) return { key };
      wipeKey(key);
      return undefined;
    });
  } finally {
    walletKey?.fill(0);
    identity.wipe();
    await claim.close();
    meeting.close();
  }
}

/**
 * What opens the claim, and the identity once it is restored.
 * @throws InvalidInputError for a wallet other than the one that the claim was begun with; as `newKeystoreKey`
 */
async function keyOfClaim(
  around: Surroundings,
  found: ClaimFile | undefined,
  wallet: string | undefined,
): Promise<KeystoreKey> {
  if (found === undefined) return await newKeystoreKey(around, wallet);
  const openers = claimOpeners(found);
  const isOther = wallet !== undefined && !openers.wallets.some((one) => isAddressEqual(one.wallet, wallet));
  if (!isOther) return await readKeyFor(openers, around.options);
  throw new InvalidInputError("the recovery under way here was begun with another keystore", {
    party: "you",
    check: "wallet of the keystore",
    expected: openers.wallets.map((one) => one.wallet).join(" or ") || "a passphrase",
    received: wallet,
    hint: "leave --keystore-wallet out, and change what opens the identity when it is restored",
  });
}

interface Run {
  readonly around: Surroundings;
  readonly claim: RecoveryClaim;
  readonly file: ClaimFile;
  readonly walletKey: Uint8Array | undefined;
  readonly key: KeystoreKey;
  readonly signal: AbortSignal;
}

/** Does what can be done now. @returns whether the identity is back */
async function advance(run: Run, options: ClaimOptions): Promise<boolean> {
  const { around, claim, signal } = run;
  for (;;) {
    let state = await claim.look();
    if (state.request === undefined && claim.path === "wallet") {
      const isSent = await openRequest(run, state, options);
      if (isSent) state = await claim.look();
    }
    if (state.request?.phase === "releasable") {
      try {
        await restore(run, state);
        return true;
      } catch (error) {
        if (options.wait !== true || !isTooEarly(error)) throw error;
        around.output.say("tallystick: the key nodes wait until more blocks confirm the request");
      }
    }
    if (options.wait !== true) {
      await tellState(run, state);
      return false;
    }
    around.output.say(`tallystick: ${state.request === undefined ? "no request yet" : phaseText(state.request)}`);
    await systemClock.pause(LOOK_MILLISECONDS, signal);
  }
}

/** Nodes answer in the state of a block that has some others upon it. */
function isTooEarly(error: unknown): boolean {
  return error instanceof TallystickError && error.code === "NOT_RELEASED" && error.check === "said no";
}

/** @returns whether it was sent */
async function openRequest(run: Run, { protection }: ClaimState, options: ClaimOptions): Promise<boolean> {
  const { around, claim, file, walletKey } = run;
  const opening = await claim.opening(protection, BigInt(file.deadline), options.signature);
  if (walletKey === undefined && options.signature === undefined) return false;
  if (walletKey === undefined) {
    const given = await giveDevelopmentFunds(claim.deployment, claim.requester);
    if (given) around.output.say("tallystick: this is a development chain: the fresh account was given coins");
  }
  const from = walletKey === undefined ? claim.requester : addressOfPrivateKey(walletKey);
  const quote = walletKey === undefined ? await claim.quote(opening) : await claim.quoteBy(walletKey, opening);
  around.output.say(
    `tallystick: requesting the recovery from ${from}: gas at most ${quote.gas}, now ${formatEther(quote.gasFee)}`,
  );
  const limits = maximumFee(options);
  const sent =
    walletKey === undefined ? await claim.relay(opening, limits) : await claim.openBy(walletKey, opening, limits);
  around.output.say(
    `tallystick: requested in block ${sent.blockNumber}; gas ${sent.gasUsed}, ${formatEther(sent.gasFee)}`,
  );
  return true;
}

async function restore({ around, claim, key }: Run, state: ClaimState): Promise<void> {
  const { identity } = await claim.release(state);
  try {
    const phrase = phraseOfEntropy(identity.phraseEntropy);
    const created = await createIdentity(around.homeDir, key, phrase);
    created.identity.wipe();
    removeClaim(around.homeDir);
    around.output.say(`tallystick: identity ${identity.account} restored to ${created.keystoreFile}`);
  } finally {
    identity.wipe();
  }
}

async function tellState({ around, claim, file }: Run, state: ClaimState): Promise<void> {
  const { request, protection } = state;
  const facts = {
    account: claim.account,
    path: claim.path,
    version: protection.secret.version,
    requester: claim.requester,
    sessionKey: claim.sessionKey,
    words: claim.words,
  };
  const again = "run the same command again then";
  if (request !== undefined) {
    const { request: content, ...view } = request;
    around.output.result({ ...facts, state: view.phase, request: { ...view, ...content } }, [
      `${phaseText(view)}; ${again}`,
      ...(view.phase === "collecting" ? guardianLines(claim, view) : []),
    ]);
    return;
  }
  if (claim.path === "guardians") {
    around.output.result({ ...facts, state: "asking" }, guardianLines(claim));
    return;
  }
  const { call, typedData, request: content } = await claim.opening(protection, BigInt(file.deadline));
  const { to, data } = call;
  around.output.result({ ...facts, state: "asking", wallet: content.proposer, transaction: { to, data }, typedData }, [
    `the wallet ${content.proposer} has to consent, in one of these ways:`,
    "  its key          run this again with --wallet-key-file <file>",
    "  a transaction    from the wallet, sent by any program; then run this again:",
    `    to             ${to}`,
    `    data           ${data}`,
    "  a signature      over this EIP-712 message; then run this again with --signature <hex>:",
    `    ${JSON.stringify(typedData)}`,
  ]);
}

function guardianLines(claim: RecoveryClaim, view?: RequestView): string[] {
  return [
    view === undefined ? "give the guardians this command:" : "the guardians who are missing run this command:",
    `  tallystick recovery approve ${claim.account} --for ${claim.requester} --session ${claim.sessionKey}`,
    "read them these words, by a way on which they know you; what they see must be the same:",
    `  ${claim.words}`,
  ];
}

function pathOf({ wallet }: ClaimOptions): "wallet" | "guardians" {
  return wallet === true ? "wallet" : "guardians";
}

/** @throws InvalidInputError without one */
export function requireAccount({ account }: ClaimOptions): string {
  if (account !== undefined) return account;
  throw new InvalidInputError("whose identity? name the account with --account", {
    party: "you",
    check: "account to recover",
    hint: "`tallystick recovery find <wallet>` shows the accounts that name a wallet",
  });
}

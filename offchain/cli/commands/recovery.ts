/**
 * `tallystick recovery`: who can get the identity back when phrase and devices are lost, and what one does for others.
 */

import type { Command } from "commander";
import type { Guarded, PreparedProtection, RecoveryPlan, VetoFailure } from "../../agent/index.ts";
import { proposerText } from "../../agent/recovery/describe-plan.ts";
import { replacedWarning } from "../../agent/recovery/warnings.ts";
import { formatEther } from "../../core/encoding/amounts.ts";
import { InvalidInputError } from "../../core/errors.ts";
import { EXIT, exitCodeOf } from "../exit-codes.ts";
import { formatTime, printable } from "../output.ts";
import { withAgent } from "../session.ts";
import { surroundings } from "../surroundings.ts";
import { address, addressList, duration, hexBytes, signature, unixSeconds, wholeNumber } from "../values.ts";
import { type GasFeeOptions, gasFeeOption, maximumFee } from "./gas-fee.ts";
import { phaseText, planLines, requestText } from "./recovery-lines.ts";

const DAY_SECONDS = 86_400;
const DEFAULT_DELAY_SECONDS = 3 * DAY_SECONDS;
const DEFAULT_GUARDIAN_DELAY_SECONDS = DAY_SECONDS;
const DEFAULT_WINDOW_SECONDS = 30 * DAY_SECONDS;

const PROTECT_HELP = `
The identity is sealed to the key nodes and kept on chain. The wallet, or enough guardians, can have it released after a
delay in which you can veto: \`tallystick watch\` and \`tallystick status\` tell of every request. Whoever holds the
wallet, or that many guardians together, and is not vetoed in time, gets everything; so does a committee of which enough
nodes collude. Run it again to change anything: the earlier version is retired.

Examples:
  $ tallystick recovery protect --wallet 0x7099… --delay 3d
  $ tallystick recovery protect --guardian 0x3C44… --guardian 0x90F7… --guardian 0x15d3… --threshold 2
  $ tallystick recover --drill --wallet`;

const APPROVE_HELP = `
Before you approve, have the person who asks read the six words to you, by a way on which you know the person. Whoever
is approved by enough guardians gets the account's data. If another guardian replaces its request again and again, so
that it never has enough approvals, agree on a third one's and name that one with --proposer.

A guardian that is a contract wallet sends no command: --guardian names it, and prints the transaction that it has to
send, or the message that it has to sign (EIP-1271). Any account sends that signature, and pays for it.

Example:
  $ tallystick recovery approve 0xf39F… --for 0x7099… --session 0x1b2c…`;

interface PlanOptions {
  readonly wallet?: string;
  readonly delay?: number;
  readonly guardian?: readonly string[];
  readonly threshold?: number;
  readonly guardianDelay?: number;
  readonly window?: number;
}

interface ApproveOptions extends GasFeeOptions {
  readonly for: string;
  readonly session: string;
  readonly proposer?: string;
  readonly guardian?: string;
  readonly signature?: string;
  readonly deadline?: bigint;
}

export function registerRecovery(program: Command): void {
  const recovery = program
    .command("recovery")
    .description("name a wallet or guardians who can get the identity back; veto, or approve for others")
    .addHelpText("after", "\nExample:\n  $ tallystick recovery show");
  registerProtect(recovery);
  registerOwner(recovery);
  registerGuardian(recovery);
}

function registerProtect(recovery: Command): void {
  recovery
    .command("protect")
    .description("seal the identity so that a wallet or guardians can get it back; retires the earlier version")
    .option("--wallet <address>", "account that can get it back alone", address)
    .option(
      "--delay <duration>",
      "time in which you can veto the wallet, 1h to 365d (default: 3d)",
      duration("--delay"),
    )
    .option("--guardian <address>", "one of those who can get it back together; may be repeated", addressList)
    .option("--threshold <m>", "how many guardians it takes (default: more than half)", wholeNumber("--threshold"))
    .option(
      "--guardian-delay <duration>",
      "time in which you can veto after the last approval, 1h to 365d (default: 1d; 0 for none)",
      duration("--guardian-delay"),
    )
    .option(
      "--window <duration>",
      "how long approvals are collected, and a release stays possible, 1h to 365d (default: 30d)",
      duration("--window"),
    )
    .addOption(gasFeeOption())
    .option("-n, --dry-run", "only show what it would cost")
    .addHelpText("after", PROTECT_HELP)
    .action(async (options: PlanOptions & GasFeeOptions & { dryRun?: boolean }, command: Command) => {
      const plan = planFrom(options);
      await withAgent(command, async ({ agent, output }) => {
        const prepared = await agent.recovery.prepare(plan);
        const { version, gas, gasFee } = prepared;
        const cost = `gas at most ${gas}, now ${formatEther(gasFee)}`;
        if (options.dryRun === true) {
          output.result(describePrepared(prepared), [
            `version ${version} would be published: ${cost}`,
            ...planLines(plan),
          ]);
          return;
        }
        output.say(`tallystick: publishing version ${version} of the sealed identity: ${cost}`);
        const sent = await agent.recovery.publish(prepared, maximumFee(options));
        output.result({ account: agent.account, ...describePrepared(prepared), ...sent }, [
          `the identity ${agent.account} can be recovered, version ${version}:`,
          ...planLines(plan),
          `  gas ${sent.gasUsed}, ${formatEther(sent.gasFee)}`,
          "rehearse it with `tallystick recover --drill`",
        ]);
      });
    });
}

function registerOwner(recovery: Command): void {
  recovery
    .command("show")
    .description("show what protects the identity now, and the requests for it")
    .addHelpText("after", "\nExample:\n  $ tallystick recovery show")
    .action(async (_options: unknown, command: Command) => {
      await withAgent(command, async ({ agent, output }) => {
        const view = await agent.recovery.show();
        if (view === undefined) {
          output.result({ account: agent.account, protection: null }, [
            "nothing but the recovery phrase restores this identity: `tallystick recovery protect` adds a wallet or " +
              "guardians",
          ]);
          return;
        }
        const { problem, ...rest } = view;
        output.result({ account: agent.account, protection: { ...rest, problem: problem?.toJSON() } }, [
          view.isLive
            ? `version ${view.version}, sealed to committee ${view.committeeId}`
            : `version ${view.version} is retired: nothing but the recovery phrase restores this identity`,
          ...(view.isLive ? planLines(view.plan) : []),
          ...(problem === undefined
            ? []
            : [`  DAMAGED: ${problem.message}; \`tallystick recovery protect\` seals it anew`]),
          ...view.replaced.map((named) => `  REPLACED: ${replacedWarning(named)}`),
          ...view.requests.map((request) => `request by ${requestText(request)}`),
        ]);
      });
    });
  recovery
    .command("veto")
    .description("veto requests for the identity; whoever made them can ask no more for this version")
    .argument("[proposer]", "wallet or guardian whose request it is (default: all)", address)
    .addOption(gasFeeOption())
    .addHelpText(
      "after",
      "\nOne that cannot be vetoed keeps no other from it: the exit code is 10 when some were not vetoed.\n" +
        "\nExample:\n  $ tallystick recovery veto 0x7099…",
    )
    .action(async (proposer: string | undefined, options: GasFeeOptions, command: Command) => {
      await withAgent(command, async ({ agent, output, exitWith }) => {
        const { vetoed, failed } = await agent.recovery.veto(proposer, maximumFee(options));
        const failures = failed.map(({ error, ...place }) => ({ ...place, error: error.toJSON() }));
        output.result({ account: agent.account, vetoed, failed: failures }, [
          ...vetoed.map(
            (one) => `vetoed the request of ${proposerText(one)}; gas ${one.gasUsed}, ${formatEther(one.gasFee)}`,
          ),
          ...failed.flatMap(failureLines),
        ]);
        const [first] = failed;
        if (first !== undefined) exitWith(vetoed.length > 0 ? EXIT.incomplete : exitCodeOf(first.error.code));
      });
    });
  recovery
    .command("retire")
    .description("end the recovery: only the phrase restores the identity then")
    .addOption(gasFeeOption())
    .addHelpText("after", "\nExample:\n  $ tallystick recovery retire")
    .action(async (options: GasFeeOptions, command: Command) => {
      await withAgent(command, async ({ agent, output }) => {
        const sent = await agent.recovery.retire(maximumFee(options));
        output.result({ account: agent.account, ...sent }, [
          `version ${sent.version} is retired; gas ${sent.gasUsed}, ${formatEther(sent.gasFee)}`,
        ]);
      });
    });
}

function registerGuardian(recovery: Command): void {
  recovery
    .command("requests")
    .description("show the accounts that name this one as a guardian, and their requests")
    .option("--account <address>", "only this account", address)
    .addHelpText("after", "\nExample:\n  $ tallystick recovery requests")
    .action(async (options: { account?: string }, command: Command) => {
      await withAgent(command, async ({ agent, output }) => {
        const { guarded, leftOut } = await agent.recovery.guarded(options.account);
        output.result({ account: agent.account, guarded, leftOut }, [
          ...(guarded.length === 0 ? ["no account names this one as a guardian"] : guarded.flatMap(guardedLines)),
          ...(leftOut === 0 ? [] : [`and ${leftOut} older ones were left out: name one with --account`]),
        ]);
      });
    });
  recovery
    .command("approve")
    .description("approve, as a guardian, that an account's identity goes to somebody")
    .argument("<account>", "whose identity", address)
    .requiredOption("--for <address>", "the fresh account of whoever asks", address)
    .requiredOption("--session <key>", "its session key", hexBytes("A session key", 32))
    .option(
      "--proposer <guardian>",
      "whose request to approve; your own address opens one (default: the request that most have approved)",
      address,
    )
    .option("--guardian <address>", "approve for this guardian, a wallet that is a contract or elsewhere", address)
    .option("--signature <hex>", "its signature over the message that the command prints", signature)
    .option("--deadline <seconds>", "of that message, as the command prints it", unixSeconds)
    .addOption(gasFeeOption())
    .addHelpText("after", APPROVE_HELP)
    .action(approve);
  recovery
    .command("find")
    .description("show the accounts that name an address as wallet or guardian; needs no identity")
    .argument("<address>", "the wallet or guardian", address)
    .addHelpText(
      "after",
      "\nAnybody can name any address: recover an account only if you recognise it as yours.\n" +
        "\nExample:\n  $ tallystick recovery find 0x7099…",
    )
    .action(async (wanted: string, _options: unknown, command: Command) => {
      const around = surroundings(command);
      const { requireDeployment } = await import("../agent-session.ts");
      const { accountsNaming } = await import("../../agent/index.ts");
      const { accounts, leftOut } = await accountsNaming(requireDeployment(around).deployment, wanted);
      around.output.result({ address: wanted, accounts, leftOut }, [
        ...(accounts.length === 0 ? ["no account names this address"] : []),
        ...accounts.flatMap(({ account, path, plan }) => [`${account} names it (${path})`, ...planLines(plan)]),
        ...(leftOut === 0 ? [] : [`and ${leftOut} older ones were left out`]),
      ]);
    });
}

async function approve(account: string, options: ApproveOptions, command: Command): Promise<void> {
  const { guardian, proposer, signature, deadline } = options;
  if (guardian === undefined && (signature !== undefined || deadline !== undefined)) {
    throw new InvalidInputError("a signature is of another guardian: add --guardian", {
      party: "you",
      check: "options that go together",
      expected: "--signature and --deadline with --guardian",
    });
  }
  await withAgent(command, async ({ agent, output, incomplete }) => {
    const asked = { requester: options.for, sessionKey: options.session };
    const approver = {
      ...(proposer === undefined ? {} : { proposer }),
      ...(guardian === undefined ? {} : { guardian }),
      ...(signature === undefined ? {} : { signature }),
      ...(deadline === undefined ? {} : { deadline }),
    };
    if (guardian !== undefined && signature === undefined) {
      const consent = await agent.recovery.consent(account, asked, approver);
      const { call, protection, request, isOpening, deadline: until } = consent;
      const { requestMessage } = await import("../../agent/recovery/request-message.ts");
      const signed = until === undefined ? { guardian } : { deadline: until };
      const typedData = requestMessage(agent.deployment, protection.secret, request, signed);
      const again =
        `--guardian ${guardian} --proposer ${request.proposer}` +
        `${until === undefined ? "" : ` --deadline ${until}`} --signature <hex>`;
      output.result({ account, guardian, request, isOpening, deadline: until, transaction: call, typedData }, [
        `the guardian ${guardian} has to consent, in one of these ways:`,
        "  a transaction    from the guardian, sent by any program:",
        `    to             ${call.to}`,
        `    data           ${call.data}`,
        `  a signature      over this EIP-712 message; then run this again with ${again}:`,
        `    ${JSON.stringify(typedData)}`,
      ]);
      return incomplete();
    }
    const done = await agent.recovery.approve(account, asked, { ...maximumFee(options), ...approver });
    output.result(done, [
      `approved: ${done.approvals} of ${done.threshold}${done.isOpened ? ", the request was opened" : ""}`,
      ...(done.releasableAt === undefined ? [] : [`released from ${formatTime(done.releasableAt * 1000)} on`]),
      `  gas ${done.gasUsed}, ${formatEther(done.gasFee)}`,
    ]);
  });
}

function failureLines({ error, ...place }: VetoFailure): string[] {
  return [
    `NOT vetoed: the request of ${proposerText(place)}: ${printable(error.message)}`,
    ...(error.hint === undefined ? [] : [`  to do: ${printable(error.hint)}`]),
  ];
}

function guardedLines({ account, plan, requests }: Guarded): string[] {
  return [
    `account ${account}`,
    ...planLines(plan),
    ...requests.flatMap((request) => [
      `  request for ${request.requester}${request.isApproved ? ", approved by you" : ""}: ${phaseText(request)}`,
      `    words        ${request.words}`,
      ...(request.isApproved || request.phase !== "collecting"
        ? []
        : [
            `    to approve   tallystick recovery approve ${account} --for ${request.requester} --session ` +
              request.sessionKey,
          ]),
    ]),
  ];
}

function describePrepared({ version, plan, committeeId, gas, gasFee, sealed }: PreparedProtection) {
  return { version, plan, committeeId, quote: { gas, gasFee }, sealedBytes: sealed.length };
}

/** @throws InvalidInputError for options that do not go together */
function planFrom(options: PlanOptions): RecoveryPlan {
  const { wallet, delay, guardian, threshold, guardianDelay, window } = options;
  if (wallet === undefined && guardian === undefined) {
    throw wrongPlan("name a wallet with --wallet, guardians with --guardian, or both");
  }
  if (wallet === undefined && delay !== undefined) throw wrongPlan("--delay is of a wallet: add --wallet");
  if (guardian === undefined && (threshold !== undefined || guardianDelay !== undefined)) {
    throw wrongPlan("--threshold and --guardian-delay are of guardians: add --guardian");
  }
  return {
    ...(wallet === undefined ? {} : { wallet: { account: wallet, delaySeconds: delay ?? DEFAULT_DELAY_SECONDS } }),
    ...(guardian === undefined
      ? {}
      : {
          guardians: {
            accounts: guardian,
            threshold: threshold ?? Math.floor(guardian.length / 2) + 1,
            delaySeconds: guardianDelay ?? DEFAULT_GUARDIAN_DELAY_SECONDS,
          },
        }),
    windowSeconds: window ?? DEFAULT_WINDOW_SECONDS,
  };
}

function wrongPlan(message: string): InvalidInputError {
  return new InvalidInputError(message, { party: "you", check: "recovery plan" });
}

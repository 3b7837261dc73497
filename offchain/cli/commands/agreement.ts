/** `tallystick agreement`: what the account does with its agreements. */
import type { Command } from "commander";
import type { AgreementReport } from "../../agent/index.ts";
import type { ProgressListener } from "../../agent/progress.ts";
import { counted } from "../../core/encoding/counted.ts";
import { formatEther } from "../output.ts";
import { type AgentSession, dataIdOf, withAgent } from "../session.ts";
import { tableLines } from "../table.ts";
import { address, agreementId, amountInWei, wholeNumber } from "../values.ts";
import { fundOnDevelopmentChain } from "./init.ts";

/** The address that stands for the chain's coin. */
const NATIVE = `0x${"0".repeat(40)}`;

/** Amounts of the chain's coin in ether; those of a token in its smallest unit, whose decimals only the token knows. */
function amount(value: bigint, token: string): string {
  return token === NATIVE ? formatEther(value) : `${value} of ${token}`;
}

function lines(report: AgreementReport): string[] {
  const { terms } = report;
  const money = (value: bigint) => amount(value, terms.token);
  return [
    `agreement  ${report.agreementId}, ${report.status}`,
    ...(report.dataId === undefined ? [] : [`  data     ${report.dataId}`]),
    `  provider ${report.provider}`,
    `  epochs   ${report.epochsProven} proven, ${report.epochsMissed} missed, of ${terms.epochs}; ` +
      `${terms.epochBlocks} blocks each, from block ${terms.startBlock}`,
    `  proof    ${counted(terms.sampleCount, "draw")} from ${counted(terms.sliceCount, "slice")}, within ` +
      counted(terms.windowBlocks, "block"),
    `  fee      ${money(terms.feePerEpoch)} per proven epoch`,
    `  miss     fee back, ${money(terms.compensationPerMiss)} compensation, ${money(terms.bountyPerMiss)} to the ` +
      `reporter; ${terms.breachLimit === 1 ? "1 miss ends" : `${terms.breachLimit} misses end`} the agreement`,
    `  locked   ${money(terms.collateral)} of the provider's`,
  ];
}

/** Says on stderr what an agreement costs before the deposit is sent. */
export function tellingDeposits({ output, progress }: Pick<AgentSession, "output" | "progress">): ProgressListener {
  return (event) => {
    progress.listener(event);
    if (event.operation !== "agreement" || event.terms === undefined) return;
    const { provider, token, feePerEpoch, epochs } = event.terms;
    const deposit = amount(feePerEpoch * BigInt(epochs), token);
    const rate = `${amount(feePerEpoch, token)} per epoch, ${counted(epochs, "epoch")}`;
    output.say(`tallystick: depositing ${deposit}: ${rate}, for ${provider}`);
  };
}

export function registerAgreement(program: Command): void {
  const agreement = program
    .command("agreement")
    .description("open, inspect and settle agreements with the provider")
    .addHelpText("after", "\nExample:\n  $ tallystick agreement ls");
  registerOpen(agreement);
  registerLs(agreement);
  registerShow(agreement);
  registerSettle(agreement);
  registerCancel(agreement);
  registerWithdraw(agreement);
}

function registerOpen(agreement: Command): void {
  agreement
    .command("open")
    .description("make an agreement for data that is stored already; the fees are deposited")
    .argument("<id>", "snapshot (id, latest or latest:<host>) or data id")
    .option("--epochs <n>", "length in epochs (default: 30, or the most the provider takes)", wholeNumber("--epochs"))
    .option("--samples <n>", "slices sampled per epoch (default: what the provider offers)", wholeNumber("--samples"))
    .option(
      "--max-fee <wei>",
      "the most that one epoch may cost with one provider, in wei (default: what it offers)",
      amountInWei("--max-fee"),
    )
    .addHelpText("after", "\nExample:\n  $ tallystick agreement open latest --epochs 12")
    .action(async (id: string, options: { epochs?: number; samples?: number; maxFee?: bigint }, command: Command) => {
      await withAgent(command, async (session) => {
        const { agent, output, progress, signal } = session;
        await fundOnDevelopmentChain(session, agent.account);
        const report = await agent.agreements.open(await dataIdOf(session, id), {
          ...(options.epochs === undefined ? {} : { epochs: options.epochs }),
          ...(options.samples === undefined ? {} : { sampleCount: options.samples }),
          ...(options.maxFee === undefined ? {} : { maximumFeePerEpoch: options.maxFee }),
          onProgress: tellingDeposits(session),
          signal,
        });
        progress.stop();
        output.result(report, lines(report));
      });
    });
}

function registerLs(agreement: Command): void {
  agreement
    .command("ls")
    .description("list this account's agreements, from the chain")
    .addHelpText("after", "\nExample:\n  $ tallystick agreement ls")
    .action(async (_options: unknown, command: Command) => {
      await withAgent(command, async ({ agent, output }) => {
        const agreements = await agent.agreements.list();
        const rows = agreements.map((one) => [
          String(one.agreementId),
          one.status,
          `${one.epochsProven}/${one.terms.epochs}`,
          String(one.epochsMissed),
          amount(one.terms.feePerEpoch, one.terms.token),
          one.dataId ?? "",
        ]);
        const head = ["ID", "STATUS", "PROVEN", "MISSED", "FEE", "DATA ID"];
        output.result({ agreements }, rows.length === 0 ? [] : tableLines(head, rows));
        if (rows.length === 0) output.say("tallystick: no agreements");
      });
    });
}

function registerShow(agreement: Command): void {
  agreement
    .command("show")
    .description("show one agreement with its epochs")
    .argument("<agreement-id>", "number of the agreement", agreementId)
    .addHelpText("after", "\nExample:\n  $ tallystick agreement show 1")
    .action(async (id: bigint, _options: unknown, command: Command) => {
      await withAgent(command, async ({ agent, output }) => {
        const details = await agent.agreements.show(id);
        const view = details.providerView;
        output.result(details, [
          ...lines(details),
          ...(view === undefined ? [] : [`  provider says its copy is ${view.health}`]),
          ...details.epochs.map(({ epoch, status }) => `  epoch ${epoch}: ${status}`),
        ]);
      });
    });
}

function registerSettle(agreement: Command): void {
  agreement
    .command("settle")
    .description("report missed epochs, and close the agreement when it is over; money goes to your credit")
    .argument("<agreement-id>", "number of the agreement", agreementId)
    .addHelpText("after", "\nExample:\n  $ tallystick agreement settle 1 && tallystick agreement withdraw")
    .action(async (id: bigint, _options: unknown, command: Command) => {
      await withAgent(command, async ({ agent, output }) => {
        const settled = await agent.agreements.settle(id);
        const { reported, closed, credit } = settled;
        output.result(settled, [
          reported.length === 0 ? "no missed epochs to report" : `reported missed epochs: ${reported.join(", ")}`,
          ...(closed ? ["the agreement is closed"] : []),
          `credit: ${amount(credit, settled.agreement.terms.token)}`,
        ]);
      });
    });
}

function registerCancel(agreement: Command): void {
  agreement
    .command("cancel")
    .description("cancel a proposal that the provider has not accepted; the deposit goes to your credit")
    .argument("<agreement-id>", "number of the agreement", agreementId)
    .addHelpText("after", "\nExample:\n  $ tallystick agreement cancel 2")
    .action(async (id: bigint, _options: unknown, command: Command) => {
      await withAgent(command, async ({ agent, output }) => {
        await agent.agreements.cancel(id);
        output.result({ agreementId: id, cancelled: true }, [`agreement ${id} is cancelled`]);
      });
    });
}

function registerWithdraw(agreement: Command): void {
  agreement
    .command("withdraw")
    .description("withdraw your credit from the escrow")
    .option("--token <address>", "token to withdraw (default: the chain's coin)", address)
    .option("--to <address>", "who receives it (default: your account)", address)
    .addHelpText("after", "\nExample:\n  $ tallystick agreement withdraw")
    .action(async (options: { token?: string; to?: string }, command: Command) => {
      await withAgent(command, async ({ agent, output }) => {
        const token = options.token ?? NATIVE;
        // Without credit the contract would refuse. Done is done: a second withdrawal is no failure.
        if ((await agent.agreements.credit(token)) === 0n) {
          const to = options.to ?? agent.account;
          output.result({ token, amount: 0n, to }, ["nothing to withdraw"]);
          return;
        }
        const done = await agent.agreements.withdraw(token, options.to);
        output.result(done, [`withdrew ${amount(done.amount, done.token)} to ${done.to}`]);
      });
    });
}

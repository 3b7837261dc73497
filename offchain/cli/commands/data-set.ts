/** `tallystick data-set`: what the account does with its data sets and with the balance that pays for them. */
import type { Command } from "commander";
import type { DataSetSettlement } from "../../agent/data-sets/settle.ts";
import type { DataSetView } from "../../agent/index.ts";
import { amountIn, formatAmount, type WrittenAmount } from "../../core/encoding/amounts.ts";
import { counted } from "../../core/encoding/counted.ts";
import { dataIdOf, withAgent } from "../session.ts";
import { tableLines } from "../table.ts";
import { address, anyAmount, dataSetId } from "../values.ts";
import { registerCompact } from "./compact.ts";
import { dataSetLines, runwayText, shortId, tellingCosts } from "./data-set-lines.ts";
import { registerVerdict } from "./data-set-verdict.ts";
import { type DataSetWishOptions, dataSetWishOptions, readDataSetWishes } from "./data-set-wishes.ts";
import { type GasFeeOptions, gasFeeOption, maximumFee } from "./gas-fee.ts";
import { fundOnDevelopmentChain } from "./init.ts";
import { registerMigrate } from "./migrate.ts";

function lines(view: DataSetView): string[] {
  const { terms, audit, nextWindow, dispute } = view;
  const isOnDemand = terms.mode === "on-demand";
  const money = (value: bigint) => formatAmount(value, terms.token);
  const percentOfFee = (percent: number) => `${percent} % of the fee`;
  return [
    `data set   ${view.id}, ${view.status}${view.device === "this" ? "" : ", of another device"}`,
    `  provider ${view.provider}`,
    `  content  ${counted(view.slices, "slice")} of ${31 * audit.sliceElements} bytes in ` +
      `${counted(view.liveRanges.length, "range")}, highest index ${view.highestIndex}, version ${view.version}`,
    isOnDemand
      ? `  mode     on-demand: proven only when it is disputed, with a bond of ${money(audit.disputeBond)}`
      : "  mode     every-epoch: proven in every epoch",
    `  epochs   ${view.provenEpochs} proven, ${view.missedEpochs} missed`,
    ...(dispute === undefined
      ? []
      : [
          `  dispute  open, by ${dispute.disputer}: the provider can answer from block ` +
            `${dispute.challengeBlock + 1} to ${dispute.answerUntilBlock}`,
        ]),
    ...(nextWindow === undefined
      ? []
      : [
          `  next     proof of epoch ${nextWindow.epoch} in blocks ${nextWindow.challengeBlock + 1} to ` +
            `${nextWindow.graceEnd}`,
        ]),
    `  proof    ${counted(audit.sampleCount, "draw")}, within ` +
      (isOnDemand
        ? `${counted(audit.windowBlocks + audit.graceBlocks, "block")} of a dispute`
        : `${counted(audit.windowBlocks, "block")}, late within ` +
          `${counted(audit.graceBlocks, "more block")} for ${percentOfFee(terms.latePercent)}`),
    `  fee      ${money(view.feePerEpoch)} per epoch, paid for ${runwayText(view.runwayEpochs)}`,
    `  miss     fee back, ${percentOfFee(terms.compensationPercent)} compensation, ` +
      `${percentOfFee(terms.bountyPercent)} to the ${isOnDemand ? "author of the dispute" : "reporter"}; ` +
      `${terms.breachLimit === 1 ? "1 miss ends" : `${terms.breachLimit} misses end`} the data set`,
    ...(view.lastEpoch === undefined ? [] : [`  ends     after epoch ${view.lastEpoch}`]),
    ...(view.predecessor === undefined ? [] : [`  from     data set ${shortId(view.predecessor)}, which it took over`]),
    ...(view.movedTo === undefined
      ? []
      : [`  moved    to data set ${shortId(view.movedTo.id)} at provider ${view.movedTo.provider}`]),
  ];
}

export function registerDataSet(program: Command): void {
  const dataSet = program
    .command("data-set")
    .description("what providers keep for this account and prove, and the balance that pays for it")
    .addHelpText("after", "\nExample:\n  $ tallystick data-set ls");
  registerLs(dataSet);
  registerShow(dataSet);
  registerAdd(dataSet);
  registerBalance(dataSet);
  registerTopUp(dataSet);
  registerCompact(dataSet);
  registerVerdict(dataSet);
  registerMigrate(dataSet);
  registerNotice(dataSet);
  registerSettle(dataSet);
  registerWithdraw(dataSet);
}

function registerLs(dataSet: Command): void {
  dataSet
    .command("ls")
    .description("list this account's data sets, from the chain")
    .addHelpText("after", "\nExample:\n  $ tallystick data-set ls")
    .action(async (_options: unknown, command: Command) => {
      await withAgent(command, async ({ agent, output }) => {
        const dataSets = await agent.dataSets.list();
        const rows = dataSets.map((one) => [
          shortId(one.id),
          one.status,
          one.device,
          String(one.slices),
          String(one.provenEpochs),
          String(one.missedEpochs),
          formatAmount(one.feePerEpoch, one.terms.token),
          runwayText(one.runwayEpochs),
        ]);
        const head = ["ID", "STATUS", "DEVICE", "SLICES", "PROVEN", "MISSED", "FEE", "PAID FOR"];
        output.result({ dataSets }, rows.length === 0 ? [] : tableLines(head, rows));
        if (rows.length === 0) output.say("tallystick: no data sets");
      });
    });
}

function registerShow(dataSet: Command): void {
  dataSet
    .command("show")
    .description("show one data set with its last epochs")
    .argument("<data-set>", "id of the data set, or its beginning", dataSetId)
    .addHelpText("after", "\nExample:\n  $ tallystick data-set show 0x3f9ac2d1")
    .action(async (text: string, _options: unknown, command: Command) => {
      await withAgent(command, async ({ agent, output }) => {
        const details = await agent.dataSets.show(await agent.dataSets.resolve(text));
        const view = details.providerView;
        output.result(details, [
          ...lines(details),
          ...(view === undefined ? [] : [`  provider says its copy is ${view.health}`]),
          ...details.epochs.map(({ epoch, status }) => `  epoch ${epoch}: ${status}`),
        ]);
      });
    });
}

function registerAdd(dataSet: Command): void {
  const add = dataSet
    .command("add")
    .description("add what is stored already, for example by a put with --no-data-set")
    .argument("<id>", "snapshot (id, latest or latest:<host>) or data id");
  dataSetWishOptions(add)
    .addHelpText("after", "\nExample:\n  $ tallystick data-set add latest")
    .action(async (id: string, options: DataSetWishOptions, command: Command) => {
      await withAgent(command, async (session) => {
        const { agent, output, progress, signal } = session;
        await fundOnDevelopmentChain(session, agent.account);
        const dataId = await dataIdOf(session, id);
        const dataSets = await agent.dataSets.add(dataId, {
          ...readDataSetWishes(options),
          onProgress: tellingCosts(session),
          signal,
        });
        progress.stop();
        output.result({ dataId, dataSets }, [dataId, ...dataSetLines(dataSets)]);
      });
    });
}

function registerBalance(dataSet: Command): void {
  dataSet
    .command("balance")
    .description("show the balance that pays for all data sets in a token, and how long it lasts")
    .option("--token <address>", "token (default: the chain's coin)", address)
    .addHelpText("after", "\nExample:\n  $ tallystick data-set balance")
    .action(async (options: { token?: string }, command: Command) => {
      await withAgent(command, async ({ agent, output }) => {
        const balance = await agent.dataSets.balance(options.token);
        const { token, available, rate, runwayEpochs, endsAtBlock, withdrawable } = balance;
        output.result(balance, [
          `balance    ${formatAmount(available, token)}, of which ${formatAmount(withdrawable, token)} can be ` +
            "withdrawn",
          rate === 0n
            ? "  nothing runs"
            : `  costs    ${formatAmount(rate, token)} per epoch: paid for ${runwayText(runwayEpochs)}, to block ` +
              String(endsAtBlock),
        ]);
      });
    });
}

function registerTopUp(dataSet: Command): void {
  dataSet
    .command("top-up")
    .description("add money to the balance")
    .argument(
      "<amount>",
      "as 0.1ETH, or in the token's smallest unit, wei for the chain's coin",
      anyAmount("The amount"),
    )
    .option("--token <address>", "token (default: the chain's coin)", address)
    .addOption(gasFeeOption())
    .addHelpText("after", "\nExample:\n  $ tallystick data-set top-up 0.1ETH")
    .action(async (written: WrittenAmount, options: GasFeeOptions & { token?: string }, command: Command) => {
      const amount = amountIn(written, options.token, "the amount");
      await withAgent(command, async (session) => {
        const { agent, output } = session;
        await fundOnDevelopmentChain(session, agent.account);
        const done = await agent.dataSets.topUp(amount, options.token, maximumFee(options));
        output.result(done, [
          `deposited ${formatAmount(done.amount, done.token)}`,
          `  balance  ${formatAmount(done.balance.available, done.token)}, paid for ` +
            runwayText(done.balance.runwayEpochs),
        ]);
      });
    });
}

function registerNotice(dataSet: Command): void {
  dataSet
    .command("notice")
    .description("end a data set after the notice period; the next put to its provider begins another one")
    .argument("<data-set>", "id of the data set, or its beginning", dataSetId)
    .addOption(gasFeeOption())
    .addHelpText("after", "\nExample:\n  $ tallystick data-set notice 0x3f9ac2d1")
    .action(async (text: string, options: GasFeeOptions, command: Command) => {
      await withAgent(command, async ({ agent, output }) => {
        const id = await agent.dataSets.resolve(text);
        const notice = await agent.dataSets.giveNotice(id, maximumFee(options));
        output.result(notice, [
          `data set ${shortId(id)} ends after epoch ${notice.lastEpoch}; what it holds is not kept beyond that`,
          "  `tallystick data-set add <snapshot>` takes what you still need into the next data set",
        ]);
      });
    });
}

function registerSettle(dataSet: Command): void {
  dataSet
    .command("settle")
    .description(
      "report missed epochs, decide a dispute that was not answered, show that the provider signed two states, " +
        "settle, and close a data set that is over; money goes to your balance",
    )
    .argument("<data-set>", "id of the data set, or its beginning", dataSetId)
    .addOption(gasFeeOption())
    .addHelpText("after", "\nExample:\n  $ tallystick data-set settle 0x3f9ac2d1 && tallystick data-set withdraw")
    .action(async (text: string, options: GasFeeOptions, command: Command) => {
      await withAgent(command, async ({ agent, output }) => {
        const id = await agent.dataSets.resolve(text);
        const done = await agent.dataSets.settle(id, maximumFee(options));
        output.result(done, [verdictLine(done), ...(done.closed ? ["the data set is closed"] : [])]);
      });
    });
}

function verdictLine({ reported, upheld, doubleSigned, set: { terms, dispute } }: DataSetSettlement): string {
  if (doubleSigned) return "the provider had signed two states under one version: the data set ended, and it pays";
  if (upheld) return "the open dispute was decided: the provider did not answer";
  if (dispute !== undefined) return `a dispute is open, to be answered until block ${dispute.answerUntilBlock}`;
  if (terms.mode === "on-demand") return "no dispute to decide";
  return reported.length === 0 ? "no missed epochs to report" : `reported missed epochs: ${reported.join(", ")}`;
}

interface WithdrawOptions extends GasFeeOptions {
  readonly token?: string;
  readonly amount?: WrittenAmount;
  readonly to?: string;
}

function registerWithdraw(dataSet: Command): void {
  dataSet
    .command("withdraw")
    .description("withdraw from the balance what the notice period of your data sets does not need")
    .option("--token <address>", "token to withdraw (default: the chain's coin)", address)
    .option("--amount <amount>", "as 0.1ETH, or in the token's smallest unit (default: all)", anyAmount("--amount"))
    .option("--to <address>", "who receives it (default: your account)", address)
    .addOption(gasFeeOption())
    .addHelpText("after", "\nExample:\n  $ tallystick data-set withdraw")
    .action(async (options: WithdrawOptions, command: Command) => {
      const amount = options.amount === undefined ? undefined : amountIn(options.amount, options.token, "--amount");
      await withAgent(command, async ({ agent, output }) => {
        const { token, withdrawable } = await agent.dataSets.balance(options.token);
        // Done is done: a second withdrawal is no failure.
        if (withdrawable === 0n && amount === undefined) {
          output.result({ token, amount: 0n, to: options.to ?? agent.account }, ["nothing to withdraw"]);
          return;
        }
        const done = await agent.dataSets.withdraw(token, amount, options.to, maximumFee(options));
        output.result(done, [`withdrew ${formatAmount(done.amount, done.token)} to ${done.to}`]);
      });
    });
}

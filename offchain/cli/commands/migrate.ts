/** `tallystick data-set migrate`: moves what a data set keeps to another provider. */
import type { Command } from "commander";
import type { Damaged, MigrateOptions, MigrationPlan, MigrationReport } from "../../agent/index.ts";
import { formatAmount, formatEther } from "../../core/encoding/amounts.ts";
import { counted } from "../../core/encoding/counted.ts";
import { formatBytes, printable } from "../output.ts";
import { withAgent } from "../session.ts";
import { address, dataSetId } from "../values.ts";
import { runwayText, shortId, tellingCosts } from "./data-set-lines.ts";
import { type DataSetWishOptions, dataSetWishOptions, readDataSetWishes } from "./data-set-wishes.ts";
import { type GasFeeOptions, gasFeeOption, maximumFee } from "./gas-fee.ts";
import { fundOnDevelopmentChain } from "./init.ts";
import { anyFailed, leftGroupLines } from "./left-group-lines.ts";

/** Damaged objects that are printed for people. */
const SHOWN_DAMAGE = 20;

interface MigrateFlags extends DataSetWishOptions, GasFeeOptions {
  readonly to: string;
  readonly token?: string;
  readonly dryRun?: boolean;
}

export function registerMigrate(dataSet: Command): void {
  const migrate = dataSet
    .command("migrate")
    .description("move what a data set keeps to another provider, then give notice to the old one; run again to resume")
    .argument("<data-set>", "id of the data set, or its beginning", dataSetId)
    .requiredOption("--to <provider>", "account or URL of a provider of the deployment")
    .option("--token <address>", "token to pay the new provider in (default: that of the old data set)", address);
  dataSetWishOptions(migrate, { expectedSize: "what is moved, at least a few GiB", mode: "that of the old data set" })
    .addOption(gasFeeOption("a notice to the old provider"))
    .option("--dry-run", "show sizes and costs, and send nothing")
    .addHelpText(
      "after",
      "\nExamples:\n  $ tallystick data-set migrate 0x3f9ac2d1 --to https://storage.example.org --dry-run\n" +
        "  $ tallystick data-set migrate 0x3f9ac2d1 --to https://storage.example.org",
    )
    .action(async (text: string, flags: MigrateFlags, command: Command) => {
      await withAgent(command, async (session) => {
        const { agent, output, progress, signal } = session;
        const id = await agent.dataSets.resolve(text);
        if (flags.dryRun === true) {
          const plan = await agent.dataSets.planMigration(id, { ...optionsOf(flags), signal });
          if (plan.damaged.length > 0) session.incomplete();
          output.result({ dryRun: true, plan }, [...planLines(plan), ...damageLines(plan.damaged)]);
          return;
        }
        await fundOnDevelopmentChain(session, agent.account);
        const report = await agent.dataSets.migrate(id, {
          ...optionsOf(flags),
          onPlan: (plan) => {
            for (const line of planLines(plan)) output.say(`tallystick: ${line}`);
          },
          onProgress: tellingCosts(session),
          signal,
        });
        progress.stop();
        if (report.damaged.length > 0 || anyFailed(report.ownerGroups)) session.incomplete();
        output.result(report, reportLines(report));
        output.say(
          "tallystick: puts of this device that went to the old provider go to the new one from now on; " +
            `to change that, migrate data set ${shortId(report.dataSet.id)} again`,
        );
      });
    });
}

function optionsOf({ to, token, ...flags }: MigrateFlags): MigrateOptions {
  return {
    to,
    ...readDataSetWishes(flags),
    ...(token === undefined ? {} : { token }),
    ...maximumFee(flags),
  };
}

export function planLines(plan: MigrationPlan): string[] {
  const { objects, bytes, absentObjects, absentBytes, token } = plan;
  const into = plan.extends === undefined ? "a new data set" : `data set ${shortId(plan.extends)}`;
  const absent = `${counted(absentObjects, "object")}, ${formatBytes(absentBytes)}`;
  const isSameProvider = plan.from === plan.to;
  return [
    isSameProvider
      ? `moving data set ${shortId(plan.id)} into ${into} at the same provider, ${plan.to}`
      : `moving data set ${shortId(plan.id)} from provider ${plan.from} into ${into} at provider ${plan.to}`,
    `  content  ${counted(objects, "object")}, ${formatBytes(bytes)}; ` +
      (isSameProvider
        ? `to be read and tagged again: ${absent}, of which nothing is sent`
        : `not there yet: ${absent}`) +
      `; ${counted(plan.snapshots, "snapshot")}`,
    `  mode     ${plan.mode}, in slices of ${plan.sliceBytes} bytes`,
    `  fee      at most ${formatAmount(plan.fee, token)} per epoch, now ${formatAmount(plan.feeNow, plan.tokenNow)}; ` +
      "both are paid until the notice period of the old data set is over",
    `  deposit  ${formatAmount(plan.deposit, token)}, and ${formatEther(plan.gasFee)} for gas at the current price`,
  ];
}

export function reportLines({
  plan,
  dataSet,
  copied,
  listedSnapshots,
  damaged,
  ownerGroups,
  lastEpoch,
}: MigrationReport): string[] {
  return [
    `data set ${shortId(plan.id)} is at provider ${plan.to} now, in data set ${dataSet.id}`,
    `  copied   ${counted(copied.objects, "object")}, ${formatBytes(copied.bytes)}, of which ` +
      `${formatBytes(copied.uploadedBytes)} were sent; ${counted(listedSnapshots, "snapshot")} listed`,
    `  fee      ${formatAmount(dataSet.feePerEpoch, dataSet.token)} per epoch, paid for ` +
      runwayText(dataSet.runwayEpochs),
    lastEpoch === undefined
      ? "  old      has ended already: no notice was needed"
      : `  old      ends after epoch ${lastEpoch}`,
    ...leftGroupLines(ownerGroups).map((line) => `  ${line}`),
    ...damageLines(damaged),
  ];
}

export function damageLines(damaged: readonly Damaged[]): string[] {
  if (damaged.length === 0) return [];
  const shown = damaged.slice(0, SHOWN_DAMAGE).map(({ id, error }) => `    ${id}: ${printable(error.message)}`);
  const more = damaged.length - shown.length;
  return [
    `  damaged  ${counted(damaged.length, "object")}, which no provider returns whole`,
    ...shown,
    ...(more > 0 ? [`    and ${more} more; --json lists all`] : []),
    "    `tallystick verify` tells which files they belong to; another put of them repairs the copy",
  ];
}

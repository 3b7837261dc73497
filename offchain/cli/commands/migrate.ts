/** `tallystick data-set migrate`: moves what a data set keeps to another provider. */
import type { Command } from "commander";
import type { Damaged, MigrateOptions, MigrationPlan, MigrationReport } from "../../agent/index.ts";
import { counted } from "../../core/encoding/counted.ts";
import { formatBytes, formatEther, printable } from "../output.ts";
import { withAgent } from "../session.ts";
import { address, amountInWei, dataSetId } from "../values.ts";
import { amountOf, runwayText, shortId, tellingCosts } from "./data-set-lines.ts";
import { type DataSetWishOptions, dataSetWishOptions, readDataSetWishes } from "./data-set-wishes.ts";
import { fundOnDevelopmentChain } from "./init.ts";

/** Damaged objects that are printed for people. */
const SHOWN_DAMAGE = 20;

interface MigrateFlags extends DataSetWishOptions {
  readonly to: string;
  readonly token?: string;
  readonly maxGasFee?: bigint;
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
    .option(
      "--max-gas-fee <wei>",
      "refuse a notice to the old provider whose gas would cost more, in wei",
      amountInWei("--max-gas-fee"),
    )
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
        if (report.damaged.length > 0) session.incomplete();
        output.result(report, reportLines(report));
        output.say(
          "tallystick: puts of this device that went to the old provider go to the new one from now on; " +
            `to change that, migrate data set ${shortId(report.dataSet.id)} again`,
        );
      });
    });
}

function optionsOf({ to, token, maxGasFee, ...wishes }: MigrateFlags): MigrateOptions {
  return {
    to,
    ...readDataSetWishes(wishes),
    ...(token === undefined ? {} : { token }),
    ...(maxGasFee === undefined ? {} : { maximumFee: maxGasFee }),
  };
}

export function planLines(plan: MigrationPlan): string[] {
  const { objects, bytes, absentObjects, absentBytes, token } = plan;
  const into = plan.extends === undefined ? "a new data set" : `data set ${shortId(plan.extends)}`;
  return [
    `moving data set ${shortId(plan.id)} from provider ${plan.from} into ${into} at provider ${plan.to}`,
    `  content  ${counted(objects, "object")}, ${formatBytes(bytes)}; not there yet: ` +
      `${counted(absentObjects, "object")}, ${formatBytes(absentBytes)}; ${counted(plan.snapshots, "snapshot")}`,
    `  mode     ${plan.mode}, in slices of ${plan.sliceBytes} bytes`,
    `  fee      at most ${amountOf(plan.fee, token)} per epoch, now ${amountOf(plan.feeNow, plan.tokenNow)}; ` +
      "both are paid until the notice period of the old data set is over",
    `  deposit  ${amountOf(plan.deposit, token)}, and ${formatEther(plan.gasFee)} for gas at the current price`,
  ];
}

export function reportLines({ plan, dataSet, copied, listedSnapshots, damaged, lastEpoch }: MigrationReport): string[] {
  return [
    `data set ${shortId(plan.id)} is at provider ${plan.to} now, in data set ${dataSet.id}`,
    `  copied   ${counted(copied.objects, "object")}, ${formatBytes(copied.bytes)}, of which ` +
      `${formatBytes(copied.uploadedBytes)} were sent; ${counted(listedSnapshots, "snapshot")} listed`,
    `  fee      ${amountOf(dataSet.feePerEpoch, dataSet.token)} per epoch, paid for ` +
      runwayText(dataSet.runwayEpochs),
    lastEpoch === undefined
      ? "  old      has ended already: no notice was needed"
      : `  old      ends after epoch ${lastEpoch}`,
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

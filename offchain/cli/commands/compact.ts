/** `tallystick data-set compact`: takes dead slices out of a data set, or moves it into a successor. */
import type { Command } from "commander";
import type { CompactionEstimate, CompactReport } from "../../agent/index.ts";
import { formatAmount } from "../../core/encoding/amounts.ts";
import { counted } from "../../core/encoding/counted.ts";
import { InvalidInputError } from "../../core/errors.ts";
import type { AgentSession } from "../agent-session.ts";
import { formatBytes } from "../output.ts";
import { withAgent } from "../session.ts";
import { dataSetId } from "../values.ts";
import { compactionLines, lostLine, runwayText, shortId, tellingCosts } from "./data-set-lines.ts";
import { type DataSetWishOptions, dataSetWishOptions, readDataSetWishes } from "./data-set-wishes.ts";
import { type GasFeeOptions, gasFeeOption, maximumFee } from "./gas-fee.ts";
import { fundOnDevelopmentChain } from "./init.ts";
import { damageLines, planLines, reportLines } from "./migrate.ts";

interface CompactFlags extends DataSetWishOptions, GasFeeOptions {
  readonly dryRun?: boolean;
  readonly successor?: boolean;
}

export function registerCompact(dataSet: Command): void {
  const compact = dataSet
    .command("compact")
    .description(
      "take dead slices out of a data set, for which objects in small runs of slices are read from the provider and " +
        "tagged again; run again to resume",
    )
    .argument("<data-set>", "id of the data set, or its beginning", dataSetId)
    .option("--dry-run", "show ranges, sizes and fees before and after, and send nothing")
    .option(
      "--successor",
      "move it into a new data set at the same provider, then give notice to the old one: for one whose highest " +
        "index costs more than its slices; no object is sent again",
    )
    .addOption(gasFeeOption("with --successor, a notice"));
  dataSetWishOptions(compact, { expectedSize: "what is moved, at least a few GiB", mode: "that of the old data set" })
    .addHelpText(
      "after",
      "\nExamples:\n  $ tallystick data-set compact 0x3f9ac2d1 --dry-run\n" +
        "  $ tallystick data-set compact 0x3f9ac2d1\n" +
        "  $ tallystick data-set compact 0x3f9ac2d1 --successor --dry-run",
    )
    .action(async (text: string, flags: CompactFlags, command: Command) => {
      if (flags.successor !== true) requireNone(flags);
      await withAgent(command, async (session) => {
        const id = await session.agent.dataSets.resolve(text);
        await (flags.successor === true ? succeed(session, id, flags) : compactWithin(session, id, flags));
      });
    });
}

/** Options about the set that a successor begins. @throws InvalidInputError for one that would have no effect */
function requireNone(flags: CompactFlags): void {
  const { maxGasFee, expectedSize, mode, maxBond, allowBlockRandomness } = flags;
  const given = Object.entries({
    "--max-gas-fee": maxGasFee,
    "--expected-size": expectedSize,
    "--mode": mode,
    "--max-bond": maxBond,
    "--allow-block-randomness": allowBlockRandomness,
  }).flatMap(([name, value]) => (value === undefined ? [] : [name]));
  if (given.length === 0) return;
  throw new InvalidInputError(`${given.join(", ")} would have no effect: no data set begins without --successor`, {
    party: "you",
    check: "options of compact",
    expected: "--successor with them, or neither",
    received: given.join(" "),
  });
}

async function compactWithin(session: AgentSession, id: string, flags: CompactFlags): Promise<void> {
  const { agent, output, progress, signal } = session;
  if (flags.dryRun === true) {
    const plan = await agent.dataSets.planCompaction(id);
    output.result({ dryRun: true, plan }, estimateLines(plan));
    return;
  }
  const { runwayEpochs, maximumFeePerEpoch } = readDataSetWishes(flags);
  const report = await agent.dataSets.compact(id, {
    ...(runwayEpochs === undefined ? {} : { runwayEpochs }),
    ...(maximumFeePerEpoch === undefined ? {} : { maximumFeePerEpoch }),
    onProgress: tellingCosts(session),
    signal,
  });
  progress.stop();
  if (report.lostObjects > 0) session.incomplete();
  output.result(report, compactedLines(report));
}

async function succeed(session: AgentSession, id: string, flags: CompactFlags): Promise<void> {
  const { agent, output, progress, signal } = session;
  const options = {
    ...readDataSetWishes(flags),
    ...maximumFee(flags),
    signal,
  };
  if (flags.dryRun === true) {
    const plan = await agent.dataSets.planSuccessor(id, options);
    if (plan.damaged.length > 0) session.incomplete();
    output.result({ dryRun: true, plan }, [...planLines(plan), ...damageLines(plan.damaged)]);
    return;
  }
  await fundOnDevelopmentChain(session, agent.account);
  const report = await agent.dataSets.succeed(id, {
    ...options,
    onPlan: (plan) => {
      for (const line of planLines(plan)) output.say(`tallystick: ${line}`);
    },
    onProgress: tellingCosts(session),
  });
  progress.stop();
  if (report.damaged.length > 0) session.incomplete();
  output.result(report, reportLines(report));
}

function estimateLines(plan: CompactionEstimate): string[] {
  const { token, successor } = plan;
  const money = (fee: bigint) => formatAmount(fee, token);
  return [
    `data set ${shortId(plan.id)} at provider ${plan.provider}`,
    `  ranges   ${plan.rangesBefore}, then ${plan.rangesAfter}`,
    `  slices   ${plan.slicesBefore}, of which ${plan.deadSlices} are dead, then ${plan.slicesAfter}` +
      (plan.keptDeadSlices === 0 ? "" : `, of which ${plan.keptDeadSlices} dead ones stay`),
    `  moved    ${formatBytes(plan.movedBytes)} to be read from the provider and tagged again, in ` +
      counted(plan.newSlices, "new slice"),
    `  fee      ${money(plan.feeBefore)} per epoch, then ${money(plan.feeAfter)}`,
    ...(successor === undefined
      ? []
      : [`  instead  --successor: a new data set would cost ${money(successor.feePerEpoch)} per epoch`]),
  ];
}

function compactedLines(report: CompactReport): string[] {
  const { id, rangesBefore, feeBefore, retiredSlices, objects, bytes, lostObjects, dataSet } = report;
  const { liveRanges, slices, token, feePerEpoch, runwayEpochs, waitsUntilBlock } = dataSet;
  const { compaction: _, ...rest } = dataSet;
  return [
    `data set ${shortId(id)}: ${counted(slices, "slice")} in ${counted(liveRanges.length, "range")}, before ` +
      `${counted(rangesBefore, "range")}`,
    `  taken out ${counted(retiredSlices, "slice")}; ${counted(objects, "object")} tagged again, ${formatBytes(bytes)}`,
    `  fee       ${formatAmount(feePerEpoch, token)} per epoch, before ${formatAmount(feeBefore, token)}, paid for ` +
      runwayText(runwayEpochs),
    ...(waitsUntilBlock === undefined
      ? []
      : [`  signed by the provider, which sends it by block ${waitsUntilBlock}: the figures are of the state before`]),
    ...(lostObjects === 0 ? [] : [`  ${lostLine(lostObjects)}`]),
    ...compactionLines(rest).map((line) => `  ${line}`),
  ];
}

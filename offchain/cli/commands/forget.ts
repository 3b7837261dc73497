/** `tallystick rm` and `tallystick forget`: remove snapshots from the lists, by name or by rules. */
import { type Command, InvalidArgumentError } from "commander";
import { SHORT_ID_LENGTH } from "../../agent/snapshots/resolve.ts";
import {
  type KeepCount,
  type KeepSpan,
  parseSpan,
  type RetentionGroup,
  type RetentionPolicy,
} from "../../agent/snapshots/retention.ts";
import type { ListedSnapshot } from "../../agent/snapshots/snapshot-lists.ts";
import type { ReleasedAt, RemoveReport } from "../../agent/snapshots/snapshots.ts";
import { counted } from "../../core/encoding/counted.ts";
import { TallystickError } from "../../core/errors.ts";
import { formatTime, printable } from "../output.ts";
import { withAgent } from "../session.ts";
import { commaList } from "../values.ts";
import { compactionLines } from "./data-set-lines.ts";
import { anyFailed, leftGroupLines } from "./left-group-lines.ts";
import { type FilterOptions, filterOptions, hostName, readFilter, tellFailures } from "./snapshots.ts";

const COUNTED = ["last", "hourly", "daily", "weekly", "monthly", "yearly"] as const;

interface ForgetOptions extends FilterOptions {
  readonly keepLast?: KeepCount;
  readonly keepHourly?: KeepCount;
  readonly keepDaily?: KeepCount;
  readonly keepWeekly?: KeepCount;
  readonly keepMonthly?: KeepCount;
  readonly keepYearly?: KeepCount;
  readonly keepWithin?: KeepSpan;
  readonly keepTag?: readonly (readonly string[])[];
  readonly dryRun?: boolean;
  readonly release: boolean;
}

interface RemoveOptions {
  readonly dryRun?: boolean;
  readonly release: boolean;
}

export function registerRemove(program: Command): void {
  program
    .command("rm")
    .description("remove snapshots from the list, and release the objects that no other snapshot needs")
    .argument("<snapshot...>", "beginning of an id, latest, latest:<host> or a data id")
    .option("-n, --dry-run", "only show what would be removed")
    .option("--no-release", "leave the objects where they are")
    .addHelpText("after", "\nExamples:\n  $ tallystick rm latest --dry-run\n  $ tallystick rm 1a2b3c4d 5e6f7a8b")
    .action(async (places: string[], { dryRun = false, release }: RemoveOptions, command: Command) => {
      await withAgent(command, async ({ agent, output, signal, incomplete }) => {
        const report = await agent.snapshots.remove(places, { dryRun, release, signal });
        const done = dryRun ? "would remove" : "removed";
        output.result(report, [
          ...report.removed.map(
            ({ id, timeMillis, paths }) =>
              `${done} ${id.slice(0, SHORT_ID_LENGTH)}  ${formatTime(timeMillis)}  ${printable(paths.join(", "))}`,
          ),
          ...releaseLines(report),
        ]);
        if (tellFailures(output, report.failures) || anyFailed(report.ownerGroups)) incomplete();
      });
    });
}

export function registerForget(program: Command): void {
  const command = program
    .command("forget")
    .description(
      "remove the snapshots that no rule keeps, for each host and set of paths on its own; " +
        "the oldest one counts as one more while a rule is not used up",
    );
  for (const name of COUNTED) {
    const what = name === "last" ? "the last n snapshots" : `the newest snapshot of each of the last n ${UNITS[name]}`;
    command.option(`--keep-${name} <n>`, `keep ${what}; n is a number or all`, keepCount(`--keep-${name}`));
  }
  command
    .option("--keep-within <span>", "keep snapshots this much younger than the newest: 1y6m, 7d, 36h", keepSpan)
    .option("--keep-tag <tags>", "keep snapshots with all these tags; may be given again", tagLists)
    .option("-n, --dry-run", "only show what would be removed")
    .option("--no-release", "leave the objects where they are");
  filterOptions(command)
    .addHelpText(
      "after",
      "\nExamples:\n  $ tallystick forget --keep-daily 7 --keep-weekly 5 --keep-monthly 12 --dry-run" +
        "\n  $ tallystick forget --host laptop --keep-within 2y --keep-tag yearly,tax",
    )
    .action(async (options: ForgetOptions, own: Command) => {
      await withAgent(own, async ({ agent, output, signal, incomplete }) => {
        const { dryRun = false, release } = options;
        const report = await agent.snapshots.forget(readPolicy(options), {
          ...readFilter(options),
          dryRun,
          release,
          signal,
        });
        output.result(report, [
          ...report.groups.flatMap((group) => groupLines(group, dryRun)),
          ...(dryRun ? [] : releaseLines(report)),
        ]);
        if (tellFailures(output, report.failures) || anyFailed(report.ownerGroups)) incomplete();
      });
    });
}

const UNITS = { hourly: "hours", daily: "days", weekly: "weeks", monthly: "months", yearly: "years" } as const;

function readPolicy(options: ForgetOptions): RetentionPolicy {
  const { keepWithin, keepTag } = options;
  const counted = {
    last: options.keepLast,
    hourly: options.keepHourly,
    daily: options.keepDaily,
    weekly: options.keepWeekly,
    monthly: options.keepMonthly,
    yearly: options.keepYearly,
  };
  return {
    ...Object.fromEntries(Object.entries(counted).filter(([, count]) => count !== undefined)),
    ...(keepWithin === undefined ? {} : { within: keepWithin }),
    ...(keepTag === undefined ? {} : { tags: keepTag }),
  };
}

function groupLines(group: RetentionGroup<ListedSnapshot>, dryRun: boolean): string[] {
  const { paths, kept, removed } = group;
  const line = ({ id, timeMillis }: ListedSnapshot) => `${id.slice(0, SHORT_ID_LENGTH)}  ${formatTime(timeMillis)}`;
  return [
    `${hostName(group)}: ${printable(paths.join(", "))}`,
    ...kept.map(({ snapshot, reasons }) => `  keep    ${line(snapshot)}  ${printable(reasons.join(", "))}`),
    ...removed.map((snapshot) => `  ${dryRun ? "would remove" : "removed"}  ${line(snapshot)}`),
  ];
}

function releaseLines({ released, ownerGroups }: RemoveReport): string[] {
  return [...released.flatMap(releasedLines), ...leftGroupLines(ownerGroups)];
}

function releasedLines({ provider, unneeded, released: count, dataSet }: ReleasedAt): string[] {
  return [
    count === undefined
      ? `provider ${provider} keeps ${counted(unneeded, "object")} that no snapshot needs: it offers no release`
      : `released ${counted(count, "object")} at provider ${provider}, to go in a day, or when out of data sets`,
    ...(dataSet === undefined || dataSet.retiredSlices === 0
      ? []
      : [`took ${counted(dataSet.retiredSlices, "slice")} out of the data set there, from the next epoch on`]),
    ...(dataSet === undefined ? [] : compactionLines(dataSet).map((line) => `  ${line}`)),
  ];
}

function keepCount(option: string): (text: string) => KeepCount {
  return (text) => {
    if (text === "all") return "all";
    if (!/^\d{1,6}$/.test(text)) throw new InvalidArgumentError(`${option} takes a whole number, or all.`);
    return Number(text);
  };
}

function keepSpan(text: string): KeepSpan {
  try {
    return parseSpan(text);
  } catch (error) {
    if (!(error instanceof TallystickError)) throw error;
    throw new InvalidArgumentError(`A span is ${error.expected}.`);
  }
}

function tagLists(text: string, before: readonly (readonly string[])[] = []): string[][] {
  const tags = commaList(text);
  if (tags.length === 0) throw new InvalidArgumentError("Tags are words separated by commas.");
  return [...before.map((list) => [...list]), tags];
}

/** `tallystick snapshots`: what was put, when and from where. */
import type { Command } from "commander";
import { SHORT_ID_LENGTH } from "../../agent/snapshots/resolve.ts";
import type { ListedSnapshot, ListFailure } from "../../agent/snapshots/snapshot-lists.ts";
import type { SnapshotFilter } from "../../agent/snapshots/snapshots.ts";
import { formatBytes, formatTime, type Output, printable } from "../output.ts";
import { withAgent } from "../session.ts";
import { tableLines } from "../table.ts";
import { address, commaList } from "../values.ts";

/** Options of commands that speak of all snapshots, or of some. */
export interface FilterOptions {
  readonly host?: string;
  readonly tag?: readonly string[];
  readonly path?: string;
  readonly device?: string;
}

export function filterOptions(command: Command): Command {
  return command
    .option("--host <name>", "only snapshots of this host")
    .option("--tag <tags>", "only snapshots with all these tags", commaList)
    .option("--path <path>", "only snapshots of this path, as it was put")
    .option("--device <key>", "only snapshots of this device that only writes", address);
}

export function readFilter({ host, tag, path, device }: FilterOptions): SnapshotFilter {
  return {
    ...(host === undefined ? {} : { host }),
    ...(tag === undefined ? {} : { tags: tag }),
    ...(path === undefined ? {} : { path }),
    ...(device === undefined ? {} : { device }),
  };
}

export function registerSnapshots(program: Command): void {
  const command = program
    .command("snapshots")
    .description(
      "list the snapshots of this account: one for each put, from the lists that the providers keep; those that " +
        "devices which only write have left are taken over into them",
    );
  filterOptions(command)
    .option(
      "--accept-older",
      "accept lists that are older than this device has seen, or do not follow from what it has seen, and snapshots " +
        "of devices of which some are missing, after a known loss at a provider",
    )
    .addHelpText(
      "after",
      "\nExamples:\n  $ tallystick snapshots --host laptop --tag daily" +
        "\n  $ tallystick snapshots --json | jq -r '.snapshots[-1].id'",
    )
    .action(async (options: FilterOptions & { acceptOlder?: boolean }, own: Command) => {
      await withAgent(own, async ({ agent, output, signal, incomplete }) => {
        const { acceptOlder = false } = options;
        const { snapshots, failures } = await agent.snapshots.list({ ...readFilter(options), acceptOlder, signal });
        output.result({ snapshots, failures }, snapshotLines(snapshots));
        if (snapshots.length === 0) output.say("tallystick: there is no snapshot");
        if (tellFailures(output, failures)) incomplete();
      });
    });
}

/** Characters of a device's address that are shown: 0x and eight digits. */
const SHORT_DEVICE_LENGTH = 10;
const HEAD = ["ID", "TIME", "HOST", "TAGS", "ENTRIES", "SIZE", "ADDED", "PATHS"];

export function snapshotLines(snapshots: readonly ListedSnapshot[]): string[] {
  if (snapshots.length === 0) return [];
  return tableLines(
    HEAD,
    snapshots.map((snapshot) => [
      snapshot.id.slice(0, SHORT_ID_LENGTH),
      formatTime(snapshot.timeMillis),
      hostName(snapshot),
      printable(snapshot.tags.join(",")),
      `${snapshot.totals.entries}${snapshot.unreadEntries > 0 ? ` (${snapshot.unreadEntries} missing)` : ""}`,
      formatBytes(snapshot.totals.bytes),
      formatBytes(snapshot.totals.addedBytes),
      printable(snapshot.paths.join(", ")),
    ]),
  );
}

/** The host, and the device that says so if it is one that only writes. */
export function hostName({ host, device }: { readonly host: string; readonly device?: string }): string {
  return `${printable(host)}${device === undefined ? "" : ` (${device.slice(0, SHORT_DEVICE_LENGTH)}…)`}`;
}

/** @returns whether there was a failure */
export function tellFailures(output: Output, failures: readonly ListFailure[]): boolean {
  for (const { error, device } of failures) {
    const what = device === undefined ? "a list of snapshots is missing here" : "snapshots of a device";
    output.problem(`tallystick: ${what}: ${error.message}`);
    if (error.hint !== undefined) output.problem(`tallystick: hint: ${error.hint}`);
  }
  return failures.length > 0;
}

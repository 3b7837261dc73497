/** `tallystick get`: restores a put, or a part of one of its files. */
import type { Command } from "commander";
import type { RangeSpec } from "../../agent/read/byte-range.ts";
import type { LeftReport, NotSet } from "../../agent/read/get.ts";
import { formatBytes } from "../output.ts";
import { withAgent } from "../session.ts";
import { getRange, rangeOption } from "./get-range.ts";

/** What is in the way or refused is told one by one up to this number. */
const MOST_SHOWN = 20;

interface GetCommandOptions {
  readonly out?: string;
  readonly overwrite?: boolean;
  readonly range?: RangeSpec;
}

export function registerGet(program: Command): void {
  program
    .command("get")
    .description("restore a snapshot, or a file or folder of one")
    .argument("<snapshot>", "beginning of an id, latest, latest:<host> or a data id; with :<path> only what is there")
    .option("-o, --out <directory>", "folder to restore into, created if it is missing; with --range the file to write")
    .option("--overwrite", "replace files that are there and differ (default: they are left, and the rest is restored)")
    .option("--range <bytes>", "only these bytes of one file: 0-499, 500- or -500; to stdout unless --out", rangeOption)
    .addHelpText(
      "after",
      "\nExamples:\n  $ tallystick get latest -o ~/restored" +
        "\n  $ tallystick get 1a2b3c4d:Documents/letters -o ~/restored" +
        "\n  $ tallystick get bafkrei…:photos/film.mp4 --range 0-1048575 | mpv -",
    )
    .action(async (id: string, { out, overwrite = false, range }: GetCommandOptions, command: Command) => {
      if (range !== undefined) {
        await withAgent(command, async (session) => getRange(session, { target: id, range, out, overwrite }));
        return;
      }
      if (out === undefined) {
        command.error("error: required option '-o, --out <directory>' not specified", {
          code: "commander.missingMandatoryOptionValue",
        });
      }
      await withAgent(command, async ({ agent, output, progress, signal, incomplete }) => {
        // The report has them: what can be restored is.
        const untold = { onDamage: () => undefined, onLeft: () => undefined };
        const report = await agent.get(id, out, { overwrite, ...untold, onProgress: progress.listener, signal });
        progress.stop();
        output.result(report, [
          `restored ${entries(report.entries)}, ${formatBytes(report.totalBytes)}, into ${out}` +
            (report.downloadedBytes < report.totalBytes ? ` (${formatBytes(report.downloadedBytes)} downloaded)` : ""),
          ...report.nodes.map((node) => `  node ${node.index}  ${node.answer}`),
        ]);
        for (const line of [...leftLines(report.left), ...notSetLines(report.notSet)])
          output.say(`tallystick: ${line}`);
        if (report.left.count > 0 || notSetLines(report.notSet).length > 0) incomplete();
        if (report.damaged.length === 0) return;
        for (const { path, error } of report.damaged) output.say(`tallystick: ${damageLine(path, error.message)}`);
        output.say(
          "tallystick: hint: the provider has lost or damaged these. Put the same files again, or restore an older " +
            "snapshot of them",
        );
        incomplete();
      });
    });
}

/** What was in the way or refused, and how many entries are not restored because of it. */
export function leftLines({ count, entries }: LeftReport): string[] {
  if (count === 0) return [];
  // All that is below a folder has the error of the folder.
  const errors = [...new Set(entries.map(({ error }) => error))];
  const hidden = errors.length - MOST_SHOWN;
  const those = count === 1 ? "1 entry is" : `${count} entries are`;
  return [
    ...errors.slice(0, MOST_SHOWN).map(({ message }) => message),
    ...(hidden > 0 ? [`and ${hidden} more, which --json names`] : []),
    `${those} not restored; what is there was left as it is`,
    ...new Set(errors.map(({ hint }) => `hint: ${hint ?? "restore into an empty folder"}`)),
  ];
}

/** Modes and times that could not be set. Who is not root sets no owners: that is no failure. */
export function notSetLines({ mode = 0, time = 0 }: NotSet): string[] {
  return [
    ...(mode > 0 ? [`the mode of ${entries(mode)} could not be set`] : []),
    ...(time > 0 ? [`the time of ${entries(time)} could not be set`] : []),
  ];
}

function damageLine(path: string, message: string): string {
  return path === "" ? `times, modes and owners are not restored: ${message}` : message;
}

function entries(count: number): string {
  return count === 1 ? "1 entry" : `${count} entries`;
}

/** `tallystick get`: restores a put, or a part of one of its files. */
import type { Command } from "commander";
import type { RangeSpec } from "../../agent/read/byte-range.ts";
import type { AgentSession } from "../agent-session.ts";
import { formatBytes } from "../output.ts";
import { withAgent } from "../session.ts";
import { getRange, rangeOption } from "./get-range.ts";
import { entriesText, healedLines, shortfallLines } from "./restore-lines.ts";

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
      const restore = async ({ agent, output, progress, signal, incomplete }: AgentSession): Promise<void> => {
        // The report has them: what can be restored is.
        const untold = { onDamage: () => undefined, onLeft: () => undefined };
        const report = await agent.get(id, out, { overwrite, ...untold, onProgress: progress.listener, signal });
        progress.stop();
        output.result(report, [
          `restored ${entriesText(report.entries)}, ${formatBytes(report.totalBytes)}, into ${out}` +
            (report.downloadedBytes < report.totalBytes ? ` (${formatBytes(report.downloadedBytes)} downloaded)` : ""),
          ...report.nodes.map((node) => `  node ${node.index}  ${node.answer}`),
          ...healedLines(report.healed),
        ]);
        const shortfall = shortfallLines(report);
        for (const line of shortfall) output.problem(`tallystick: ${line}`);
        if (shortfall.length > 0) incomplete();
      };
      await withAgent(command, restore, { contents: true });
    });
}

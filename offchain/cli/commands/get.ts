/** `tallystick get`: restores a put. */
import type { Command } from "commander";
import { formatBytes } from "../output.ts";
import { withAgent } from "../session.ts";

export function registerGet(program: Command): void {
  program
    .command("get")
    .description("restore what was stored under a data id")
    .argument("<id>", "data id, as `put` and `ls` print it")
    .requiredOption("-o, --out <directory>", "folder to restore into; created if it is missing")
    .option("--overwrite", "replace files that are there and differ")
    .addHelpText("after", "\nExample:\n  $ tallystick get bafkrei… -o ~/restored")
    .action(async (id: string, options: { out: string; overwrite?: boolean }, command: Command) => {
      await withAgent(command, async ({ agent, output, progress, signal }) => {
        const report = await agent.get(id, options.out, {
          overwrite: options.overwrite === true,
          onProgress: progress.listener,
          signal,
        });
        progress.stop();
        const onDisk = report.totalBytes - report.downloadedBytes;
        output.result(report, [
          `restored ${report.entries} entries, ${formatBytes(report.totalBytes)}, into ${options.out}` +
            (onDisk > 0 ? ` (${formatBytes(onDisk)} were there already)` : ""),
          ...report.nodes.map((node) => `  node ${node.index}  ${node.answer}`),
        ]);
      });
    });
}

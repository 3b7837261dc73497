/** `tallystick ls`: what this account has stored. */
import type { Command } from "commander";
import { formatBytes, printable } from "../output.ts";
import { withAgent } from "../session.ts";
import { tableLines } from "../table.ts";

export function registerList(program: Command): void {
  program
    .command("ls")
    .description("list what this account has stored, as this device remembers it")
    .addHelpText("after", "\nExample:\n  $ tallystick ls --json | jq -r '.puts[].dataId'")
    .action(async (_options: unknown, command: Command) => {
      await withAgent(command, async ({ agent, output }) => {
        const puts = await agent.list();
        const rows = puts.map((put) => [
          put.dataId,
          String(put.entryCount),
          formatBytes(put.totalBytes),
          new Date(put.storedAt * 1000).toISOString().slice(0, 16).replace("T", " "),
          printable(put.name),
        ]);
        output.result(
          { puts },
          puts.length === 0 ? [] : tableLines(["DATA ID", "ENTRIES", "SIZE", "STORED", "NAME"], rows),
        );
        if (puts.length === 0) output.say("tallystick: nothing here; `tallystick recover` finds what the ledger knows");
      });
    });
}

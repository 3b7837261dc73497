/** `tallystick ls`: what this account has stored. */
import type { Command } from "commander";
import { openAgent } from "../../agent/node/index.ts";
import type { Identity } from "../../core/identity/identity.ts";
import { formatBytes, printable } from "../output.ts";
import { type Surroundings, surroundings, withIdentity } from "../session.ts";
import { tableLines } from "../table.ts";

export function registerList(program: Command): void {
  program
    .command("ls")
    .description("list what this account has stored, as this device remembers it")
    .addHelpText("after", "\nExample:\n  $ tallystick ls --json | jq -r '.puts[].dataId'")
    .action(async (_options: unknown, command: Command) => {
      const around = surroundings(command);
      await withIdentity(around, (identity) => list(around, identity));
    });
}

/** From the catalogue alone, so that no network and no deployment is needed. */
async function list({ homeDir, output }: Surroundings, identity: Identity): Promise<void> {
  const agent = await openAgent({ identity, homeDir });
  try {
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
    if (puts.length === 0) {
      output.say("tallystick: nothing is listed; `tallystick recover` rebuilds the list from the ledger");
    }
  } finally {
    await agent.close();
  }
}

/** `tallystick ls`: what this account has stored, and what is in a snapshot. */
import type { Command } from "commander";
import type { Identity } from "../../core/identity/identity.ts";
import type { AgentSession } from "../agent-session.ts";
import { entryDocument, entryLine } from "../entry-lines.ts";
import { formatBytes, formatTime, printable } from "../output.ts";
import { withAgent } from "../session.ts";
import { type Surroundings, surroundings, withIdentity } from "../surroundings.ts";
import { tableLines } from "../table.ts";

export function registerList(program: Command): void {
  program
    .command("ls")
    .description(
      "list the entries of a snapshot; without one, what this account has stored, as this device remembers it",
    )
    .argument("[snapshot]", "beginning of an id, latest, latest:<host> or a data id; with :<path> only what is there")
    .addHelpText(
      "after",
      "\nExamples:\n  $ tallystick ls --json | jq -r '.puts[].dataId'" +
        "\n  $ tallystick ls latest:Documents" +
        "\n  $ tallystick ls latest:laptop:Documents/letters",
    )
    .action(async (place: string | undefined, _options: unknown, command: Command) => {
      if (place !== undefined) {
        await withAgent(command, (session) => listEntries(session, place));
        return;
      }
      const around = surroundings(command);
      await withIdentity(around, (identity) => list(around, identity));
    });
}

async function listEntries({ agent, output, signal }: AgentSession, place: string): Promise<void> {
  const entries: object[] = [];
  for await (const entry of agent.snapshots.entries(place, { signal })) {
    if (output.json) entries.push(entryDocument(entry));
    await output.line(entryLine(entry));
  }
  output.result({ entries }, []);
}

/** From the catalogue alone, so that no network and no deployment is needed. */
async function list({ homeDir, output }: Surroundings, identity: Identity): Promise<void> {
  const { openAgent } = await import("../../agent/node/index.ts");
  const agent = await openAgent({ identity, homeDir });
  try {
    const puts = await agent.list();
    const rows = puts.map((put) => [
      put.dataId,
      String(put.entryCount),
      formatBytes(put.totalBytes),
      formatTime(put.storedAt * 1000),
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

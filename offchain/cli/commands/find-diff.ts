/** `tallystick find` and `tallystick diff`: files in snapshots, and changes between two. */
import type { Command } from "commander";
import type { ChangeKind, TreeChange } from "../../agent/snapshots/diff.ts";
import { SHORT_ID_LENGTH } from "../../agent/snapshots/resolve.ts";
import { entryDocument, entryLine } from "../entry-lines.ts";
import { formatBytes, printable } from "../output.ts";
import { withAgent } from "../session.ts";
import { type FilterOptions, filterOptions, readFilter } from "./snapshots.ts";

const MARKS: Readonly<Record<ChangeKind, string>> = { added: "+", removed: "-", changed: "M", metadata: "U" };

export function registerFind(program: Command): void {
  const command = program
    .command("find")
    .description("find files and folders in snapshots, the newest snapshot first")
    .argument("<pattern>", "* and ? within a name, ** across folders, [a-z]; with a slash it is held against the path")
    .argument("[snapshot...]", "only in these (default: all)");
  filterOptions(command)
    .addHelpText("after", "\nExamples:\n  $ tallystick find '*.odt'\n  $ tallystick find 'photos/**/*.jpg' latest")
    .action(async (pattern: string, places: string[], options: FilterOptions, own: Command) => {
      await withAgent(own, async ({ agent, output, signal }) => {
        const found: object[] = [];
        let count = 0;
        const filter = readFilter(options);
        for await (const { snapshot, dataId, entry } of agent.snapshots.find(pattern, places, { ...filter, signal })) {
          count += 1;
          const named = snapshot === undefined ? {} : { snapshotId: snapshot.id };
          if (output.json) found.push({ ...named, dataId, ...entryDocument(entry) });
          await output.line(`${(snapshot?.id ?? dataId).slice(0, SHORT_ID_LENGTH)}  ${entryLine(entry)}`);
        }
        output.result({ found }, []);
        if (count === 0) output.say("tallystick: nothing matches");
      });
    });
}

export function registerDiff(program: Command): void {
  program
    .command("diff")
    .description("show what changed from one snapshot to another: + added, - removed, M content, U time, mode or owner")
    .argument("<before>", "beginning of a snapshot id, latest, latest:<host> or a data id")
    .argument("<after>", "the same")
    .addHelpText("after", "\nExample:\n  $ tallystick diff 1a2b3c4d latest")
    .action(async (before: string, after: string, _options: unknown, command: Command) => {
      await withAgent(command, async ({ agent, output, signal }) => {
        const changes: TreeChange[] = [];
        const counts = { added: 0, removed: 0, changed: 0, metadata: 0 };
        let [addedBytes, removedBytes] = [0, 0];
        for await (const change of agent.snapshots.diff(before, after, { signal })) {
          const { kind, path, type, bytesBefore = 0, bytesAfter = 0 } = change;
          counts[kind] += 1;
          if (kind !== "metadata") {
            addedBytes += bytesAfter;
            removedBytes += bytesBefore;
          }
          if (output.json) changes.push(change);
          await output.line(`${MARKS[kind]}  ${printable(path)}${type === "directory" ? "/" : ""}`);
        }
        output.result({ changes, counts, addedBytes, removedBytes }, [
          `${counts.added} added, ${counts.removed} removed, ${counts.changed} with other content, ` +
            `${counts.metadata} with other times, modes or owners`,
          `${formatBytes(addedBytes)} of new content, ${formatBytes(removedBytes)} gone`,
        ]);
      });
    });
}

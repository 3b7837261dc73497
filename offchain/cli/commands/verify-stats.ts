/** `tallystick verify` and `tallystick stats`: whether snapshots can be read, and what they take. */
import type { Command } from "commander";
import { SHORT_ID_LENGTH } from "../../agent/snapshots/resolve.ts";
import type { VerifiedCopy } from "../../agent/snapshots/snapshots.ts";
import { counted } from "../../core/encoding/counted.ts";
import { IntegrityError } from "../../core/errors.ts";
import { formatBytes, printable } from "../output.ts";
import { withAgent } from "../session.ts";
import { tableLines } from "../table.ts";
import { address } from "../values.ts";
import { type FilterOptions, filterOptions, readFilter } from "./snapshots.ts";

/** Damaged files that an error names. */
const MOST_NAMED = 1000;

export function registerVerify(program: Command): void {
  program
    .command("verify")
    .description(
      "read every object of a snapshot again, and the stub file of a revocable one, at each provider that has it, " +
        "without restoring anything",
    )
    .argument("[snapshot]", "beginning of an id, latest, latest:<host> or a data id; with :<path> only that", "latest")
    .option("--provider <account>", "only at this provider", address)
    .addHelpText("after", "\nExample:\n  $ tallystick verify latest && echo intact")
    .action(async (place: string, { provider }: { provider?: string }, command: Command) => {
      await withAgent(command, async ({ agent, output, progress, signal }) => {
        const onProgress = progress.listener;
        const copies = await agent.snapshots.verify(place, { provider, onProgress, signal });
        progress.stop();
        const failure = damageOf(copies);
        if (failure !== undefined) {
          for (const copy of copies) for (const line of damageLines(copy)) output.problem(`tallystick: ${line}`);
          throw failure;
        }
        output.result({ intact: true, copies }, [
          "intact",
          ...copies.map(
            (copy) =>
              `  provider ${copy.provider}: ${counted(copy.entries, "entry", "entries")}, ` +
              `${formatBytes(copy.bytes)} in ${counted(copy.objects, "object")} of ${formatBytes(copy.objectBytes)}`,
          ),
        ]);
      });
    });
}

export function registerStats(program: Command): void {
  const command = program
    .command("stats")
    .description("show sizes: of snapshots as they would be restored, and of the objects that hold them")
    .argument("[snapshot...]", "only these (default: all)");
  filterOptions(command)
    .addHelpText("after", "\nExample:\n  $ tallystick stats --host laptop")
    .action(async (places: string[], options: FilterOptions, own: Command) => {
      await withAgent(own, async ({ agent, output, signal }) => {
        const report = await agent.snapshots.stats(places, { ...readFilter(options), signal });
        const rows = report.snapshots.map((one) => [
          (one.snapshotId ?? one.dataId).slice(0, SHORT_ID_LENGTH),
          String(one.entries),
          formatBytes(one.bytes),
          String(one.objects),
          formatBytes(one.storedBytes),
          formatBytes(one.uniqueBytes),
        ]);
        const { total } = report;
        output.result(report, [
          ...(rows.length === 0 ? [] : tableLines(["ID", "ENTRIES", "SIZE", "OBJECTS", "STORED", "ONLY HERE"], rows)),
          `${counted(total.snapshots, "snapshot")} of ${formatBytes(total.bytes)}, held by ` +
            `${counted(total.objects, "object")} of ${formatBytes(total.storedBytes)}`,
        ]);
      });
    });
}

/** What the copies lack, as one error; undefined when all are intact. */
function damageOf(copies: readonly VerifiedCopy[]): IntegrityError | undefined {
  const bad = copies.filter(
    ({ damaged, metadataError, stubFileError }) =>
      damaged.length > 0 || metadataError !== undefined || stubFileError !== undefined,
  );
  if (bad.length === 0) return undefined;
  const files = bad.reduce((sum, { damaged }) => sum + damaged.length, 0);
  const isStubFile = bad.some(({ stubFileError }) => stubFileError !== undefined);
  const details = bad.map(({ provider, damaged, metadataError, stubFileError }) => ({
    provider,
    damagedCount: damaged.length,
    damaged: damaged.slice(0, MOST_NAMED).map(({ path, error }) => ({ path, reason: error.message })),
    ...(metadataError === undefined ? {} : { metadata: metadataError.message }),
    ...(stubFileError === undefined ? {} : { stubFile: stubFileError.message }),
  }));
  const unread = files === 1 ? "1 file cannot be read as it was put" : `${files} files cannot be read as they were put`;
  const what = isStubFile && files === 0 ? "the stub file is not whole at every provider" : unread;
  return new IntegrityError(what, {
    party: bad.map(({ provider }) => `provider ${provider}`).join(", "),
    check: "objects of the snapshot",
    expected: "every object with the bytes that its id names",
    received: `damage at ${bad.length} of ${copies.length} providers`,
    hint: isStubFile
      ? "`tallystick rekey` copies the stub file from a provider that has it whole; else put the same files again"
      : "put the same files again, which heals the objects; audit the data and report the miss",
    details: { intact: false, copies: details },
  });
}

function damageLines({ provider, damaged, metadataError, stubFileError }: VerifiedCopy): string[] {
  return [
    ...(stubFileError === undefined ? [] : [`provider ${provider}: stub file: ${printable(stubFileError.message)}`]),
    ...damaged.map(({ path, error }) => `provider ${provider}: ${printable(path)}: ${printable(error.message)}`),
    ...(metadataError === undefined
      ? []
      : [`provider ${provider}: times, modes and owners: ${printable(metadataError.message)}`]),
  ];
}

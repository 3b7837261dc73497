/** `tallystick put`: stores files and folders. */
import { type Command, InvalidArgumentError, Option } from "commander";
import type { PutReport } from "../../agent/index.ts";
import { SHORT_ID_LENGTH } from "../../agent/snapshots/resolve.ts";
import type { UnkeptSnapshot } from "../../agent/snapshots/unkept-snapshots.ts";
import { counted } from "../../core/encoding/counted.ts";
import { TallystickError } from "../../core/errors.ts";
import type { ShareRecipient } from "../../core/record/payload.ts";
import type { AgentSession } from "../agent-session.ts";
import { formatBytes, formatTime } from "../output.ts";
import { withAgent } from "../session.ts";
import { commaList, timeOption } from "../values.ts";
import { dataSetLines, tellingCosts } from "./data-set-lines.ts";
import { type DataSetWishOptions, dataSetWishOptions, readDataSetWishes } from "./data-set-wishes.ts";
import { fundOnDevelopmentChain } from "./init.ts";
import { leftOutLines, readSourceOptions, type SourceCommandOptions, sourceOptions } from "./put-sources.ts";

const EXAMPLES = `
Examples:
  $ tallystick put ~/Documents notes.txt --runway 60
  $ tallystick put ~ --exclude '*.iso' --exclude /alice/tmp --exclude-caches --one-file-system`;

interface PutCommandOptions extends SourceCommandOptions, DataSetWishOptions {
  readonly dataSet: boolean;
  readonly domain?: string;
  readonly keyMode?: "oprf" | "merkle";
  readonly revocable?: boolean;
  readonly recipients?: ShareRecipient;
  readonly tag?: readonly string[];
  readonly host?: string;
  readonly time?: Date;
  readonly acceptOlder?: boolean;
}

function keyMode(text: string): "oprf" | "merkle" {
  if (text === "oprf" || text === "merkle") return text;
  throw new InvalidArgumentError("The key mode is oprf or merkle.");
}

function recipients(text: string): ShareRecipient {
  if (text === "sealed" || text === "shares" || text === "self") return text;
  throw new InvalidArgumentError("Recipients are sealed, shares or self.");
}

export function registerPut(program: Command): void {
  const command = program
    .command("put")
    .description("store files and folders: one data id, one record of its key, kept in this device's data set")
    .argument("<path...>", "files and folders; links are stored as links")
    .option("--no-data-set", "store outside the data set: nothing is paid and nothing is proven")
    .option(
      "--domain <name>",
      "dedup domain: equal content is shared within it only; a name, not an access right (default: public)",
    )
    .option(
      "--key-mode <mode>",
      "oprf: a key from the nodes for each chunk; merkle: one for each file, so that only equal files are shared " +
        "(default: oprf)",
      keyMode,
    )
    .addOption(
      new Option(
        "--revocable",
        "keep no chunk keys in the recipe: access can be revoked later without sending the data again",
      ).conflicts("keyMode"),
    )
    .option(
      "--recipients <who>",
      "who can open the key record beside you. sealed: who the committee releases it to; shares: its members of now " +
        "hold a share each; self: nobody (default: sealed)",
      recipients,
    )
    .option("--tag <tags>", "tags of the snapshot, separated by commas; may be given again", commaList)
    .option("--host <name>", "host of the snapshot (default: the name of this machine)")
    .option("--time <time>", "time of the snapshot (default: now)", timeOption)
    .option(
      "--accept-older",
      "of a device that only writes: go on after a known loss of snapshots that it has left at a provider",
    );
  dataSetWishOptions(command);
  sourceOptions(command)
    .addHelpText("after", EXAMPLES)
    .action(async (paths: string[], options: PutCommandOptions, command: Command) => {
      const put = async (session: AgentSession): Promise<void> => {
        const { agent, output, progress, signal } = session;
        if (options.dataSet) await fundOnDevelopmentChain(session, agent.account);
        const { domain, tag, host, time } = options;
        const report = await agent.put(paths, {
          ...readSourceOptions(options),
          ...(domain === undefined ? {} : { domain }),
          ...(options.keyMode === undefined ? {} : { keyMode: options.keyMode }),
          ...(options.revocable === true ? { keyMode: "revocable" } : {}),
          ...(tag === undefined ? {} : { tags: tag }),
          ...(host === undefined ? {} : { host }),
          ...(time === undefined ? {} : { time }),
          acceptOlder: options.acceptOlder === true,
          ...(options.recipients === undefined ? {} : { recipients: options.recipients }),
          dataSet: options.dataSet ? readDataSetWishes(options) : false,
          // Without a listener, nothing is counted in advance.
          ...(options.dataSet || progress.isShown ? { onProgress: tellingCosts(session) } : {}),
          signal,
        });
        progress.stop();
        tellEmpty(session, paths.length, report);
        const unkept = await unkeptAfter(session);
        const { unkeptWarnings } = await import("../../agent/snapshots/unkept-snapshots.ts");
        for (const warning of unkeptWarnings(unkept)) output.say(`tallystick: warning: ${warning}`);
        const { snapshot } = report;
        const saved = report.storedBytes - report.uploadedBytes;
        output.result({ ...report, unkept }, [
          report.dataId,
          ...(report.storedFor === undefined || snapshot.device !== undefined
            ? [`  snapshot   ${snapshot.id.slice(0, SHORT_ID_LENGTH)}, ${formatTime(snapshot.timeMillis)}`]
            : []),
          ...(report.storedFor === undefined ? [] : [`  stored for ${report.storedFor}, ${paidBy(report)}`]),
          `  entries    ${report.entries}, ${formatBytes(report.totalBytes)}`,
          `  uploaded   ${formatBytes(report.uploadedBytes)} in ${report.uploadedObjects} of ` +
            `${counted(report.objects, "object")}` +
            (saved > 0 ? `, ${formatBytes(saved)} were stored already` : ""),
          `  key        ${report.record.role === "recorder" ? "recorded" : "joined as owner"}` +
            `${report.record.isNew ? "" : " earlier"}, record ${report.record.recordId}`,
          ...dataSetLines(report.dataSets),
          ...leftOutLines(report.leftOut),
        ]);
        if (report.leftOut.incomplete) session.incomplete();
      };
      await withAgent(command, put, { contents: true });
    });
}

function paidBy({ dataSets }: PutReport): string {
  return dataSets.length > 0
    ? "who pays for it"
    : "who pays with `tallystick data-set add <data id>`, or prepares a data set for this device";
}

/** The put has succeeded: what keeps this from being told is told by `status`. */
async function unkeptAfter({ agent, signal }: AgentSession): Promise<UnkeptSnapshot[]> {
  try {
    return await agent.snapshots.unkept({ signal });
  } catch (error) {
    if (error instanceof TallystickError) return [];
    throw error;
  }
}

/** Most likely a mistake in the patterns: the put succeeds, and holds nothing to restore. */
function tellEmpty({ output }: AgentSession, roots: number, { entries, totalBytes, leftOut }: PutReport): void {
  if (!holdsNothing(roots, { entries, totalBytes, leftOut })) return;
  output.say(
    "tallystick: warning: what is excluded leaves nothing" +
      (entries === 0 ? "" : " but the folders that were named") +
      ": look at the patterns of --exclude, --exclude-file and .tallystickignore",
  );
}

export function holdsNothing(
  roots: number,
  { entries, totalBytes, leftOut }: Pick<PutReport, "entries" | "totalBytes" | "leftOut">,
): boolean {
  return entries <= roots && totalBytes === 0 && (leftOut.counts.excluded ?? 0) > 0;
}

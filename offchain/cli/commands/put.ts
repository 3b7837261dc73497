/** `tallystick put`: stores files and folders. */
import { type Command, InvalidArgumentError } from "commander";
import { SHORT_ID_LENGTH } from "../../agent/snapshots/resolve.ts";
import { formatBytes, formatTime } from "../output.ts";
import { withAgent } from "../session.ts";
import { amountInWei, commaList, timeOption, wholeNumber } from "../values.ts";
import { tellingDeposits } from "./agreement.ts";
import { fundOnDevelopmentChain } from "./init.ts";
import { leftOutLines, readSourceOptions, type SourceCommandOptions, sourceOptions } from "./put-sources.ts";

const EXAMPLES = `
Examples:
  $ tallystick put ~/Documents notes.txt --epochs 12
  $ tallystick put ~ --exclude '*.iso' --exclude /alice/tmp --exclude-caches --one-file-system`;

interface PutCommandOptions extends SourceCommandOptions {
  readonly epochs?: number;
  readonly maxFee?: bigint;
  readonly agreement: boolean;
  readonly domain?: string;
  readonly keyMode?: "oprf" | "merkle";
  readonly recipients?: "committee" | "self";
  readonly tag?: readonly string[];
  readonly host?: string;
  readonly time?: Date;
}

function keyMode(text: string): "oprf" | "merkle" {
  if (text === "oprf" || text === "merkle") return text;
  throw new InvalidArgumentError("The key mode is oprf or merkle.");
}

function recipients(text: string): "committee" | "self" {
  if (text === "committee" || text === "self") return text;
  throw new InvalidArgumentError("Recipients are committee or self.");
}

export function registerPut(program: Command): void {
  const command = program
    .command("put")
    .description("store files and folders: one data id, one record of its key, one agreement with the provider")
    .argument("<path...>", "files and folders; links are stored as links")
    .option(
      "--epochs <n>",
      "length of the agreement in epochs (default: 30, or fewer if the provider offers fewer)",
      wholeNumber("--epochs"),
    )
    .option(
      "--max-fee <wei>",
      "the most that one epoch may cost with one provider, in wei (default: what it offers)",
      amountInWei("--max-fee"),
    )
    .option("--no-agreement", "store without an agreement: nothing is paid and nothing is proven")
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
    .option("--recipients <who>", "who holds the key shares: committee, or self (default: committee)", recipients)
    .option("--tag <tags>", "tags of the snapshot, separated by commas; may be given again", commaList)
    .option("--host <name>", "host of the snapshot (default: the name of this machine)")
    .option("--time <time>", "time of the snapshot (default: now)", timeOption);
  sourceOptions(command)
    .addHelpText("after", EXAMPLES)
    .action(async (paths: string[], options: PutCommandOptions, command: Command) => {
      await withAgent(command, async (session) => {
        const { agent, output, progress, signal } = session;
        if (options.agreement) await fundOnDevelopmentChain(session, agent.account);
        const { epochs, maxFee, domain, tag, host, time } = options;
        const wishes = {
          ...(epochs === undefined ? {} : { epochs }),
          ...(maxFee === undefined ? {} : { maximumFeePerEpoch: maxFee }),
        };
        const report = await agent.put(paths, {
          ...readSourceOptions(options),
          ...(domain === undefined ? {} : { domain }),
          ...(options.keyMode === undefined ? {} : { keyMode: options.keyMode }),
          ...(tag === undefined ? {} : { tags: tag }),
          ...(host === undefined ? {} : { host }),
          ...(time === undefined ? {} : { time }),
          ...(options.recipients === undefined ? {} : { recipients: options.recipients }),
          agreement: options.agreement ? wishes : false,
          // Without a listener, nothing is counted in advance.
          ...(options.agreement || progress.isShown ? { onProgress: tellingDeposits(session) } : {}),
          signal,
        });
        progress.stop();
        const saved = report.storedBytes - report.uploadedBytes;
        output.result(report, [
          report.dataId,
          `  snapshot   ${report.snapshot.id.slice(0, SHORT_ID_LENGTH)}, ${formatTime(report.snapshot.timeMillis)}`,
          `  entries    ${report.entries}, ${formatBytes(report.totalBytes)}`,
          `  uploaded   ${formatBytes(report.uploadedBytes)} in ${report.uploadedObjects} of ` +
            `${report.objects} objects` +
            (saved > 0 ? `, ${formatBytes(saved)} were stored already` : ""),
          `  key        ${report.record.role === "recorder" ? "recorded" : "joined as owner"}` +
            `${report.record.isNew ? "" : " earlier"}, record ${report.record.recordId}`,
          ...(report.agreements.length === 0
            ? ["  agreement  none: the provider is not paid and has no obligation"]
            : report.agreements.map(({ agreementId }) => `  agreement  ${agreementId}`)),
          ...leftOutLines(report.leftOut),
        ]);
        if (report.leftOut.incomplete) session.incomplete();
      });
    });
}

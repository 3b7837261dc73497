/** `tallystick data-set verdict`: who is at fault, provider or user, and evidence of it for others. */
import type { Command } from "commander";
import type { CheckedEvidence } from "../../agent/data-sets/evidence-check.ts";
import type { VerdictReport } from "../../agent/data-sets/verdict.ts";
import type { FoundDeployment } from "../../agent/node/deployment-file.ts";
import { readEvidence, writeEvidence } from "../../agent/node/evidence-file.ts";
import { DEFAULT_VERDICT_DRAWS, type Fault, type Verdict } from "../../core/audit/verdict.ts";
import { counted } from "../../core/encoding/counted.ts";
import { InvalidInputError, TallystickError } from "../../core/errors.ts";
import { EXIT } from "../exit-codes.ts";
import { withAgent } from "../session.ts";
import { endWith, surroundings } from "../surroundings.ts";
import { dataSetId, wholeNumber } from "../values.ts";
import { shortId } from "./data-set-lines.ts";

const HELP = `
The provider proves over a fresh challenge, opens the commitments of the slices that it draws, and the ciphertexts of
these slices are downloaded. A draw costs up to a slice (248 KiB by default) and the chunks that it is cut from, about
1 to 4 MiB; \`tallystick audit\` checks hundreds of draws without downloading anything. With --public, all slices of the
newest proof on chain are opened, which with the usual 460 draws can be a gigabyte. An exported file holds the
ciphertexts: who has it learns no content, but can tell that you store a file that it has itself.

Each verdict needs what the provider alone can open. One that does not answer leaves none: then \`tallystick dispute\`
makes it prove on chain in mode on-demand, and otherwise the epochs that it misses decide (\`data-set settle\`).

Exit code: 0 when the data is intact, 7 when it is not, whoever is at fault; with --check, 10 when the file does not
show who is: something is missing or damaged in it that its author may have left out.

Examples:
  $ tallystick data-set verdict 0x3f9ac2d1
  $ tallystick data-set verdict 0x3f9ac2d1 --samples 20 --export evidence.cbor
  $ tallystick data-set verdict --check evidence.cbor --offline`;

interface VerdictCommandOptions {
  readonly samples?: number;
  readonly public?: boolean;
  readonly export?: string;
  readonly check?: string;
  readonly offline?: boolean;
}

export function registerVerdict(dataSet: Command): void {
  dataSet
    .command("verdict")
    .description("find out who is at fault for a data set, provider or user, and export evidence or check somebody's")
    .argument("[data-set]", "id of a data set of yours, or its beginning", dataSetId)
    .option("--samples <n>", `draws of the challenge (default: ${DEFAULT_VERDICT_DRAWS})`, wholeNumber("--samples"))
    .option("--public", "take the newest proof on chain instead of asking for one")
    .option("--export <file>", "write the evidence to a new file, for anybody to check")
    .option("--check <file>", "check evidence that somebody has exported; needs no identity")
    .option("--offline", "with --check: ask no chain, and say what has to be believed")
    .addHelpText("after", HELP)
    .action(async (text: string | undefined, options: VerdictCommandOptions, command: Command) => {
      if (options.check !== undefined) await check(options.check, text, options, command);
      else await find(text, options, command);
    });
}

async function find(text: string | undefined, options: VerdictCommandOptions, command: Command): Promise<void> {
  if (text === undefined || options.offline === true) {
    throw wrongOptions("a data set without --offline, or --check <file>", text === undefined ? "none" : "--offline");
  }
  if (options.public === true && options.samples !== undefined) {
    throw wrongOptions("--public, which takes the draws of the proof on chain, or --samples", "both");
  }
  await withAgent(command, async ({ agent, output, signal, exitWith }) => {
    const id = await agent.dataSets.resolve(text);
    const { samples, export: file } = options;
    const wishes = {
      public: options.public === true,
      ...(samples === undefined ? {} : { sampleCount: samples }),
      signal,
    };
    const report =
      file === undefined
        ? await agent.dataSets.verdict(id, wishes)
        : await writeEvidence(file, (onEvidence) => agent.dataSets.verdict(id, { ...wishes, onEvidence }));
    output.result({ ...report, failures: report.failures.map((error) => error.toJSON()) }, foundLines(report, file));
    if (report.verdict !== "intact") exitWith(EXIT.integrity);
  });
}

async function check(
  file: string,
  text: string | undefined,
  { samples, public: isPublic, export: exported, offline }: VerdictCommandOptions,
  command: Command,
): Promise<void> {
  if (text !== undefined || samples !== undefined || isPublic === true || exported !== undefined) {
    throw wrongOptions("--check <file>, perhaps with --offline", "options that ask a provider as well");
  }
  const around = surroundings(command);
  const { requireDeployment } = await import("../agent-session.ts");
  const checked = await checkFile(file, offline === true ? undefined : requireDeployment(around).deployment);
  const { failures, chainId, ...rest } = checked;
  around.output.result(
    { ...rest, chainId: String(chainId), failures: failures.map((error) => error.toJSON()) },
    checkedLines(checked),
  );
  if (!checked.isDecided) endWith(command, EXIT.incomplete);
  else if (checked.verdict !== "intact") endWith(command, EXIT.integrity);
}

/** @throws InvalidInputError naming the file when it is no evidence or does not fit together; what the check throws */
async function checkFile(
  file: string,
  deployment: FoundDeployment["deployment"] | undefined,
): Promise<CheckedEvidence> {
  const { checkEvidence, checkEvidenceOn } = await import("../../agent/data-sets/evidence-check.ts");
  try {
    const bytes = readEvidence(file);
    return await (deployment === undefined ? checkEvidence(bytes) : checkEvidenceOn(deployment, bytes));
  } catch (error) {
    if (!(error instanceof TallystickError) || error.party !== undefined) throw error;
    // The exit code of data that is not intact would be taken for a verdict.
    const { check, expected, received, hint = "ask its author for the file again" } = error;
    const facts = Object.entries({ check, expected, received, hint }).filter(([, value]) => value !== undefined);
    throw new InvalidInputError(`${file}: ${error.message}`, {
      ...Object.fromEntries(facts),
      party: "you",
      cause: error,
    });
  }
}

function wrongOptions(expected: string, received: string): InvalidInputError {
  return new InvalidInputError("a verdict is asked for, or evidence is checked", {
    party: "you",
    check: "arguments of the verdict",
    expected,
    received,
  });
}

const MEANINGS: Readonly<Record<Verdict, string>> = {
  intact: "the data is there as both parties signed it, and the provider proves it",
  damaged: "the provider does not show the data that both parties signed",
  unproven: "the provider shows the data, and its answer is none, or of something else",
  "bad-tags": "the data is there and the answer is of it: the tags, which the user made, are of something else",
};

const FAULTS: Readonly<Record<Fault, string>> = {
  nobody: "nobody; a user that says otherwise is wrong",
  provider: "the provider",
  user: "the user",
};

type Found = Pick<
  CheckedEvidence,
  "verdict" | "fault" | "isProofValid" | "isDataCommitted" | "isAnswerOfData" | "failures" | "sampleCount"
>;

function verdictLines(found: Found, assumed: readonly string[] = [], isDecided = true): string[] {
  const { verdict, fault, isProofValid, isDataCommitted, isAnswerOfData, failures } = found;
  const yes = (value: boolean) => (value ? "yes" : "no");
  return [
    `verdict    ${isDecided ? "" : "undecided, perhaps "}${verdict}: ${MEANINGS[verdict]}`,
    `  at fault ${isDecided ? "" : "not shown by this file: "}${FAULTS[fault]}` +
      (assumed.length === 0 ? "" : ", if this is so:"),
    ...assumed.map((assumption) => `  believed ${assumption}`),
    `  checks   proof valid: ${yes(isProofValid)}; data as committed: ${yes(isDataCommitted)}; answer computed from ` +
      `it: ${yes(isAnswerOfData)}`,
    ...failures.map(({ message, check }) => `  failed   ${message}${check === undefined ? "" : ` (${check})`}`),
  ];
}

function foundLines(report: VerdictReport, file: string | undefined): string[] {
  const { sampleCount, drawnSlices, revealedBytes, dataSetId: id, provider, seconds } = report;
  return [
    ...verdictLines(report),
    `  from     ${counted(sampleCount, "draw")} of ${counted(drawnSlices, "slice")}, ${revealedBytes} bytes of ` +
      "ciphertext",
    `  data set ${shortId(id)}, provider ${provider}, ${seconds.toFixed(2)} s`,
    ...(file === undefined ? [] : [`  evidence ${file}`]),
  ];
}

function checkedLines(checked: CheckedEvidence): string[] {
  const { dataSetId: id, provider, user, chainId, escrow, sampleCount, assumed, isDecided } = checked;
  return [
    ...verdictLines(checked, assumed, isDecided),
    `  from     ${counted(sampleCount, "draw")}`,
    `  data set ${id}`,
    `  parties  user ${user}, provider ${provider}`,
    `  chain    ${chainId}, escrow ${escrow}`,
  ];
}

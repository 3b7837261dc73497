/** `tallystick audit`: has providers prove that they still hold what they keep for this account. */
import { type Command, InvalidArgumentError } from "commander";
import type { DataSetAuditReport } from "../../agent/data-sets/audit.ts";
import { counted } from "../../core/encoding/counted.ts";
import { InvalidInputError } from "../../core/errors.ts";
import { withAgent } from "../session.ts";
import { dataSetId, wholeNumber } from "../values.ts";
import { shortId } from "./data-set-lines.ts";

interface AuditOptions {
  readonly public?: boolean;
  readonly samples?: number;
  readonly damage?: number;
  readonly probability?: number;
}

/** A percentage as a fraction. */
function percent(option: string): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d{1,3}(\.\d+)?$/.test(text) || value <= 0 || value > 100) {
      throw new InvalidArgumentError(`${option} takes a percentage above 0 and at most 100.`);
    }
    return value / 100;
  };
}

/** @throws InvalidInputError for options that would have no effect beside others */
function requireEffective({ public: isPublic, samples, damage, probability }: AuditOptions): void {
  const hasTarget = damage !== undefined || probability !== undefined;
  if (isPublic !== true && (samples === undefined || !hasTarget)) return;
  if (isPublic === true && samples === undefined && !hasTarget) return;
  throw new InvalidInputError("options of the audit would have no effect", {
    party: "you",
    check: "options of the audit",
    expected: "--public alone, whose draws are those of the proof; --samples; or --damage and --probability",
    received: isPublic === true ? "--public and options of a private audit" : "--samples and what it shall find",
  });
}

/** Says when a provider answers fewer draws at once than the target takes. */
function targetLines({ sampleCount, targetDraws }: DataSetAuditReport): string[] {
  if (targetDraws === undefined) return [];
  const audits = Math.ceil(targetDraws / sampleCount);
  return [
    `  what you asked for takes ${counted(targetDraws, "draw")}, and one audit has at most ${sampleCount}: run it ` +
      `${audits} times`,
  ];
}

export function registerAudit(program: Command): void {
  program
    .command("audit")
    .description("check that providers still hold the data: now and privately, or by their newest proof on chain")
    .argument("[data-set]", "id of a data set, or its beginning (default: all that run)", dataSetId)
    .option("--public", "check the newest proof on chain instead of asking for one")
    .option(
      "--samples <n>",
      "draws of a private audit, at most 4096 (default: 460, fewer for small data)",
      wholeNumber("--samples"),
    )
    .option("--damage <percent>", "damage that a private audit shall find (default: 1)", percent("--damage"))
    .option("--probability <percent>", "probability to find it (default: 99)", percent("--probability"))
    .addHelpText(
      "after",
      "\nExamples:\n  $ tallystick audit && echo intact\n  $ tallystick audit --damage 0.1 --probability 99" +
        "\n  $ tallystick audit 0x3f9ac2d1 --public",
    )
    .action(async (text: string | undefined, options: AuditOptions, command: Command) => {
      const { samples, damage, probability } = options;
      requireEffective(options);
      await withAgent(command, async ({ agent, output }) => {
        const ids = text === undefined ? await agent.dataSets.audited() : [await agent.dataSets.resolve(text)];
        const wishes = {
          public: options.public === true,
          ...(samples === undefined ? {} : { sampleCount: samples }),
          ...(damage === undefined ? {} : { damage }),
          ...(probability === undefined ? {} : { probability }),
        };
        const audits = [];
        for (const id of ids) audits.push(await agent.dataSets.audit(id, wishes));
        output.result(
          { intact: true, audits },
          audits.flatMap((report) => {
            const where =
              report.epoch === undefined ? "" : `, proof of epoch ${report.epoch} in block ${report.blockNumber}`;
            return [
              `intact: ${counted(report.sampleCount, "draw")} from ${counted(report.slices, "slice")} verified ` +
                `(${report.mode} audit${where})`,
              "  damage of 1 %, or of one slice, would have been found with a probability of " +
                `${(report.confidence * 100).toFixed(1)} %`,
              ...targetLines(report),
              `  data set ${shortId(report.id)}, provider ${report.provider}, ${report.seconds.toFixed(2)} s`,
            ];
          }),
        );
      });
    });
}

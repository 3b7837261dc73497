/** `tallystick audit`: has the provider prove that it still holds the data. */
import type { Command } from "commander";
import { counted } from "../../core/encoding/counted.ts";
import { dataIdOf, withAgent } from "../session.ts";
import { wholeNumber } from "../values.ts";

export function registerAudit(program: Command): void {
  program
    .command("audit")
    .description("check that the provider still holds the data: now and privately, or by its newest proof on chain")
    .argument("<id>", "snapshot (id, latest or latest:<host>) or data id")
    .option("--public", "check the newest proof on chain instead of asking for one")
    .option("--samples <n>", "draws of a private audit (default: 460, fewer for small data)", wholeNumber("--samples"))
    .addHelpText(
      "after",
      "\nExamples:\n  $ tallystick audit latest && echo intact\n  $ tallystick audit bafkrei… --public",
    )
    .action(async (id: string, options: { public?: boolean; samples?: number }, command: Command) => {
      await withAgent(command, async (session) => {
        const { agent, output } = session;
        const report = await agent.audit(await dataIdOf(session, id), {
          public: options.public === true,
          ...(options.samples === undefined ? {} : { sampleCount: options.samples }),
        });
        const where =
          report.epoch === undefined ? "" : `, proof of epoch ${report.epoch} in block ${report.blockNumber}`;
        output.result({ intact: true, ...report }, [
          `intact: ${counted(report.sampleCount, "draw")} from ${counted(report.sliceCount, "slice")} verified ` +
            `(${report.mode} audit${where})`,
          "  damage of 1 %, or of one slice, would have been found with a probability of " +
            `${(report.confidence * 100).toFixed(1)} %`,
          `  agreement ${report.agreementId}, provider ${report.provider}, ${report.seconds.toFixed(2)} s`,
        ]);
      });
    });
}

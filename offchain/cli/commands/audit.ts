/** `tallystick audit`: has the provider prove that it still holds the data. */
import type { Command } from "commander";
import { withAgent } from "../session.ts";
import { wholeNumber } from "../values.ts";

export function registerAudit(program: Command): void {
  program
    .command("audit")
    .description("check that the provider still holds the data: now and privately, or by its newest proof on chain")
    .argument("<id>", "data id")
    .option("--public", "check the newest proof on chain instead of asking for one")
    .option("--samples <n>", "draws of a private audit (default: 460, fewer for small data)", wholeNumber("--samples"))
    .addHelpText("after", "\nExample:\n  $ tallystick audit bafkrei… && echo intact")
    .action(async (id: string, options: { public?: boolean; samples?: number }, command: Command) => {
      await withAgent(command, async ({ agent, output }) => {
        const report = await agent.audit(id, {
          public: options.public === true,
          ...(options.samples === undefined ? {} : { sampleCount: options.samples }),
        });
        const where =
          report.epoch === undefined ? "" : `, proof of epoch ${report.epoch} in block ${report.blockNumber}`;
        output.result({ intact: true, ...report }, [
          `intact: ${report.sampleCount} draws from ${report.sliceCount} slices verified ` +
            `(${report.mode} audit${where})`,
          "  damage of 1 %, or of one slice, would have been found with a probability of " +
            `${(report.confidence * 100).toFixed(1)} %`,
          `  agreement ${report.agreementId}, provider ${report.provider}, ${report.seconds.toFixed(2)} s`,
        ]);
      });
    });
}

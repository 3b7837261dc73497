/** `tallystick rekey`: takes access to a revocable put from whoever was given its keys. */
import type { Command } from "commander";
import { counted } from "../../core/encoding/counted.ts";
import { withAgent } from "../session.ts";

export function registerRekey(program: Command): void {
  program
    .command("rekey")
    .description(
      "give the stub files of a revocable put new keys: whoever has the old ones opens nothing new; what was read " +
        "with them stays read",
    )
    .argument("<snapshot>", "beginning of an id, latest, latest:<host> or a data id of a put with --revocable")
    .addHelpText("after", "\nExample:\n  $ tallystick rekey latest")
    .action(async (place: string, _options: unknown, command: Command) => {
      await withAgent(command, async ({ agent, output, signal }) => {
        const report = await agent.rekey(place, { signal });
        output.result(report, [
          report.dataId,
          `  ${counted(report.stubFiles.length, "stub file")} with new keys`,
          ...report.stubFiles.map(({ provider, epoch }) => `  provider   ${provider}, epoch ${epoch}`),
        ]);
      });
    });
}

/** `tallystick rekey`: takes access to a revocable put from whoever was given its keys. */
import type { Command } from "commander";
import { counted } from "../../core/encoding/counted.ts";
import { printable } from "../output.ts";
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
      await withAgent(command, async ({ agent, output, signal, incomplete }) => {
        const { dataId, stubFiles, failures } = await agent.rekey(place, { signal });
        output.result({ dataId, stubFiles, failures }, [
          dataId,
          `  ${counted(stubFiles.length, "stub file")} with new keys`,
          ...stubFiles.map(({ provider, epoch }) => `  provider   ${provider}, epoch ${epoch}`),
        ]);
        if (failures.length === 0) return;
        for (const { provider, error } of failures) {
          output.problem(`tallystick: provider ${provider} was not rekeyed: ${printable(error.message)}`);
        }
        output.problem(
          "tallystick: hint: the old keys still open the put there: run the command again when it answers",
        );
        incomplete();
      });
    });
}

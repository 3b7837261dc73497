/** `npx hardhat tallystick get` */
import type { HardhatRuntimeEnvironment } from "hardhat/types/hre";
import { shortfallLines } from "../../cli/commands/restore-lines.ts";
import { reportIncomplete, required, runWithAgent, type TaskOptions } from "./session.ts";

interface GetTaskOptions extends TaskOptions {
  readonly id: string;
  readonly out: string;
  readonly overwrite: boolean;
}

export default async function get(options: GetTaskOptions, hre: HardhatRuntimeEnvironment): Promise<void> {
  const [id, out] = [required(options.id, "id"), required(options.out, "out")];
  await runWithAgent(options, hre, async (agent) => {
    // The report has them: what can be restored is, as with the command line.
    const untold = { onDamage: () => undefined, onLeft: () => undefined };
    const report = await agent.get(id, out, { overwrite: options.overwrite, ...untold });
    const shortfall = shortfallLines(report);
    if (shortfall.length > 0) reportIncomplete(shortfall);
    return report;
  });
}

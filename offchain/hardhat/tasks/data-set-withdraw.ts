/** `npx hardhat tallystick data-set withdraw` */
import type { HardhatRuntimeEnvironment } from "hardhat/types/hre";
import { runWithAgent, type TaskOptions } from "./session.ts";

export default async function withdraw(options: TaskOptions, hre: HardhatRuntimeEnvironment): Promise<void> {
  await runWithAgent(options, hre, (agent) => agent.dataSets.withdraw());
}

/** `npx hardhat tallystick status` */
import type { HardhatRuntimeEnvironment } from "hardhat/types/hre";
import { runWithAgent, type TaskOptions } from "./session.ts";

export default async function status(options: TaskOptions, hre: HardhatRuntimeEnvironment): Promise<void> {
  await runWithAgent(options, hre, (agent) => agent.status());
}

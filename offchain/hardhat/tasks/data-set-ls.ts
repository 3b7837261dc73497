/** `npx hardhat tallystick data-set ls` */
import type { HardhatRuntimeEnvironment } from "hardhat/types/hre";
import { runWithAgent, type TaskOptions } from "./session.ts";

export default async function list(options: TaskOptions, hre: HardhatRuntimeEnvironment): Promise<void> {
  await runWithAgent(options, hre, async (agent) => ({ dataSets: await agent.dataSets.list() }));
}

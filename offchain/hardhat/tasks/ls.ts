/** `npx hardhat tallystick ls` */
import type { HardhatRuntimeEnvironment } from "hardhat/types/hre";
import { runWithAgent, type TaskOptions } from "./session.ts";

export default async function ls(options: TaskOptions, hre: HardhatRuntimeEnvironment): Promise<void> {
  await runWithAgent(options, hre, async (agent) => ({ puts: await agent.list() }));
}

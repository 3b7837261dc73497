/** `npx hardhat tallystick data-set top-up` */
import type { HardhatRuntimeEnvironment } from "hardhat/types/hre";
import { amountOption, runWithAgent, type TaskOptions } from "./session.ts";

interface TopUpTaskOptions extends TaskOptions {
  readonly amount: string;
}

export default async function topUp(options: TopUpTaskOptions, hre: HardhatRuntimeEnvironment): Promise<void> {
  const amount = amountOption(options.amount, "amount");
  await runWithAgent(options, hre, (agent) => agent.dataSets.topUp(amount));
}

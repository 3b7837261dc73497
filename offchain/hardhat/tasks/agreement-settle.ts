/** `npx hardhat tallystick agreement settle` */
import type { HardhatRuntimeEnvironment } from "hardhat/types/hre";
import { agreementNumber, runWithAgent, type TaskOptions } from "./session.ts";

interface SettleTaskOptions extends TaskOptions {
  readonly agreement: string;
}

export default async function settle(options: SettleTaskOptions, hre: HardhatRuntimeEnvironment): Promise<void> {
  const id = agreementNumber(options.agreement);
  await runWithAgent(options, hre, (agent) => agent.agreements.settle(id));
}

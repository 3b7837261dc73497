/** `npx hardhat tallystick data-set settle` */
import type { HardhatRuntimeEnvironment } from "hardhat/types/hre";
import { type DataSetTaskOptions, required, runWithAgent } from "./session.ts";

export default async function settle(options: DataSetTaskOptions, hre: HardhatRuntimeEnvironment): Promise<void> {
  const text = required(options.dataSet, "data-set");
  await runWithAgent(options, hre, async ({ dataSets }) => dataSets.settle(await dataSets.resolve(text)));
}

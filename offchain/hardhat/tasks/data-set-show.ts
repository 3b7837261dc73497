/** `npx hardhat tallystick data-set show` */
import type { HardhatRuntimeEnvironment } from "hardhat/types/hre";
import { type DataSetTaskOptions, required, runWithAgent } from "./session.ts";

export default async function show(options: DataSetTaskOptions, hre: HardhatRuntimeEnvironment): Promise<void> {
  const text = required(options.dataSet, "data-set");
  await runWithAgent(options, hre, async ({ dataSets }) => dataSets.show(await dataSets.resolve(text)));
}

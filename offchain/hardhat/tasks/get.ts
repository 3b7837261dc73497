/** `npx hardhat tallystick get` */
import type { HardhatRuntimeEnvironment } from "hardhat/types/hre";
import { required, runWithAgent, type TaskOptions } from "./session.ts";

interface GetTaskOptions extends TaskOptions {
  readonly id: string;
  readonly out: string;
  readonly overwrite: boolean;
}

export default async function get(options: GetTaskOptions, hre: HardhatRuntimeEnvironment): Promise<void> {
  const [id, out] = [required(options.id, "id"), required(options.out, "out")];
  await runWithAgent(options, hre, (agent) => agent.get(id, out, { overwrite: options.overwrite }));
}

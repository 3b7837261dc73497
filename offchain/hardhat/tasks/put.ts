/** `npx hardhat tallystick put` */
import type { HardhatRuntimeEnvironment } from "hardhat/types/hre";
import { required, runWithAgent, type TaskOptions } from "./session.ts";

interface PutTaskOptions extends TaskOptions {
  readonly file: string;
  readonly epochs: number;
  readonly noAgreement: boolean;
}

export default async function put(options: PutTaskOptions, hre: HardhatRuntimeEnvironment): Promise<void> {
  const file = required(options.file, "file");
  const agreement = options.noAgreement ? false : { epochs: options.epochs };
  await runWithAgent(options, hre, (agent) => agent.put([file], { agreement }));
}

/** `npx hardhat tallystick audit` */
import type { HardhatRuntimeEnvironment } from "hardhat/types/hre";
import { required, runWithAgent, type TaskOptions } from "./session.ts";

interface AuditTaskOptions extends TaskOptions {
  readonly id: string;
  readonly public: boolean;
}

export default async function audit(options: AuditTaskOptions, hre: HardhatRuntimeEnvironment): Promise<void> {
  const id = required(options.id, "id");
  await runWithAgent(options, hre, (agent) => agent.audit(id, { public: options.public }));
}

/** `npx hardhat tallystick audit` */
import type { HardhatRuntimeEnvironment } from "hardhat/types/hre";
import { runWithAgent, type TaskOptions } from "./session.ts";

interface AuditTaskOptions extends TaskOptions {
  /** Empty for all that run. */
  readonly dataSet: string;
  readonly public: boolean;
}

export default async function audit(options: AuditTaskOptions, hre: HardhatRuntimeEnvironment): Promise<void> {
  await runWithAgent(options, hre, async ({ dataSets }) => {
    const ids = options.dataSet === "" ? await dataSets.audited() : [await dataSets.resolve(options.dataSet)];
    const audits = [];
    for (const id of ids) audits.push(await dataSets.audit(id, { public: options.public }));
    return { audits };
  });
}

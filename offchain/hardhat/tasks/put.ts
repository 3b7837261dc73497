/** `npx hardhat tallystick put` */
import type { HardhatRuntimeEnvironment } from "hardhat/types/hre";
import type { PutOptions } from "../../agent/index.ts";
import { leftOutLines } from "../../cli/commands/put-sources.ts";
import { InvalidInputError } from "../../core/errors.ts";
import { reportIncomplete, required, runWithAgent, type TaskOptions } from "./session.ts";

interface PutTaskOptions extends TaskOptions {
  readonly file: string;
  readonly runway: number;
  readonly noDataSet: boolean;
  readonly allowBlockRandomness: boolean;
  readonly keyMode: string | undefined;
}

/** @throws InvalidInputError for another text than those that the command line takes */
function keyModeOf(text: string): "oprf" | "merkle" {
  if (text === "oprf" || text === "merkle") return text;
  throw new InvalidInputError("--key-mode is oprf or merkle", {
    party: "you",
    check: "task options",
    expected: "oprf or merkle",
    received: JSON.stringify(text.slice(0, 80)),
  });
}

export default async function put(options: PutTaskOptions, hre: HardhatRuntimeEnvironment): Promise<void> {
  const file = required(options.file, "file");
  const { noDataSet, runway, allowBlockRandomness } = options;
  const dataSet: PutOptions["dataSet"] = noDataSet ? false : { runwayEpochs: runway, allowBlockRandomness };
  const keyMode = options.keyMode === undefined ? {} : { keyMode: keyModeOf(options.keyMode) };
  await runWithAgent(options, hre, async (agent) => {
    const report = await agent.put([file], { dataSet, ...keyMode });
    if (report.leftOut.incomplete) reportIncomplete(leftOutLines(report.leftOut));
    return report;
  });
}

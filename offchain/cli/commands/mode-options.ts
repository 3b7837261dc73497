/** Options of the commands that may open a data set: when its provider has to prove, and what a dispute may cost. */
import { type Command, InvalidArgumentError } from "commander";
import { DATA_SET_MODES, type DataSetMode } from "../../core/data-set/terms.ts";
import { amountInWei } from "../values.ts";

export interface ModeOptions {
  readonly mode?: DataSetMode;
  readonly maxBond?: bigint;
}

function dataSetMode(text: string): DataSetMode {
  const mode = DATA_SET_MODES.find((one) => one === text);
  if (mode !== undefined) return mode;
  throw new InvalidArgumentError(`The mode is ${DATA_SET_MODES.join(" or ")}.`);
}

export function modeOptions(command: Command): Command {
  return command
    .option(
      "--mode <mode>",
      "of a data set that is opened: the provider proves in every-epoch, or on-demand only when somebody disputes " +
        "possession with a bond (default: every-epoch)",
      dataSetMode,
    )
    .option(
      "--max-bond <amount>",
      "the most that a dispute of the data set may cost its author when the provider proves, in the token's smallest " +
        "unit (default: 1000 times the least fee of an epoch)",
      amountInWei("--max-bond"),
    );
}

/** The wishes of these options. */
export function readModeOptions({ mode, maxBond }: ModeOptions): {
  readonly mode?: DataSetMode;
  readonly maximumDisputeBond?: bigint;
} {
  return {
    ...(mode === undefined ? {} : { mode }),
    ...(maxBond === undefined ? {} : { maximumDisputeBond: maxBond }),
  };
}

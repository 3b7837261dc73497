/** Options of the commands that may begin a data set or make it cost more. */
import { type Command, InvalidArgumentError } from "commander";
import type { LaneWishes } from "../../agent/data-sets/wishes.ts";
import { DATA_SET_MODES, type DataSetMode } from "../../core/data-set/terms.ts";
import { amountInWei, sizeInBytes, wholeNumber } from "../values.ts";

export interface DataSetWishOptions {
  readonly runway?: number;
  readonly maxFee?: bigint;
  readonly expectedSize?: number;
  readonly allowBlockRandomness?: boolean;
  readonly mode?: DataSetMode;
  readonly maxBond?: bigint;
}

function dataSetMode(text: string): DataSetMode {
  const mode = DATA_SET_MODES.find((one) => one === text);
  if (mode !== undefined) return mode;
  throw new InvalidArgumentError(`The mode is ${DATA_SET_MODES.join(" or ")}.`);
}

/** What the help says of two options that are left out. */
export interface WishDefaults {
  readonly expectedSize: string;
  readonly mode: string;
}

export function dataSetWishOptions(
  command: Command,
  { expectedSize, mode }: WishDefaults = { expectedSize: "a few GiB", mode: "every-epoch" },
): Command {
  return command
    .option(
      "--runway <epochs>",
      "when the balance must be topped up, the epochs that it shall cover beyond the notice period (default: 30)",
      wholeNumber("--runway"),
    )
    .option(
      "--max-fee <wei>",
      "refuse when one epoch of the data set would cost more with one provider, in wei (default: what it offers); " +
        "for what gas costs, the commands that send a transaction have --max-gas-fee",
      amountInWei("--max-fee"),
    )
    .option(
      "--expected-size <size>",
      "what a data set that begins now may grow to, such as 200GiB; decides how long its slices are (default: " +
        `${expectedSize})`,
      sizeInBytes("--expected-size"),
    )
    .option(
      "--mode <mode>",
      "of a data set that begins now: the provider proves in every-epoch, or on-demand only when somebody disputes " +
        `possession with a bond (default: ${mode})`,
      dataSetMode,
    )
    .option(
      "--max-bond <amount>",
      "the most that a dispute of the data set may cost its author when the provider proves, in the token's smallest " +
        "unit (default: 1000 times the least fee of an epoch)",
      amountInWei("--max-bond"),
    )
    .option(
      "--allow-block-randomness",
      "begin a data set also where the builders of blocks can choose its challenges (default: on development chains " +
        "only)",
    );
}

/** The wishes of these options. */
export function readDataSetWishes(wishes: DataSetWishOptions): LaneWishes {
  const { runway, maxFee, expectedSize, allowBlockRandomness, mode, maxBond } = wishes;
  return {
    ...(runway === undefined ? {} : { runwayEpochs: runway }),
    ...(maxFee === undefined ? {} : { maximumFeePerEpoch: maxFee }),
    ...(expectedSize === undefined ? {} : { expectedBytes: expectedSize }),
    ...(mode === undefined ? {} : { mode }),
    ...(maxBond === undefined ? {} : { maximumDisputeBond: maxBond }),
    ...(allowBlockRandomness === true ? { allowBlockRandomness } : {}),
  };
}

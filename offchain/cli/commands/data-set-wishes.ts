/** Options of the commands that may begin a data set or make it cost more. */
import type { Command } from "commander";
import type { LaneWishes } from "../../agent/data-sets/wishes.ts";
import { amountInWei, sizeInBytes, wholeNumber } from "../values.ts";

export interface DataSetWishOptions {
  readonly runway?: number;
  readonly maxFee?: bigint;
  readonly expectedSize?: number;
  readonly allowBlockRandomness?: boolean;
}

export function dataSetWishOptions(command: Command): Command {
  return command
    .option(
      "--runway <epochs>",
      "when the balance must be topped up, the epochs that it shall cover beyond the notice period (default: 30)",
      wholeNumber("--runway"),
    )
    .option(
      "--max-fee <wei>",
      "the most that one epoch of the data set may cost with one provider, in wei (default: what it offers)",
      amountInWei("--max-fee"),
    )
    .option(
      "--expected-size <size>",
      "what a data set that begins now may grow to, such as 200GiB; decides how long its slices are (default: a few " +
        "GiB)",
      sizeInBytes("--expected-size"),
    )
    .option(
      "--allow-block-randomness",
      "begin a data set also where the builders of blocks can choose its challenges (default: on development chains " +
        "only)",
    );
}

/** The wishes of these options. */
export function readDataSetWishes(wishes: DataSetWishOptions): LaneWishes {
  const { runway, maxFee, expectedSize, allowBlockRandomness } = wishes;
  return {
    ...(runway === undefined ? {} : { runwayEpochs: runway }),
    ...(maxFee === undefined ? {} : { maximumFeePerEpoch: maxFee }),
    ...(expectedSize === undefined ? {} : { expectedBytes: expectedSize }),
    ...(allowBlockRandomness === true ? { allowBlockRandomness } : {}),
  };
}

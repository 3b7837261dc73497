/** `--max-gas-fee`, which means the same in every command: a limit on what the gas of a transaction costs. */
import { Option } from "commander";
import { coinAmount } from "../values.ts";

export interface GasFeeOptions {
  readonly maxGasFee?: bigint;
}

/** @param transaction what is refused */
export function gasFeeOption(transaction = "a transaction"): Option {
  const help = `refuse ${transaction} whose gas would cost more, in wei or as 0.001ETH`;
  return new Option("--max-gas-fee <amount>", help).argParser(coinAmount("--max-gas-fee"));
}

export function maximumFee({ maxGasFee }: GasFeeOptions): { readonly maximumFee?: bigint } {
  return maxGasFee === undefined ? {} : { maximumFee: maxGasFee };
}

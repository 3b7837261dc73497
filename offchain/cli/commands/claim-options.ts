/** Options of `tallystick recover` for whoever has lost the phrase. */
import { type Command, Option } from "commander";
import { address, signature } from "../values.ts";
import { type GasFeeOptions, gasFeeOption } from "./gas-fee.ts";

export interface ClaimOptions extends GasFeeOptions {
  readonly account?: string;
  readonly wallet?: boolean;
  readonly guardians?: boolean;
  readonly keystoreWallet?: string;
  readonly walletKeyFile?: string;
  readonly signature?: string;
  readonly wait?: boolean;
}

export function claimOptions(command: Command): Command {
  return command
    .option("--account <address>", "whose identity it is, with --wallet or --guardians", address)
    .addOption(
      new Option("--wallet", "without the phrase: by the recovery wallet").conflicts(["guardians", "phraseFile"]),
    )
    .addOption(new Option("--guardians", "without the phrase: by the guardians").conflicts("phraseFile"))
    .option(
      "--keystore-wallet <address>",
      "have this wallet open the restored keystore, by its signature, in place of a passphrase",
      address,
    )
    .option("--wallet-key-file <file>", "read the wallet's private key from this file (or TALLYSTICK_WALLET_KEY)")
    .option("--signature <hex>", "signature of the wallet over the message that the command prints", signature)
    .option("--wait", "wait until the identity is released, in place of saying when")
    .addOption(gasFeeOption());
}

export function isClaim({ wallet, guardians }: ClaimOptions): boolean {
  return wallet === true || guardians === true;
}

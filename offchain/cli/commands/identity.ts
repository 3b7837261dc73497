/** `tallystick identity`: what opens the keystore of this device. */
import { type Command, Option } from "commander";
import { address } from "../values.ts";
import type { NewPassphraseFlags } from "./identity-run.ts";

const HELP = `
A wallet opens the keystore with its signature over one EIP-712 message. The signature is a secret like a passphrase:
with the keystore's file, whoever has it has the identity. A wallet program is asked at --wallet-url (http on localhost,
or https), or you have the message signed elsewhere, as with a hardware wallet, and paste the signature.

Examples:
  $ tallystick identity show
  $ tallystick identity add-wallet 0x7099… --wallet-url http://127.0.0.1:1248
  $ tallystick identity set-passphrase
  $ tallystick identity remove-wallet 0x7099…
  $ tallystick status --signature-file ./signature`;

export function registerIdentity(program: Command): void {
  const identity = program
    .command("identity")
    .description("show and change what opens the keystore of this device: a passphrase, wallets")
    .addHelpText("after", HELP);
  identity
    .command("show")
    .description("show what opens the keystore, and the messages that its wallets sign; asks for no secret")
    .addHelpText("after", "\nExample:\n  $ tallystick identity show --json")
    .action(async (_options: unknown, command: Command) => {
      (await import("./identity-run.ts")).showOpeners(command);
    });
  identity
    .command("add-wallet")
    .description("have the keystore open with a wallet too, which signs twice now; again for a new message")
    .argument("<wallet>", "account of the wallet", address)
    .addHelpText("after", "\nExample:\n  $ tallystick identity add-wallet 0x7099… --wallet-url http://127.0.0.1:1248")
    .action(async (wallet: string, _options: unknown, command: Command) => {
      await (await import("./identity-run.ts")).addWallet(wallet, command);
    });
  identity
    .command("remove-wallet")
    .description("have the keystore open with this wallet no more; opened with what is left")
    .argument("<wallet>", "account of the wallet", address)
    .addHelpText("after", "\nExample:\n  $ tallystick identity remove-wallet 0x7099…")
    .action(async (wallet: string, _options: unknown, command: Command) => {
      await (await import("./identity-run.ts")).removeOpener(wallet, command);
    });
  identity
    .command("set-passphrase")
    .description("have the keystore open with a passphrase, in place of the one that it may have")
    .addOption(
      new Option(
        "--new-passphrase-file <file>",
        "read the new passphrase from this file (or TALLYSTICK_NEW_PASSPHRASE)",
      ),
    )
    .addHelpText("after", "\nExample:\n  $ tallystick identity set-passphrase")
    .action(async (flags: NewPassphraseFlags, command: Command) => {
      await (await import("./identity-run.ts")).setPassphrase(flags, command);
    });
  identity
    .command("remove-passphrase")
    .description("have the keystore open with wallets only; opened with one of them")
    .addHelpText("after", "\nExample:\n  $ tallystick identity remove-passphrase --signature-file ./signature")
    .action(async (_options: unknown, command: Command) => {
      await (await import("./identity-run.ts")).removeOpener("passphrase", command);
    });
}

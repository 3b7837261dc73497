/**
 * The `tallystick` command line. Commands are thin: they read options and secrets, call the SDK, and print. A program
 * can do everything a command does with `offchain/agent`.
 */
import { Command, CommanderError } from "commander";
import { useProxyFromEnvironment } from "../agent/node/proxy.ts";
import { InvalidInputError, TallystickError } from "../core/errors.ts";
import { VERSION } from "../core/version.ts";
import { exactArguments } from "./arguments.ts";
import { registerAudit } from "./commands/audit.ts";
import { registerCompletion } from "./commands/completion.ts";
import { registerDataSet } from "./commands/data-set.ts";
import { registerDelegate } from "./commands/delegate.ts";
import { registerDispute } from "./commands/dispute.ts";
import { registerDiff, registerFind } from "./commands/find-diff.ts";
import { registerForget, registerRemove } from "./commands/forget.ts";
import { registerGet } from "./commands/get.ts";
import { registerIdentity } from "./commands/identity.ts";
import { registerInit } from "./commands/init.ts";
import { registerList } from "./commands/list.ts";
import { registerNetwork } from "./commands/network.ts";
import { registerNode } from "./commands/node.ts";
import { registerOwners } from "./commands/owners.ts";
import { registerPhrase } from "./commands/phrase.ts";
import { registerPut } from "./commands/put.ts";
import { registerRecover } from "./commands/recover.ts";
import { registerRecovery } from "./commands/recovery.ts";
import { registerRekey } from "./commands/rekey.ts";
import { registerRotate } from "./commands/rotate.ts";
import { registerServe } from "./commands/serve.ts";
import { registerSnapshots } from "./commands/snapshots.ts";
import { registerStatus } from "./commands/status.ts";
import { registerStats, registerVerify } from "./commands/verify-stats.ts";
import { registerWatch } from "./commands/watch.ts";
import { EXIT, exitCodeOf } from "./exit-codes.ts";
import { InterruptedError } from "./interrupt.ts";
import { asTallystickError, createOutput, onOutputError } from "./output.ts";
import { EXIT_CODE } from "./surroundings.ts";

const EXAMPLES = `
Examples:
  $ tallystick init
  $ tallystick put ~/Documents
  $ tallystick snapshots
  $ tallystick get latest -o ~/restored
  $ tallystick get latest:Documents/letter.odt -o .
  $ tallystick forget --keep-daily 7 --keep-monthly 12
  $ tallystick audit

Secrets come from a prompt, a file (--passphrase-file, --signature-file, --phrase-file) or the environment
(TALLYSTICK_PASSPHRASE, TALLYSTICK_WALLET_SIGNATURE, TALLYSTICK_RECOVERY_PHRASE), never from the command line.
Exit codes are in docs/errors.md.`;

/** Without it relative paths mean nothing, and Node fails at the first one. @throws TallystickError FILE_UNREADABLE */
function requireCurrentFolder(): void {
  try {
    process.cwd();
  } catch (cause) {
    throw new TallystickError("the current folder does not exist any more", {
      code: "FILE_UNREADABLE",
      party: "you",
      check: "current folder",
      hint: "change to another folder, then run the command again",
      cause,
    });
  }
}

export function buildProgram(): Command {
  const program = new Command("tallystick")
    .description(
      "Encrypted, deduplicated storage whose provider is paid only for epochs in which it proves to hold the data.",
    )
    .version(VERSION)
    .option("--json", "print one JSON document on stdout and nothing else there")
    .option("-q, --quiet", "print no remarks and no progress; what fails is still told")
    .option(
      "--home <directory>",
      "where the keystore and the catalogue live (default ~/.tallystick, or TALLYSTICK_HOME)",
    )
    .option(
      "--deployment <file>",
      "deployment to use (default: TALLYSTICK_DEPLOYMENT, the home's, then a devnet started here)",
    )
    .option("--passphrase-file <file>", "read the passphrase from this file")
    .option("--wallet-url <url>", "have a wallet program at this address sign (or TALLYSTICK_WALLET_URL)")
    .option("--signature-file <file>", "read the wallet's signature that opens the keystore from this file")
    .addHelpText("after", EXAMPLES)
    .configureHelp({ showGlobalOptions: true })
    .showHelpAfterError("(add --help for the options)")
    .hook("preAction", requireCurrentFolder)
    .exitOverride();
  for (const register of [
    registerInit,
    registerRecover,
    registerRecovery,
    registerPut,
    registerSnapshots,
    registerList,
    registerGet,
    registerFind,
    registerDiff,
    registerVerify,
    registerStats,
    registerRemove,
    registerForget,
    registerRekey,
    registerOwners,
    registerServe,
    registerStatus,
    registerAudit,
    registerDispute,
    registerDataSet,
    registerWatch,
    registerPhrase,
    registerIdentity,
    registerRotate,
    registerDelegate,
    registerNetwork,
    registerNode,
    registerCompletion,
  ]) {
    register(program);
  }
  return program;
}

/** Errors of the parser itself. Help and version are no failures; with `--json` a usage error is one JSON document. */
function parserExit(error: CommanderError, json: boolean): number {
  if (error.exitCode === 0) return EXIT.ok;
  if (json) {
    // Without a command commander shows the help and has no message of its own.
    const message = error.code === "commander.help" ? "no command given" : error.message.replace(/^error: /, "");
    const failure = new InvalidInputError(message, { party: "you", check: error.code });
    process.stdout.write(`${JSON.stringify({ error: failure.toJSON() }, null, 2)}\n`);
  }
  return EXIT.usage;
}

/** @param argv arguments after the program's name @returns the exit code */
export async function runCommandLine(argv: readonly string[]): Promise<number> {
  const json = argv.includes("--json");
  const program = buildProgram();
  for (const command of [program, ...program.commands, ...program.commands.flatMap((child) => child.commands)]) {
    command.exitOverride().configureOutput({
      writeOut: (text) => process.stdout.write(text),
      writeErr: (text) => process.stderr.write(text.replace(/^error: /, "tallystick: error: ")),
    });
  }
  try {
    await useProxyFromEnvironment();
    await program.parseAsync([...exactArguments(argv)], { from: "user" });
    return program.getOptionValue(EXIT_CODE) ?? EXIT.ok;
  } catch (error) {
    if (error instanceof CommanderError) return parserExit(error, json);
    const isPromptEnded = error instanceof Error && error.name === "ExitPromptError";
    const failure = isPromptEnded ? new InterruptedError() : asTallystickError(error);
    createOutput(json, false).failure(failure);
    if (process.env.TALLYSTICK_DEBUG) process.stderr.write(`${failure.stack}\n${String(failure.cause)}\n`);
    return exitCodeOf(failure.code);
  }
}

/** Runs the command line of this process; its exit code becomes the process's. */
export async function main(): Promise<void> {
  for (const stream of [process.stdout, process.stderr]) stream.on("error", onOutputError);
  process.exitCode = await runCommandLine(process.argv.slice(2));
  // Abandoned work must not keep the process alive.
  if (process.exitCode === EXIT.interrupted) process.exit();
}

if (import.meta.main) await main();

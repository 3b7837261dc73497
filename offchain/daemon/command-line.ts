/**
 * The command line of a daemon: `tallystick-nbm --config <file>`, `tallystick-nbm init --data-dir <folder>`,
 * `--help`, `--version`. Mistakes in options and in the configuration are for the person who typed them: a plain line
 * and a hint on stderr, exit code 2, or 3 when there is no keystore. From the start of the daemon on, stderr is its
 * log.
 */

import { join } from "node:path";
import { Command, CommanderError } from "commander";
import { useProxyFromEnvironment } from "../chain/node-proxy.ts";
import { redactUrlsIn } from "../core/encoding/redact-url.ts";
import { InvalidInputError, TallystickError } from "../core/errors.ts";
import { VERSION } from "../core/version.ts";
import { startDaemon } from "./boot.ts";
import type { DaemonConfig } from "./config.ts";
import type { DaemonDatabase } from "./database.ts";
import { createDaemonKeystore, type DaemonKind, readPassphrase, requireKeystore } from "./keystore-file.ts";
import { announceReady, Closers, closeOnSignals, runDaemon } from "./lifecycle.ts";
import { createLogger } from "./logger.ts";
import type { DaemonProgram } from "./program.ts";

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;
const EXIT_IDENTITY = 3;

const HELP = `
The passphrase of the keystore comes from TALLYSTICK_PASSPHRASE or from a file of mode 0600 (passphraseFile in the
configuration, --passphrase-file of init), never from the command line. docs/operating.md has all fields of the
configuration.`;

/** Runs the program with the arguments of this process. */
export async function runProgram<Config extends DaemonConfig, Data extends DaemonDatabase>(
  program: DaemonProgram<Config, Data>,
  argv: readonly string[] = process.argv.slice(2),
): Promise<void> {
  const name = `tallystick-${program.kind}`;
  const command = buildCommand(program, name);
  try {
    await useProxyFromEnvironment();
    await command.parseAsync([...argv], { from: "user" });
  } catch (error) {
    process.exitCode = explain(name, error);
  }
}

function buildCommand<Config extends DaemonConfig, Data extends DaemonDatabase>(
  program: DaemonProgram<Config, Data>,
  name: string,
): Command {
  const output = {
    writeErr: (text: string) => process.stderr.write(text.replace(/^error: /, `${name}: error: `)),
  };
  const command = new Command(name)
    .description(program.description)
    .version(VERSION)
    // An option after the name of a command is the command's: both know --config.
    .enablePositionalOptions()
    .option("--config <file>", "configuration of the daemon (JSON)")
    .helpCommand(false)
    .addHelpText("after", HELP)
    .showHelpAfterError(`${name}: hint: --help lists the options`)
    .configureOutput(output)
    .exitOverride()
    .action(({ config }: { config?: string }) => start(program, config));
  command
    .command("init")
    .description("make a new keystore, and print the operator's account")
    .requiredOption("--data-dir <folder>", "folder to write keystore.json to")
    .option("--passphrase-file <file>", "read the passphrase from this file of mode 0600")
    .showHelpAfterError(`${name}: hint: init --help lists the options`)
    .configureOutput(output)
    .exitOverride()
    .action((options: { dataDir: string; passphraseFile?: string }) => initialise(program.kind, options));
  for (const extra of program.commands ?? []) {
    const added = command
      .command(extra.name)
      .description(extra.description)
      .requiredOption("--config <file>", "configuration of the daemon (JSON)")
      .addHelpText("after", `\nExample:\n  ${name} ${extra.example}`)
      .showHelpAfterError(`${name}: hint: ${extra.name} --help lists the options`)
      .configureOutput(output)
      .exitOverride();
    for (const [flags, description] of extra.options) added.option(flags, description);
    added.action(async () => {
      const options = added.optsWithGlobals<Record<string, unknown>>();
      process.exitCode = await extra.run(program.load(String(options.config)), options);
    });
  }
  return command;
}

function start<Config extends DaemonConfig, Data extends DaemonDatabase>(
  program: DaemonProgram<Config, Data>,
  file: string | undefined,
): void {
  if (file === undefined) {
    throw new InvalidInputError("no configuration given", { hint: "start the daemon with --config <file.json>" });
  }
  const config = program.load(file);
  requireKeystore(config, program.kind);
  const logger = createLogger(program.kind, config.logLevel ?? process.env.TALLYSTICK_LOG_LEVEL);
  const closers = new Closers();
  closeOnSignals(closers, logger);
  runDaemon(logger, async () => announceReady((await startDaemon(program, config, logger, closers)).url));
}

/**
 * Writes `<folder>/keystore.json` and prints `{"operator", "keystoreFile"}`. The account needs coins before the
 * daemon starts.
 */
async function initialise(kind: DaemonKind, options: { dataDir: string; passphraseFile?: string }): Promise<void> {
  const keystoreFile = join(options.dataDir, "keystore.json");
  const operator = await createDaemonKeystore(keystoreFile, readPassphrase(options.passphraseFile), kind);
  process.stdout.write(`${JSON.stringify({ operator, keystoreFile })}\n`);
}

/** Prints what went wrong. @returns the exit code; unexpected errors are defects and keep their stack. */
function explain(name: string, error: unknown): number {
  // The parser has printed its own message.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_USAGE;
  if (!(error instanceof TallystickError)) throw error;
  const expected = error.expected === undefined ? "" : `: ${error.expected}`;
  process.stderr.write(`${name}: error: ${redactUrlsIn(error.message + expected)}\n`);
  if (error.hint !== undefined) process.stderr.write(`${name}: hint: ${error.hint}\n`);
  if (error.code === "NO_IDENTITY") return EXIT_IDENTITY;
  return error.code === "INVALID_INPUT" ? EXIT_USAGE : EXIT_FAILED;
}
